use std::str::FromStr;

use bytes::Bytes;
use nosphere_core::{
    Arena, DecodeError, EncodeError, Envelope, Frame, Json, JsonEncoding, Kind, Lent, MAX_COUNT, Payload, PayloadError,
    ResumeToken, SessionId, Text, Unit, WireFormat, json,
};

use crate::transcode::{self, literal_length};

const NAME: &str = "plain";

/// The format `plain`, without envelopes: for a raw `WebSocket`, an `EventSource`, or curl (SPEC §15).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "stateless for ever: SPEC §15 leaves nothing to configure")]
pub struct PlainFormat;

/// The format `plain`.
pub static PLAIN: PlainFormat = PlainFormat;

impl PlainFormat {
    /// The message that the body of a POST holds (SPEC PLN-7).
    ///
    /// # Errors
    ///
    /// When a body that claims to be JSON or text is not.
    pub fn read_body(self, kind: Kind, body: Bytes) -> Result<Payload, PayloadError> {
        if kind == Kind::Binary {
            return Ok(Payload::Binary(body));
        }
        let text = Text::from_utf8(body).map_err(|_| PayloadError::new(kind, "not UTF-8"))?;
        if kind == Kind::Text {
            return Ok(read_text(text));
        }
        let value = text.trim_matches([' ', '\t', '\n', '\r']);
        let json = Json::from_text(&text.slice_of(value));
        json.map(Payload::Json).map_err(|error| PayloadError::new(kind, error.to_string()))
    }

    /// The `Content-Type` of a body that holds one message (SPEC PLN-6).
    pub fn content_type(self, kind: Kind) -> &'static str {
        match kind {
            Kind::Binary => "application/octet-stream",
            Kind::Json => "application/json",
            Kind::Text => "text/plain;charset=utf-8",
        }
    }
}

impl WireFormat for PlainFormat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn encode(&self, frame: Frame) -> Result<Unit, EncodeError> {
        let Frame::Message(payload) = frame else { return Err(EncodeError::new(NAME, "control frames")) };
        match payload {
            Payload::Text(text) => Ok(Unit::Text(text)),
            Payload::Json(json) => write_json(&json).map(Unit::Text),
            Payload::Binary(bytes) => Ok(Unit::Binary(bytes)),
        }
    }

    fn decode(&self, unit: Unit) -> Result<Frame, DecodeError> {
        Ok(Frame::Message(match unit {
            Unit::Text(text) => read_text(text),
            Unit::Binary(bytes) => Payload::Binary(bytes),
        }))
    }

    fn decode_lent(&self, unit: Lent<'_>, arena: &mut Arena) -> Result<Frame, DecodeError> {
        Ok(Frame::Message(match unit {
            Lent::Text(text) => read_lent(text, arena),
            Lent::Binary(bytes) => Payload::Binary(arena.bytes(bytes)),
        }))
    }

    fn envelope(&self, payload: &Payload) -> Option<Envelope> {
        const TEXT: Envelope = Envelope::new(true, b"", b"");
        const BINARY: Envelope = Envelope::new(false, b"", b"");
        match payload {
            Payload::Binary(_) => Some(BINARY),
            Payload::Text(_) => Some(TEXT),
            Payload::Json(json) => {
                let as_is = json.encoding() == JsonEncoding::Text && is_compact(json.bytes());
                (as_is && str::from_utf8(json.bytes()).is_ok()).then_some(TEXT)
            }
        }
    }

    fn encode_given(&self, payload: Payload) -> Result<Unit, (Payload, EncodeError)> {
        match payload {
            Payload::Text(text) => Ok(Unit::Text(text)),
            Payload::Json(json) => write_json(&json).map(Unit::Text).map_err(|error| (Payload::Json(json), error)),
            Payload::Binary(bytes) => Ok(Unit::Binary(bytes)),
        }
    }
}

fn read_text(text: Text) -> Payload {
    match json_part(&text).map(|part| Json::from_text(&text.slice_of(part))) {
        Some(Ok(json)) => Payload::Json(json),
        Some(Err(_)) | None => Payload::Text(text),
    }
}

fn read_lent(text: &str, arena: &mut Arena) -> Payload {
    match json_part(text).map(|part| Json::from_text(&arena.text(part))) {
        Some(Ok(json)) => Payload::Json(json),
        Some(Err(_)) | None => Payload::Text(arena.text(text)),
    }
}

