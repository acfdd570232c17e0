use base64_simd::STANDARD;
use bytes::Bytes;
use nosphere_core::{
    Close, EncodeError, Envelope, Frame, Json, JsonEncoding, MAX_DEPTH, Offer, Open, Opened, Payload, Reply, Request,
    Text, Window, json,
};

use super::{NAME, is_plain};
use crate::rules::{self, millis};
use crate::transcode;

/// Writes a frame.
pub(super) fn frame(frame: &Frame) -> Result<Text, EncodeError> {
    if let Some(fault) = rules::fault(frame) {
        return Err(EncodeError::new(NAME, fault));
    }
    let unit = match frame {
        Frame::Message(payload) => message("{", payload)?,
        Frame::Request(Request { id, payload }) => message(&format!(r#"{{"request":{id},"#), payload)?,
        Frame::Reply(Reply { id, payload }) => message(&format!(r#"{{"reply":{id},"#), payload)?,
        Frame::Open(Open { attachment, window }) => {
            format!(r#"{{"open":{{"attachment":{attachment},"window":{}}}}}"#, window_body(*window))
        }
        Frame::Opened(opened) => opened_frame(opened),
        Frame::Resume(Offer { session, token, attachment, received }) => format!(
            r#"{{"resume":{{"session":"{session}","token":"{}","attachment":{attachment},"received":{received}}}}}"#,
            token.reveal()
        ),
        Frame::Resumed { received } => format!(r#"{{"resumed":{{"received":{received}}}}}"#),
        Frame::Reset { text } => string_frame("{", "reset", text),
        Frame::Ack { received } => format!(r#"{{"ack":{received}}}"#),
        Frame::Ping { received } => format!(r#"{{"ping":{received}}}"#),
        Frame::Pong { received } => format!(r#"{{"pong":{received}}}"#),
        Frame::Close(Close { code, reason, received }) => {
            let mut unit = format!(r#"{{"close":{{"code":{code},"reason":"#);
            push_string(&mut unit, reason);
            unit + &format!(r#","received":{received}}}}}"#)
        }
        _ => return Err(EncodeError::new(NAME, "a frame that SPEC §2 does not have")),
    };
    Ok(unit.into())
}

/// Appends a string literal.
pub(crate) fn push_string(out: &mut String, text: &str) {
    if is_plain(text.as_bytes()) {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// A message that begins with what stands before the name of its kind.
pub(super) fn message(open: &str, payload: &Payload) -> Result<String, EncodeError> {
    match payload {
        Payload::Text(text) => Ok(string_frame(open, "text", text)),
        Payload::Json(json) => json_message(open, json),
        Payload::Binary(bytes) => Ok(binary_message(open, bytes)),
    }
}

/// What is written around a payload that is written as it is.
pub(super) fn envelope(payload: &Payload) -> Option<Envelope> {
    const TEXT: Envelope = Envelope::new(true, br#"{"text":""#, br#""}"#);
    const JSON: Envelope = Envelope::new(true, br#"{"json":"#, b"}");
    match payload {
        Payload::Text(text) => (text.is_verbatim() || is_plain(text.as_bytes())).then_some(TEXT),
        Payload::Json(json) if json.encoding() == JsonEncoding::Text => checked_text(json.bytes()).ok().map(|_| JSON),
        Payload::Binary(_) | Payload::Json(_) => None,
    }
}

fn string_frame(open: &str, name: &str, text: &Text) -> String {
    const MARKS: usize = "\"\":\"\"}".len();
    let mut unit = String::with_capacity(open.len() + name.len() + MARKS + text.len());
    unit.push_str(open);
    unit.push('"');
    unit.push_str(name);
    unit.push_str("\":");
    push_string(&mut unit, text);
    unit.push('}');
    unit
}

fn json_message(open: &str, json: &Json) -> Result<String, EncodeError> {
    let transcoded;
    let payload = match json.encoding() {
        JsonEncoding::Text => json.bytes().as_ref(),
        JsonEncoding::MessagePack => {
            transcoded = transcode::to_text(json.bytes()).map_err(|what| EncodeError::new(NAME, what))?;
            transcoded.as_bytes()
        }
    };
    Ok([open, r#""json":"#, checked_text(payload)?, "}"].concat())
}

/// JSON text as others said that it is, if it can be written.
fn checked_text(payload: &[u8]) -> Result<&str, EncodeError> {
    let text = str::from_utf8(payload).map_err(|_| EncodeError::new(NAME, "JSON that is not UTF-8"))?;
    if may_be_too_deep(payload) && json::check(payload).is_err() {
        return Err(EncodeError::new(NAME, "JSON nested deeper than 64 levels"));
    }
    Ok(text)
}

/// Whether the payload has enough brackets, in strings or not, to nest too deep.
fn may_be_too_deep(payload: &[u8]) -> bool {
    const DEPTH: usize = MAX_DEPTH as usize;
    // Counted in bytes, 16 at once.
    let opens = |chunk: &[u8]| usize::from(chunk.iter().map(|&byte| u8::from(byte | 0x20 == b'{')).sum::<u8>());
    payload.len() > 2 * DEPTH && payload.chunks(255).map(opens).sum::<usize>() > DEPTH
}

fn binary_message(open: &str, bytes: &Bytes) -> String {
    const NAME: &str = r#""binary":""#;
    let mut unit = String::with_capacity(open.len() + NAME.len() + bytes.len().div_ceil(3) * 4 + 2);
    unit.push_str(open);
    unit.push_str(NAME);
    STANDARD.encode_append(bytes, &mut unit);
    unit.push_str("\"}");
    unit
}

/// Every session has one: the machinery of formatting makes it three times as dear. Nothing is to spare in the memory, or
/// sharing it takes another allocation.
fn opened_frame(opened: &Opened) -> String {
    const NAMES: [&[u8]; 9] = [
        br#"{"opened":{"session":""#,
        br#"","token":""#,
        br#"","heartbeat":"#,
        br#","timeout":"#,
        br#","proof":"#,
        br#","resume":"#,
        br#","window":{"messages":"#,
        br#","bytes":"#,
        b"}}}",
    ];
    let Opened { session, token, heartbeat, timeout, proof, resume, window } = opened;
    let mut digits = [(); 6].map(|()| itoa::Buffer::new());
    let [a, b, c, d, e, f] = &mut digits;
    let numbers = [
        a.format(millis(*heartbeat)),
        b.format(millis(*timeout)),
        c.format(millis(*proof)),
        d.format(millis(*resume)),
        e.format(window.messages),
        f.format(window.bytes),
    ];
    let [before_session, before_token, between @ .., end] = NAMES;
    let fixed = const {
        let (mut sum, mut at) = (36 + 32, 0);
        while at < NAMES.len() {
            sum += NAMES[at].len();
            at += 1;
        }
        sum
    };
    let mut unit = Vec::with_capacity(fixed + numbers.iter().map(|number| number.len()).sum::<usize>());
    unit.extend_from_slice(before_session);
    unit.extend_from_slice(&hyphenated(&hex(session.as_bytes())));
    unit.extend_from_slice(before_token);
    unit.extend_from_slice(&hex(token.as_bytes()));
    for (name, number) in between.into_iter().zip(numbers) {
        unit.extend_from_slice(name);
        unit.extend_from_slice(number.as_bytes());
    }
    unit.extend_from_slice(end);
    // It is ASCII.
    String::from_utf8(unit).unwrap_or_default()
}

/// The form of a UUID.
fn hyphenated(hex: &[u8; 32]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    for (to, from) in [(0..8, 0..8), (9..13, 8..12), (14..18, 12..16), (19..23, 16..20), (24..36, 20..32)] {
        text[to].copy_from_slice(&hex[from]);
    }
    text
}

/// Two digits for each byte. Without a table, the compiler makes all of them at once.
fn hex(bytes: &[u8; 16]) -> [u8; 32] {
    let digit = |nibble: u8| nibble + b'0' + u8::from(nibble > 9) * (b'a' - b'0' - 10);
    let mut hex = [0; 32];
    for (pair, byte) in hex.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    hex
}

fn window_body(Window { messages, bytes }: Window) -> String {
    format!(r#"{{"messages":{messages},"bytes":{bytes}}}"#)
}
