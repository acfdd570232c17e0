//! Long-polling and POST for nosphere: SPEC §7 and §8, and §15 for plain polls. Clients of event streams send by the same
//! POST.
//!
//! * [`answer`] waits until a connection has something for a poll, and makes the response.
//! * [`read_body`] reads a POST's body whole, up to a limit, for
//!   [`Connection::handle_batch`](nosphere_core::Connection::handle_batch).
//!
//! Both may be dropped at any time: what a poll was given and its client never saw comes again with the next poll, which
//! says what the client has, and a body that was not read whole was not applied.
//!
//! # What a poll is answered with
//!
//! | connection says | native | plain |
//! |---|---|---|
//! | `Send` …, `Finish` | 200, a batch of the units | 200, the message as it is, its number in `Nosphere-Count` |
//! | `Finish` | 200, an empty batch | 204 |
//! | `Lost` | – | `Nosphere-Lost`: the number of lost messages, with the above |
//! | `Close` | [`Answer::Ended`]: the adapter refuses the request with the reason | the same |
//!
//! `Nosphere-Received` is left to the adapter, which asks the connection for it when the answer is made.
//!
//! For clients of atmosphere.js (SPEC §17) [`PollBody`] and [`UnitStream`] are bodies that begin before there is anything to say.
//!
//! # Serving a poll
//!
//! ```
//! use std::sync::Arc;
//! use std::task::{Context, Poll};
//!
//! use nosphere_core::{
//!     Attach, Config, Connection, LinkId, Opening, Protocol, ResumeToken, SessionId, Time, Transport, Window,
//! };
//! use nosphere_long_polling::{Answer, answer};
//! use nosphere_wire::JSON;
//! use nosphere_wire::negotiation::Dialect;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let transport = Transport::LongPolling;
//! let opening = Opening {
//!     session: SessionId::from_random([1; 16]), // from a secure random source
//!     token: ResumeToken::from_random([2; 16]),
//!     attachment: 1,
//!     window: Window::default(),
//!     link: LinkId(0),
//!     transport,
//! };
//! let mut connection = Connection::server(&Arc::new(Config::default()), Protocol::Native, opening, Time(0));
//!
//! // The first poll opens the session and is answered at once.
//! let next = |_cx: &mut Context<'_>| {
//!     // Where there is nothing yet, keep the waker of `cx` and wake it after every change of the connection.
//!     connection.poll_transmit(LinkId(0), &JSON, Time(0)).map_or(Poll::Pending, Poll::Ready)
//! };
//! let Answer::Finished(response) = answer(Dialect::Native(&JSON), next).await else { panic!() };
//! assert!(response.body().starts_with(b"{\"opened\":"));
//!
//! // So is the next one, as two messages wait.
//! connection.send("one", Time(1)).unwrap();
//! connection.send("two", Time(1)).unwrap();
//! let attach = Attach { link: LinkId(1), transport, attachment: Some(1), received: Some(0) };
//! connection.handle_attach(attach, Time(2)).unwrap();
//! let next = |_cx: &mut Context<'_>| {
//!     connection.poll_transmit(LinkId(1), &JSON, Time(2)).map_or(Poll::Pending, Poll::Ready)
//! };
//! let Answer::Finished(response) = answer(Dialect::Native(&JSON), next).await else { panic!() };
//! assert_eq!(response.headers()["content-type"], "application/vnd.nosphere.v1.json");
//! assert_eq!(response.body(), "{\"text\":\"one\"}\n{\"text\":\"two\"}");
//! # Ok(())
//! # }
//! ```

mod body;
mod poll;
mod streaming;

pub use body::{BodyError, discard_body, read_body};
pub use poll::{Answer, answer};
pub use streaming::{Broken, Padding, PollBody, UnitStream};
