//! What the peers share: the command line of the project's own programs, a listener, and who is in the room.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the command line says: `[WORD…] [--addr ADDRESS]`.
#[derive(Debug)]
pub struct Options {
    pub addr: SocketAddr,
    pub words: Vec<String>,
}

impl Options {
    pub fn read() -> Self {
        let mut options = Self { addr: SocketAddr::from(([127, 0, 0, 1], 0)), words: vec![] };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == "--addr" {
                let addr = arguments.next().expect("--addr has a value");
                options.addr = addr.parse().expect("an address and a port");
            } else {
                options.words.push(argument);
            }
        }
        options
    }
}

/// A listener that does not block, for many clients at once. Its address is printed, as the line that a driver waits for.
pub fn listen(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    socket.set_nonblocking(true)?;
    let listener = TcpListener::from(socket);
    println!("{{\"url\":\"http://{}\"}}", listener.local_addr()?);
    Ok(listener)
}

/// The same, for tokio.
pub fn listen_tokio() -> std::io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(listen(Options::read().addr)?)
}

/// Everybody who gets a broadcast: a queue for each, emptied by a task of its own, as each library's chat example has it.
#[derive(Debug)]
pub struct Room<T>(Arc<Members<T>>);

#[derive(Debug)]
struct Members<T> {
    next: AtomicU64,
    queues: RwLock<Vec<(u64, UnboundedSender<T>)>>,
}

impl<T: Clone> Room<T> {
    /// A queue that gets every broadcast until the membership is dropped.
    pub fn join(&self) -> (Membership<T>, UnboundedReceiver<T>) {
        let (sender, receiver) = unbounded_channel();
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.0.queues.write().expect("no panic inside").push((id, sender));
        (Membership { room: self.clone(), id }, receiver)
    }

    pub fn broadcast(&self, message: &T) {
        for (_, queue) in self.0.queues.read().expect("no panic inside").iter() {
            // Who has just left gets nothing.
            let _ = queue.send(message.clone());
        }
    }
}

impl<T> Clone for Room<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        Self(Arc::new(Members { next: AtomicU64::new(0), queues: RwLock::default() }))
    }
}

/// Leaves the room when it is dropped.
#[derive(Debug)]
pub struct Membership<T> {
    room: Room<T>,
    id: u64,
}

impl<T> Drop for Membership<T> {
    fn drop(&mut self) {
        self.room.0.queues.write().expect("no panic inside").retain(|(id, _)| *id != self.id);
    }
}
