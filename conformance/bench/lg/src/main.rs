//! The load generator. One thread; epoll; it counts and checks, and parses next to nothing. Its result is one line of JSON.
//!
//! | command | measures |
//! |---|---|
//! | `traffic` | echo and broadcasts over WebSockets |
//! | `handshake` | from the connection to the first byte of a session |
//! | `idle` | memory of sessions that have exchanged a message; with `--hold`, heartbeats are answered until standard input ends |
//! | `sse`, `poll` | broadcasts to event streams and to polls |
//! | `h2` | WebSockets over HTTP/2 |
//! | `return` | sessions that come back all at once |
//! | `probe` | whether the processor counts instructions here |
//!
//! conformance/bench/README.md has the options of each.

mod back;
mod client;
mod form;
mod h2;
mod handshake;
mod http;
mod idle;
mod latency;
mod meter;
mod net;
mod options;
mod push;
mod talk;
mod traffic;

use std::process::ExitCode;

use options::{Error, Options};
use serde_json::{Value, json};

fn main() -> ExitCode {
    match run() {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("lg: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<Value, Error> {
    let options = Options::read()?;
    match options.command.as_str() {
        "traffic" => traffic::run(&options),
        "handshake" => handshake::run(&options),
        "idle" => idle::run(&options),
        "return" => back::run(&options),
        "sse" | "poll" => push::run(&options),
        "h2" => h2::run(&options),
        "probe" => Ok(json!({ "hardware": meter::probe() })),
        command => Err(format!("no command {command}").into()),
    }
}
