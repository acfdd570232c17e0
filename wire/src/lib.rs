//! Wire formats and request negotiation of nosphere (SPEC.md §3, §4, §15, §17).
//!
//! Everything here is a pure function of its arguments: no runtime, no clock, no socket, no random source.
//!
//! * [`JSON`], [`MESSAGEPACK`] and [`PLAIN`] turn one frame into one unit and back.
//! * [`atmosphere`] does so for clients of atmosphere.js.
//! * [`batch`] puts several units into one HTTP body and takes them out again.
//! * [`negotiation`] reads what a request asks of an endpoint, and writes refusals.
//!
//! ```
//! use nosphere_core::{Frame, Message, Unit, WireFormat as _};
//! use nosphere_wire::JSON;
//!
//! let unit = JSON.encode(Frame::Message(Message::text("hello").into_payload()))?;
//! assert_eq!(unit, Unit::Text(r#"{"text":"hello"}"#.into()));
//! assert!(matches!(JSON.decode(Unit::Text(r#"{"ack":17}"#.into())), Ok(Frame::Ack { received: 17 })));
//! # Ok::<(), nosphere_core::EncodeError>(())
//! ```

pub mod atmosphere;
pub mod batch;
mod json;
mod messagepack;
pub mod negotiation;
mod plain;
mod rules;
mod transcode;

pub use json::{JSON, JsonFormat};
pub use messagepack::{MESSAGEPACK, MessagePackFormat};
pub use plain::{EventId, InvalidEventId, PLAIN, PlainFormat};
