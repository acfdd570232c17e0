//! The limit: servers that move the bytes of a test and know nothing of any protocol, by bare epoll and by bare tokio.
//!
//!     limit MODE [--addr 127.0.0.1:0]
//!
//! `epoll-echo`, `epoll-fan`, `epoll-fan-gathered` (one write for all that came at once), `epoll-handshake`, `tokio-echo`,
//! `tokio-fan`, `own-epoll-echo` (by one task of tokio that has an epoll of its own).

mod bare_tokio;
mod own_epoll;

use std::net::TcpListener;
use std::os::fd::OwnedFd;

use common::Options;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::{Errno, read, write};
use rustix::net::{SocketFlags, accept_with, sockopt};

/// A masked text message of 128 bytes, as a client sends it, and what a server makes of it.
const IN: usize = 136;
const OUT: usize = 132;
/// The server's answer to the key that the generator sends.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn main() -> std::io::Result<()> {
    let Options { addr, words } = Options::read();
    let mode = words.first().map_or("", String::as_str);
    match mode {
        "epoll-echo" => Loop::new(addr)?.run(Loop::echo),
        "epoll-fan" => Loop::new(addr)?.run(Loop::fan),
        "epoll-fan-gathered" => Loop::new(addr)?.run(Loop::fan_gathered),
        "epoll-handshake" => Loop::new(addr)?.run(Loop::handshake),
        "own-epoll-echo" => own_epoll::run(addr),
        "tokio-echo" | "tokio-fan" => bare_tokio::run(addr, mode == "tokio-fan"),
        _ => Err(std::io::Error::other("no such mode: see the head of limit/src/main.rs")),
    }
}

struct Loop {
    epoll: OwnedFd,
    listener: TcpListener,
    /// Clients by the number that epoll tells of them.
    clients: Vec<Option<OwnedFd>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
    out: Vec<u8>,
    /// Bytes of broadcasts that have come.
    come: usize,
}

const LISTENER: u64 = u64::MAX;

/// The next client, if one waits.
fn accept(listener: &TcpListener) -> std::io::Result<Option<OwnedFd>> {
    match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(client) => {
            sockopt::set_tcp_nodelay(&client, true)?;
            Ok(Some(client))
        }
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes everything, however often the socket has to be asked.
fn write_all(client: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let mut at = 0;
    while at < bytes.len() {
        match write(client, &bytes[at..]) {
            Ok(written) => at += written,
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Loop {
    fn new(addr: std::net::SocketAddr) -> std::io::Result<Self> {
        let listener = common::listen(addr)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let (buffer, out) = (vec![0; 256 << 10], vec![b'x'; OUT * 256]);
        Ok(Self { epoll, listener, clients: vec![], free: vec![], buffer, out, come: 0 })
    }

    fn run(mut self, serve: impl Fn(&mut Self, usize, usize)) -> std::io::Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        loop {
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), None) {
                // Callgrind interrupts it.
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in events.drain(..) {
                if event.data.u64() == LISTENER {
                    self.accept()?;
                    continue;
                }
                let id = event.data.u64() as usize;
                let Some(client) = &self.clients[id] else { continue };
                match read(client, &mut self.buffer[..]) {
                    Ok(0) => self.end(id),
                    Ok(count) => serve(&mut self, id, count),
                    Err(Errno::AGAIN) => {}
                    Err(_) => self.end(id),
                }
            }
        }
    }

    fn accept(&mut self) -> std::io::Result<()> {
        while let Some(client) = accept(&self.listener)? {
            let id = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            epoll::add(&self.epoll, &client, EventData::new_u64(id as u64), EventFlags::IN)?;
            self.clients[id] = Some(client);
        }
        Ok(())
    }

    fn end(&mut self, id: usize) {
        self.clients[id] = None;
        self.free.push(id);
    }

    fn echo(&mut self, id: usize, count: usize) {
        let Some(client) = &self.clients[id] else { return };
        if write_all(client, &self.buffer[..count]).is_err() {
            self.end(id);
        }
    }

    /// How many whole broadcasts are there now.
    fn whole(&mut self, count: usize) -> usize {
        self.come += count;
        let whole = self.come / IN;
        self.come -= whole * IN;
        whole
    }

    fn fan(&mut self, _from: usize, count: usize) {
        for _ in 0..self.whole(count) {
            for client in self.clients.iter().flatten() {
                let _ = write(client, &self.out[..OUT]);
            }
        }
    }

    fn fan_gathered(&mut self, _from: usize, count: usize) {
        let whole = self.whole(count);
        if whole > 0 {
            for client in self.clients.iter().flatten() {
                let _ = write(client, &self.out[..OUT * whole]);
            }
        }
    }

    fn handshake(&mut self, id: usize, _count: usize) {
        if let Some(client) = &self.clients[id] {
            let _ = write(client, ANSWER);
        }
    }
}
