//! A RabbitMQ of our own, a server with clients, and what may be between the source and the broker.

mod broker;
mod clients;
mod peer;
mod proxy;

pub(crate) use broker::Broker;
pub(crate) use clients::{EventSource, Serving};
pub(crate) use peer::Peer;
pub(crate) use proxy::Proxy;

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// How long anything may take before the test fails. Nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The output of a future that must not hang.
#[track_caller]
pub(crate) fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let at = Location::caller();
    async move {
        match tokio::time::timeout(PATIENCE, future).await {
            Ok(output) => output,
            Err(_) => panic!("hangs at {at}"),
        }
    }
}

/// Waits for what nobody announces.
#[track_caller]
pub(crate) fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) -> impl Future<Output = ()> {
    soon(async move {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
}

/// A source's limits, with an outage that is soon over.
pub(crate) fn quick() -> nosphere_amqp::Config {
    let mut config = nosphere_amqp::Config::default();
    config.backoff_min = Duration::from_millis(10);
    config.backoff_max = Duration::from_millis(100);
    config
}