/// What may be JSON by its ends.
fn json_part(text: &str) -> Option<&str> {
    if !matches!(text.as_bytes(), [..=b' ' | b'{' | b'[', ..]) {
        // Most text does not even begin like it.
        return None;
    }
    let trimmed = text.trim_matches(|c| c <= ' ');
    (trimmed.starts_with(['{', '[']) && trimmed.ends_with(['}', ']'])).then_some(trimmed)
}

fn write_json(json: &Json) -> Result<Text, EncodeError> {
    let inexpressible = |what| EncodeError::new(NAME, what);
    let bytes = match json.encoding() {
        JsonEncoding::Text => json.bytes().clone(),
        JsonEncoding::MessagePack => transcode::to_text(json.bytes()).map_err(inexpressible)?.into(),
    };
    let text = Text::from_utf8(bytes).map_err(|_| inexpressible("text that is not UTF-8"))?;
    Ok(if is_compact(text.as_bytes()) { text } else { json::compact(&text).into() })
}

/// Whether JSON text has no white space between its tokens.
fn is_compact(mut text: &[u8]) -> bool {
    loop {
        let quote = memchr::memchr(b'"', text).unwrap_or(text.len());
        let (tokens, rest) = text.split_at(quote);
        if tokens.iter().any(|&byte| byte <= b' ') {
            return false;
        }
        let Some(length) = literal_length(rest) else { return true };
        text = &rest[length..];
    }
}

/// The `id:` of a plain server-sent event, which a stock `EventSource` repeats as `Last-Event-ID` (SPEC PLN-3).
///
/// ```
/// # use nosphere_wire::EventId;
/// let text = "24f98d6b-c271-4169-8f9c-217343b62aa7.00112233445566778899aabbccddeeff.17";
/// let id: EventId = text.parse()?;
/// assert_eq!(id.count, 17);
/// assert_eq!(id.reveal(), text);
/// # Ok::<(), nosphere_wire::InvalidEventId>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "SPEC PLN-3 has these parts; adapters build it")]
pub struct EventId {
    /// Which session.
    pub session: SessionId,
    /// The right to it.
    pub token: ResumeToken,
    /// The count of messages up to this event.
    pub count: u64,
}

impl EventId {
    /// The id as it is written, token included: for the wire only.
    pub fn reveal(&self) -> String {
        format!("{}.{}.{}", self.session, self.token.reveal(), self.count)
    }
}

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        let read = || {
            let (session, rest) = text.split_once('.')?;
            let (token, count) = rest.split_once('.')?;
            let count = digits(count).filter(|&count| count <= MAX_COUNT)?;
            Some(Self { session: session.parse().ok()?, token: token.parse().ok()?, count })
        };
        read().ok_or(InvalidEventId)
    }
}

/// A number of digits only, without a sign.
pub(crate) fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// A text that is not the id of a plain event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not of the form <session>.<token>.<count>")]
#[non_exhaustive]
pub struct InvalidEventId;

#[cfg(test)]
mod tests {
    use nosphere_core::{Request, RequestId};

    use super::*;

