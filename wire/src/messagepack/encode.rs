use nosphere_core::{Close, EncodeError, Frame, Json, JsonEncoding, Offer, Open, Opened, Payload, Window};
use rmp::encode::{ValueWriteError, write_array_len, write_bin, write_str, write_uint};

use super::{NAME, kind};
use crate::rules::{self, millis};
use crate::transcode;

type Written = Result<(), ValueWriteError>;

/// Writes a frame.
pub(super) fn frame(frame: &Frame) -> Result<Vec<u8>, EncodeError> {
    if let Some(fault) = rules::fault(frame) {
        return Err(EncodeError::new(NAME, fault));
    }
    if let Frame::Message(Payload::Json(json)) = frame {
        return message(json);
    }
    let mut out = Vec::new();
    write(&mut out, frame).map_err(|_| EncodeError::new(NAME, "a frame that SPEC §2 does not have"))?;
    Ok(out)
}

fn message(json: &Json) -> Result<Vec<u8>, EncodeError> {
    let transcoded;
    let payload = match json.encoding() {
        JsonEncoding::MessagePack => json.bytes().as_ref(),
        JsonEncoding::Text => {
            transcoded = transcode::to_messagepack(json.bytes()).map_err(|what| EncodeError::new(NAME, what))?;
            &transcoded
        }
    };
    Ok([&[FIXARRAY | 2, kind::JSON as u8], payload].concat())
}

fn write(out: &mut Vec<u8>, frame: &Frame) -> Written {
    match frame {
        Frame::Message(Payload::Text(text)) => {
            out.reserve_exact(2 + head_length(text.len()) + text.len());
            head(out, kind::TEXT, 1)?;
            write_str(out, text)
        }
        Frame::Message(Payload::Binary(bytes)) => {
            out.reserve_exact(2 + head_length(bytes.len()).max(2) + bytes.len());
            head(out, kind::BINARY, 1)?;
            write_bin(out, bytes)
        }
        Frame::Open(Open { attachment, window: Window { messages, bytes } }) => {
            integers(out, kind::OPEN, &[*attachment, (*messages).into(), (*bytes).into()])
        }
        Frame::Opened(Opened { session, token, heartbeat, timeout, proof, resume, window }) => {
            head(out, kind::OPENED, 8)?;
            write_bin(out, session.as_bytes())?;
            write_bin(out, token.as_bytes())?;
            for duration in [heartbeat, timeout, proof, resume] {
                write_uint(out, millis(*duration))?;
            }
            write_uint(out, window.messages.into())?;
            write_uint(out, window.bytes.into()).map(drop)
        }
        Frame::Resume(Offer { session, token, attachment, received }) => {
            head(out, kind::RESUME, 4)?;
            write_bin(out, session.as_bytes())?;
            write_bin(out, token.as_bytes())?;
            write_uint(out, *attachment)?;
            write_uint(out, *received).map(drop)
        }
        Frame::Resumed { received } => integers(out, kind::RESUMED, &[*received]),
        Frame::Reset { text } => {
            head(out, kind::RESET, 1)?;
            write_str(out, text)
        }
        Frame::Ack { received } => integers(out, kind::ACK, &[*received]),
        Frame::Ping { received } => integers(out, kind::PING, &[*received]),
        Frame::Pong { received } => integers(out, kind::PONG, &[*received]),
        Frame::Close(Close { code, reason, received }) => {
            head(out, kind::CLOSE, 3)?;
            write_uint(out, (*code).into())?;
            write_str(out, reason)?;
            write_uint(out, *received).map(drop)
        }
        Frame::Message(Payload::Json(_)) | _ => {
            Err(ValueWriteError::InvalidDataWrite(std::io::ErrorKind::Unsupported.into()))
        }
    }
}

fn integers(out: &mut Vec<u8>, kind: u64, fields: &[u64]) -> Written {
    head(out, kind, fields.len() as u32)?;
    fields.iter().try_for_each(|field| write_uint(out, *field).map(drop))
}

fn head(out: &mut Vec<u8>, kind: u64, fields: u32) -> Written {
    write_array_len(out, 1 + fields)?;
    write_uint(out, kind).map(drop)
}

/// The length of the head of a str, or of a bin of 32 bytes and more.
fn head_length(length: usize) -> usize {
    match length {
        0..32 => 1,
        32..256 => 2,
        256..0x1_0000 => 3,
        _ => 5,
    }
}

/// The head of an array of up to 15 elements.
const FIXARRAY: u8 = 0x90;
