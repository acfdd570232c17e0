//! A tower service that mounts realtime endpoints: one route, any browser, over WebSocket, server-sent events and
//! long-polling, with every message delivered exactly once and in order for as long as the session lives.

mod audience;
mod body;
mod broadcaster;
mod client;
mod clock;
mod config;
mod deadlines;
mod dirty;
mod endpoint;
mod handler;
mod head;
mod patient;
mod random;
mod request;
mod server;
mod session;
mod shared;
mod table;
pub mod testing;
mod topic;
mod websocket;

pub use audience::Audience::{self, Everyone, Others};
pub use body::Body;
pub use broadcaster::{Broadcaster, PathBroadcaster};
pub use client::Client;
pub use config::ServerConfig;
pub use endpoint::{BuildError, IntoHandler};
pub use handler::{Error, Handler};
pub use head::RequestHead;
pub use server::{Builder, Respond, Server};
pub use session::Sink;

pub use nosphere_core::{
    Close, Config, DecodeError, EncodeError, Event, Frame, Json, JsonError, Kind, Message, Offer, Open, Opened,
    Overflow, Payload, PayloadError, Reason, ResumeToken, SendError, SessionError, SessionId, Side, Text, Transport,
    Undeliverable, Undelivered, Unit, Window, WireFormat,
};
pub use nosphere_wire::negotiation::{Formats, InvalidOrigin, OriginPolicy, Refusal, RegisterError};

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
