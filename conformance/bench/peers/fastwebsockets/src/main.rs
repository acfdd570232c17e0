//! fastwebsockets behind hyper: `/echo` and `/broadcast`.

use std::convert::Infallible;

use bytes::Bytes;
use common::Room;
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}

async fn broadcast(upgraded: UpgradeFut, room: Room<Bytes>) -> Result<(), WebSocketError> {
    let (reader, mut writer) = upgraded.await?.split(tokio::io::split);
    let (_membership, mut queue) = room.join();
    tokio::spawn(async move {
        while let Some(text) = queue.recv().await {
            if writer.write_frame(Frame::text(Payload::Borrowed(&text))).await.is_err() {
                return;
            }
        }
    });
    let mut reader = FragmentCollectorRead::new(reader);
    // The generator sends nothing that has to be answered.
    let mut answer = |_: Frame<'_>| async { Ok::<(), WebSocketError>(()) };
    loop {
        let frame = reader.read_frame(&mut answer).await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => room.broadcast(&Bytes::copy_from_slice(&frame.payload)),
            _ => {}
        }
    }
}

async fn serve(mut request: Request<Incoming>, room: Room<Bytes>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade(&mut request)?;
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
