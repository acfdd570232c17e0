//! A server with a logging application, and clients of every kind, over real sockets.

mod app;
mod http;
mod lines;
mod native;
mod raw;
mod server;
mod sse;
mod ws;

pub(crate) use app::{Clients, Log, Probe, React, quick, with_clients};
pub(crate) use http::{Answer, Http, exchange, get, post, request, send};
pub(crate) use lines::Lines;
pub(crate) use native::{Carrier, FORMATS, Native, TRANSPORTS, json, text};
pub(crate) use raw::{Raw, frame as raw_frame};
pub(crate) use server::{Serving, TestServer, listen, serve};
pub(crate) use sse::EventReader;
pub(crate) use ws::{Stream, Ws, WsMessage};

use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// How long anything may take before the test fails. Nothing waits for it to pass.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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
pub(crate) fn until(mut condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    soon(async move {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
}
