//! The server-side event source of the Atmosphere guide: what is published to a queue reaches everybody on a path.
//!
//!     AMQP_URL=amqp://guest:guest@localhost:5672/%2f cargo run --example amqp -- --addr 127.0.0.1:8080
//!
//! Then listen with `curl -N -H 'accept: text/event-stream' http://127.0.0.1:8080/real-time-buzz`, and publish to the
//! exchange `amq.topic` with a routing key that begins with `buzz.`.

#![expect(clippy::wildcard_enum_match_arm, reason = "an application names what it wants")]

#[path = "../../server/examples/support/mod.rs"]
mod support;

use nosphere::{Client, Event, Handler, Server};
use nosphere_amqp::{Config, Queue, Source};
use support::Error;

struct Buzz;

impl Handler for Buzz {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        tracing::info!(client = %client.id(), ?event);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let listener = support::listen("127.0.0.1:8080").await?;
    let server = Server::builder().endpoint("/real-time-buzz", |_request| Buzz).build()?;

    let broker = std::env::var("AMQP_URL").unwrap_or_else(|_| "amqp://guest:guest@localhost:5672/%2f".into());
    let queue = Queue::durable("buzz").bind("amq.topic", "buzz.#");
    let mut config = Config::default();
    config.wait_at_start = true;
    let buzz = Source::new(&broker, queue, "/real-time-buzz")?.config(config);
    let buzz = buzz.start(server.broadcaster()).await?;

    let served = support::serve(listener, server.clone(), &server).await;
    buzz.stop().await?;
    served
}
