//! The server over real sockets, judged by clients that share no code with it but the wire formats.

#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "what is not expected fails the test")]

mod abuse;
mod accept;
mod atmosphere;
mod audience;
mod bad_input;
mod broadcast;
mod browser;
mod bursts;
mod event_loops;
mod fairness;
mod guide;
mod handlers;
mod lifecycle;
mod memory;
mod presence;
mod requests;
mod room;
mod sinks;
mod support;
mod tags;
mod testing;
mod transports;
