//! What the tests share: a [`Pair`] of both roles over a network that loses, repeats and delays, and a [`Solo`] session
//! whose peer is the test.

mod end;
mod faults;
mod grammar;
mod pair;
mod solo;

use std::sync::Arc;

pub(crate) use end::End;
pub(crate) use grammar::Grammar;
use nosphere_core::{Config, Message, Transport, Window};
pub(crate) use pair::{Dir, Packet, Pair, Sent};
pub(crate) use solo::{Solo, ack, closed, opened, ping, pong, resumed, text};

pub(crate) const WS: Transport = Transport::WebSocket;
pub(crate) const SSE: Transport = Transport::ServerSentEvents;
pub(crate) const POLL: Transport = Transport::LongPolling;
pub(crate) const TRANSPORTS: [Transport; 3] = [WS, SSE, POLL];

pub(crate) fn config(change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::default();
    change(&mut config);
    Arc::new(config)
}

pub(crate) fn defaults() -> Arc<Config> {
    config(|_| ())
}

pub(crate) fn window(messages: u32, bytes: u32) -> Arc<Config> {
    config(|config| config.window = Window { messages, bytes })
}

pub(crate) fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| format!("{message:?}").trim_start_matches("Text(").replace(['"', ')'], "")).collect()
}
