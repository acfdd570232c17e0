//! Two sessions in virtual time over faulty links, and single ones against a peer that says anything.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test that meets what it does not expect fails"
)]

mod bad_input;
mod close;
mod fuzz;
mod heartbeat;
mod http;
mod limits;
mod open;
mod plain;
mod property;
mod resume;
mod support;
mod window;
