//! The sans-IO connection and session of nosphere: delivery exactly once, in order, both ways, over any sequence of
//! WebSocket connections, event streams and polls.
//!
//! A [`Connection`] models one client for its whole life, in the role of the server or of the client. It does no I/O, reads
//! no clock and draws no random numbers: bytes, [`Time`] and ids are arguments, so the same inputs have the same outputs. It
//! is plain data, too: `Clone + Eq + Hash`.
//!
//! Application developers want the crate `nosphere`, which serves sessions over HTTP. This one is for whoever binds them to
//! a server of their own, together with `nosphere-wire`, which turns frames into bytes and reads request heads.
//!
//! # The kinds of methods
//!
//! | kind | is for | fails |
//! |---|---|---|
//! | `handle_*` | something happened outside: a link came or went, a unit arrived, time passed | never; a request that has to be refused has a [`Fault`] as its answer |
//! | [`send`](Connection::send), [`close`](Connection::close) | the application wants something | only for the caller's own fault, and the message comes back |
//! | [`poll_event`](Connection::poll_event) | what the application is to be told | – |
//! | [`poll_transmit`](Connection::poll_transmit), [`poll_post`](Connection::poll_post) | what is to be done on a link | – |
//! | [`poll_timeout`](Connection::poll_timeout) | when to call [`handle_timeout`](Connection::handle_timeout) | – |
//! | getters | everything else | – |
//!
//! The polls may be called in any order and at any time. None waits for another to be drained: a full socket hides neither
//! events nor deadlines.
//!
//! What a peer does wrong never panics and never is an `Err`: its link ends, the application is told by [`Event::Error`],
//! and the session waits to be resumed.
//!
//! # The loop
//!
//! This is all that a WebSocket needs. `Socket` stands for what your server has; an event stream and a poll differ only in
//! what they write ([`Action`]) and in that their client sends by POST ([`Connection::handle_batch`]).
//!
//! ```
//! use nosphere_core::{Action, Connection, Event, LinkId, Reason, Time, Unit, WireFormat};
//! # use std::{collections::VecDeque, sync::Arc};
//! # use nosphere_core::{Config, Encoded, Opening, Protocol, ResumeToken, SessionId, State, Transport, Window};
//!
//! enum Woken { Alive, Deadline, Gone, Unit(Unit), Writable }
//!
//! fn carry(
//!     connection: &mut Connection,
//!     link: LinkId,
//!     format: &dyn WireFormat,
//!     socket: &mut Socket,
//!     application: &mut impl FnMut(&mut Connection, Event, Time),
//! ) {
//!     loop {
//!         let now = socket.now();
//!         while let Some(event) = connection.poll_event() {
//!             application(connection, event, now);
//!         }
//!         while socket.can_write() && let Some(action) = connection.poll_transmit(link, format, now) {
//!             match action {
//!                 Action::Send { unit, .. } => socket.write(&unit),
//!                 Action::Ping => socket.ping(),
//!                 Action::Close { reason } => return socket.close(reason.code()),
//!                 _ => {} // for other carriers
//!             }
//!         }
//!         let woken = socket.wait(connection.poll_timeout(), connection.wants_read());
//!         let now = socket.now();
//!         match woken {
//!             Woken::Alive => connection.handle_alive(link, now),
//!             Woken::Deadline => connection.handle_timeout(now),
//!             Woken::Gone => return connection.handle_detach(link, Reason::Lost, now),
//!             Woken::Unit(unit) => connection.handle_unit(link, unit, format, now),
//!             Woken::Writable => {}
//!         }
//!     }
//! }
//! # // A socket whose peer says what it has to say, and then goes away.
//! # struct Socket { script: VecDeque<Woken>, written: Vec<String> }
//! # impl Socket {
//! #     fn now(&self) -> Time { Time::ZERO }
//! #     fn can_write(&self) -> bool { true }
//! #     fn ping(&mut self) {}
//! #     fn close(&mut self, code: u16) { self.written.push(code.to_string()) }
//! #     fn write(&mut self, unit: &Encoded) {
//! #         self.written.push(String::from_utf8_lossy(unit.payload()).into_owned());
//! #     }
//! #     fn wait(&mut self, _until: Option<Time>, _read: bool) -> Woken {
//! #         self.script.pop_front().unwrap_or(Woken::Gone)
//! #     }
//! # }
//! # let opening = Opening {
//! #     session: SessionId::from_random([1; 16]),
//! #     token: ResumeToken::from_random([2; 16]),
//! #     attachment: 1,
//! #     window: Window::default(),
//! #     link: LinkId(1),
//! #     transport: Transport::WebSocket,
//! # };
//! # let mut connection = Connection::server(&Arc::default(), Protocol::Native, opening, Time::ZERO);
//! # let said = |unit: &str| Woken::Unit(Unit::Text(unit.into()));
//! # let script = [said(r#"{"ack":0}"#), said(r#"{"text":"hello"}"#), Woken::Alive, Woken::Writable, Woken::Deadline];
//! # let mut socket = Socket { script: script.into(), written: vec![] };
//! # let mut echo = |connection: &mut Connection, event, now| {
//! #     if let Event::Text(text) = event {
//! #         connection.send(text, now).unwrap();
//! #     }
//! # };
//! # carry(&mut connection, LinkId(1), &nosphere_wire::JSON, &mut socket, &mut echo);
//! # assert_eq!(socket.written[1], r#"{"text":"hello"}"#);
//! # assert_eq!(connection.state(), State::Suspended);
//! ```
//!
//! When the socket is gone, the session is suspended. Go on taking its events and meeting its deadlines; when its client
//! comes back, [`handle_attach`](Connection::handle_attach) gives it the new link, and the loop begins again. It is over
//! when [`is_finished`](Connection::is_finished) says so.
//!
//! Before a socket has said which session it is for, [`Greeting`] reads what it says. A request over HTTP says so in its
//! head, which `nosphere-wire` reads; [`verifies`](Connection::verifies) compares its token.
//!
//! # The life of a session
//!
//! ```text
//! Connected ( Text | Json | Binary | Request | Reply | Heartbeat | Error | Suspended Resumed | Writable )* Disconnected
//! ```
//!
//! is what the application sees, in this order, whatever happens; the table behind it is [`lifecycle::LIFECYCLE`].
//! `Disconnected` comes exactly once, however the session ended, a [`close`](Connection::close) of one's own included. Then
//! [`take_undelivered`](Connection::take_undelivered) hands back what is not known to have arrived: messages are delivered
//! once, refused, or handed back, and nothing is lost in silence.
//!
//! A server that keeps [`Tag`]s adds [`Event::Joined`] and [`Event::Left`] wherever a message may come: they tell of other
//! sessions, of which a connection knows nothing. Who gets a broadcast is an [`Audience`].
//!
//! # Bounds
//!
//! Everything that a peer can fill is bounded, with its name in [`Config`]: messages that wait for the application by
//! [`Config::window`], messages that wait for the peer by [`Config::max_queued_messages`] and
//! [`Config::max_queued_bytes`]. Other events that nobody takes do not pile up: a heartbeat and a `Writable` wait once, a
//! resumption that nobody saw gives way to the next suspension, and beyond 64 such events the faults of the peer go untold.

