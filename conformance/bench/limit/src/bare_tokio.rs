//! The same by tokio. A broadcast is written by the task that got it: no task is woken for a recipient.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use tokio::net::TcpStream;

use crate::{IN, OUT};

type Clients = Arc<RwLock<Vec<Arc<TcpStream>>>>;

#[tokio::main]
pub(crate) async fn run(addr: SocketAddr, fan: bool) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(common::listen(addr)?)?;
    let clients = Clients::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let stream = Arc::new(stream);
        if fan {
            clients.write().expect("no panic inside").push(Arc::clone(&stream));
        }
        let clients = Arc::clone(&clients);
        tokio::spawn(async move {
            let _ = if fan { broadcasts(&stream, &clients).await } else { echo(&stream).await };
            clients.write().expect("no panic inside").retain(|other| !Arc::ptr_eq(other, &stream));
        });
    }
}

thread_local!(static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]));

/// The buffer is the thread's, so an idle client has none.
fn read(stream: &TcpStream, use_it: impl FnOnce(&[u8])) -> std::io::Result<bool> {
    BUFFER.with_borrow_mut(|buffer| match stream.try_read(buffer) {
        Ok(0) => Ok(false),
        Ok(count) => {
            use_it(&buffer[..count]);
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
        Err(error) => Err(error),
    })
}

async fn echo(stream: &TcpStream) -> std::io::Result<()> {
    loop {
        stream.readable().await?;
        let mut left = vec![];
        let go_on = read(stream, |bytes| {
            let written = stream.try_write(bytes).unwrap_or(0);
            left.extend_from_slice(&bytes[written..]);
        })?;
        if !go_on {
            return Ok(());
        }
        while !left.is_empty() {
            stream.writable().await?;
            if let Ok(written) = stream.try_write(&left) {
                left.drain(..written);
            }
        }
    }
}

async fn broadcasts(stream: &TcpStream, clients: &Clients) -> std::io::Result<()> {
    let out = [b'x'; OUT];
    let mut come = 0;
    loop {
        stream.readable().await?;
        let go_on = read(stream, |bytes| {
            come += bytes.len();
            while come >= IN {
                come -= IN;
                for client in clients.read().expect("no panic inside").iter() {
                    let _ = client.try_write(&out);
                }
            }
        })?;
        if !go_on {
            return Ok(());
        }
    }
}
