//! Every example that people copy, started as a program and used by clients of every kind.

#![expect(clippy::wildcard_enum_match_arm, reason = "tests name what they expect")]

#[expect(dead_code, unused_imports, reason = "what the tests of the server need beyond this")]
#[path = "../support/mod.rs"]
mod support;

mod axum;
mod custom_format;
mod http2;
mod hyper;
mod program;
mod routes;
mod shared_handler;
mod single_binary;
mod tls;
