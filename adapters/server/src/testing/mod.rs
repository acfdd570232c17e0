//! Handlers tested without a network.
//!
//! A [`TestClient`] is a client of the real server, in memory: its requests go through the [`Server`](crate::Server) as a
//! tower service, and the answers' bodies are read where they are made. Admission, refusals, wire formats, windows,
//! acknowledgements, resumption, closing: nothing is imitated, only the sockets are missing. The client itself is the client
//! role of `nosphere-core`, which answers pings, acknowledges, and sends again what a lost link took with it.
//!
//! ```
//! use nosphere::testing::TestClient;
//! use nosphere::{Client, Error, Event, Everyone, Handler, Json, Reason, Server, Side};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Deserialize, PartialEq, Serialize)]
//! struct Line {
//!     author: String,
//!     message: String,
//! }
//!
//! struct Chat;
//!
//! impl Handler for Chat {
//!     async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
//!         match event {
//!             Event::Connected { .. } => { client.broadcast("somebody joined"); }
//!             Event::Disconnected { by: Side::Client, .. } => { client.broadcast("somebody left"); }
//!             Event::Text(_) => client.send("Only json is allowed")?,
//!             Event::Json(line) => { client.broadcast(line); }
//!             _ => {}
//!         }
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Error> {
//! // In a function with `#[tokio::test]`:
//! let server = Server::builder().endpoint("/the-chat", |_| Chat).build()?;
//! let mut joe = TestClient::connect(&server, "/the-chat").await?;
//! let mut ann = TestClient::connect(&server, "/the-chat").await?;
//! assert_eq!(joe.receive().await?, "somebody joined");
//!
//! let line = Line { author: "joe".into(), message: "hi".into() };
//! joe.send(Json::new(&line)?)?;
//! assert_eq!(ann.receive().await?.json::<Line>()?, line);
//! joe.expect_silence().await?; // the others, and not the sender
//!
//! // What is sent to a client whose link is lost arrives when it comes back.
//! ann.suspend();
//! joe.send(Json::new(&line)?)?;
//! joe.settled().await?;
//! ann.resume().await?;
//! assert_eq!(ann.receive().await?.json::<Line>()?, line);
//!
//! let end = ann.close().await?;
//! assert_eq!((end.by, end.reason), (Side::Client, Reason::Closed));
//! assert_eq!(joe.receive().await?, "somebody left");
//! # Ok(())
//! # }
//! ```
//!
//! # Admission
//!
//! What middleware would have put into a request is an [`extension`](TestClientBuilder::extension); a refusal is an error with
//! all that the answer said.
//!
//! ```
//! use nosphere::testing::{ConnectError, TestClient};
//! # use nosphere::{Client, Error, Event, Handler, Refusal, Server};
//! # struct Members;
//! # impl Handler for Members {
//! #     async fn receive(&mut self, _: &Client, _: Event) -> Result<(), Error> {
//! #         Ok(())
//! #     }
//! # }
//!
//! #[derive(Clone)]
//! struct User(&'static str);
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Error> {
//! let server = Server::builder()
//!     .endpoint("/members", |request| match request.extensions().get() {
//!         Some(User(_)) => Ok(Members),
//!         None => Err(Refusal::forbidden("members only")),
//!     })
//!     .build()?;
//!
//! match TestClient::connect(&server, "/members").await {
//!     Err(ConnectError::Refused(refused)) => {
//!         assert_eq!((refused.status().as_u16(), refused.text().as_str()), (403, "members only"));
//!     }
//!     other => panic!("a stranger got in: {other:?}"),
//! }
//! TestClient::builder("/members").extension(User("ann")).connect(&server).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Time, and what does not come
//!
//! Nothing here sleeps, and nothing has to be slept for. [`TestClient::settled`] waits until everything that was sent has
//! been handled, and [`TestClient::expect_silence`] says that nothing came of it. A wait that does not end fails after
//! [`PATIENCE`], with what it waited for and what came instead.
//!
//! All time is tokio's: with `#[tokio::test(start_paused = true)]` heartbeats, deadlines and failing waits take none. On
//! several threads a test sees the same as on one, as long as it waits for each thing that it did before it does the next.
//!
//! # What is not here
//!
//! A WebSocket needs a connection that can be upgraded, which a request in memory does not have. Clients use an
//! [event stream](crate::Transport::ServerSentEvents) or [polls](crate::Transport::LongPolling); a handler cannot tell the
//! difference but by [`Client::transport`](crate::Client::transport).

mod builder;
mod client;
mod driver;
mod error;
mod event_reader;
mod get;
mod post;
mod received;
mod registry;

pub use builder::TestClientBuilder;
pub use client::{Ended, TestClient};
pub use error::{ConnectError, Refused, WaitError};
pub use received::{OtherMessage, Received};

pub(crate) use registry::TestClients;

use std::time::Duration;

/// How long a wait may take, unless [`TestClientBuilder::patience`] says otherwise: 10 s.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How many events are taken before the test asks for them, unless [`TestClientBuilder::backlog`] says otherwise: 10,000.
pub const BACKLOG: usize = 10_000;

/// How many of the latest events [`TestClient::events`] remembers: 1,000.
pub const HISTORY: usize = 1000;
