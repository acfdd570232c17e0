//! What holds for every frame, every JSON value and every sequence of bytes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use nosphere_core::{
    Arena, Close, DecodeError, Frame, Json, JsonEncoding, Lent, MAX_COUNT, Offer, Open, Opened, Payload, Reply,
    Request, RequestId, ResumeToken, Text, Unit, Window, WireFormat,
};
use nosphere_wire::batch::{decode_batch, encode_batch};
use nosphere_wire::negotiation::{Formats, OriginPolicy, read_request};
use nosphere_wire::{EventId, JSON, MESSAGEPACK, PLAIN};
use proptest::prelude::*;
use serde_json::Value;

const NATIVE: [&dyn WireFormat; 2] = [&JSON, &MESSAGEPACK];

proptest! {
    #[test]
    fn every_frame_comes_back_as_it_was(frame in frame()) {
        for format in NATIVE {
            let unit = format.encode(frame.clone()).unwrap();
            prop_assert!(!unit.as_bytes().contains(&b'\n') || format.separator().is_none());
            let decoded = format.decode(unit.clone()).unwrap();
            prop_assert!(is_same(&decoded, &frame), "{decoded:?}, {frame:?}");
            prop_assert_eq!(format.encode(decoded).unwrap(), unit, "writing what was read changes nothing");
        }
    }

    #[test]
    fn a_payload_in_its_envelope_is_the_unit_that_the_format_writes(frame in frame(), value in value()) {
        let json = Json::new(&value).unwrap();
        let packed = Json::from_checked(rmp_serde::to_vec(&value).unwrap().into(), JsonEncoding::MessagePack);
        let spaced = Json::from_checked("[1, 2]".into(), JsonEncoding::Text);
        let invalid = Json::from_checked((&b"\"\xff\""[..]).into(), JsonEncoding::Text);
        let mut payloads = vec![Payload::Json(json), Payload::Json(packed), Payload::Json(spaced), Payload::Json(invalid)];
        // What was read is known to need no escapes, or is not.
        for (format, unit) in NATIVE.map(|format| (format, format.encode(frame.clone()).unwrap())) {
            let lent = format.decode_lent(lent(&unit), &mut Arena::default());
            payloads.extend([format.decode(unit), lent, Ok(frame.clone())].into_iter().filter_map(message));
        }
        for payload in payloads {
            for format in [&JSON as &dyn WireFormat, &MESSAGEPACK, &PLAIN] {
                if let Some(envelope) = format.envelope(&payload) {
                    prop_assert_eq!(format.encode_kept(&payload), Ok(envelope.unit(payload.as_bytes())));
                }
            }
        }
    }

    #[test]
    fn every_frame_is_the_same_through_the_other_format(frame in frame()) {
        let text = JSON.encode(frame.clone()).unwrap();
        let packed = MESSAGEPACK.encode(frame).unwrap();
        let crossed = MESSAGEPACK.encode(JSON.decode(text.clone()).unwrap()).unwrap();
        prop_assert_eq!(&crossed, &packed);
        prop_assert_eq!(JSON.encode(MESSAGEPACK.decode(packed).unwrap()).unwrap(), text);
    }

    /// The library that is fast has to agree with one that is plain: about valid text, any one other character in it, and any end.
    #[test]
    fn base64_is_read_as_by_another_library(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        flaw in prop::option::of((any::<prop::sample::Index>(), any::<char>())),
        cut in 0..4_usize,
    ) {
        let mut text: Vec<char> = STANDARD.encode(&bytes).chars().collect();
        if let Some((index, character)) = flaw.filter(|_| !text.is_empty()) {
            let index = index.index(text.len());
            text[index] = character;
        }
        text.truncate(text.len().saturating_sub(cut));
        let text: String = text.into_iter().collect();
        let unit = Unit::Text(format!(r#"{{"binary":{}}}"#, Value::from(text.as_str())).into());
        match (JSON.decode(unit.clone()), STANDARD.decode(&text)) {
            (Ok(Frame::Message(Payload::Binary(read))), Ok(bytes)) => {
                prop_assert_eq!(&read, &bytes);
                prop_assert_eq!(JSON.encode(Frame::Message(Payload::Binary(read))).unwrap(), unit);
            }
            (Err(DecodeError::Payload(_)), Err(_)) => {}
            (read, expected) => prop_assert!(false, "{text:?}: {read:?} beside {expected:?}"),
        }
    }

    #[test]
    fn what_one_format_does_not_read_as_json_the_other_does_not_write(
        tokens in prop::collection::vec(token(), 0..12),
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x80..0x84_u8, 0x90..0x94_u8, 0xa0..0xa4_u8], 0..24),
    ) {
        let unchecked = |bytes, encoding| Frame::Message(Payload::Json(Json::from_checked(bytes, encoding)));
        let text = tokens.concat();
        let read = JSON.decode(Unit::Text(format!("{{\"json\":{text}}}").into())).is_ok();
        let written = MESSAGEPACK.encode(unchecked(text.clone().into(), JsonEncoding::Text)).is_ok();
        // The one number that JSON has and MessagePack has not.
        prop_assert!(read == written || read && text.contains("1e999"), "{text}");
        let read = MESSAGEPACK.decode(Unit::Binary([&[0x92, 6], &bytes[..]].concat().into())).is_ok();
        let written = JSON.encode(unchecked(bytes.clone().into(), JsonEncoding::MessagePack)).is_ok();
        prop_assert_eq!(read, written, "{:02x?}", bytes);
    }

    #[test]
    fn json_is_the_same_value_in_both_formats(value in value()) {
        let text = value.to_string();
        let message = |json| Frame::Message(Payload::Json(json));
        let unit = MESSAGEPACK.encode(message(Json::from_text(&text.as_str().into()).unwrap())).unwrap();
        let Ok(Frame::Message(Payload::Json(packed))) = MESSAGEPACK.decode(unit) else { panic!() };
        prop_assert_eq!(packed.encoding(), JsonEncoding::MessagePack);
        prop_assert_eq!(&packed.parse::<Value>().unwrap(), &value);
        let expected = format!("{{\"json\":{text}}}");
        let unit = JSON.encode(message(packed.clone())).unwrap();
        prop_assert_eq!(unit.as_bytes(), expected.as_bytes(), "to MessagePack and back");
        prop_assert_eq!(PLAIN.encode(message(packed)), Ok(Unit::Text(text.into())));
    }

    #[test]
    fn messagepack_of_another_writer_is_read_the_same(value in value()) {
        let theirs = rmp_serde::to_vec(&value).unwrap();
        let unit = Unit::Binary([&[0x92, 6][..], &theirs].concat().into());
        let Ok(Frame::Message(Payload::Json(json))) = MESSAGEPACK.decode(unit) else { panic!() };
        prop_assert_eq!(json.bytes(), &theirs);
        let ours = MESSAGEPACK.encode(Frame::Message(Payload::Json(Json::new(&value).unwrap()))).unwrap();
        prop_assert_eq!(&ours.as_bytes()[2..], theirs);
    }

    #[test]
    fn json_units_of_another_writer_are_read_the_same(value in value(), pretty: bool) {
        let write = if pretty { serde_json::to_string_pretty } else { serde_json::to_string };
        let unit = write(&serde_json::json!({ "json": value })).unwrap();
        let Ok(Frame::Message(Payload::Json(json))) = JSON.decode(Unit::Text(unit.into())) else { panic!() };
        prop_assert_eq!(json.parse::<Value>().unwrap(), value);
        prop_assert!(!json.bytes().contains(&b'\n'));
    }

    #[test]
    fn any_bytes_are_a_frame_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        total(&bytes);
    }

    #[test]
    fn bytes_that_are_nearly_a_frame_are_a_frame_or_an_error(
        frame in frame(),
        cut in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        byte: u8,
        more in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        for format in NATIVE {
            let unit = format.encode(frame.clone()).unwrap();
            let whole = unit.as_bytes();
            total(&whole[..cut.index(whole.len())]);
            total(&[whole, &more].concat());
            let mut changed = whole.to_vec();
            changed[place.index(whole.len())] = byte;
            total(&changed);
        }
    }

    #[test]
    fn tokens_in_any_order_are_a_frame_or_an_error(tokens in prop::collection::vec(token(), 0..24)) {
        total(tokens.concat().as_bytes());
    }

    #[test]
    fn a_readable_envelope_never_hides_what_it_holds(
        payload in prop::collection::vec(token(), 0..16),
        id in 0..=MAX_COUNT,
    ) {
        // SPEC FRM-3: whatever is inside, the unit is counted.
        let payload = payload.concat();
        for name in ["text", "json", "binary"] {
            let decoded = JSON.decode(Unit::Text(format!("{{\"{name}\":{payload}}}").into()));
            prop_assert!(matches!(decoded, Ok(Frame::Message(_)) | Err(DecodeError::Payload(_))), "{:?}", decoded);
            let decoded = JSON.decode(Unit::Text(format!("{{\"request\":{id},\"{name}\":{payload}}}").into()));
            let is_asked = matches!(&decoded, Ok(Frame::Request(request)) if request.id.0 == id);
            prop_assert!(is_asked || matches!(decoded, Err(DecodeError::Payload(_))), "{:?}", decoded);
        }
    }

    #[test]
    fn batches_come_back_as_they_were(frames in prop::collection::vec(frame(), 0..8)) {
        for (format, text) in [(NATIVE[0], true), (NATIVE[1], false)] {
            let units: Vec<_> = frames.iter().map(|frame| format.encode(frame.clone()).unwrap()).collect();
            let body = encode_batch(format, units.iter().map(Unit::as_bytes));
            prop_assert_eq!(decode_batch(format, &body, text, 8), Ok(units));
        }
    }

    #[test]
    fn any_body_is_a_batch_or_an_error(body in prop::collection::vec(any::<u8>(), 0..64), text: bool) {
        let body = Bytes::from(body);
        for format in NATIVE {
            if let Ok(units) = decode_batch(format, &body, text, 5) {
                prop_assert!(units.len() <= 5);
            }
        }
    }

    #[test]
    fn any_request_head_is_read_or_refused(
        method in "GET|POST|PUT|OPTIONS|HEAD|CONNECT",
        query in "(nosphere-(protocol|session|token|received|window)=([a-z0-9/%+.-]{0,8})&?){0,3}",
        headers in prop::collection::vec((header_name(), prop::collection::vec(32_u8..=255, 0..24)), 0..5),
        upgrade: bool,
    ) {
        let mut request = http::Request::builder().method(method.as_str()).uri(format!("/?{query}"));
        for (name, value) in headers {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                request = request.header(name, value);
            }
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        for refusal in [
            read_request(&parts, upgrade, &Formats::default()).err(),
            OriginPolicy::same_origin().check(&parts, None).err(),
        ].into_iter().flatten() {
            prop_assert!(refusal.into_response().status().is_client_error());
        }
    }

    #[test]
    fn event_ids_come_back_as_they_were(session: [u8; 16], token: [u8; 16], count in 0..=MAX_COUNT) {
        let id = EventId { session: session.into(), token: ResumeToken::from_random(token), count };
        prop_assert_eq!(id.reveal().parse(), Ok(id));
    }
}

