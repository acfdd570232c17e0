//! What is fuzzed, as ordinary functions: each takes any bytes and panics when something does not hold.
//!
//! `cargo test` runs them over the committed corpus; `cargo +nightly fuzz run --features libfuzzer TARGET` goes on from
//! there.

mod session;

use bytes::Bytes;
use nosphere_core::{Frame, Text, Unit, WireFormat};
use nosphere_websocket::{Decoder, Item, Role};
use nosphere_wire::batch::{decode_batch, encode_batch};
use nosphere_wire::negotiation::{Formats, read_request};
use nosphere_wire::{JSON, MESSAGEPACK, PLAIN};

pub use session::session;

/// The JSON format: total, and what it reads it writes so that it reads the same.
pub fn json(data: &[u8]) {
    if let Ok(text) = Text::from_utf8(Bytes::copy_from_slice(data)) {
        round_trip(&JSON, Unit::Text(text));
    }
}

/// The MessagePack format: the same.
pub fn messagepack(data: &[u8]) {
    round_trip(&MESSAGEPACK, Unit::Binary(Bytes::copy_from_slice(data)));
}

/// Plain messages: every unit is one.
pub fn plain(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    for unit in [Text::from_utf8(bytes.clone()).map(Unit::Text).ok(), Some(Unit::Binary(bytes))].into_iter().flatten() {
        // Written again it may be shorter, since JSON goes out compact, but the same kind of message.
        let kind = |unit| match PLAIN.decode(unit) {
            Ok(Frame::Message(payload)) => payload.kind(),
            other => panic!("{other:?} is no message"),
        };
        let Ok(frame) = PLAIN.decode(unit.clone()) else { panic!("{unit:?} was refused") };
        let Ok(again) = PLAIN.encode(frame) else { panic!("{unit:?} was read and cannot be written") };
        assert_eq!(kind(again), kind(unit));
    }
}

/// Batches of both kinds: total, bounded, and what is taken out can be put back.
pub fn batch(data: &[u8]) {
    const LIMIT: usize = 64;
    let body = Bytes::copy_from_slice(data);
    let formats: [&dyn WireFormat; 2] = [&JSON, &MESSAGEPACK];
    for format in formats {
        if let Ok(units) = decode_batch(format, &body, format.is_text(), LIMIT) {
            assert!(units.len() <= LIMIT);
            // An empty unit is no frame in any format, and at the end of lines it looks like the end.
            if units.last().is_some_and(Unit::is_empty) {
                continue;
            }
            let again = encode_batch(format, units.iter().map(Unit::as_bytes));
            assert_eq!(decode_batch(format, &again, format.is_text(), LIMIT).as_ref(), Ok(&units));
        }
    }
}

/// The request head of an attach, as an HTTP server gives it.
pub fn request(data: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut headers);
    if !head.parse(data).is_ok_and(|status| status.is_complete()) {
        return;
    }
    let mut request =
        http::Request::builder().method(head.method.unwrap_or_default()).uri(head.path.unwrap_or_default());
    for header in head.headers {
        request = request.header(header.name, header.value);
    }
    let Ok((parts, ())) = request.body(()).map(http::Request::into_parts) else { return };
    for upgrade in [false, true] {
        if let Err(refusal) = read_request(&parts, upgrade, &Formats::default()) {
            assert!(refusal.status().is_client_error(), "{refusal}");
            assert!(!refusal.into_response().headers().is_empty());
        }
    }
}

/// The WebSocket decoder: total, bounded, and the same however the stream is cut. The first byte says where.
pub fn websocket(data: &[u8]) {
    const LIMIT: usize = 4096;
    let Some((&cut, stream)) = data.split_first() else { return };
    let read = |size: usize| {
        let mut decoder = Decoder::new(Role::Server, LIMIT);
        let (mut items, mut error) = (Vec::new(), None);
        for piece in stream.chunks(size) {
            if let Err(fault) = decoder.decode(&mut piece.to_vec(), &mut items) {
                error = Some(fault);
                break;
            }
            assert!(decoder.buffered() <= LIMIT + 16);
        }
        (items, error)
    };
    let whole = read(stream.len().max(1));
    assert_eq!(read(usize::from(cut).max(1)), whole);
    for item in &whole.0 {
        if let Item::Text(text) = item {
            assert!(text.len() <= LIMIT);
        }
    }
}

/// Whatever decodes can be written, and decodes to the same again.
fn round_trip(format: &dyn WireFormat, unit: Unit) {
    let Ok(frame) = format.decode(unit) else { return };
    let Ok(unit) = format.encode(frame.clone()) else { panic!("{frame:?} was read and cannot be written") };
    let again = format.decode(unit.clone());
    assert_eq!(again.as_ref(), Ok(&frame), "{unit:?}");
}
