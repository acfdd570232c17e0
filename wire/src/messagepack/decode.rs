use bytes::{Buf as _, Bytes};
use nosphere_core::{
    Arena, Close, DecodeError, Frame, Json, JsonEncoding, Kind, Offer, Open, Opened, Payload, PayloadError, Reply,
    Request, RequestId, ResumeToken, Text, Window,
};

use super::read::{Problem, Reader, Value};
use super::{kind, walk};
use crate::rules;

/// A unit, and how parts of it are kept.
pub(super) enum Source<'a> {
    /// Copied.
    Lent(&'a [u8], &'a mut Arena),
    /// Shared.
    Shared(&'a Bytes),
}

impl<'a> Source<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Self::Lent(bytes, _) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }

    fn keep(&mut self, part: &[u8]) -> Bytes {
        match self {
            Self::Lent(_, arena) => arena.bytes(part),
            Self::Shared(bytes) => bytes.slice_ref(part),
        }
    }
}

/// Reads a unit.
pub(super) fn frame(unit: &mut Source<'_>) -> Result<Frame, DecodeError> {
    match message(unit) {
        Some(payload) => Ok(Frame::Message(payload)),
        None => any_frame(unit),
    }
}

/// Reads a unit, and keeps its memory for a message of bytes: what is before the bytes is only stepped over.
pub(super) fn own_frame(mut unit: Bytes) -> Result<Frame, DecodeError> {
    match binary_head(&unit) {
        Some(head) => {
            unit.advance(head);
            Ok(Frame::Message(Payload::Binary(unit)))
        }
        None => frame(&mut Source::Shared(&unit)),
    }
}

/// How much stands before the bytes of a message, if it is one written as every sender writes it.
fn binary_head(unit: &[u8]) -> Option<usize> {
    let [TWO, BINARY, value @ ..] = unit else { return None };
    let mut reader = Reader::new(value);
    let Ok(Value::Bin(bytes)) = reader.value() else { return None };
    reader.rest().is_empty().then(|| unit.len() - bytes.len())
}

/// A message of text or bytes, written as every sender writes it: what comes most often.
fn message(unit: &mut Source<'_>) -> Option<Payload> {
    let (mut reader, read): (_, fn(&mut Source<'_>, &mut Reader<'_>) -> _) = match unit.bytes() {
        [TWO, TEXT, value @ ..] => (Reader::new(value), text),
        [TWO, BINARY, value @ ..] => (Reader::new(value), binary),
        _ => return None,
    };
    let payload = read(unit, &mut reader).ok()?;
    reader.rest().is_empty().then_some(payload)
}

/// An array of two elements, and what its first one is.
const TWO: u8 = 0x92;
const TEXT: u8 = kind::TEXT as u8;
const BINARY: u8 = kind::BINARY as u8;

fn any_frame(unit: &mut Source<'_>) -> Result<Frame, DecodeError> {
    let mut reader = Reader::new(unit.bytes());
    let Ok(Value::Array(length)) = reader.value() else {
        return Err(DecodeError::Malformed("not an array"));
    };
    let mut fields = Fields { unit, reader, left: length };
    let frame = match fields.integer()? {
        kind @ (kind::TEXT | kind::JSON | kind::BINARY) => Frame::Message(fields.message(kind)?),
        kind::REQUEST => {
            let (id, payload) = fields.exchange()?;
            Frame::Request(Request { id, payload })
        }
        kind::REPLY => {
            let (id, payload) = fields.exchange()?;
            Frame::Reply(Reply { id, payload })
        }
        kind => fields.control(kind)?,
    };
    fields.end()?;
    match rules::fault(&frame) {
        Some(fault) => Err(DecodeError::Malformed(fault)),
        None => Ok(frame),
    }
}

fn text(unit: &mut Source<'_>, reader: &mut Reader<'_>) -> Result<Payload, Problem> {
    let Value::Str(text) = reader.value()? else { return Err("not a string") };
    Text::from_utf8(unit.keep(text)).map(Payload::Text).map_err(|_| "not UTF-8")
}

fn json(unit: &mut Source<'_>, reader: &mut Reader<'_>) -> Result<Payload, Problem> {
    let start = reader.rest();
    walk(reader, &mut ())?;
    let payload = unit.keep(&start[..start.len() - reader.rest().len()]);
    Ok(Payload::Json(Json::from_checked(payload, JsonEncoding::MessagePack)))
}

fn binary(unit: &mut Source<'_>, reader: &mut Reader<'_>) -> Result<Payload, Problem> {
    let Value::Bin(bytes) = reader.value()? else { return Err("not bin") };
    Ok(Payload::Binary(unit.keep(bytes)))
}