/// The same frame, with the same JSON value, however that is written.
fn is_same(ours: &Frame, theirs: &Frame) -> bool {
    let value = |json: &Json| json.parse::<Value>().expect("it was checked");
    let is_same_payload = |ours: &Payload, theirs: &Payload| match (ours, theirs) {
        (Payload::Json(ours), Payload::Json(theirs)) => value(ours) == value(theirs),
        _ => ours == theirs,
    };
    match (ours, theirs) {
        (Frame::Message(ours), Frame::Message(theirs)) => is_same_payload(ours, theirs),
        (Frame::Request(ours), Frame::Request(theirs)) => {
            ours.id == theirs.id && is_same_payload(&ours.payload, &theirs.payload)
        }
        (Frame::Reply(ours), Frame::Reply(theirs)) => {
            ours.id == theirs.id && is_same_payload(&ours.payload, &theirs.payload)
        }
        _ => ours == theirs,
    }
}

fn lent(unit: &Unit) -> Lent<'_> {
    match unit {
        Unit::Binary(bytes) => Lent::Binary(bytes),
        Unit::Text(text) => Lent::Text(text),
    }
}

fn message(frame: Result<Frame, DecodeError>) -> Option<Payload> {
    if let Ok(Frame::Message(payload)) = frame { Some(payload) } else { None }
}

