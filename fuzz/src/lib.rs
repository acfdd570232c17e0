//! What is fuzzed, as ordinary functions: each takes any bytes and panics when something does not hold.
//!
//! `cargo test` runs them over the committed corpus; `cargo +nightly fuzz run --features libfuzzer TARGET` goes on from
//! there.

mod application;
mod atmosphere;
mod client;
mod equivalence;
mod pair;
mod session;

use std::task::Poll;

use bytes::Bytes;
use nosphere_core::{Arena, Frame, Kind, Lent, Payload, Text, Unit, WireFormat};
use nosphere_websocket::handshake::Upgrade;
use nosphere_websocket::{Decoder, Item, Next, ProtocolError, Reader, Role, Unread, Whole};
use nosphere_wire::batch::{decode_batch, encode_batch};
use nosphere_wire::negotiation::atmosphere::without_protocol_parameters;
use nosphere_wire::negotiation::{Formats, OriginPolicy, read_request};
use nosphere_wire::{EventId, JSON, MESSAGEPACK, PLAIN};

pub use atmosphere::atmosphere;
pub use client::client;
pub use equivalence::equivalence;
pub use pair::pair;
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

/// Plain messages: every unit is one, and a body that is none says so; ids of plain events.
pub fn plain(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let text = Text::from_utf8(bytes.clone()).ok();
    for unit in [text.clone().map(Unit::Text), Some(Unit::Binary(bytes.clone()))].into_iter().flatten() {
        // Written again it may be shorter, since JSON goes out compact, but the same kind of message.
        let payload = plain_payload(&unit);
        assert_eq!(plain_payload(&plain_unit(&payload)).kind(), payload.kind());
    }
    for kind in [Kind::Binary, Kind::Json, Kind::Text] {
        let Ok(payload) = PLAIN.read_body(kind, bytes.clone()) else { continue };
        if kind == Kind::Text {
            let unit = text.clone().map(Unit::Text);
            assert_eq!(Some(&payload), unit.as_ref().map(plain_payload).as_ref(), "by the rule of PLN-1");
        } else {
            assert_eq!(payload.kind(), kind);
        }
        let again = plain_unit(&payload).as_bytes().to_vec();
        let again = PLAIN.read_body(payload.kind(), again.into()).map(|payload| payload.kind());
        assert_eq!(again, Ok(payload.kind()));
    }
    if let Some(id) = text.and_then(|text| text.parse::<EventId>().ok()) {
        assert_eq!(id.reveal().parse(), Ok(id));
    }
}

fn plain_payload(unit: &Unit) -> Payload {
    match PLAIN.decode(unit.clone()) {
        Ok(Frame::Message(payload)) => payload,
        other => panic!("{unit:?} is no message: {other:?}"),
    }
}

fn plain_unit(payload: &Payload) -> Unit {
    let unit = PLAIN.encode(Frame::Message(payload.clone()));
    unit.unwrap_or_else(|error| panic!("{payload:?} was read and cannot be written: {error}"))
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
            // 501 is what clients of atmosphere.js fall back on.
            let known = refusal.status().is_client_error() || refusal.status() == 501;
            assert!(known, "{refusal}");
            assert!(!refusal.into_response().headers().is_empty());
        }
    }
    let own = without_protocol_parameters(&parts.uri);
    assert_eq!((own.path(), without_protocol_parameters(&own)), (parts.uri.path(), own.clone()), "SPEC ATM-4");
    let policy = OriginPolicy::same_origin();
    let (checked, preflight) = (policy.check(&parts, None), policy.preflight(&parts, None));
    assert_eq!(checked.is_ok(), preflight.is_ok());
    match Upgrade::new(&parts) {
        Ok(upgrade) => {
            let protocols: Vec<_> = upgrade.protocols().collect();
            assert!(!upgrade.response(protocols.first().copied()).status().is_client_error());
        }
        Err(error) => assert!(error.response().status().is_client_error()),
    }
}

/// The WebSocket decoder, of either side: total, bounded, and the same however the stream is cut. The first byte says
/// where, and in its highest bit by which side.
pub fn websocket(data: &[u8]) {
    const LIMIT: usize = 4096;
    let Some((&choice, stream)) = data.split_first() else { return };
    let (role, cut) = if choice & 0x80 == 0 { (Role::Server, choice) } else { (Role::Client, choice & 0x7f) };
    let read = |size: usize| {
        let mut decoder = Decoder::new(role, LIMIT);
        let (mut items, mut error) = (Vec::new(), None);
        for piece in stream.chunks(size) {
            if let Err(fault) = decoder.decode(&mut piece.to_vec(), &mut items) {
                error = Some(fault);
                break;
            }
            assert!(decoder.buffered() <= LIMIT + 16);
        }
        assert_eq!(decoder.is_ended(), error.is_some() || items.iter().any(|item| matches!(item, Item::Close(_))));
        (items, error)
    };
    let whole = read(stream.len().max(1));
    assert_eq!(read(usize::from(cut).max(1)), whole);
    for leftover in [stream.len(), usize::from(cut).min(stream.len())] {
        assert_eq!(read_by_message(Decoder::new(role, LIMIT), stream, leftover), whole);
    }
    for item in &whole.0 {
        let (length, limit) = match item {
            Item::Text(text) => (text.len(), LIMIT),
            Item::Binary(bytes) => (bytes.len(), LIMIT),
            Item::Ping(bytes) | Item::Pong(bytes) => (bytes.len(), 125),
            Item::Close(_) => continue,
        };
        assert!(length <= limit);
    }
}

/// What a reader makes of a stream of which so much was read before, and each read brings as much as it can.
fn read_by_message(decoder: Decoder, stream: &[u8], leftover: usize) -> (Vec<Item>, Option<ProtocolError>) {
    let (before, mut rest) = stream.split_at(leftover);
    let mut reader = Reader::new(decoder, before);
    let (mut unread, mut items) = (Unread::default(), Vec::new());
    let kept = |lent: Lent<'_>, arena: &mut Arena| match lent {
        Lent::Text(text) => Item::Text(arena.text(text)),
        Lent::Binary(bytes) => Item::Binary(arena.bytes(bytes)),
    };
    loop {
        let filled = reader.fill_with(&mut unread, |buffer| {
            let (taken, behind) = rest.split_at(rest.len().min(buffer.len()));
            buffer[..taken.len()].copy_from_slice(taken);
            rest = behind;
            Poll::Ready(Ok(taken.len()))
        });
        if !matches!(filled, Poll::Ready(Ok(true))) {
            return (items, None);
        }
        loop {
            match reader.next(&mut unread) {
                Next::Nothing => break,
                Next::Error(error) => return (items, Some(error)),
                Next::Item(item) => items.push(item),
                Next::Message(Whole::Lent(lent), arena) => items.push(kept(lent, arena)),
                Next::Message(Whole::Own(unit), _) => items.push(unit.into()),
            }
            if let Some((lent, arena)) = unread.next_found() {
                items.push(kept(lent, arena));
            }
            if items.len() % 5 == 4 {
                // The rest is kept, and comes next.
                reader.keep(std::mem::take(&mut unread));
                break;
            }
        }
        unread.clear();
    }
}

/// Whatever decodes can be written, and decodes to the same again.
fn round_trip(format: &dyn WireFormat, unit: Unit) {
    let Ok(frame) = format.decode(unit) else { return };
    let Ok(unit) = format.encode(frame.clone()) else { panic!("{frame:?} was read and cannot be written") };
    let again = format.decode(unit.clone());
    assert_eq!(again.as_ref(), Ok(&frame), "{unit:?}");
}
