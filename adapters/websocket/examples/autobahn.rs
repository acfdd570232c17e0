//! An echo server for the Autobahn test suite: hyper's HTTP/1.1 upgrade and this crate, nothing else.
//!
//! `cargo run --release -p nosphere-websocket --example autobahn -- --addr 127.0.0.1:0`

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;

use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use nosphere_core::{Encoded, Unit};
use nosphere_websocket::handshake::Upgrade;
use nosphere_websocket::{Decoder, Flush, Item, Outgoing, ReadOutcome, Reader, Role, Writer};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

const MAX_MESSAGE_SIZE: usize = 64 << 20;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "the address is what a runner waits for")]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind(address()).await?;
    println!("{{\"url\":\"http://{}\"}}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async {
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(handle));
            if let Err(error) = connection.with_upgrades().await {
                eprintln!("connection: {error}");
            }
        });
    }
}

async fn handle(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let on_upgrade = hyper::upgrade::on(&mut request);
    let response = match Upgrade::new(&request) {
        Ok(upgrade) => {
            tokio::spawn(serve(on_upgrade));
            upgrade.response(None)
        }
        Err(error) => error.response(),
    };
    Ok(response.map(|()| Empty::new()))
}

async fn serve(on_upgrade: OnUpgrade) {
    let result = match on_upgrade.await {
        Ok(upgraded) => echo(upgraded).await,
        Err(error) => Err(io::Error::other(error)),
    };
    if let Err(error) = result {
        eprintln!("socket: {error}");
    }
}

async fn echo(upgraded: Upgraded) -> io::Result<()> {
    let parts = upgraded.downcast::<TokioIo<TcpStream>>().map_err(|_| io::Error::other("the connection is not TCP"))?;
    let (mut read, write) = parts.io.into_inner().into_split();
    let mut reader = Reader::new(Decoder::new(Role::Server, MAX_MESSAGE_SIZE), &parts.read_buf);
    let mut writer = Writer::server();
    let mut items = Vec::new();
    let mut queue = VecDeque::new();
    loop {
        let outcome = reader.read_items(&mut read, &mut items).await?;
        let mut closed = None;
        for item in items.drain(..) {
            match item {
                Item::Binary(bytes) => queue.push_back(Encoded::new(Unit::Binary(bytes))),
                Item::Close(close) => closed = Some(close),
                Item::Ping(payload) => writer.pong(payload),
                Item::Pong(_) => {}
                Item::Text(text) => queue.push_back(Encoded::shared(&Unit::Text(text))),
            }
        }
        // What came before a close or an error is answered before it.
        flush(&mut writer, &write, &mut queue).await?;
        if let Some(close) = closed {
            writer.handle_close(&close);
        }
        if let ReadOutcome::Error(error) = outcome {
            writer.handle_error(error);
        }
        flush(&mut writer, &write, &mut queue).await?;
        if outcome == ReadOutcome::End || writer.is_finished() {
            return Ok(());
        }
    }
}

async fn flush(writer: &mut Writer, write: &OwnedWriteHalf, queue: &mut VecDeque<Encoded>) -> io::Result<()> {
    while writer.flush(write, || queue.pop_front().map(Outgoing::Data))? == Flush::Blocked {
        write.writable().await?;
    }
    Ok(())
}

fn address() -> String {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--addr");
    arguments.nth(1).unwrap_or_else(|| "127.0.0.1:0".into())
}
