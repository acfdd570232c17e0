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
mod front;
pub mod guide;
mod handler;
mod head;
mod member;
mod own;
mod patient;
mod presence;
mod random;
mod request;
mod requests;
mod room;
mod selection;
mod server;
mod session;
mod shared;
mod table;
mod tags;
pub mod testing;
mod topic;
mod websocket;

pub use audience::LocalAudience;
pub use body::Body;
pub use broadcaster::{Broadcaster, PathBroadcaster};
pub use client::Client;
pub use config::ServerConfig;
pub use contain::Panicked;
pub use endpoint::{BuildError, IntoHandler};
pub use front::{Front, FrontBody};
pub use handler::{Error, Handler, HandlerFn, handler_fn};
pub use head::{Peer, RequestHead};
pub use member::{Member, Members};
pub use requests::{Answer, Replies, RequestError};
pub use server::{Builder, Respond, Server};
pub use session::Sink;
pub use tags::JoinError;

pub use nosphere_core::Audience::{self, Everyone, Me, Others};
pub use nosphere_core::{
    AudienceTooLarge, Cause, Close, Config, DecodeError, EncodeError, Event, Frame, InvalidTag, Json, JsonError, Kind,
    Message, Offer, Open, Opened, Overflow, Parsed, Payload, PayloadError, Reason, Reply, Request, RequestId,
    ResumeToken, SendError, SessionError, SessionId, Side, Tag, Text, Transport, Undeliverable, Undelivered, Unit,
    Window, WireFormat,
};
pub use nosphere_wire::negotiation::{Formats, InvalidOrigin, OriginPolicy, Refusal, RegisterError};
pub use nosphere_wire::{JSON, MESSAGEPACK, PLAIN};

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