mod arena;
mod audience;
mod config;
mod connection;
mod error;
mod event;
mod frame;
mod greeting;
mod id;
pub mod json;
pub mod lifecycle;
mod message;
mod parts;
mod payload;
mod rules;
mod run;
mod seldom;
mod session;
mod tag;
mod time;
mod timers;
mod unit;

pub use arena::Arena;
pub use audience::{Audience, AudienceTooLarge, Listener};
pub use config::{Config, Overflow};
pub use connection::{
    Action, Attach, AttachRequest, Batch, BatchAnswer, Connection, Fault, Opening, Post, PostAnswer, Undelivered,
};
pub use error::{Cause, DecodeError, EncodeError, PayloadError, SendError, Sent};
pub use event::{Event, Parsed, Reason, Reply, Request, SessionError, Side, Transport, Undeliverable};
pub use frame::{Close, Frame, Offer, Open, Opened, Window, WireFormat};
pub use greeting::{Greeted, Greeting};
pub use id::{InvalidId, LinkId, MAX_COUNT, RequestId, ResumeToken, SessionId};
pub use json::{Json, JsonEncoding, JsonError, MAX_DEPTH};
pub use lifecycle::State;
pub use message::{Message, MessageRef};
pub use parts::{Envelope, FrameHead, FrameParts};
pub use payload::{Kind, Payload};
pub use rules::{Delivery, Greets, Heartbeat, Protocol, Rules};
pub use run::Run;
pub use tag::{InvalidTag, Tag};
pub use time::Time;
pub use unit::{Encoded, Lent, Text, Unit, frame_header};