    /// SPEC PLN-1.
    #[test]
    fn text_that_parses_as_an_object_or_array_is_json_and_all_other_text_is_itself() {
        for (text, json) in [
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("[]", "[]"),
            (" \t\r\n[1, 2]\0\u{1f} ", "[1, 2]"),
            ("{\"a\":\n1}", r#"{"a":1}"#),
        ] {
            let Payload::Json(read) = decode(text) else { panic!("{text:?}") };
            assert_eq!(read.bytes(), json);
        }
        let deep = "[".repeat(65) + &"]".repeat(65);
        for text in
            ["", " ", "17", "\"a\"", "null", "{", "[1}", "{a:1}", "[1] x", " {\"a\":} ", "\u{a0}[]", "  hello\n", &deep]
        {
            assert_eq!(decode(text), Payload::Text(text.into()));
        }
        let deepest = "[".repeat(64) + &"]".repeat(64);
        assert!(matches!(decode(&deepest), Payload::Json(_)));
    }

    /// SPEC PLN-2.
    #[test]
    fn text_goes_out_verbatim_and_json_compact() {
        assert_eq!(encode(Payload::Text(" {\"a\": 1}\r\n".into())), " {\"a\": 1}\r\n");
        let loose = Json::from_text(&" { \"a b\" : [ 1 , 2 ] } ".into()).unwrap();
        assert_eq!(encode(Payload::Json(loose)), r#"{"a b":[1,2]}"#);
        let packed = Json::from_checked(Bytes::from_static(b"\x81\xa1a\x91\xc0"), JsonEncoding::MessagePack);
        assert_eq!(encode(Payload::Json(packed)), r#"{"a":[null]}"#);
    }

    #[test]
    fn compact_json_is_written_without_a_copy() {
        let text = Text::from(r#"{"a":"long enough to be on the heap"}"#);
        let unit = PLAIN.encode(Frame::Message(Payload::Json(Json::from_text(&text).unwrap()))).unwrap();
        assert_eq!(unit.as_bytes().as_ptr(), text.as_ptr());
    }

    /// SPEC §15.
    #[test]
    fn binary_is_binary_and_there_are_no_control_frames() {
        let bytes = Bytes::from_static(b"[1]");
        let frame = Frame::Message(Payload::Binary(bytes.clone()));
        assert_eq!(PLAIN.decode(Unit::Binary(bytes.clone())), Ok(frame.clone()));
        assert_eq!(PLAIN.encode(frame), Ok(Unit::Binary(bytes)));
        let asked = Request { id: RequestId(1), payload: Payload::Text("a".into()) };
        for frame in [Frame::Ack { received: 0 }, Frame::Reset { text: Text::new() }, Frame::Request(asked)] {
            assert!(PLAIN.encode(frame).is_err());
        }
    }

    /// SPEC PLN-6.
    #[test]
    fn a_body_says_which_kind_of_message_it_holds() {
        let types = [Kind::Text, Kind::Json, Kind::Binary].map(|kind| PLAIN.content_type(kind));
        assert_eq!(types, ["text/plain;charset=utf-8", "application/json", "application/octet-stream"]);
    }

    /// SPEC PLN-7.
    #[test]
    fn the_content_type_tells_the_kind_of_a_body() {
        let read = |kind, body: &'static [u8]| PLAIN.read_body(kind, Bytes::from_static(body));
        assert_eq!(read(Kind::Binary, b"\xff"), Ok(Payload::Binary(Bytes::from_static(b"\xff"))));
        assert_eq!(read(Kind::Text, b" hi\n"), Ok(Payload::Text(" hi\n".into())));
        assert!(matches!(read(Kind::Text, b"[1]"), Ok(Payload::Json(_))));
        assert!(read(Kind::Text, b"\xff").is_err());
        let Ok(Payload::Json(json)) = read(Kind::Json, b"\n17 ") else { panic!() };
        assert_eq!(json.bytes(), "17", "any value, not only objects and arrays");
        for body in [&b""[..], b"{", b"hello", b"\xff", b"[1] [2]"] {
            assert!(read(Kind::Json, body).is_err());
        }
    }

    /// SPEC PLN-3.
    #[test]
    fn what_is_not_exactly_an_event_id_is_none() {
        let id = "24f98d6b-c271-4169-8f9c-217343b62aa7.00112233445566778899aabbccddeeff.0";
        assert_eq!(id.parse::<EventId>().unwrap().reveal(), id);
        let (head, _) = id.rsplit_once('.').unwrap();
        for text in ["", "17", "..", head, &id[1..], &format!("{head}."), &format!("{head}.-1")] {
            assert!(text.parse::<EventId>().is_err(), "{text}");
        }
        for count in ["+1", "1.0", " 1", "9007199254740992", "99999999999999999999"] {
            assert!(format!("{head}.{count}").parse::<EventId>().is_err(), "{count}");
        }
        assert!(format!("{head}.9007199254740991").parse::<EventId>().is_ok());
        assert!(!format!("{:?}", id.parse::<EventId>()).contains("00112233"), "Debug hides the token");
    }

    fn decode(text: &str) -> Payload {
        match PLAIN.decode(Unit::Text(text.into())) {
            Ok(Frame::Message(payload)) => payload,
            other => panic!("{other:?}"),
        }
    }

    fn encode(payload: Payload) -> String {
        match PLAIN.encode(Frame::Message(payload)) {
            Ok(Unit::Text(text)) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }
}
