//! Clients of atmosphere.js (SPEC §17), written by hand.

mod client;
mod delivery;
mod end;
mod heartbeats;
mod requests;
mod transports;

use client::{OVER_HTTP, Page, TRANSPORTS};

use std::sync::Arc;

use nosphere::{Builder, ServerConfig};

use crate::support::{Clients, Probe, Serving, TestServer};

/// A server with a further endpoint, `/kept`, whose clients the test has.
async fn with_kept(config: ServerConfig) -> (TestServer, Clients) {
    let clients = Clients::default();
    let react = clients.react();
    let mut log = None;
    let server = TestServer::with(config, Serving::Auto, |builder| {
        let (sender, receiver) = crate::support::Log::new();
        log = Some(receiver);
        builder.endpoint("/kept", move |_| Probe::new(&sender, &react))
    });
    let mut server = server.await;
    if let Some(log) = log {
        server.log = log;
    }
    (server, clients)
}

/// A server with a further endpoint, `/greets`, that sends when a client connects.
fn greets(builder: Builder) -> Builder {
    let (sender, _) = crate::support::Log::new();
    let react: crate::support::React = Arc::new(|client, event| {
        if let nosphere::Event::Connected { .. } = event {
            client.send("wel|come")?;
        }
        Ok(())
    });
    builder.endpoint("/greets", move |_| Probe::new(&sender, &react))
}
