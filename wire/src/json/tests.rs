use std::time::Duration;

use bytes::Bytes;
use nosphere_core::{
    Arena, Close, DecodeError, Frame, Json, JsonEncoding, Kind, Lent, MAX_COUNT, Message, Offer, Open, Opened, Payload,
    Reply, Request, RequestId, ResumeToken, Text, Unit, Window, WireFormat as _,
};

use proptest::prelude::*;

use crate::JSON;

/// Every example of SPEC §3.1 and the frame that it is.
fn examples() -> [(&'static str, Frame); 14] {
    let session = "24f98d6b-c271-4169-8f9c-217343b62aa7".parse().unwrap();
    let token: ResumeToken = "00112233445566778899aabbccddeeff".parse().unwrap();
    let window = Window { messages: 256, bytes: 1_048_576 };
    let opened = Opened {
        session,
        token,
        heartbeat: Duration::from_secs(25),
        timeout: Duration::from_secs(20),
        proof: Duration::from_secs(10),
        resume: Duration::from_secs(120),
        window,
    };
    [
        (
            r#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#,
            Frame::Open(Open { attachment: 1, window }),
        ),
        (
            r#"{"opened":{"session":"24f98d6b-c271-4169-8f9c-217343b62aa7","token":"00112233445566778899aabbccddeeff","heartbeat":25000,"timeout":20000,"proof":10000,"resume":120000,"window":{"messages":256,"bytes":1048576}}}"#,
            Frame::Opened(opened),
        ),
        (
            r#"{"resume":{"session":"24f98d6b-c271-4169-8f9c-217343b62aa7","token":"00112233445566778899aabbccddeeff","attachment":2,"received":17}}"#,
            Frame::Resume(Offer { session, token, attachment: 2, received: 17 }),
        ),
        (r#"{"resumed":{"received":4}}"#, Frame::Resumed { received: 4 }),
        (r#"{"reset":"unknown session"}"#, Frame::Reset { text: "unknown session".into() }),
        (r#"{"text":"hello"}"#, message("hello")),
        (
            r#"{"json":{"author":"joe","message":"hi"}}"#,
            message(Json::from_text(&r#"{"author":"joe","message":"hi"}"#.into()).unwrap()),
        ),
        (r#"{"binary":"AQID"}"#, message(Bytes::from_static(&[1, 2, 3]))),
        (
            r#"{"request":5,"json":{"what":"is your name?"}}"#,
            request(5, Json::from_text(&r#"{"what":"is your name?"}"#.into()).unwrap()),
        ),
        (r#"{"reply":5,"text":"joe"}"#, reply(5, "joe")),
        (r#"{"ack":17}"#, Frame::Ack { received: 17 }),
        (r#"{"ping":17}"#, Frame::Ping { received: 17 }),
        (r#"{"pong":17}"#, Frame::Pong { received: 17 }),
        (
            r#"{"close":{"code":1000,"reason":"","received":17}}"#,
            Frame::Close(Close { code: 1000, reason: Text::new(), received: 17 }),
        ),
    ]
}

#[test]
fn the_examples_of_the_specification_are_written_and_read() {
    for (text, frame) in examples() {
        assert_eq!(encode(frame.clone()), text);
        assert_eq!(decode(text), Ok(frame));
    }
}

/// SPEC JSN-1.
#[test]
fn white_space_is_allowed_wherever_json_allows_it() {
    for (text, frame) in examples() {
        let loose = text.replace(['{', '}', ':', ','].as_slice(), "\u{1}");
        let mut spaced = String::from(" ");
        let mut quoted = false;
        for c in text.chars() {
            quoted ^= c == '"';
            spaced.push(c);
            if !quoted && matches!(c, '{' | '}' | ':' | ',' | '"') {
                spaced.push_str("\t ");
            }
        }
        assert_ne!(loose, spaced);
        match (decode(&spaced).unwrap(), frame) {
            (Frame::Message(Payload::Json(ours)), Frame::Message(Payload::Json(theirs))) => {
                assert_eq!(value(&ours), value(&theirs));
            }
            (
                Frame::Request(Request { id: RequestId(5), payload: Payload::Json(ours) }),
                Frame::Request(Request { payload: Payload::Json(theirs), .. }),
            ) => assert_eq!(value(&ours), value(&theirs)),
            (ours, theirs) => assert_eq!(ours, theirs),
        }
    }
}

#[test]
fn a_payload_is_kept_without_the_white_space_around_it() {
    for space in [" ", "\t", "\n", "\r", " \r\n\t "] {
        for unit in [
            format!(r#"{{"json":[1]{space}}}"#),
            format!(r#"{{"json":{space}[1]}}"#),
            format!(r#"{{ "json":[1]{space}}}"#),
        ] {
            let Ok(Frame::Message(Payload::Json(json))) = decode(&unit) else { panic!("{unit:?}") };
            assert_eq!(json.bytes(), "[1]", "{unit:?}");
        }
    }
}

/// SPEC FRM-1.
#[test]
fn unknown_fields_are_ignored() {
    let deep = "[".repeat(500) + &"]".repeat(500);
    for (text, frame) in examples() {
        let Some(body) = text.strip_suffix("}}").filter(|_| !text.contains(r#""json""#)) else { continue };
        assert_eq!(decode(&format!(r#"{body},"news":{{"a":[1e999]}},"depth":{deep}}}}}"#)), Ok(frame), "{text}");
    }
    assert!(decode(r#"{"open":{"attachment":1,"window":{"messages":1,"x":0,"bytes":1}}}"#).is_ok());
}

#[test]
fn escapes_are_undone_in_names_and_values() {
    assert_eq!(decode(r#"{"t\u0065xt":"\u00e9\n\ud83d\ude00\/"}"#), Ok(message("é\n😀/")));
    assert_eq!(decode(r#"{"binary":"\/\/8="}"#), Ok(message(Bytes::from_static(&[255, 255]))));
    assert_eq!(decode(r#"{"req\u0075est":5,"t\u0065xt":"\u0041"}"#), Ok(request(5, "A")));
    assert_eq!(decode(r#"{"reset":"\""}"#), Ok(Frame::Reset { text: "\"".into() }));
    assert_eq!(
        decode(r#"{"close":{"c\u006fde":3000,"reason":"\u0041","received":0}}"#),
        Ok(Frame::Close(Close { code: 3000, reason: "A".into(), received: 0 }))
    );
}

/// SPEC FRM-2.
#[test]
fn what_is_not_a_frame_is_malformed_and_not_counted() {
    for unit in [
        "",
        "{",
        "}",
        "{}",
        "[]",
        "17",
        "null",
        "\"text\"",
        "{\"\"}",
        "{\"text\"}",
        "{\"text\" \"a\"}",
        r#"{"json":1"#,
        r#""json":1}"#,
        r#"{"json":1}x"#,
        r#"{"json":1} {"json":1"#,
        "\u{feff}{\"json\":1}",
        "\u{a0}{\"json\":1}",
        r#"{"Text":"a"}"#,
        r#"{text:"a"}"#,
        r#"{'text':"a"}"#,
        r#"{"\u00zz":"a"}"#,
        r#"{"text\":"a"}"#,
        r#"{"unheard-of":{}}"#,
        r#"{"ack":17,"text":"a"}"#,
        r#"{"resumed":{"received":1},"text":"a"}"#,
        r#"{"request":5}"#,
        r#"{"request":5,}"#,
        r#"{"request":5,"text"}"#,
        r#"{"request":5,"text":"a""#,
        r#"{"request":5,"te\xt":"a"}"#,
        r#"{"request":5,"ack":1}"#,
        r#"{"request":5,"request":6,"text":"a"}"#,
        r#"{"request":[5,6],"text":"a"}"#,
        r#"{"request":"5,","text":"a"}"#,
        r#"{"reply":5,{"text":"a"}}"#,
        r#"{"resumed":{"received":1}"#,
        r#"{"resumed":{}}"#,
        r#"{"resumed":1}"#,
        r#"{"resumed":[1]}"#,
        r#"{"resumed":{"received":1,}}"#,
        r#"{"resumed":{"received":1,"received":2}}"#,
        r#"{"reset":1}"#,
        r#"{"reset":"a}"#,
        r#"{"open":{"attachment":1}}"#,
        r#"{"open":{"attachment":1,"window":[1,1]}}"#,
        r#"{"open":[1,{"messages":1,"bytes":1}]}"#,
        r#"{"close":{"code":"1000","reason":"","received":0}}"#,
        r#"{"close":{"code":65536,"reason":"","received":0}}"#,
        r#"{"close":{"code":1000,"received":0}}"#,
        r#"{"resume":{"session":"24f98d6b","token":"00112233445566778899aabbccddeeff","attachment":2,"received":0}}"#,
        r#"{"resume":{"session":"24f98d6b-c271-4169-8f9c-217343b62aa7","token":"00112233445566778899AABBCCDDEEFF","attachment":2,"received":0}}"#,
    ] {
        assert!(matches!(decode(unit), Err(DecodeError::Malformed(_))), "{unit}: {:?}", decode(unit));
    }
    assert!(matches!(JSON.decode(Unit::Binary(Bytes::from_static(b"{\"ack\":1}"))), Err(DecodeError::Malformed(_))));
}

/// SPEC FRM-3.
#[test]
fn an_unreadable_payload_in_a_readable_envelope_is_counted() {
    for (kind, unit) in [
        (Kind::Json, r#"{"json":}"#),
        (Kind::Json, r#"{"json":[1}"#),
        (Kind::Json, r#"{"json":nul}"#),
        (Kind::Json, r#"{"json":'a'}"#),
        (Kind::Json, r#"{"json":1,"text":"a"}"#),
        (Kind::Json, r#" { "json" : 1,"text":"a"}"#),
        (Kind::Json, r#"{"json":01}"#),
        (Kind::Json, r#"{"json":"\ud800"}"#),
        (Kind::Json, "{\"json\":\"\u{1}\"}"),
        (Kind::Text, r#"{"text":}"#),
        (Kind::Text, r#"{"text":1}"#),
        (Kind::Text, r#"{"text":"}"#),
        (Kind::Text, r#"{"text":"a" "b"}"#),
        (Kind::Text, r#"{"text":"a\"}"#),
        (Kind::Text, r#"{"text":"\ud800"}"#),
        (Kind::Text, r#"{"text":"a","text":"b"}"#),
        (Kind::Text, "{\"text\":\"a\nb\"}"),
        (Kind::Binary, r#"{"binary":[1]}"#),
        (Kind::Binary, r#"{ "binary":null}"#),
        (Kind::Json, r#"{"request":5,"json":}"#),
        (Kind::Json, r#"{"reply":5,"json":1},"x":{}}"#),
        (Kind::Text, r#"{"reply":5,"text":1}"#),
        (Kind::Text, r#"{"request":5,"text":"a","text":"b"}"#),
        (Kind::Binary, r#"{ "request" : 5 , "binary" : "AQ" }"#),
    ] {
        assert_payload_error(unit, kind);
    }
}

/// SPEC JSN-2.
#[test]
fn base64_is_the_padded_standard_alphabet_and_nothing_else() {
    for text in ["AQ", "AQI", "AQ=", "AR==", "AQ==\\n", "A Q==", "-_8=", "AQ==AQ==", "=", "é"] {
        assert_payload_error(&format!(r#"{{"binary":"{text}"}}"#), Kind::Binary);
    }
    assert_eq!(decode(r#"{"binary":""}"#), Ok(message(Bytes::new())));
    assert_eq!(decode(r#"{"binary":"+/8="}"#), Ok(message(Bytes::from_static(&[251, 255]))));
}

/// SPEC JSN-3.
#[test]
fn payloads_nest_64_levels_and_no_deeper() {
    let nested = |n| format!(r#"{{"json":{}{}}}"#, "[".repeat(n), "]".repeat(n));
    assert!(decode(&nested(64)).is_ok());
    assert_payload_error(&nested(65), Kind::Json);
    assert_payload_error(&nested(1_000_000), Kind::Json);
}

#[test]
fn a_value_too_deep_for_the_peer_is_refused_when_it_is_sent() {
    let nested = |n| (0..n).fold(serde_json::Value::Null, |inner, _| vec![inner].into());
    let encode = |n| JSON.encode(Frame::Message(Message::from(nested(n)).into_payload()));
    assert!(encode(64).is_ok());
    assert!(encode(65).is_err());
    let objects = |n| (0..n).fold("{}".to_owned(), |inner, _| format!(r#"{{"":{inner}}}"#));
    let encode = |text: String| JSON.encode(message(Json::from_checked(text.into(), JsonEncoding::Text)));
    assert!(encode(objects(63)).is_ok());
    assert!(encode(objects(64)).is_err(), "objects nest as arrays do");
    let wide = serde_json::Value::from(vec![serde_json::json!({"[": "{"}); 100]);
    assert!(JSON.encode(Frame::Message(Message::from(wide).into_payload())).is_ok());
}

/// SPEC TRM-1.
#[test]
fn counts_and_attachments_are_integers_up_to_2_to_the_53_minus_1() {
    for name in ["ack", "ping", "pong"] {
        assert!(decode(&format!(r#"{{"{name}":9007199254740991}}"#)).is_ok());
        for count in ["9007199254740992", "18446744073709551616", "-1", "1.0", "1e1", "01", "\"1\"", "null", ""] {
            let unit = format!(r#"{{"{name}":{count}}}"#);
            assert!(matches!(decode(&unit), Err(DecodeError::Malformed(_))), "{unit}");
        }
    }
    let open = |attachment: &str, messages: &str, bytes: &str| {
        let window = format!(r#"{{"messages":{messages},"bytes":{bytes}}}"#);
        decode(&format!(r#"{{"open":{{"attachment":{attachment},"window":{window}}}}}"#))
    };
    assert!(open("1", "1", "1").is_ok());
    assert!(open("9007199254740991", "1", "1").is_ok());
    for (attachment, messages, bytes) in [
        ("0", "1", "1"),
        ("9007199254740992", "1", "1"),
        ("1", "0", "1"),
        ("1", "1", "0"),
        ("1", "-1", "1"),
        ("1", "9007199254740992", "1"),
        ("1", "1", "9007199254740992"),
    ] {
        assert!(matches!(open(attachment, messages, bytes), Err(DecodeError::Malformed(_))));
    }
    let Ok(Frame::Open(Open { window, .. })) = open("1", "4294967296", "9007199254740991") else { panic!() };
    assert_eq!(window, Window { messages: u32::MAX, bytes: u32::MAX }, "a larger permission than we can use");
}

/// SPEC §2, `id`, and JSN-4.
#[test]
fn the_number_of_a_request_is_digits_up_to_2_to_the_53_minus_1() {
    for name in ["request", "reply"] {
        assert!(decode(&format!(r#"{{"{name}":0,"text":"a"}}"#)).is_ok());
        assert!(decode(&format!(r#"{{"{name}":9007199254740991,"text":"a"}}"#)).is_ok());
        for id in
            ["9007199254740992", "18446744073709551616", "-1", "-0", "1.0", "1e1", "01", "\"1\"", "null", "", "1 2"]
        {
            // An unreadable payload does not make it a message that counts.
            for payload in ["\"a\"", "x"] {
                let unit = format!(r#"{{"{name}":{id},"text":{payload}}}"#);
                assert!(matches!(decode(&unit), Err(DecodeError::Malformed(_))), "{unit}");
            }
        }
    }
}

/// SPEC SEC-3.
#[test]
fn the_first_comma_ends_the_number_of_a_request_and_no_other_is_its_business() {
    assert_eq!(decode(r#"{"request":5,"text":",\"reply\":6,"}"#), Ok(request(5, r#","reply":6,"#)));
    let commas = ",".repeat(1_000_000);
    assert_eq!(decode(&format!(r#"{{"reply":5,"text":"{commas}"}}"#)), Ok(reply(5, commas.as_str())));
    assert!(matches!(decode(&format!(r#"{{"reply":5{commas}}}"#)), Err(DecodeError::Malformed(_))));
    let digits = "1".repeat(1_000_000);
    assert!(matches!(decode(&format!(r#"{{"reply":{digits},"text":"a"}}"#)), Err(DecodeError::Malformed(_))));
}

/// SPEC §2, `reason`.
#[test]
fn a_reason_has_at_most_123_bytes() {
    let close = |reason: String| Frame::Close(Close { code: 1000, reason: reason.into(), received: 0 });
    let text = |reason: &str| format!(r#"{{"close":{{"code":1000,"reason":"{reason}","received":0}}}}"#);
    let (fits, exceeds) = ("é".repeat(61) + "a", "é".repeat(62));
    assert_eq!(decode(&text(&fits)), Ok(close(fits.clone())));
    assert!(matches!(decode(&text(&exceeds)), Err(DecodeError::Malformed(_))));
    assert!(JSON.encode(close(exceeds)).is_err());
}

#[test]
fn fields_out_of_their_range_are_not_written() {
    let window = Window { messages: 1, bytes: 1 };
    for frame in [
        Frame::Ack { received: 1 << 53 },
        request(MAX_COUNT + 1, "a"),
        reply(u64::MAX, "a"),
        Frame::Open(Open { attachment: 0, window }),
        Frame::Open(Open { attachment: 1, window: Window { messages: 0, bytes: 1 } }),
    ] {
        assert!(JSON.encode(frame.clone()).is_err());
        assert!(crate::MESSAGEPACK.encode(frame).is_err());
    }
}

#[test]
fn a_duration_shorter_than_a_millisecond_does_not_become_off() {
    let (text, Frame::Opened(opened)) = &examples()[1] else { panic!() };
    let opened = Opened { heartbeat: Duration::from_nanos(1), proof: Duration::MAX, ..*opened };
    let expected = text.replace(r#""heartbeat":25000"#, r#""heartbeat":1"#).replace("10000", "9007199254740991");
    assert_eq!(encode(Frame::Opened(opened)), *expected);
    assert!(decode(&expected.replace("9007199254740991", "9007199254740992")).is_err());
}

/// SPEC JSN-1, SEC-3.
#[test]
fn a_unit_never_holds_a_line_break_and_a_payload_never_ends_its_envelope() {
    let Ok(Frame::Message(Payload::Json(json))) = decode("{\"json\":\n{\"a\":\r\n[1,\"\\n\"]}\n}") else { panic!() };
    assert_eq!(json.bytes(), r#"{"a":[1,"\n"]}"#);
    let unit = encode(message("a\nb\rc\u{2028}\"}"));
    assert_eq!(unit, "{\"text\":\"a\\nb\\rc\u{2028}\\\"}\"}");
    assert_payload_error(r#"{"json":1},"x":{"y":2}"#, Kind::Json);
}

#[test]
fn text_and_json_are_slices_of_their_unit() {
    for unit in [
        r#"{"text":"a long text without escapes"}"#,
        r#"{"json":["a long value without line breaks"]}"#,
        r#"{"request":5,"text":"a long text without escapes"}"#,
        r#"{"request":5,"json":["a long value without line breaks"]}"#,
    ] {
        let unit = Text::from(unit.to_owned());
        let range = unit.as_bytes().as_ptr_range();
        let payload = match JSON.decode(Unit::Text(unit.clone())) {
            Ok(Frame::Message(payload) | Frame::Request(Request { payload, .. })) => payload,
            other => panic!("{other:?}"),
        };
        let start = match payload {
            Payload::Text(text) => text.as_ptr(),
            Payload::Json(json) => json.bytes().as_ptr(),
            Payload::Binary(bytes) => panic!("{bytes:?}"),
        };
        assert!(range.contains(&start));
    }
}

#[test]
fn json_from_messagepack_is_written_as_text() {
    let json = Json::from_checked(Bytes::from_static(b"\x82\xa1b\x01\xa1a\x93\xc0\xc3\xff"), JsonEncoding::MessagePack);
    assert_eq!(encode(message(json)), r#"{"json":{"b":1,"a":[null,true,-1]}}"#);
}

fn assert_payload_error(unit: &str, kind: Kind) {
    let decoded = decode(unit);
    assert!(matches!(&decoded, Err(DecodeError::Payload(error)) if error.kind == kind), "{unit}: {decoded:?}");
}

/// Such a text is written as it is: whatever is said to be so and is not ends its literal.
#[test]
fn a_text_that_was_read_with_escapes_is_not_written_without() {
    for (literal, verbatim) in
        [(r#"a\"b"#, false), (r"a\u0022b", false), (r"a\\b", false), (r"a\u00e9b", false), ("aéb", true)]
    {
        let Ok(Frame::Message(payload)) = decode(&format!(r#"{{"text":"{literal}"}}"#)) else { panic!("{literal}") };
        let text = payload.as_text().unwrap();
        assert_eq!(text.is_verbatim(), verbatim, "{literal}");
        assert_eq!(text.slice_of(&text[1..]).is_verbatim(), verbatim, "{literal}");
        let Ok(Frame::Message(again)) = decode(&encode(Frame::Message(payload.clone()))) else { panic!("{literal}") };
        assert_eq!(again, payload);
    }
    assert!(!Text::from("a").is_verbatim(), "nobody has looked at it");
}

fn decode(unit: &str) -> Result<Frame, DecodeError> {
    JSON.decode(Unit::Text(unit.into()))
}

fn encode(frame: Frame) -> Text {
    match JSON.encode(frame).unwrap() {
        Unit::Text(text) => text,
        Unit::Binary(_) => panic!("binary"),
    }
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

fn value(json: &Json) -> serde_json::Value {
    json.parse().unwrap()
}

#[test]
fn what_must_be_escaped_is_found_wherever_it_is() {
    for length in 0..100 {
        for at in 0..length {
            for byte in 0..=255_u8 {
                let mut text = vec![b'a'; length];
                text[at] = byte;
                assert_eq!(super::is_plain(&text), byte >= b' ' && byte != b'"' && byte != b'\\', "{byte} at {at}");
            }
        }
    }
}

proptest! {
    #[test]
    fn a_text_that_is_said_to_need_no_escapes_needs_none(
        before in prop_oneof![
            Just("{\"text\":\""), Just("{ \"text\" : \""), Just("{\"request\":1,\"text\":\""), Just("{\"reset\":\""),
        ],
        text in prop_oneof!["[a-zé\\\\\"]{0,70}", "([a-z]|\\\\[\"\\\\nt/u]|\\\\u00[0-9a-f]{2}|\"|\n|\u{7f}){0,60}"],
        after in prop_oneof![Just("\"}"), Just("\" }"), Just("\"} "), Just("\\\"}")],
    ) {
        let unit = [before, &text, after].concat();
        let mut arena = Arena::default();
        for frame in [JSON.decode(Unit::Text(unit.as_str().into())), JSON.decode_lent(Lent::Text(&unit), &mut arena)] {
            let text = match frame {
                Ok(Frame::Message(Payload::Text(text)) | Frame::Reset { text }) => text,
                Ok(Frame::Request(Request { payload: Payload::Text(text), .. })) => text,
                _ => continue,
            };
            for part in [text.clone(), text.slice_of(&text[text.len()..]), text.slice_of(&text[..0])] {
                if part.is_verbatim() {
                    prop_assert_eq!(serde_json::to_string(part.as_str()).unwrap(), format!("\"{}\"", part));
                }
            }
        }
    }
}
