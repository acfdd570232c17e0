use bytes::Bytes;
use nosphere_core::{
    Close, DecodeError, Frame, JsonEncoding, Kind, Message, Offer, Open, Opened, Payload, Reply, Request, RequestId,
    Unit, Window, WireFormat as _,
};

use crate::MESSAGEPACK;

const SESSION: [u8; 16] = *b"SESSION_SESSION_";
const TOKEN: [u8; 16] = *b"TOKEN___TOKEN___";

/// SPEC §3.2.
#[test]
fn every_kind_is_the_array_of_the_specification() {
    let window = Window { messages: 256, bytes: 1 << 20 };
    let token = nosphere_core::ResumeToken::from_random(TOKEN);
    let millis = std::time::Duration::from_millis;
    let ids = [&[0xc4, 16][..], &SESSION, &[0xc4, 16], &TOKEN].concat();
    let opened = Opened {
        session: SESSION.into(),
        token,
        heartbeat: millis(1),
        timeout: millis(2),
        proof: millis(3),
        resume: millis(4),
        window,
    };
    let offer = Offer { session: SESSION.into(), token, attachment: 2, received: 300 };
    let close = Close { code: 1000, reason: "bye".into(), received: 5 };
    let window_bytes = b"\xcd\x01\x00\xce\x00\x10\x00\x00";
    for (frame, unit) in [
        (Frame::Open(Open { attachment: 1, window }), [b"\x94\x00\x01", &window_bytes[..]].concat()),
        (Frame::Opened(opened), [b"\x99\x01", &ids[..], b"\x01\x02\x03\x04", window_bytes].concat()),
        (Frame::Resume(offer), [b"\x95\x02", &ids[..], b"\x02\xcd\x01\x2c"].concat()),
        (Frame::Resumed { received: 3 }, b"\x92\x03\x03".to_vec()),
        (Frame::Reset { text: "no".into() }, b"\x92\x04\xa2no".to_vec()),
        (message("hi"), b"\x92\x05\xa2hi".to_vec()),
        (message(Bytes::from_static(&[1, 2])), b"\x92\x07\xc4\x02\x01\x02".to_vec()),
        (Frame::Ack { received: 1 }, b"\x92\x08\x01".to_vec()),
        (Frame::Ping { received: 1 }, b"\x92\x09\x01".to_vec()),
        (Frame::Pong { received: 1 }, b"\x92\x0a\x01".to_vec()),
        (Frame::Close(close), b"\x94\x0b\xcd\x03\xe8\xa3bye\x05".to_vec()),
        (request(5, "hi"), b"\x94\x0c\x05\x05\xa2hi".to_vec()),
        (request(300, Bytes::from_static(&[1])), b"\x94\x0c\xcd\x01\x2c\x07\xc4\x01\x01".to_vec()),
        (reply(0, "hi"), b"\x94\x0d\x00\x05\xa2hi".to_vec()),
    ] {
        assert_eq!(MESSAGEPACK.encode(frame.clone()), Ok(Unit::Binary(unit.clone().into())));
        assert_eq!(decode(&unit), Ok(frame));
    }
    let json = Message::from(serde_json::json!({"a": [1]}));
    let unit = MESSAGEPACK.encode(Frame::Message(json.clone().into_payload())).unwrap();
    assert_eq!(unit.as_bytes(), b"\x92\x06\x81\xa1a\x91\x01");
    let unit = MESSAGEPACK.encode(reply(5, json)).unwrap();
    assert_eq!(unit.as_bytes(), b"\x94\x0d\x05\x06\x81\xa1a\x91\x01");
}

