//! tokio-tungstenite: `/echo` and `/broadcast`.

use std::convert::Infallible;

use common::Room;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

async fn echo(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn broadcast(socket: WebSocketStream<TcpStream>, room: Room<Message>) -> Result<(), Error> {
    let (mut writer, mut reader) = socket.split();
    let (_membership, mut queue) = room.join();
    tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            if writer.send(message).await.is_err() {
                return;
            }
        }
    });
    while let Some(message) = reader.next().await {
        let message = message?;
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            room.broadcast(&message);
        }
    }
    Ok(())
}

async fn serve(stream: TcpStream, room: Room<Message>) -> Result<(), Error> {
    let mut to_all = false;
    #[expect(clippy::result_large_err, reason = "the library's signature")]
    let path = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        to_all = request.uri().path() == "/broadcast";
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, path).await?;
    if to_all { broadcast(socket, room).await } else { echo(socket).await }
}

#[tokio::main]
async fn main() -> std::io::Result<Infallible> {
    let listener = common::listen_tokio()?;
    let room = Room::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(serve(stream, room.clone()));
    }
}
