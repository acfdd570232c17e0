//! axum's WebSockets: `/echo` and `/broadcast`.

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use common::Room;
use futures_util::{SinkExt as _, StreamExt as _};

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let answer = matches!(message, Message::Text(_) | Message::Binary(_));
        if answer && socket.send(message).await.is_err() {
            return;
        }
    }
}

async fn broadcast(socket: WebSocket, room: Room<Message>) {
    let (mut writer, mut reader) = socket.split();
    let (_membership, mut queue) = room.join();
    tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            if writer.send(message).await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = reader.next().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) {
            room.broadcast(&message);
        }
    }
}

async fn serve_broadcast(upgrade: WebSocketUpgrade, State(room): State<Room<Message>>) -> Response {
    upgrade.on_upgrade(|socket| broadcast(socket, room))
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let listener = common::listen_tokio()?.tap_io(|stream| stream.set_nodelay(true).expect("a socket"));
    let app = Router::new()
        .route("/echo", get(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo) }))
        .route("/broadcast", get(serve_broadcast))
        .with_state(Room::default());
    axum::serve(listener, app).await
}