/// SPEC §3.2.
#[test]
fn text_and_bytes_of_any_length_have_the_shortest_head() {
    for (length, str_head, bin_head) in [
        (0, &b"\xa0"[..], &b"\xc4\x00"[..]),
        (31, b"\xbf", b"\xc4\x1f"),
        (32, b"\xd9\x20", b"\xc4\x20"),
        (255, b"\xd9\xff", b"\xc4\xff"),
        (256, b"\xda\x01\x00", b"\xc5\x01\x00"),
        (65_535, b"\xda\xff\xff", b"\xc5\xff\xff"),
        (65_536, b"\xdb\x00\x01\x00\x00", b"\xc6\x00\x01\x00\x00"),
    ] {
        let content = "x".repeat(length);
        for (open, head, frame) in [
            (&[0x92, 5][..], str_head, message(content.as_str())),
            (&[0x92, 7], bin_head, message(Bytes::from(content.clone()))),
            (&[0x94, 12, 0xcd, 1, 0, 5], str_head, request(256, content.as_str())),
            (&[0x94, 13, 1, 7], bin_head, reply(1, Bytes::from(content.clone()))),
        ] {
            let unit = [open, head, content.as_bytes()].concat();
            assert_eq!(decode(&unit), Ok(frame.clone()), "{length}");
            let Ok(Unit::Binary(written)) = MESSAGEPACK.encode(frame) else { panic!() };
            assert_eq!(written, unit, "{length}");
            let memory = written.try_into_mut().unwrap().capacity();
            assert_eq!(memory, unit.len(), "a unit that is kept holds no more than itself");
        }
    }
}

/// SPEC FRM-1, MSP-1.
#[test]
fn further_elements_are_ignored_whatever_they_are() {
    let deep = [&[0x91; 100_000][..], &[0xc0]].concat();
    for more in [
        &b"\x01"[..],
        b"\xc7\x03\x05abc",
        b"\xd4\x01a",
        b"\xd8\x010123456789abcdef",
        b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
        b"\x80",
        b"\x81\xc0\xc4\x01a",
        b"\x83\x01\x02\x03\x04\x05\x80",
        b"\xde\x00\x02\x01\x90\x02\x92\x03\x04",
        b"\xa1\xff",
        &deep,
    ] {
        assert_eq!(decode(&[b"\x93\x05\xa2hi", more].concat()), Ok(message("hi")), "{more:02x?}");
        assert_eq!(decode(&[b"\x95\x0c\x01\x05\xa2hi", more].concat()), Ok(request(1, "hi")), "{more:02x?}");
        assert_eq!(decode(&[b"\x94\x08\x01", more, b"\xc0"].concat()), Ok(Frame::Ack { received: 1 }));
    }
    assert_eq!(decode(b"\xdc\x00\x02\x08\xd1\x00\x05"), Ok(Frame::Ack { received: 5 }), "longer forms are as good");
}

/// SPEC MSP-1.
#[test]
fn bytes_behind_the_array_are_refused() {
    for unit in [&b"\x92\x08\x01\x00"[..], b"\x92\x05\xa1a\xc0", b"\x92\x06\xc0\xc0", b"\x92\x07\xc4\x00\x00"] {
        assert_malformed(unit);
        assert_malformed(&[&[0x90 + unit[0] % 16, 12, 1], &unit[1..]].concat());
    }
}

/// SPEC FRM-2.
#[test]
fn what_is_not_a_frame_is_malformed_and_not_counted() {
    for unit in [
        &b""[..],
        b"\x90",
        b"\x05",
        b"\x81\x05\xa1a",
        b"\xc1",
        b"\x91\x08",
        b"\x92\x08",
        b"\x91\x05",
        b"\x92\xa4text\xa1a",
        b"\x92\xff\x01",
        b"\x92\x0e\x01",
        b"\x92\x0c\x01",
        b"\x93\x0c\x01\x05",
        b"\x93\x0c\x05\xa1a",
        b"\x94\x0c\xff\x05\xa1a",
        b"\x94\x0c\xcb\x40\x14\x00\x00\x00\x00\x00\x00\x05\xa1a",
        b"\x94\x0c\x01\x08\x01",
        b"\x94\x0c\x01\x0e\x01",
        b"\x96\x0c\x01\x0c\x02\x05\xa1a",
        b"\x96\x0d\x01\x0c\x02\x05\xa1a",
        b"\x92\xce\x00\x00",
        b"\x92\x08\xa11",
        b"\x92\x08\xff",
        b"\x92\x08\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
        b"\x92\x04\x01",
        b"\x92\x04\xa1\xff",
        b"\x94\x0b\x01\xa0",
        b"\x94\x0b\xce\x00\x01\x00\x00\xa0\x00",
        b"\x93\x05\xa1a",
        b"\x93\x05\xa1a\xc1",
        b"\x93\x05\xa1a\xdd\xff\xff\xff\xff",
        b"\xdd\xff\xff\xff\xff\x05\xa1a",
        b"\x95\x02\xc4\x01a\xc4\x01a\x01\x00",
    ] {
        assert_malformed(unit);
    }
    assert!(matches!(MESSAGEPACK.decode(Unit::Text("\u{1}".into())), Err(DecodeError::Malformed(_))));
}