/// Decoding must end without a panic and in the same way whoever has the unit, and what it accepts must be written again.
fn total(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    let text = Text::from_utf8(bytes.clone()).ok().map(Unit::Text);
    for unit in [Some(Unit::Binary(bytes)), text].into_iter().flatten() {
        for format in [&JSON as &dyn WireFormat, &MESSAGEPACK, &PLAIN] {
            let read = format.decode(unit.clone());
            assert_eq!(format.decode_lent(lent(&unit), &mut Arena::default()), read, "{} {unit:?}", format.name());
            if let Ok(frame) = read {
                assert!(format.encode(frame).is_ok(), "{} {unit:?}", format.name());
            }
        }
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let count = || prop_oneof![0..100_u64, 0..=MAX_COUNT];
    let session = || any::<[u8; 16]>().prop_map(Into::into);
    let token = || any::<[u8; 16]>().prop_map(ResumeToken::from_random);
    let millis = || count().prop_map(Duration::from_millis);
    let attachment = || prop_oneof![1..100_u64, 1..=MAX_COUNT];
    let window = || (1..=u32::MAX, 1..=u32::MAX).prop_map(|(messages, bytes)| Window { messages, bytes });
    let opened = (session(), token(), millis(), millis(), millis(), millis(), window()).prop_map(
        |(session, token, heartbeat, timeout, proof, resume, window)| {
            Frame::Opened(Opened { session, token, heartbeat, timeout, proof, resume, window })
        },
    );
    let offer = (session(), token(), attachment(), count());
    let id = || count().prop_map(RequestId);
    prop_oneof![
        1 => (attachment(), window()).prop_map(|(attachment, window)| Frame::Open(Open { attachment, window })),
        1 => opened,
        1 => offer.prop_map(|(session, token, attachment, received)| {
            Frame::Resume(Offer { session, token, attachment, received })
        }),
        1 => count().prop_map(|received| Frame::Resumed { received }),
        1 => text().prop_map(|text| Frame::Reset { text: text.into() }),
        3 => payload().prop_map(Frame::Message),
        3 => (id(), payload()).prop_map(|(id, payload)| Frame::Request(Request { id, payload })),
        3 => (id(), payload()).prop_map(|(id, payload)| Frame::Reply(Reply { id, payload })),
        1 => count().prop_map(|received| Frame::Ack { received }),
        1 => count().prop_map(|received| Frame::Ping { received }),
        1 => count().prop_map(|received| Frame::Pong { received }),
        1 => (any::<u16>(), "[\\PC\"\\\\\n]{0,30}", count()).prop_map(|(code, reason, received)| Frame::Close(Close {
            code,
            reason: reason.into(),
            received
        })),
    ]
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        text().prop_map(|text| Payload::Text(text.into())),
        value().prop_map(|value| Payload::Json(Json::new(&value).expect("at most 64 levels"))),
        prop::collection::vec(any::<u8>(), 0..70).prop_map(|bytes| Payload::Binary(bytes.into())),
    ]
}

