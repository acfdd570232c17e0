//! yawc behind hyper: `/echo` and `/broadcast`.

use std::convert::Infallible;

use bytes::Bytes;
use common::Room;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use yawc::{Frame, OpCode, Result, UpgradeFut, WebSocket};

async fn echo(upgraded: UpgradeFut) -> Result<()> {
    let mut socket = upgraded.await?;
    loop {
        let frame = socket.next_frame().await?;
        let (opcode, _, payload) = frame.into_parts();
        match opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text => socket.send(Frame::text(payload)).await?,
            OpCode::Binary => socket.send(Frame::binary(payload)).await?,
            _ => {}
        }
    }
}

async fn broadcast(upgraded: UpgradeFut, room: Room<Bytes>) -> Result<()> {
    let (mut writer, mut reader) = upgraded.await?.split();
    let (_membership, mut queue) = room.join();
    tokio::spawn(async move {
        while let Some(text) = queue.recv().await {
            if writer.send(Frame::text(text)).await.is_err() {
                return;
            }
        }
    });
    while let Some(frame) = reader.next().await {
        let (opcode, _, payload) = frame.into_parts();
        match opcode {
            OpCode::Close => break,
            OpCode::Text | OpCode::Binary => room.broadcast(&payload),
            _ => {}
        }
    }
    Ok(())
}

async fn serve(mut request: Request<Incoming>, room: Room<Bytes>) -> Result<Response<Empty<Bytes>>> {
    let (response, upgraded) = WebSocket::upgrade(&mut request)?;
    if request.uri().path() == "/broadcast" {
        tokio::spawn(broadcast(upgraded, room));
    } else {
        tokio::spawn(echo(upgraded));
    }
    Ok(response)
}

#[tokio::main]
async fn main() -> std::io::Result<Infallible> {
    let listener = common::listen_tokio()?;
    let room = Room::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let room = room.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(request, room.clone()));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}