/// SPEC TRM-1.
#[test]
fn counts_and_attachments_are_integers_up_to_2_to_the_53_minus_1() {
    assert!(decode(b"\x92\x08\xcf\x00\x1f\xff\xff\xff\xff\xff\xff").is_ok());
    assert_malformed(b"\x92\x08\xcf\x00\x20\x00\x00\x00\x00\x00\x00");
    // Of a number that cannot be, an unreadable payload does not make a message that counts.
    for payload in [&b"\x05\xa1a"[..], b"\x05\x01"] {
        assert_malformed(&[b"\x94\x0d\xcf\x00\x20\x00\x00\x00\x00\x00\x00", payload].concat());
    }
    assert!(decode(b"\x94\x0d\xcf\x00\x1f\xff\xff\xff\xff\xff\xff\x05\xa1a").is_ok());
    assert!(decode(b"\x94\x00\x01\x01\x01").is_ok());
    for open in [b"\x94\x00\x00\x01\x01", b"\x94\x00\x01\x00\x01", b"\x94\x00\x01\x01\x00"] {
        assert_malformed(open);
    }
}

/// SPEC FRM-3.
#[test]
fn an_unreadable_payload_in_a_readable_envelope_is_counted() {
    for (kind, unit) in [
        (Kind::Text, &b"\x92\x05\x01"[..]),
        (Kind::Text, b"\x92\x05\xc4\x01a"),
        (Kind::Text, b"\x92\x05\xa1\xff"),
        (Kind::Text, b"\x92\x05\xa2a"),
        (Kind::Text, b"\x92\x05\xdb\xff\xff\xff\xffa"),
        (Kind::Binary, b"\x92\x07\xa1a"),
        (Kind::Binary, b"\x92\x07\xc6\xff\xff\xff\xffa"),
        (Kind::Json, b"\x92\x06"),
        (Kind::Json, b"\x92\x06\xc1"),
        (Kind::Json, b"\x92\x06\x92\x01"),
    ] {
        assert_payload_error(unit, kind);
        assert_payload_error(&[b"\x94\x0d\x01", &unit[1..]].concat(), kind);
    }
}

