//! Messages, their units, and whose memory they hold.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

use bytes::Bytes;
use nosphere_core::{Encoded, Json, JsonEncoding, Kind, Message, Payload, Text, Unit, WireFormat, frame_header};
use nosphere_wire::{JSON, MESSAGEPACK};

/// The three kinds of the same five bytes.
fn payloads(bytes: &Bytes) -> [Payload; 3] {
    [
        Payload::Binary(bytes.clone()),
        Payload::Json(Json::from_checked(bytes.clone(), JsonEncoding::Text)),
        Payload::Text(Text::from_utf8(bytes.clone()).unwrap()),
    ]
}

fn start(payload: &Payload) -> *const u8 {
    match payload {
        Payload::Binary(bytes) => bytes.as_ptr(),
        Payload::Json(json) => json.bytes().as_ptr(),
        Payload::Text(text) => text.as_ptr(),
    }
}

#[test]
fn messages_are_equal_and_hash_alike_if_kind_and_content_are_the_same() {
    let hash = |message: &Message| BuildHasherDefault::<DefaultHasher>::default().hash_one(message);
    let contents = ["12345", "12346", "1"].map(|content| Bytes::from_static(content.as_bytes()));
    let all: Vec<_> = contents.iter().flat_map(payloads).collect();
    for (i, a) in all.iter().enumerate() {
        let message = Message::from(a.clone());
        let shared = message.clone().shared();
        assert_eq!([message.payload(), shared.payload()], [a, a]);
        for (j, b) in all.iter().enumerate() {
            let other = Message::from(b.clone());
            assert_eq!((message == other, shared == other), (i == j, i == j), "{a:?}, {b:?}");
            assert_eq!((hash(&message) == hash(&other), hash(&shared) == hash(&other)), (i == j, i == j));
        }
        assert_eq!([&message.into_payload(), &shared.into_payload()], [a, a]);
    }
}

#[test]
fn a_payload_knows_its_kind_and_length() {
    for (payload, kind) in
        payloads(&Bytes::from_static(b"12345")).into_iter().zip([Kind::Binary, Kind::Json, Kind::Text])
    {
        assert_eq!((payload.kind(), payload.len(), payload.is_empty()), (kind, 5, false));
    }
    for payload in payloads(&Bytes::new()) {
        assert_eq!((payload.len(), payload.is_empty()), (0, true));
    }
    for (unit, length) in
        [(Unit::Binary(b"123"[..].into()), 3), (Unit::Text("é".into()), 2), (Unit::Text("".into()), 0)]
    {
        assert_eq!((unit.len(), unit.is_empty(), unit.as_bytes().len()), (length, length == 0, length));
    }
}

#[test]
fn what_is_kept_is_copied_out_of_memory_that_is_more_than_sixteen_times_its_own() {
    let held = Bytes::from(vec![b'7'; 10_000]);
    let slice = held.slice(..10);
    for (of, copied) in [(10, false), (16 * 10 + 256, false), (16 * 10 + 256 + 1, true), (10_000, true)] {
        for payload in payloads(&slice) {
            let kept = payload.clone().detached(of);
            assert_eq!((start(&kept) != slice.as_ptr(), &kept), (copied, &payload), "{of}");
        }
        for unit in [Unit::Binary(slice.clone()), Unit::Text(Text::from_utf8(slice.clone()).unwrap())] {
            let kept = unit.clone().detached(of);
            assert_eq!((kept.as_bytes().as_ptr() != slice.as_ptr(), &kept), (copied, &unit), "{of}");
        }
    }
}

#[test]
fn text_is_compared_and_shown_as_the_string_that_it_is() {
    let text = Text::from_static("hé");
    assert!(text == *"hé" && text == "hé" && text != *"he" && text != "he");
    assert_eq!((text.to_string(), format!("{text:?}")), ("hé".to_owned(), "\"hé\"".to_owned()));
    assert_eq!((text.bytes().as_ref(), text.clone().into_bytes().as_ref()), ("hé".as_bytes(), "hé".as_bytes()));
    assert_eq!(text.slice_of(&text[1..]).as_str(), "é");
    assert_eq!(Text::from_utf8(Bytes::from_static(b"\xff")), Err(Bytes::from_static(b"\xff")));
}

#[test]
fn the_header_of_a_frame_is_that_of_rfc_6455() {
    for (length, header) in [
        (0, &[0][..]),
        (1, &[1]),
        (125, &[125]),
        (126, &[126, 0, 126]),
        (65_535, &[126, 0xff, 0xff]),
        (65_536, &[127, 0, 0, 0, 0, 0, 1, 0, 0]),
        (0x1234_5678, &[127, 0, 0, 0, 0, 0x12, 0x34, 0x56, 0x78]),
    ] {
        for (text, first) in [(true, 0x81), (false, 0x82)] {
            let (bytes, size) = frame_header(text, length);
            assert_eq!(bytes[..size.into()], [&[first], header].concat(), "{length}");
        }
    }
}

#[test]
fn a_unit_that_is_shared_carries_its_header_and_one_that_is_not_carries_none() {
    for (unit, text) in [(Unit::Text("hello".into()), true), (Unit::Binary(b"hello"[..].into()), false)] {
        let own = Encoded::new(unit.clone());
        assert_eq!((own.frame(), own.payload(), own.is_text()), (None, &b"hello"[..], text));
        assert_eq!((own.payload_bytes(), own.clone().into_block()), ("hello".into(), "hello".into()));
        let shared = Encoded::shared(&unit);
        let frame = Bytes::from([&[if text { 0x81 } else { 0x82 }, 5], &b"hello"[..]].concat());
        assert_eq!((shared.frame().unwrap(), shared.payload(), shared.is_text()), (&frame, &b"hello"[..], text));
        assert_eq!((shared.payload_bytes(), shared.clone().into_block()), ("hello".into(), frame));
        let shown = format!("Encoded({}, 5 bytes)", if text { "text" } else { "binary" });
        assert_eq!([format!("{own:?}"), format!("{shared:?}")], [shown.clone(), shown], "a unit may hold a token");
    }
}

#[test]
fn an_encoding_is_remembered_for_each_format_and_the_next_formats_have_their_own() {
    let message = Message::text("hello").shared();
    for format in [&JSON as &dyn WireFormat, &MESSAGEPACK, &JSON] {
        let unit = message.encode(format).unwrap();
        assert_eq!(unit.payload(), Message::text("hello").encode(format).unwrap().payload());
        assert_eq!(unit.is_text(), format.is_text());
        let again = message.clone().encode(format).unwrap();
        assert_eq!(unit.frame().unwrap().as_ptr(), again.frame().unwrap().as_ptr());
    }
}
