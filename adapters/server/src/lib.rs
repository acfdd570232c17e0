//! A tower service that mounts realtime endpoints: one route, any browser, over WebSocket, server-sent events and
//! long-polling, with every message delivered exactly once and in order for as long as the session lives.

mod admission;
mod audience;
mod body;
mod broadcaster;
mod client;
mod clock;
mod config;
mod contain;
mod deadlines;
mod dirty;
mod endpoint;
mod handler;
mod head;
mod patient;
mod random;
mod request;
mod requests;
mod room;
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
pub use contain::Panicked;
pub use endpoint::{BuildError, IntoHandler};
pub use handler::{Error, Handler, HandlerFn, handler_fn};
pub use head::{Peer, RequestHead};
pub use requests::{Answer, Replies, RequestError};
pub use server::{Builder, Respond, Server};
pub use session::Sink;

pub use nosphere_core::{
    Cause, Close, Config, DecodeError, EncodeError, Event, Frame, Json, JsonError, Kind, Message, Offer, Open, Opened,
    Overflow, Parsed, Payload, PayloadError, Reason, Reply, Request, RequestId, ResumeToken, SendError, SessionError,
    SessionId, Side, Text, Transport, Undeliverable, Undelivered, Unit, Window, WireFormat,
};
pub use nosphere_wire::negotiation::{Formats, InvalidOrigin, OriginPolicy, Refusal, RegisterError};

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
