//! What the crate promises, through its public interface.

mod decoder;
mod handshake;
mod properties;
mod reader;
mod support;
mod writer;
