//! What reading and writing a message costs in each format: time and heap allocations. `cargo bench -p nosphere-wire`

use divan::counter::BytesCount;
use divan::{AllocProfiler, Bencher, black_box};
use nosphere_core::{Arena, Frame, Json, Lent, Payload, Unit, WireFormat};
use nosphere_wire::{JSON, MESSAGEPACK, PLAIN};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const FORMATS: [&str; 3] = ["json", "messagepack", "plain"];
const KINDS: [&str; 4] = ["text 100 B", "json 156 B", "text 16 KiB", "binary 16 KiB"];

fn main() {
    divan::main();
}

fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    FORMATS.into_iter().flat_map(|format| KINDS.into_iter().map(move |kind| (format, kind)))
}

fn format(name: &str) -> &'static dyn WireFormat {
    match name {
        "json" => &JSON,
        "messagepack" => &MESSAGEPACK,
        _ => &PLAIN,
    }
}

fn payload(kind: &str) -> Payload {
    match kind {
        "text 100 B" => Payload::Text("a sentence. ".repeat(9)[..100].into()),
        "json 156 B" => {
            let line = format!(r#"{{"author":"joe","message":"{}","id":17,"tags":["a","b"]}}"#, "hello ".repeat(18));
            Payload::Json(Json::from_text(&line.into()).expect("JSON"))
        }
        "text 16 KiB" => Payload::Text("a sentence. ".repeat(1366)[..16384].into()),
        _ => Payload::Binary(vec![7; 16384].into()),
    }
}

fn unit(format: &dyn WireFormat, payload: &Payload) -> Unit {
    format.encode_kept(payload).expect("every format has a form for a message")
}

/// From the buffer that it was read into.
#[divan::bench(args = cases())]
fn decode(bencher: Bencher<'_, '_>, (name, kind): (&str, &str)) {
    let format = format(name);
    let unit = unit(format, &payload(kind));
    let lent = match &unit {
        Unit::Text(text) => Lent::Text(text),
        Unit::Binary(bytes) => Lent::Binary(bytes),
    };
    let mut arena = Arena::default();
    bencher.counter(BytesCount::new(unit.len())).bench_local(|| format.decode_lent(black_box(lent), &mut arena));
}

/// From memory that others share.
#[divan::bench(args = cases())]
fn decode_shared(bencher: Bencher<'_, '_>, (name, kind): (&str, &str)) {
    let format = format(name);
    let unit = unit(format, &payload(kind));
    bencher.counter(BytesCount::new(unit.len())).bench(|| format.decode(black_box(unit.clone())));
}

/// Of a message that is kept until it is acknowledged.
#[divan::bench(args = cases())]
fn encode(bencher: Bencher<'_, '_>, (name, kind): (&str, &str)) {
    let (format, payload) = (format(name), payload(kind));
    bencher.counter(BytesCount::new(payload.len())).bench(|| format.encode_kept(black_box(&payload)));
}

/// The frame that comes most often beside messages.
#[divan::bench(args = ["json", "messagepack"])]
fn ack(bencher: Bencher<'_, '_>, name: &str) {
    let format = format(name);
    bencher.bench(|| format.encode(black_box(Frame::Ack { received: 1_000_000 })));
}
