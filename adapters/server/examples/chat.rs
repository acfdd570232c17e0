//! The chat of the Atmosphere guide: one route, any browser.
//!
//!     cargo run --example chat -- --addr 127.0.0.1:8080

#![expect(clippy::wildcard_enum_match_arm, reason = "an application names the events that it wants")]

#[path = "support/mod.rs"]
mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use nosphere::{Client, Event, Everyone, Handler, Json, Server, Side};
use serde::{Deserialize, Serialize};
use support::Error;

/// What people write to each other.
#[derive(Debug, Deserialize, Serialize)]
struct Line {
    author: String,
    message: String,
    /// Milliseconds since 1970, added by the server.
    #[serde(default)]
    time: String,
}

impl Line {
    fn new(author: &str, message: &str) -> Self {
        Self { author: author.into(), message: message.into(), time: now() }
    }
}

struct Chat;

impl Handler for Chat {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        match event {
            Event::Connected { transport } => {
                tracing::info!(client = %client.id(), %transport, "connected");
                client.broadcast_to(Everyone, Json::new(&Line::new("Someone", "joined the room"))?);
            }
            Event::Disconnected { by: Side::Client, .. } => {
                client.broadcast(Json::new(&Line::new("Someone", "has left the room"))?);
            }
            Event::Disconnected { by, reason } => tracing::info!(client = %client.id(), ?by, %reason, "disconnected"),
            Event::Text(_) => client.send(Json::new(&Line::new("system", "Only json is allowed"))?)?,
            Event::Json(json) => match json.parse::<Line>() {
                Ok(line) => {
                    tracing::info!(line.author, line.message, "message");
                    client.broadcast(Json::new(&Line { time: now(), ..line })?);
                }
                Err(_) => client.send(Json::new(&Line::new("system", "An author and a message are needed"))?)?,
            },
            _ => {}
        }
        Ok(())
    }
}

fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis().to_string()
}

/// A file of the page.
async fn file(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let policy = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'";
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, policy)], content)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let listener = support::listen("127.0.0.1:8080").await?;
    let server = Server::builder().endpoint("/the-chat", |_request| Chat).build()?;
    const SCRIPT: &str = "text/javascript;charset=utf-8";
    let app = Router::new()
        .route("/", get(|| file("text/html;charset=utf-8", include_str!("chat/index.html"))))
        .route("/chat.css", get(|| file("text/css;charset=utf-8", include_str!("chat/chat.css"))))
        .route("/chat.js", get(|| file(SCRIPT, include_str!("chat/chat.js"))))
        .route("/nosphere.js", get(|| file(SCRIPT, include_str!("chat/nosphere.js"))))
        .route("/nosphere/session.js", get(|| file(SCRIPT, include_str!("chat/nosphere/session.js"))))
        .route("/nosphere/transports.js", get(|| file(SCRIPT, include_str!("chat/nosphere/transports.js"))))
        .fallback_service(server.clone());
    support::serve(listener, app, &server).await
}
