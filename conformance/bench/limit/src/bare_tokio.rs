//! The same by tokio. A broadcast is written by the task that got it: no task is woken for a recipient.

use std::cell::RefCell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, RwLock};
use std::task::ready;

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::{IN, OUT};

type Clients = Arc<RwLock<Vec<Arc<OwnedWriteHalf>>>>;

#[tokio::main]
pub(crate) async fn run(addr: SocketAddr, fan: bool) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(common::listen(addr)?)?;
    let clients = Clients::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (input, output) = stream.into_split();
        if !fan {
            tokio::spawn(echo(input, output));
            continue;
        }
        let output = Arc::new(output);
        clients.write().expect("no panic inside").push(Arc::clone(&output));
        let clients = Arc::clone(&clients);
        tokio::spawn(async move {
            let _ = broadcasts(input, &clients).await;
            clients.write().expect("no panic inside").retain(|other| !Arc::ptr_eq(other, &output));
        });
    }
}

thread_local!(static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]));

/// Reads into a buffer that is the thread's, so an idle client has none. How many bytes came, and what was made of them.
async fn read<T>(input: &mut OwnedReadHalf, mut use_it: impl FnMut(&[u8]) -> T) -> std::io::Result<(usize, T)> {
    poll_fn(|context| {
        BUFFER.with_borrow_mut(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            ready!(Pin::new(&mut *input).poll_read(context, &mut buffer))?;
            Ok((buffer.filled().len(), use_it(buffer.filled()))).into()
        })
    })
    .await
}

async fn echo(mut input: OwnedReadHalf, mut output: OwnedWriteHalf) -> std::io::Result<()> {
    loop {
        let (count, left) = read(&mut input, |bytes| {
            let written = output.try_write(bytes).unwrap_or(0);
            bytes[written..].to_vec()
        })
        .await?;
        if count == 0 {
            return Ok(());
        }
        if !left.is_empty() {
            output.write_all(&left).await?;
        }
    }
}

async fn broadcasts(mut input: OwnedReadHalf, clients: &Clients) -> std::io::Result<()> {
    let out = [b'x'; OUT];
    let mut come = 0;
    loop {
        let (count, ()) = read(&mut input, |bytes| {
            come += bytes.len();
            while come >= IN {
                come -= IN;
                for client in clients.read().expect("no panic inside").iter() {
                    let _ = client.try_write(&out);
                }
            }
        })
        .await?;
        if count == 0 {
            return Ok(());
        }
    }
}