/// Any text, often long enough for vectors and often with characters that need escapes.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,80}", "[a-z ]{0,300}", "[a-z]{0,40}[\"\\\\\n\r\u{1}\u{7f}é😀\u{2028}][a-z]{0,40}"]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-200..300_i64).prop_map(Value::from),
        any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..20).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Pieces of which units and payloads are made.
fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        "\\u00",
        "\\ud83d",
        " ",
        "\n",
        "0",
        "-1",
        "1e999",
        "true",
        "null",
        "é",
        "\"json\"",
        "\"text\"",
        "\"binary\"",
        "\"ack\"",
        "\"close\"",
        "\"open\"",
        "\"window\"",
        "\"AQ==\"",
        "{\"text\":",
        "{\"json\":",
        "{\"binary\":\"",
        "{\"ack\":",
        "{\"request\":",
        "\"reply\":",
        "{\"reply\":5,\"text\":",
        "\"reason\":\"\"",
        "\"code\":1000",
        "\"received\":1",
        "\"}",
        "}}",
    ])
}

fn header_name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "accept",
        "content-type",
        "host",
        "last-event-id",
        "nosphere-attachment",
        "nosphere-protocol",
        "nosphere-session",
        "nosphere-token",
        "nosphere-transport",
        "nosphere-window",
        "origin",
        "sec-websocket-protocol",
    ])
}
