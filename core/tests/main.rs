//! Two sessions in virtual time over faulty links, and single ones against a peer that says anything.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod arena;
mod atmosphere;
mod bad_input;
mod close;
mod closing;
mod exchange;
mod fuzz;
mod heartbeat;
mod http;
mod json;
mod lifecycle;
mod limits;
mod lossy;
mod messages;
mod names;
mod open;
mod plain;
mod posts;
mod property;
mod resume;
mod shortcuts;
mod support;
mod vectors;
mod window;
