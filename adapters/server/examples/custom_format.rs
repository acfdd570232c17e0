//! A wire format of one's own, negotiated as `nosphere.v1.bare`: all of it is in `custom_format/bare.rs`. Small devices like
//! it: nothing is quoted, escaped or in base64.
//!
//!     cargo run --example custom_format -- --addr 127.0.0.1:8080

#![expect(clippy::wildcard_enum_match_arm, reason = "an application names the events that it wants")]

#[path = "custom_format/bare.rs"]
mod bare;
#[path = "support/mod.rs"]
mod support;

use bare::Bare;
use nosphere::{Client, Error, Event, Handler, Message, Server};

/// Handlers need not know which format their client chose.
struct Echo;

impl Handler for Echo {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        let message: Message = match event {
            Event::Text(text) => text.into(),
            Event::Json(json) => json.into(),
            Event::Binary(bytes) => bytes.into(),
            Event::Error(error) => format!("not understood: {error}").into(),
            _ => return Ok(()),
        };
        Ok(client.send(message)?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let listener = support::listen("127.0.0.1:8080").await?;
    let server = Server::builder().format(&Bare).endpoint("/echo", |_head| Echo).build()?;
    support::serve(listener, server.clone(), &server).await
}
