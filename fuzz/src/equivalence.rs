use bytes::Bytes;
use nosphere_core::{
    DecodeError, Frame, Json, JsonEncoding, Payload, Reply, Request, RequestId, Text, Unit, WireFormat,
};
use nosphere_wire::{JSON, MESSAGEPACK, PLAIN};
use serde_json::Value;

/// JSON against MessagePack: what one format reads, the other writes and reads as the same; and there and back nothing
/// moves any more after the first time.
///
/// The bytes are tried as a unit of either format and as a JSON payload in either encoding. MessagePack makes nearly any
/// bytes a value, which is why nothing more structured is needed here.
pub fn equivalence(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    cross(&MESSAGEPACK, Unit::Binary(bytes.clone()));
    packed_payload(&bytes);
    if let Ok(text) = Text::from_utf8(bytes) {
        cross(&JSON, Unit::Text(text.clone()));
        text_payload(&text);
    }
}

/// Nobody checked these bytes: whoever writes them in the other encoding must refuse just what a reader refuses.
fn packed_payload(bytes: &Bytes) {
    let unit = Unit::Binary([&[0x92, 6][..], bytes].concat().into());
    let json = Json::from_checked(bytes.clone(), JsonEncoding::MessagePack);
    let (read, written) = (MESSAGEPACK.decode(unit.clone()), JSON.encode(Frame::Message(Payload::Json(json))));
    assert_eq!(read.is_ok(), written.is_ok(), "{unit:?}: {read:?}, {written:?}");
    cross(&MESSAGEPACK, unit);
}

/// The same of JSON text, but that MessagePack has no numbers as large as JSON's.
fn text_payload(text: &Text) {
    let unit = Unit::Text(format!(r#"{{"json":{text}}}"#).into());
    let json = Json::from_checked(text.bytes().clone(), JsonEncoding::Text);
    let (read, written) = (JSON.decode(unit.clone()), MESSAGEPACK.encode(Frame::Message(Payload::Json(json))));
    assert!(matches!(read, Ok(Frame::Message(_)) | Err(DecodeError::Payload(_))), "{unit:?} hides that it counts");
    assert_eq!(read.is_ok() && !has_number_beyond(text), written.is_ok(), "{unit:?}: {read:?}, {written:?}");
    cross(&JSON, unit);
}

/// The bytes of a payload, asked and answered: a request or a reply is what its message is.
fn exchanged(from: &dyn WireFormat, payload: &Payload) {
    let id = RequestId(payload.len() as u64);
    for frame in
        [Frame::Request(Request { id, payload: payload.clone() }), Frame::Reply(Reply { id, payload: payload.clone() })]
    {
        let unit = write(from, &frame);
        assert_same(&frame, &read(from, &unit));
        cross(from, unit);
    }
}

/// A unit that `from` can read goes to the other format and comes back.
fn cross(from: &dyn WireFormat, unit: Unit) {
    let Ok(frame) = from.decode(unit) else { return };
    let to: &dyn WireFormat = if from.is_text() { &MESSAGEPACK } else { &JSON };
    let json = parts(&frame).and_then(|(_, payload)| if let Payload::Json(json) = payload { Some(json) } else { None });
    let beyond = json.is_some_and(|json| from.is_text() && has_number_beyond(text(json)));
    let there = match to.encode(frame.clone()) {
        Ok(unit) => unit,
        Err(error) => return assert!(beyond, "{frame:?}: {error}"),
    };
    assert!(!beyond, "{frame:?} lost a number in {there:?}");
    assert_same(&frame, &read(to, &there));
    let back = write(from, &read(to, &there));
    assert_same(&frame, &read(from, &back));
    let again = write(to, &read(from, &back));
    assert_eq!(again, there, "a second time it is another unit");
    assert_eq!(write(from, &read(to, &again)), back, "a second time it is another unit");
    if let Frame::Message(payload) = &frame {
        exchanged(from, payload);
    }
    if let Frame::Message(Payload::Json(json)) = &frame {
        let plain = write(&PLAIN, &frame);
        let plain: Value =
            serde_json::from_slice(plain.as_bytes()).unwrap_or_else(|error| panic!("{plain:?}: {error}"));
        assert_eq!(plain.to_string(), value(json).to_string());
    }
}

fn read(format: &dyn WireFormat, unit: &Unit) -> Frame {
    match format.decode(unit.clone()) {
        Ok(frame) => frame,
        Err(error) => panic!("{} wrote {unit:?} and cannot read it: {error}", format.name()),
    }
}

fn write(format: &dyn WireFormat, frame: &Frame) -> Unit {
    match format.encode(frame.clone()) {
        Ok(unit) => unit,
        Err(error) => panic!("{} cannot write {frame:?} again: {error}", format.name()),
    }
}

/// The same frame. JSON values are the same by RFC 8259's data model, whatever they are encoded in; as text, since `==`
/// takes `0.0` for `-0.0`.
fn assert_same(a: &Frame, b: &Frame) {
    match (parts(a), parts(b)) {
        (Some((id, Payload::Json(json))), Some((other_id, Payload::Json(other)))) => {
            assert_eq!(value(json).to_string(), value(other).to_string(), "{json:?}, {other:?}");
            assert_eq!((id, std::mem::discriminant(a)), (other_id, std::mem::discriminant(b)));
        }
        _ => assert_eq!(a, b),
    }
}

/// What a message holds, and its number if it asks or answers.
fn parts(frame: &Frame) -> Option<(Option<RequestId>, &Payload)> {
    if let Frame::Request(Request { id, payload }) | Frame::Reply(Reply { id, payload }) = frame {
        return Some((Some(*id), payload));
    }
    if let Frame::Message(payload) = frame { Some((None, payload)) } else { None }
}

fn value(json: &Json) -> Value {
    match json.parse() {
        Ok(value) => value,
        Err(error) => panic!("{json:?} was checked and cannot be parsed: {error}"),
    }
}

fn text(json: &Json) -> &str {
    std::str::from_utf8(json.bytes()).unwrap_or_default()
}

/// Whether JSON text has a number that MessagePack has not: an integer beyond 64 bits, a fraction beyond 64-bit floats.
fn has_number_beyond(text: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    let outside: String = text
        .chars()
        .map(|c| {
            let string = quoted || c == '"';
            quoted ^= c == '"' && !escaped;
            escaped = quoted && c == '\\' && !escaped;
            if string { ' ' } else { c }
        })
        .collect();
    let numbers = outside.split(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    numbers.filter(|number| number.starts_with(|c: char| c == '-' || c.is_ascii_digit())).any(|number| {
        if number.contains(['.', 'e', 'E']) {
            !number.parse().is_ok_and(f64::is_finite)
        } else {
            number.parse::<u64>().is_err() && number.parse::<i64>().is_err()
        }
    })
}