/// SPEC MSP-2.
#[test]
fn json_holds_nothing_that_json_does_not_have() {
    for (what, payload) in [
        ("bin", &b"\xc4\x01a"[..]),
        ("bin in an array", b"\x91\xc4\x00"),
        ("ext", b"\xd4\x01a"),
        ("ext in a map", b"\x81\xa1a\xc7\x01\x01a"),
        ("a timestamp", b"\xd6\xff\x00\x00\x00\x00"),
        ("NaN", b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"),
        ("NaN of 32 bits", b"\xca\x7f\xc0\x00\x00"),
        ("infinity", b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"),
        ("minus infinity", b"\xca\xff\x80\x00\x00"),
        ("an integer as a key", b"\x81\x01\x01"),
        ("nil as a key", b"\x81\xc0\x01"),
        ("bin as a key", b"\x81\xc4\x01a\x01"),
        ("a second key that is no string", b"\x82\xa1a\x01\x02\x01"),
        ("a string that is not UTF-8", b"\xa1\xff"),
        ("a key that is not UTF-8", b"\x81\xa1\xff\x01"),
        ("a key without its value", b"\x81\xa1a"),
        ("a claim of 4 Gi elements", b"\xdd\xff\xff\xff\xff\xc0"),
        ("a claim of 4 Gi pairs", b"\xdf\xff\xff\xff\xff\xa0\xc0"),
        ("a claim of 4 GiB", b"\xdb\xff\xff\xff\xff"),
    ] {
        let unit = [b"\x92\x06", payload].concat();
        let decoded = decode(&unit);
        assert!(
            matches!(&decoded, Err(DecodeError::Payload(error)) if error.kind == Kind::Json),
            "{what}: {decoded:?}"
        );
    }
    for payload in [&b"\xc0"[..], b"\x80", b"\x90", b"\x82\xa1a\x01\xa1a\x02", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"]
    {
        let Ok(Frame::Message(Payload::Json(json))) = decode(&[b"\x92\x06", payload].concat()) else { panic!() };
        assert_eq!((json.bytes().as_ref(), json.encoding()), (payload, JsonEncoding::MessagePack));
    }
}

/// SPEC MSP-3.
#[test]
fn payloads_nest_64_levels_and_no_deeper() {
    let arrays = |n: usize| [&b"\x92\x06"[..], &b"\x91".repeat(n - 1), b"\x90"].concat();
    let maps = |n: usize| [&b"\x92\x06"[..], &b"\x81\xa0".repeat(n - 1), b"\x80"].concat();
    assert!(decode(&arrays(64)).is_ok());
    assert!(decode(&maps(64)).is_ok());
    assert_payload_error(&arrays(65), Kind::Json);
    assert_payload_error(&maps(65), Kind::Json);
    assert_payload_error(&arrays(1_000_000), Kind::Json);
}

#[test]
fn payloads_are_slices_of_their_unit() {
    for unit in
        [&b"\x92\x05\xa8a string"[..], b"\x92\x07\xc4\x02ab", b"\x92\x06\xa8a string", b"\x94\x0d\x01\x05\xa8a string"]
    {
        let unit = Bytes::copy_from_slice(unit);
        let payload = match MESSAGEPACK.decode(Unit::Binary(unit.clone())) {
            Ok(Frame::Message(payload) | Frame::Reply(Reply { payload, .. })) => payload,
            other => panic!("{other:?}"),
        };
        let start = match payload {
            Payload::Text(text) => text.as_ptr(),
            Payload::Json(json) => json.bytes().as_ptr(),
            Payload::Binary(bytes) => bytes.as_ptr(),
        };
        assert!(unit.as_ptr_range().contains(&start));
    }
}

fn assert_malformed(unit: &[u8]) {
    let decoded = decode(unit);
    assert!(matches!(decoded, Err(DecodeError::Malformed(_))), "{unit:02x?}: {decoded:?}");
}

fn assert_payload_error(unit: &[u8], kind: Kind) {
    let decoded = decode(unit);
    assert!(matches!(&decoded, Err(DecodeError::Payload(error)) if error.kind == kind), "{unit:02x?}: {decoded:?}");
}

fn decode(unit: &[u8]) -> Result<Frame, DecodeError> {
    MESSAGEPACK.decode(Unit::Binary(Bytes::copy_from_slice(unit)))
}

fn message(message: impl Into<Message>) -> Frame {
    Frame::Message(message.into().into_payload())
}

fn request(id: u64, message: impl Into<Message>) -> Frame {
    Frame::Request(Request { id: RequestId(id), payload: message.into().into_payload() })
}

fn reply(id: u64, message: impl Into<Message>) -> Frame {
    Frame::Reply(Reply { id: RequestId(id), payload: message.into().into_payload() })
}

#[test]
fn a_binary_message_keeps_the_memory_of_its_unit() {
    for length in [0, 200, 5000, 70_000] {
        let Ok(Unit::Binary(unit)) = MESSAGEPACK.encode(message(Bytes::from(vec![7; length]))) else { panic!() };
        let end = unit.as_ptr_range().end;
        let Ok(Frame::Message(Payload::Binary(bytes))) = MESSAGEPACK.decode(Unit::Binary(unit)) else { panic!() };
        assert_eq!((bytes.len(), bytes.as_ptr_range().end), (length, end));
    }
}
