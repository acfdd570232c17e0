//! Server-sent events for nosphere: the stream from the server to the client of SPEC §6, and of §15 for a stock
//! `EventSource`. What a client sends comes by POST, which is the business of `nosphere-long-polling`.
//!
//! * [`response`] makes the head of the answer to a request for a stream.
//! * [`EventStream`] is its body: it pulls from a connection whenever the client can take more, so that what waits for a
//!   slow client stays in the connection's queue, where it can still be dropped or replaced, and nothing is queued twice.
//! * [`EventWriter`] turns what a connection wants to transmit into events, for those who have a body of their own.
//!
//! # What is written
//!
//! | action | native | plain |
//! |---|---|---|
//! | a text unit | `data: <unit>` | a `data:` line for each of its lines |
//! | a binary unit | `data: <base64>` | the same, as `event: binary` |
//! | a message's number | `id: <number>` | `id: <session>.<token>.<number>` |
//! | `Ping` | – (pings are frames) | a comment |
//! | `Lost` | – | `event: reset`, the number of lost messages |
//! | `Close`, `Finish` | the end of the stream | the same |
//!
//! A unit must not hold a carriage return, which ends a line too: wire formats keep it out, and the core refuses a plain
//! text that has one.
//!
//! # Serving a stream
//!
//! The body asks a function for the link's next action. That function polls the connection, and keeps the waker when there
//! is nothing yet, to wake it after every change of the connection. When the body is dropped the client is gone: report
//! [`handle_detach`](nosphere_core::Connection::handle_detach).
//!
//! ```
//! use std::sync::{Arc, Mutex};
//! use std::task::{Context, Poll, Waker};
//!
//! use http_body::Body as _;
//! use nosphere_core::{
//!     Config, Connection, LinkId, Opening, Protocol, ResumeToken, SessionId, Time, Transport, Window,
//! };
//! use nosphere_sse::{EventStream, EventWriter};
//! use nosphere_wire::JSON;
//!
//! let opening = Opening {
//!     session: SessionId::from_random([1; 16]), // from a secure random source
//!     token: ResumeToken::from_random([2; 16]),
//!     attachment: 1,
//!     window: Window::default(),
//!     link: LinkId(0),
//!     transport: Transport::ServerSentEvents,
//! };
//! let connection = Connection::server(&Arc::new(Config::default()), Protocol::Native, opening, Time(0));
//! let connection = Arc::new(Mutex::new((connection, None::<Waker>)));
//!
//! let shared = Arc::clone(&connection);
//! let next = move |cx: &mut Context<'_>| {
//!     let mut guard = shared.lock().unwrap();
//!     let (connection, waker) = &mut *guard;
//!     match connection.poll_transmit(LinkId(0), &JSON, Time(0)) {
//!         Some(action) => Poll::Ready(action),
//!         None => {
//!             *waker = Some(cx.waker().clone());
//!             Poll::Pending
//!         }
//!     }
//! };
//! let mut response = nosphere_sse::response(Box::pin(EventStream::new(EventWriter::native(), 0, next)));
//! assert_eq!(response.headers()["content-type"], "text/event-stream;charset=utf-8");
//!
//! // The HTTP server polls the body.
//! let mut poll = || match response.body_mut().as_mut().poll_frame(&mut Context::from_waker(Waker::noop())) {
//!     Poll::Ready(Some(Ok(frame))) => String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap(),
//!     _ => String::new(),
//! };
//! assert!(poll().starts_with("data: {\"opened\":"));
//! assert_eq!(poll(), "");
//!
//! // Somebody sends, and wakes the body.
//! let mut guard = connection.lock().unwrap();
//! guard.0.send("hello", Time(1)).unwrap();
//! guard.1.take().unwrap().wake();
//! drop(guard);
//! assert_eq!(poll(), "id: 1\ndata: {\"text\":\"hello\"}\n\n");
//! ```

mod stream;
mod writer;

pub use stream::EventStream;
pub use writer::EventWriter;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Response};

/// The answer to a request for an event stream, with `body` as the stream.
pub fn response<B>(body: B) -> Response<B> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream;charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    // Asks nginx and those who copy it not to hold back the stream.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response
}
