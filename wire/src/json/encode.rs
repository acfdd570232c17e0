use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use nosphere_core::{
    Close, EncodeError, Frame, Json, JsonEncoding, MAX_DEPTH, Offer, Open, Opened, Payload, Text, Window, json,
};

use super::{NAME, is_plain};
use crate::rules::{self, millis};
use crate::transcode;

/// Writes a frame.
pub(super) fn frame(frame: &Frame) -> Result<Text, EncodeError> {
    if let Some(fault) = rules::fault(frame) {
        return Err(EncodeError::new(NAME, fault));
    }
    if let Frame::Message(payload) = frame {
        return match payload {
            Payload::Text(text) => Ok(string_frame("text", text).into()),
            Payload::Json(json) => json_message(json),
            Payload::Binary(bytes) => Ok(binary_message(bytes).into()),
        };
    }
    let unit = match frame {
        Frame::Open(Open { attachment, window }) => {
            format!(r#"{{"open":{{"attachment":{attachment},"window":{}}}}}"#, window_body(*window))
        }
        Frame::Opened(opened) => opened_frame(opened),
        Frame::Resume(Offer { session, token, attachment, received }) => format!(
            r#"{{"resume":{{"session":"{session}","token":"{}","attachment":{attachment},"received":{received}}}}}"#,
            token.reveal()
        ),
        Frame::Resumed { received } => format!(r#"{{"resumed":{{"received":{received}}}}}"#),
        Frame::Reset { text } => string_frame("reset", text),
        Frame::Ack { received } => format!(r#"{{"ack":{received}}}"#),
        Frame::Ping { received } => format!(r#"{{"ping":{received}}}"#),
        Frame::Pong { received } => format!(r#"{{"pong":{received}}}"#),
        Frame::Close(Close { code, reason, received }) => {
            let mut unit = format!(r#"{{"close":{{"code":{code},"reason":"#);
            push_string(&mut unit, reason);
            unit + &format!(r#","received":{received}}}}}"#)
        }
        Frame::Message(_) | _ => return Err(EncodeError::new(NAME, "a frame that SPEC §2 does not have")),
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

fn string_frame(name: &str, text: &Text) -> String {
    let mut unit = String::with_capacity(r#"{"":""}"#.len() + name.len() + text.len());
    unit.push_str("{\"");
    unit.push_str(name);
    unit.push_str("\":");
    push_string(&mut unit, text);
    unit.push('}');
    unit
}

fn json_message(json: &Json) -> Result<Text, EncodeError> {
    let inexpressible = |what| EncodeError::new(NAME, what);
    let transcoded;
    let payload = match json.encoding() {
        JsonEncoding::Text => str::from_utf8(json.bytes()).map_err(|_| inexpressible("JSON that is not UTF-8"))?,
        JsonEncoding::MessagePack => {
            transcoded = transcode::to_text(json.bytes()).map_err(inexpressible)?;
            &transcoded
        }
    };
    if may_be_too_deep(payload.as_bytes()) && json::check(payload.as_bytes()).is_err() {
        return Err(inexpressible("JSON nested deeper than 64 levels"));
    }
    Ok([r#"{"json":"#, payload, "}"].concat().into())
}

/// Whether the payload has enough brackets, in strings or not, to nest too deep.
fn may_be_too_deep(payload: &[u8]) -> bool {
    const DEPTH: usize = MAX_DEPTH as usize;
    // Counted in bytes, 16 at once.
    let opens = |chunk: &[u8]| usize::from(chunk.iter().map(|&byte| u8::from(byte | 0x20 == b'{')).sum::<u8>());
    payload.len() > 2 * DEPTH && payload.chunks(255).map(opens).sum::<usize>() > DEPTH
}

fn binary_message(bytes: &Bytes) -> String {
    const OPEN: &str = r#"{"binary":""#;
    let mut unit = String::with_capacity(OPEN.len() + bytes.len().div_ceil(3) * 4 + 2);
    unit.push_str(OPEN);
    STANDARD.encode_string(bytes, &mut unit);
    unit.push_str("\"}");
    unit
}

fn opened_frame(opened: &Opened) -> String {
    let Opened { session, token, heartbeat, timeout, proof, resume, window } = opened;
    format!(
        r#"{{"opened":{{"session":"{session}","token":"{}","heartbeat":{},"timeout":{},"proof":{},"resume":{},"window":{}}}}}"#,
        token.reveal(),
        millis(*heartbeat),
        millis(*timeout),
        millis(*proof),
        millis(*resume),
        window_body(*window)
    )
}

fn window_body(Window { messages, bytes }: Window) -> String {
    format!(r#"{{"messages":{messages},"bytes":{bytes}}}"#)
}
