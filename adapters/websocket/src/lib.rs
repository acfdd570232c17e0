//! WebSocket (RFC 6455) for nosphere: frames in, frames out, and no buffer while a connection is idle.
//!
//! The parts work alone and hold no protocol of nosphere:
//!
//! * [`handshake`]: is this request an upgrade, is it valid, what is the answer. Functions of the request head.
//! * [`Decoder`]: the bytes of a stream become [`Item`]s. Sans-IO; every rule about what a peer may send is kept here, and
//!   a broken one is a [`ProtocolError`] that knows its close code.
//! * [`Reader`]: a decoder, and one read into a buffer that belongs to the thread.
//! * [`Writer`]: [`Outgoing`] messages, control frames and closes become vectored writes. A message that is shared by many
//!   recipients ([`Encoded::shared`](nosphere_core::Encoded::shared)) is written as it is.
//! * [`Closing`]: the closing handshake, a state machine; a writer has one.
//!
//! Extensions are never negotiated, and messages are never sent in fragments.
//!
//! # Examples
//!
//! An echo over any stream whose request was upgraded; `examples/autobahn.rs` is a whole server.
//!
//! ```
//! use std::collections::VecDeque;
//! use std::{future, io, pin::Pin};
//!
//! use nosphere_core::{Encoded, Unit};
//! use nosphere_websocket::{Decoder, Item, ReadOutcome, Reader, Role, Writer};
//! use tokio::io::{AsyncRead, AsyncWrite};
//!
//! async fn echo(mut io: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
//!     let mut reader = Reader::new(Decoder::new(Role::Server, 1 << 20), &[]);
//!     let mut writer = Writer::server();
//!     let (mut items, mut queue) = (Vec::new(), VecDeque::new());
//!     loop {
//!         let outcome = reader.read_items(&mut io, &mut items).await?;
//!         for item in items.drain(..) {
//!             match item {
//!                 Item::Binary(bytes) => queue.push_back(Encoded::new(Unit::Binary(bytes)).into()),
//!                 Item::Text(text) => queue.push_back(Encoded::new(Unit::Text(text)).into()),
//!                 Item::Ping(payload) => writer.pong(payload),
//!                 Item::Pong(_) => {}
//!                 Item::Close(close) => writer.handle_close(&close),
//!             }
//!         }
//!         if let ReadOutcome::Error(error) = outcome {
//!             writer.handle_error(error);
//!         }
//!         future::poll_fn(|cx| writer.poll_flush(Pin::new(&mut io), cx, || queue.pop_front())).await?;
//!         if outcome == ReadOutcome::End || writer.is_finished() {
//!             return Ok(());
//!         }
//!     }
//! }
//! # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! # runtime.block_on(async {
//! #     use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! #     let (near, mut far) = tokio::io::duplex(64);
//! #     let server = tokio::spawn(echo(near));
//! #     let mut answer = [0; 3];
//! #     far.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'a']).await?;
//! #     far.read_exact(&mut answer).await?;
//! #     assert_eq!(answer, [0x81, 1, b'a']);
//! #     far.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await?;
//! #     far.read_exact(&mut answer[..2]).await?;
//! #     assert_eq!(answer[..2], [0x88, 0]);
//! #     server.await?
//! # })?;
//! # Ok::<(), io::Error>(())
//! ```

pub mod handshake;

mod burst;
mod close;
mod decoder;
mod error;
mod header;
mod item;
mod mask;
mod message;
mod outgoing;
mod reader;
mod try_write;
mod writer;

pub use close::{Close, CloseState, Closing};
pub use decoder::Decoder;
pub use error::ProtocolError;
pub use item::Item;
pub use outgoing::Outgoing;
pub use reader::{Next, ReadOutcome, Reader, Unread, Whole};
pub use try_write::TryWrite;
pub use writer::{Flush, Writer};

/// Which side of a WebSocket this program is: clients mask their frames, servers do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a WebSocket has two ends")]
pub enum Role {
    /// This program opened the connection.
    Client,
    /// This program accepted the connection.
    Server,
}
