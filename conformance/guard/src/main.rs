//! `nosphere-guard SCENARIO COUNT` does the work of a scenario so many times; `nosphere-guard` names the scenarios.
//!
//! `conformance/guard/run` counts the instructions of two runs of each under callgrind and divides the difference, so what
//! the start costs is not in it. Everything is the same in every run: no clock, no threads, no random numbers.

mod formats;
mod room;
mod session;
mod sockets;

use std::process::ExitCode;

/// Its name, how often it is done in the shorter of the two runs, and the work.
type Scenario = (&'static str, usize, fn(usize));

const SCENARIOS: [Scenario; 21] = [
    ("session: a message in", 2_000, session::message_in),
    ("session: a message out", 2_000, session::message_out),
    ("session: open", 500, session::open),
    ("session: attach", 500, session::attach),
    ("session: resume with 1,000 to replay", 5, session::replay),
    ("json: encode a text", 2_000, formats::encode_text::<{ formats::JSON }>),
    ("json: decode a text", 2_000, formats::decode_text::<{ formats::JSON }>),
    ("json: encode json", 2_000, formats::encode_json::<{ formats::JSON }>),
    ("json: decode json", 2_000, formats::decode_json::<{ formats::JSON }>),
    ("messagepack: encode a text", 2_000, formats::encode_text::<{ formats::MESSAGEPACK }>),
    ("messagepack: decode a text", 2_000, formats::decode_text::<{ formats::MESSAGEPACK }>),
    ("messagepack: encode json", 2_000, formats::encode_json::<{ formats::MESSAGEPACK }>),
    ("messagepack: decode json", 2_000, formats::decode_json::<{ formats::MESSAGEPACK }>),
    ("websocket: decode 100 B", 2_000, sockets::decode_small),
    ("websocket: decode 16 KiB", 200, sockets::decode_large),
    ("websocket: read and keep 100 B", 2_000, sockets::read_one),
    ("websocket: read and keep 16 of 100 B", 200, sockets::read_many),
    ("websocket: encode 100 B", 2_000, sockets::encode_one),
    ("websocket: encode 16 in one write", 200, sockets::encode_many),
    ("server: an echo over a socket", 200, room::echo),
    ("server: a broadcast to 100 sockets", 20, room::broadcast),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            for (name, count, _) in SCENARIOS {
                say(&format!("{count}\t{name}"));
            }
            ExitCode::SUCCESS
        }
        [name, count] => {
            let scenario = SCENARIOS.iter().find(|scenario| scenario.0 == name.as_str());
            let (Some((_, _, work)), Ok(count)) = (scenario, count.parse()) else { return ExitCode::FAILURE };
            work(count);
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

#[expect(clippy::print_stdout, reason = "a program, not a library")]
fn say(line: &str) {
    println!("{line}");
}

/// A text of so many characters.
fn text(length: usize) -> String {
    ('a'..='z').cycle().take(length).collect()
}
