//! What stands in headers, URLs, close frames and logs: names, codes, ids, tokens.

use nosphere_core::{Kind, MAX_COUNT, Reason, ResumeToken, SessionId, Time, WireFormat as _};
use nosphere_wire::{JSON, MESSAGEPACK};

use super::support::TRANSPORTS;

const SESSION: &str = "24f98d6b-c271-4169-8f9c-217343b62aa7";
const TOKEN: &str = "00112233445566778899aabbccddeeff";

/// The rows of SPEC §13, in their order, and the one code that is never sent.
const CODES: [(Reason, u16, &str); 16] = [
    (Reason::Closed, 1000, "closed"),
    (Reason::GoingAway, 1001, "going-away"),
    (Reason::TooLarge, 1009, "too-large"),
    (Reason::Internal, 1011, "internal"),
    (Reason::Malformed, 4400, "malformed"),
    (Reason::Forbidden, 4403, "forbidden"),
    (Reason::Timeout, 4408, "timeout"),
    (Reason::Fenced, 4409, "fenced"),
    (Reason::UnknownSession, 4410, "unknown-session"),
    (Reason::Unproved, 4411, "unproved"),
    (Reason::Expired, 4412, "expired"),
    (Reason::Window, 4413, "window"),
    (Reason::Unexpected, 4422, "unexpected"),
    (Reason::Overflow, 4429, "overflow"),
    (Reason::Unavailable, 4503, "unavailable"),
    (Reason::Lost, 1006, "lost"),
];

#[test]
fn transports_and_kinds_have_the_names_of_the_specification() {
    let names = ["websocket", "sse", "long-polling"];
    assert_eq!(TRANSPORTS.map(|transport| transport.name()), names);
    assert_eq!(TRANSPORTS.map(|transport| transport.to_string()), names);
    assert_eq!([Kind::Binary, Kind::Json, Kind::Text].map(|kind| kind.to_string()), ["binary", "json", "text"]);
}

#[test]
fn reasons_have_the_codes_and_names_of_the_specification_and_are_found_by_either() {
    for (reason, code, name) in CODES {
        assert_eq!((reason.code(), reason.name()), (code, name));
        assert_eq!((Reason::from_code(code), Reason::from_name(name)), (reason, Some(reason)));
        assert_eq!(reason.to_string(), format!("{name} ({code})"));
    }
    assert_eq!(Reason::from_name("no such name"), None);
}

#[test]
fn codes_of_the_application_and_unknown_ones_stay_what_they_are() {
    for code in [3000, 3999] {
        assert_eq!(Reason::from_code(code), Reason::Application(code));
        assert_eq!((Reason::Application(code).code(), Reason::Application(code).name()), (code, "application"));
    }
    for code in [0, 1002, 2999, 4000, 4504, u16::MAX] {
        assert_eq!(Reason::from_code(code), Reason::Other(code));
        assert_eq!((Reason::Other(code).code(), Reason::Other(code).name()), (code, "other"));
    }
}

#[test]
fn a_session_id_is_a_random_uuid_of_the_hyphenated_form() {
    let id: SessionId = SESSION.parse().unwrap();
    assert_eq!((id.to_string(), SessionId::from(*id.as_bytes())), (SESSION.to_owned(), id));
    assert_eq!(&id.as_bytes()[..3], b"\x24\xf9\x8d");
    let random = SessionId::from_random([0xff; 16]).to_string();
    assert_eq!(random, "ffffffff-ffff-4fff-bfff-ffffffffffff", "version 4, variant 1");
    for text in ["", &SESSION.replace('-', ""), &format!("{{{SESSION}}}"), &SESSION.replace('2', "g"), &SESSION[1..]] {
        assert!(text.parse::<SessionId>().is_err(), "{text:?}");
    }
}

#[test]
fn a_token_is_32_lower_case_digits_that_logs_do_not_show() {
    // SPEC §2, SEC-1
    let token: ResumeToken = TOKEN.parse().unwrap();
    assert_eq!((token.reveal().as_str(), token.as_bytes()[1], token.as_bytes()[15]), (TOKEN, 0x11, 0xff));
    assert_eq!(ResumeToken::from_random(*token.as_bytes()), token);
    assert_eq!(format!("{token:?}"), "ResumeToken(…)");
    let every: String = (0..16).map(|byte| format!("{:02x}", (byte * 0x11) ^ 0x0f)).collect();
    assert_eq!(every.parse::<ResumeToken>().unwrap().reveal(), every);
    for text in ["", &TOKEN[1..], &TOKEN.to_uppercase(), &TOKEN.replace('f', "g"), &format!("{TOKEN}0"), "é"] {
        assert!(text.parse::<ResumeToken>().is_err(), "{text:?}");
    }
}

#[test]
fn tokens_match_if_every_byte_does() {
    // SPEC SEC-1
    let token: ResumeToken = TOKEN.parse().unwrap();
    assert!(token.matches(&token.clone()));
    for at in 0..16 {
        let mut bytes = *token.as_bytes();
        bytes[at] ^= 0x80;
        assert!(!token.matches(&ResumeToken::from_random(bytes)), "byte {at}");
    }
}

#[test]
fn the_largest_count_is_one_that_every_language_holds() {
    // SPEC TRM-1
    assert_eq!(MAX_COUNT, 9_007_199_254_740_991);
}

#[test]
fn times_are_milliseconds_and_what_takes_less_takes_one() {
    use std::time::Duration;
    assert_eq!(Time(7) + Duration::from_nanos(1), Time(8));
    assert_eq!(Time(7) + Duration::from_millis(2), Time(9));
    assert_eq!(Time(7) + Duration::MAX, Time(u64::MAX));
    assert_eq!((Time(9) - Time(7), Time(7) - Time(9)), (Duration::from_millis(2), Duration::ZERO));
    assert_eq!(Time(7).to_string(), "7 ms");
}

#[test]
fn a_format_with_a_separator_is_text_and_one_without_is_not() {
    assert_eq!((JSON.is_text(), JSON.separator()), (true, Some(b'\n')));
    assert_eq!((MESSAGEPACK.is_text(), MESSAGEPACK.separator()), (false, None));
}