/// The elements of a frame's array that were not read yet.
struct Fields<'s, 'a> {
    unit: &'s mut Source<'a>,
    reader: Reader<'a>,
    left: u32,
}

impl<'a> Fields<'_, 'a> {
    /// A request's or a reply's number, and the message that follows.
    fn exchange(&mut self) -> Result<(RequestId, Payload), DecodeError> {
        let id = rules::request(self.integer()?)?;
        let kind = self.integer()?;
        Ok((id, self.message(kind)?))
    }

    fn message(&mut self, kind: u64) -> Result<Payload, DecodeError> {
        match kind {
            kind::TEXT => self.payload(Kind::Text, text),
            kind::JSON => self.payload(Kind::Json, json),
            kind::BINARY => self.payload(Kind::Binary, binary),
            _ => Err(DecodeError::Malformed("not the kind of a message")),
        }
    }

    fn payload(
        &mut self,
        kind: Kind,
        read: fn(&mut Source<'_>, &mut Reader<'a>) -> Result<Payload, Problem>,
    ) -> Result<Payload, DecodeError> {
        self.take()?;
        read(self.unit, &mut self.reader).map_err(|problem| PayloadError::new(kind, problem).into())
    }

    fn control(&mut self, kind: u64) -> Result<Frame, DecodeError> {
        Ok(match kind {
            kind::OPEN => Frame::Open(Open { attachment: self.integer()?, window: self.window()? }),
            kind::OPENED => Frame::Opened(Opened {
                session: self.id()?.into(),
                token: ResumeToken::from_random(self.id()?),
                heartbeat: self.duration()?,
                timeout: self.duration()?,
                proof: self.duration()?,
                resume: self.duration()?,
                window: self.window()?,
            }),
            kind::RESUME => Frame::Resume(Offer {
                session: self.id()?.into(),
                token: ResumeToken::from_random(self.id()?),
                attachment: self.integer()?,
                received: self.integer()?,
            }),
            kind::RESUMED => Frame::Resumed { received: self.integer()? },
            kind::RESET => Frame::Reset { text: self.string()? },
            kind::ACK => Frame::Ack { received: self.integer()? },
            kind::PING => Frame::Ping { received: self.integer()? },
            kind::PONG => Frame::Pong { received: self.integer()? },
            kind::CLOSE => {
                let code = u16::try_from(self.integer()?).map_err(|_| DecodeError::Malformed("not a code"))?;
                // Not a slice: a few bytes must not keep the whole unit alive.
                Frame::Close(Close { code, reason: self.string()?.as_str().into(), received: self.integer()? })
            }
            _ => return Err(DecodeError::Malformed("not the kind of a frame")),
        })
    }

    /// Ignores what is left of the array, and refuses what is behind it (SPEC MSP-1).
    fn end(mut self) -> Result<(), DecodeError> {
        while self.left > 0 {
            self.left -= 1;
            self.reader.skip().map_err(DecodeError::Malformed)?;
        }
        if self.reader.rest().is_empty() { Ok(()) } else { Err(DecodeError::Malformed("bytes behind the array")) }
    }

    fn integer(&mut self) -> Result<u64, DecodeError> {
        let Value::Unsigned(n) = self.value()? else { return Err(DecodeError::Malformed("not a natural number")) };
        Ok(n)
    }

    fn duration(&mut self) -> Result<std::time::Duration, DecodeError> {
        rules::duration(self.integer()?).ok_or(DecodeError::Malformed("a duration beyond 2^53-1"))
    }

    fn window(&mut self) -> Result<Window, DecodeError> {
        let window = rules::window(self.integer()?, self.integer()?);
        window.ok_or(DecodeError::Malformed("a window beyond 2^53-1"))
    }

    fn id(&mut self) -> Result<[u8; 16], DecodeError> {
        const FAULT: DecodeError = DecodeError::Malformed("not a session id or token of 16 bytes");
        let Value::Bin(bytes) = self.value()? else { return Err(FAULT) };
        bytes.try_into().map_err(|_| FAULT)
    }

    fn string(&mut self) -> Result<Text, DecodeError> {
        const FAULT: DecodeError = DecodeError::Malformed("not a string");
        let Value::Str(text) = self.value()? else { return Err(FAULT) };
        Text::from_utf8(self.unit.keep(text)).map_err(|_| FAULT)
    }

    fn value(&mut self) -> Result<Value<'a>, DecodeError> {
        self.take()?;
        self.reader.value().map_err(DecodeError::Malformed)
    }

    fn take(&mut self) -> Result<(), DecodeError> {
        self.left = self.left.checked_sub(1).ok_or(DecodeError::Malformed("too few elements"))?;
        Ok(())
    }
}
