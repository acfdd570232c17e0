//! The echo that tests, benchmarks and the conformance kit talk to.
//!
//! `/echo` sends every message back as it came, over every transport and protocol, and answers a request with what it holds;
//! `/broadcast` sends every message to everyone, the sender included.
//!
//!     cargo run --release --example echo -- --addr 127.0.0.1:0
//!
//! Tests of silence need not wait as long as a user would: `ECHO_HEARTBEAT`, `ECHO_TIMEOUT`, `ECHO_PROOF` and `ECHO_RESUME` of the
//! environment set those limits of SPEC §14, in milliseconds. `ECHO_SCHEDULING` is `event-loops` or `tasks`, whatever the runtime has.

#![expect(clippy::wildcard_enum_match_arm, reason = "an application names the events that it wants")]

#[path = "support/mod.rs"]
mod support;

use std::time::Duration;

use nosphere::{Client, Event, Everyone, Handler, Message, Scheduling, Server, ServerConfig};
use support::Error;

struct Echo;

impl Handler for Echo {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        let answer = match event {
            Event::Text(text) => text.into(),
            Event::Json(json) => json.into(),
            Event::Binary(bytes) => bytes.into(),
            Event::Request(request) => Message::reply(request.id, request.payload),
            _ => return Ok(()),
        };
        if let Err(error) = client.send(answer) {
            // A transport may have no form for it, or the client no room.
            tracing::warn!(session = %client.id(), %error, "not echoed");
        }
        Ok(())
    }
}

struct Broadcast;

impl Handler for Broadcast {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        let message: Message = match event {
            Event::Text(text) => text.into(),
            Event::Json(json) => json.into(),
            Event::Binary(bytes) => bytes.into(),
            _ => return Ok(()),
        };
        client.broadcast_to(&Everyone, message);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let listener = support::listen("127.0.0.1:0").await?;
    let mut config = ServerConfig::default();
    for (name, limit) in [
        ("ECHO_HEARTBEAT", &mut config.session.heartbeat),
        ("ECHO_PROOF", &mut config.session.proof),
        ("ECHO_RESUME", &mut config.session.resume),
        ("ECHO_TIMEOUT", &mut config.session.timeout),
    ] {
        if let Ok(milliseconds) = std::env::var(name) {
            *limit = Duration::from_millis(milliseconds.parse()?);
        }
    }
    // Autobahn's largest messages.
    config.session.window.bytes = 17 << 20;
    config.session.max_queued_bytes = 64 << 20;
    let mut builder = Server::builder();
    if let Ok(scheduling) = std::env::var("ECHO_SCHEDULING") {
        builder = builder.scheduling(match &*scheduling {
            "event-loops" => Scheduling::EventLoops,
            "tasks" => Scheduling::Tasks,
            other => return Err(format!("ECHO_SCHEDULING={other}: event-loops or tasks").into()),
        });
    }
    let server = builder
        .config(config)
        .endpoint("/echo", |_request| Echo)
        .endpoint("/broadcast", |_request| Broadcast)
        .build()?;
    support::serve(listener, server.clone(), &server).await
}
