//! Realtime endpoints for any browser: one route and one enum of events, over WebSocket, server-sent events and long-polling,
//! with every message delivered exactly once and in order for as long as the session lives.
//!
//! An application is a [`Handler`], which is given [`Event`]s and answers by its [`Client`], and a [`Server`], which has
//! endpoints and is a tower service: it runs under axum, hyper, or whatever serves `http` requests on tokio.
//!
//! ```
//! use nosphere::{Client, Error, Event, Everyone, Handler, Server, Side};
//!
//! /// A room to talk in. There is one of these for every session.
//! struct Chat;
//!
//! impl Handler for Chat {
//!     async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
//!         match event {
//!             Event::Connected { .. } => {
//!                 client.broadcast_to(Everyone, "somebody joined");
//!             }
//!             Event::Disconnected { by: Side::Client, .. } => {
//!                 client.broadcast("somebody left");
//!             }
//!             Event::Json(line) => {
//!                 client.broadcast(line); // to everyone but the sender
//!             }
//!             Event::Text(_) => client.send("Only json is allowed")?,
//!             _ => {} // what is not named needs nothing done
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Error> {
//! let server = Server::builder().endpoint("/the-chat", |_request| Chat).build()?;
//!
//! // Two clients in memory, to see that it works: the same as over sockets.
//! use nosphere::testing::TestClient;
//! let mut joe = TestClient::connect(&server, "/the-chat").await?;
//! let mut ann = TestClient::connect(&server, "/the-chat").await?;
//! for _ in ["joe", "ann"] {
//!     assert_eq!(joe.receive().await?, "somebody joined");
//! }
//! joe.send(serde_json::json!({ "author": "joe", "message": "hi" }))?;
//! assert_eq!(ann.receive().await?, "somebody joined");
//! assert_eq!(ann.receive().await?.json::<serde_json::Value>()?["message"], "hi");
//!
//! // From any thread, without a client:
//! assert_eq!(server.broadcaster().to("/the-chat").send("big brother speaking"), 2);
//! # Ok(())
//! # }
//! ```
//!
//! To serve it under axum, beside routes of your own:
//!
//! ```no_run
//! # async fn serve(server: nosphere::Server) -> std::io::Result<()> {
//! let app = axum::Router::new().fallback_service(server);
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! axum::serve(listener, app).await
//! # }
//! ```
//!
//! and, in the console of a browser on a page of that server:
//!
//! ```js
//! const socket = new WebSocket('ws://127.0.0.1:8080/the-chat');
//! socket.onmessage = ({ data }) => console.log(data);
//! socket.onopen = () => socket.send('{"author":"joe","message":"hi"}');
//! ```
//!
//! # Where to go on
//!
//! The [guide] begins with [the chat](guide::chat), line by line. After that, its pages can be read in any order:
//!
//! * [handlers](guide::handlers): every event, state, errors and panics, the request's head, who gets in;
//! * [messages](guide::messages): typed ones, what sending promises, long answers, messages that may be lost, wire formats;
//! * [audiences](guide::audiences): who gets a broadcast; tags, presence, broadcasting from anywhere;
//! * [requests](guide::requests): messages that are answered, in both directions;
//! * [mounting](guide::mounting), [limits](guide::limits) and [testing](guide::testing);
//! * [guarantees](guide::guarantees): what is promised, to whom, and what is not.
//!
//! # What runs where
//!
//! Sessions are tasks of the tokio runtime in which their first request is answered, or share one with others on its thread
//! ([`Scheduling`]). There is no thread of the crate's own, no task for each timer, and nothing else that two servers in one process
//! share. Logs go to `tracing`.
//!
//! For a server that is not on `http` and tokio, the crates `nosphere-core` and `nosphere-wire` have the protocol without any I/O.

mod accept;
mod admission;
mod audience;
mod body;
mod broadcaster;
mod browser;
mod client;
mod clock;
mod config;
mod contain;
mod date;
mod deadlines;
mod dirty;
mod endpoint;
// The manifest has the same list: where tokio and mio both have queues that can be watched.
#[cfg_attr(
    not(any(
        target_os = "android",
        target_os = "dragonfly",
        target_os = "freebsd",
        target_os = "illumos",
        target_os = "linux",
        target_os = "netbsd",
        target_os = "openbsd",
        target_vendor = "apple"
    )),
    path = "event_loop_none.rs"
)]
mod event_loop;
mod front;
pub mod guide;
mod handler;
mod head;
mod member;
mod ordinary;
mod own;
mod patient;
mod presence;
mod random;
mod request;
mod requests;
mod room;
mod roster;
mod scheduling;
mod selection;
mod server;
mod session;
mod shared;
mod socket;
mod strays;
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
pub use scheduling::Scheduling;
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
pub use nosphere_long_polling::Broken;
pub use nosphere_wire::negotiation::{Formats, InvalidOrigin, OriginPolicy, Refusal, RegisterError};
pub use nosphere_wire::{JSON, MESSAGEPACK, PLAIN};

/// Bytes that are shared, of the version that this crate has in its signatures.
pub use bytes::Bytes;
/// The types of requests and answers, of the version that this crate has in its signatures.
pub use http;

/// The README's example, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
