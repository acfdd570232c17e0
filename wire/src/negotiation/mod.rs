//! What a request asks of an endpoint (SPEC §4, §6 to §8, §15), and how to refuse it (SPEC §13).
//!
//! [`take_bearer`] makes the heads of all transports alike; [`read_request`] decides from the head of a request alone;
//! [`OriginPolicy`] says which pages may ask.
//!
//! ```
//! use http::Request;
//! use nosphere_wire::negotiation::{Formats, HttpTransport, Intent, Dialect, read_request};
//!
//! let (parts, ()) = Request::get("/the-chat").header("accept", "text/event-stream").body(())?.into_parts();
//! let intent = read_request(&parts, false, &Formats::default());
//! assert!(matches!(
//!     intent,
//!     Ok(Intent::Attach { protocol: Dialect::Plain, transport: HttpTransport::ServerSentEvents, .. })
//! ));
//! # Ok::<(), http::Error>(())
//! ```

pub mod atmosphere;
mod bearer;
mod fields;
mod formats;
pub mod headers;
mod origin;
mod refusal;
mod request;
#[cfg(test)]
mod tests;

pub use bearer::take_bearer;
pub use formats::{Dialect, Formats, RegisterError, media_type, subprotocol};
pub use origin::{AllowedOrigin, InvalidOrigin, OriginPolicy};
pub use refusal::Refusal;
pub use request::{HttpTransport, Intent, Post, SessionRequest, read_request};
