//! socketioxide under axum: the event `e` is echoed, `eb` too, with bytes in it, and `m` goes to everyone.

use axum::serve::ListenerExt as _;
use bytes::Bytes;
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};

async fn connect(socket: SocketRef) {
    // Handlers are futures, each of which is a task: the order of messages is not kept.
    socket.on("e", async |socket: SocketRef, Data::<String>(text)| {
        let _ = socket.emit("e", &text);
    });
    socket.on("eb", async |socket: SocketRef, Data::<Bytes>(bytes)| {
        let _ = socket.emit("eb", &bytes);
    });
    socket.on("m", async |io: SocketIo, Data::<String>(text)| {
        let _ = io.emit("m", &text).await;
    });
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", connect);
    let listener = common::listen_tokio()?.tap_io(|stream| stream.set_nodelay(true).expect("a socket"));
    Ok(axum::serve(listener, axum::Router::new().layer(layer)).await?)
}
