//! JSON values: what is checked, what is kept, what is said about what is wrong.

use bytes::Bytes;
use nosphere_core::json::{check, compact};
use nosphere_core::{Frame, Json, JsonEncoding, MAX_DEPTH, Payload, Unit, WireFormat as _};
use nosphere_wire::MESSAGEPACK;
use serde_json::Value;

fn json(text: &str) -> Json {
    Json::from_text(&text.into()).unwrap()
}

#[test]
fn compacting_takes_the_white_space_between_tokens_and_none_of_a_string() {
    for (loose, compacted) in [
        ("\n[ 1 ,\t2 ]\r\n", "[1,2]"),
        (" { \"a b\" : \"c\td  e\" } ", "{\"a b\":\"c\td  e\"}"),
        (r#"[ "\" , \\" , " \\\" , " ]"#, r#"["\" , \\"," \\\" , "]"#),
        (r#"" \\" "#, r#"" \\""#),
        ("\"é 😀\"", "\"é 😀\""),
    ] {
        assert_eq!(compact(loose), compacted);
    }
    assert_eq!(json("[\"a b\",\n 1]").bytes(), "[\"a b\",1]");
}

#[test]
fn text_without_line_breaks_between_tokens_is_kept_as_it_is() {
    let text = nosphere_core::Text::from(r#" [ "a\n" , 1 ] "#.to_owned());
    assert_eq!(Json::from_text(&text).unwrap().bytes().as_ptr(), text.as_ptr());
    for (text, breaks) in [("[1, 2]", false), ("[1,\n2]", true), ("[1]\r", true), (r#"["\n"]"#, false)] {
        assert_eq!(check(text.as_bytes()).unwrap().breaks, breaks, "{text:?}");
    }
}

#[test]
fn both_encodings_are_parsed_and_shown_as_what_they_are() {
    let packed = Json::from_checked(Bytes::from_static(b"\x81\xa1a\x01"), JsonEncoding::MessagePack);
    for json in [json(r#"{"a":1}"#), packed.clone()] {
        assert_eq!(json.parse::<Value>().unwrap(), serde_json::json!({"a": 1}));
        assert!(json.parse::<Vec<u8>>().is_err());
    }
    assert_eq!(format!("{:?}", json(r#"{"a":1}"#)), r#"{"a":1}"#);
    assert_eq!(format!("{packed:?}"), r#"MessagePack(b"\x81\xa1a\x01")"#);
    assert_eq!((json("1").encoding(), packed.encoding()), (JsonEncoding::Text, JsonEncoding::MessagePack));
}

#[test]
fn an_error_says_where_the_text_stops_being_json_and_whether_it_is_only_too_deep() {
    for (text, at) in [("", 0), ("[1,]", 3), ("nul", 0), ("{\"a\" 1}", 0), ("[1] x", 4), ("[1 2]", 3), ("  }", 2)] {
        let error = check(text.as_bytes()).unwrap_err();
        assert_eq!((error.to_string(), error.is_too_deep()), (format!("not JSON at byte {at}"), false), "{text}");
    }
    let deep = "[".repeat(65) + &"]".repeat(65);
    let error = Json::from_text(&deep.into()).unwrap_err();
    assert!(error.is_too_deep());
    assert_eq!((error.to_string().as_str(), MAX_DEPTH), ("nested deeper than 64 levels", 64));
    assert!(!json("1").parse::<String>().unwrap_err().is_too_deep());
}

#[test]
fn a_value_that_cannot_be_json_is_an_error_where_it_is_made() {
    let keys = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert!(!Json::new(&keys).unwrap_err().is_too_deep());
    let nested = |depth: u32| (0..depth).fold(Value::Null, |value, _| serde_json::json!({"a": value}));
    assert!(Json::new(&nested(64)).is_ok());
    assert!(Json::new(&nested(65)).unwrap_err().is_too_deep());
    assert_eq!(Json::new("a\nb").unwrap().bytes(), r#""a\nb""#);
}

/// Every way to write a number, a literal and an escape, and how each goes wrong.
#[test]
fn scalars_are_those_of_rfc_8259() {
    let good = [
        "0",
        "-0",
        "7",
        "-12",
        "0.5",
        "10.25",
        "1e9",
        "1E9",
        "1e+9",
        "1e-9",
        "-0.0e0",
        "true",
        "false",
        "null",
        "\"\"",
        r#""\"\\\/\b\f\n\r\t""#,
        r#""\u0000""#,
        r#""\uFFFF""#,
        r#""\ud7ff\ue000""#,
        r#""\ud800\udc00""#,
        r#""\uDBFF\uDFFF""#,
        "\"\u{7f}\"",
        "1e999",
    ];
    let bad = [
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1.e1",
        "1e",
        "1e+",
        "1e1.5",
        "0x1",
        "1_0",
        "truE",
        "tru",
        "truee",
        "falsey",
        "nil",
        "NaN",
        "Infinity",
        "'a'",
        "\"",
        "\"\\\"",
        r#""\x""#,
        r#""\u12""#,
        r#""\u12g4""#,
        r#""\ud800""#,
        r#""\ud800\u0041""#,
        r#""\ud800\ud800""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
        r#""\udc00""#,
        r#""\udfff""#,
        "\"\u{1f}\"",
    ];
    for text in good {
        for text in [text.to_owned(), format!("[{text},{text}]"), format!("{{\"a\":{text}}}")] {
            assert!(check(text.as_bytes()).is_ok(), "{text}");
        }
    }
    for text in bad {
        for text in [text.to_owned(), format!("[{text}]"), format!("{{\"a\":{text}}}")] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
    }
}

/// Strings are passed over in pieces of 8 and 16 bytes.
#[test]
fn no_combination_of_special_characters_hides_another_in_a_long_string() {
    for before in 0..40 {
        for between in 0..20 {
            for (first, second) in [('\n', '\n'), ('\0', '\u{1f}'), ('"', '"'), ('"', '\n'), ('\n', '\\'), ('"', '\\')]
            {
                let filler = "#".repeat(20);
                let (before, between) = ("#".repeat(before), &filler[..between]);
                let text = format!("\"{before}{first}{between}{second}{filler}\"");
                assert!(check(text.as_bytes()).is_err(), "{text:?}");
            }
        }
        for times in 2..40 {
            let text = format!("\"{}{}", "#".repeat(before), "\"".repeat(times));
            assert!(check(text.as_bytes()).is_err(), "{text:?}");
            let text = format!("\"{}{}\"", "#".repeat(before), "\\".repeat(times));
            assert_eq!(check(text.as_bytes()).is_ok(), times % 2 == 0, "{text:?}");
        }
    }
}

#[test]
fn every_bracket_is_closed_by_its_own_kind_at_every_depth() {
    let good = ["[]", "{}", " [ ] ", " { } ", "[[],{},[{}]]", r#"{"a":[{"b":[]}],"c":{}}"#, r#"{"a":1,"a":2}"#];
    let bad = [
        "[",
        "{",
        "]",
        "}",
        "[}",
        "{]",
        "[1}",
        r#"{"a":1]"#,
        "[[1}]",
        "[{]}",
        r#"{"a":[}]"#,
        "[[]",
        "[]]",
        "{}}",
        "[][]",
        "[1,]",
        "[,1]",
        "[,]",
        "[1,,2]",
        "{,}",
        r#"{"a":1,}"#,
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1 "b":2}"#,
        "{1:2}",
        "{a:1}",
        r#"{"a":1:2}"#,
        r#"["a":1]"#,
        "[1;2]",
        " ",
        "\u{a0}[]",
        "[\u{b}]",
    ];
    for text in good {
        assert!(check(text.as_bytes()).is_ok(), "{text}");
    }
    for text in bad {
        assert!(check(text.as_bytes()).is_err(), "{text}");
    }
    for kinds in 0..1_u32 << 10 {
        let open = |level: u32| if kinds >> level & 1 == 0 { "[" } else { "{\"\":" };
        let close = |level: u32| if kinds >> level & 1 == 0 { "]" } else { "}" };
        let opened: String = (0..10).map(open).collect();
        let closed: String = (0..10).rev().map(close).collect();
        assert!(check(format!("{opened}1{closed}").as_bytes()).is_ok());
        let mirrored: String = (0..10).rev().map(|level| if close(level) == "]" { "}" } else { "]" }).collect();
        for wrong in 0..10 {
            let closed = format!("{}{}{}", &closed[..wrong], &mirrored[wrong..=wrong], &closed[wrong + 1..]);
            assert!(check(format!("{opened}1{closed}").as_bytes()).is_err(), "{opened}1{closed}");
        }
    }
}

#[test]
fn a_member_with_a_name_that_serde_json_keeps_for_itself_is_a_member_like_any_other() {
    // SPEC SEC-3: what was checked is what the application sees.
    for name in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        for value in [r#""[1,2]""#, "5"] {
            let text = format!("{{\"{name}\":{value}}}");
            let json = Json::from_text(&text.as_str().into()).unwrap();
            assert_eq!(json.parse::<Value>().unwrap().to_string(), text);
        }
    }
}

#[test]
fn a_value_is_to_be_had_as_text_whatever_it_is_written_in() {
    for text in ["null", "[1,-2,1.5,\"a\\n😀\"]", "{\"a\":{\"b\":[]}}", "18446744073709551615", "-9223372036854775808"]
    {
        let json = Json::from_text(&text.into()).unwrap();
        assert_eq!(json.to_text().unwrap(), text);
        let Ok(Unit::Binary(unit)) = MESSAGEPACK.encode(Frame::Message(Payload::Json(json))) else { panic!() };
        let Ok(Frame::Message(Payload::Json(packed))) = MESSAGEPACK.decode(Unit::Binary(unit)) else { panic!() };
        assert_eq!((packed.encoding(), packed.to_text().unwrap().as_str()), (JsonEncoding::MessagePack, text));
    }
    assert!(Json::from_checked(b"\xff"[..].into(), JsonEncoding::Text).to_text().is_err());
}
