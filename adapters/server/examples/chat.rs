//! The chat of the Atmosphere guide: one route, any browser. `nosphere::guide::chat` walks through it.
//!
//!     cargo run --example chat -- --addr 127.0.0.1:8080

#![expect(clippy::wildcard_enum_match_arm, reason = "an application names the events that it wants")]

#[path = "chat/page.rs"]
mod page;
#[path = "support/mod.rs"]
mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use nosphere::{Client, Error, Event, Everyone, Handler, Server, Side};
use serde::Deserialize;
use serde_json::{Value, json};

/// What a client writes.
#[derive(Deserialize)]
struct Line {
    author: String,
    message: String,
}

pub(crate) struct Chat;

impl Handler for Chat {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        match event {
            Event::Connected { transport } => {
                tracing::info!(client = %client.id(), %transport, "connected");
                client.broadcast_to(Everyone, notice("joined the room"));
            }
            Event::Disconnected { by: Side::Client, .. } => {
                client.broadcast_to(Everyone, notice("has left the room"));
            }
            Event::Disconnected { by, reason } => tracing::info!(client = %client.id(), ?by, %reason, "disconnected"),
            Event::Text(_) => client.send(line("system", "Only json is allowed"))?,
            Event::Json(json) => match json.parse() {
                Ok(Line { author, message }) => {
                    tracing::info!(author, text = message, "said");
                    client.broadcast(line(&author, &message));
                }
                Err(_) => client.send(line("system", "An author and a message are needed"))?,
            },
            _ => {}
        }
        Ok(())
    }
}

/// What the room says of somebody whose name it does not know.
fn notice(message: &str) -> Value {
    line("Someone", message)
}

/// A line as the page shows it.
fn line(author: &str, message: &str) -> Value {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    json!({ "author": author, "message": message, "time": time.to_string() })
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let listener = support::listen("127.0.0.1:8080").await?;
    let server = Server::builder().endpoint("/the-chat", |_request| Chat).browser_client("/nosphere.js").build()?;
    let app = page::routes().fallback_service(server.clone());
    support::serve(listener, app, &server).await
}
