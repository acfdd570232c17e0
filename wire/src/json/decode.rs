use std::borrow::Cow;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nosphere_core::{
    Arena, Close, DecodeError, Frame, Json, JsonEncoding, Kind, Offer, Open, Opened, Payload, PayloadError, Reply,
    Request, RequestId, Text, Window, json,
};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{exact, is_plain};
use crate::rules;
use crate::transcode::literal_length;

/// A unit, and how parts of it are kept.
pub(super) enum Source<'a> {
    /// Copied.
    Lent(&'a str, &'a mut Arena),
    /// Shared.
    Shared(&'a Text),
}

impl<'a> Source<'a> {
    fn text(&self) -> &'a str {
        match self {
            Self::Lent(text, _) => text,
            Self::Shared(text) => text,
        }
    }

    #[inline(always)]
    fn keep(&mut self, part: &str) -> Text {
        match self {
            Self::Lent(_, arena) => arena.text(part),
            Self::Shared(text) => text.slice_of(part),
        }
    }
}

/// Reads a unit.
#[inline(always)]
pub(super) fn frame(unit: &mut Source<'_>) -> Result<Frame, DecodeError> {
    match plain_text(unit.text()) {
        Some(text) => Ok(Frame::Message(Payload::Text(unit.keep(text).assume_verbatim()))),
        None => any_frame(unit),
    }
}

/// The text of a message that has nothing to be unescaped, written as every sender writes it: what comes most often.
fn plain_text(unit: &str) -> Option<&str> {
    let text = unit.strip_prefix(r#"{"text":""#)?.strip_suffix(r#""}"#)?;
    is_plain(text.as_bytes()).then_some(text)
}

#[inline(never)]
fn any_frame(unit: &mut Source<'_>) -> Result<Frame, DecodeError> {
    if let Some((kind, body)) = message(unit.text()) {
        return payload(unit, kind, body).map(Frame::Message);
    }
    exact::control(unit.text()).map_or_else(|| read(unit), Ok)
}

/// Reads a unit, however it is written.
pub(super) fn read(unit: &mut Source<'_>) -> Result<Frame, DecodeError> {
    let (name, body) = split(unit.text()).ok_or(DecodeError::Malformed("no envelope of one member"))?;
    let frame = match name {
        Name::Kind(kind) => return payload(unit, kind, body).map(Frame::Message),
        Name::Other(name) => match &*name {
            "request" => exchange(unit, body).map(|(id, payload)| Frame::Request(Request { id, payload }))?,
            "reply" => exchange(unit, body).map(|(id, payload)| Frame::Reply(Reply { id, payload }))?,
            name => control(unit, name, body)?,
        },
    };
    match rules::fault(&frame) {
        Some(fault) => Err(DecodeError::Malformed(fault)),
        None => Ok(frame),
    }
}

enum Name<'a> {
    /// That of a kind of message.
    Kind(Kind),
    Other(Cow<'a, str>),
}

/// The payload of a message whose envelope is what every sender writes, and everything up to the envelope's end, unread.
fn message(unit: &str) -> Option<(Kind, &str)> {
    let body = unit.strip_suffix('}')?;
    let (kind, payload) = if let Some(payload) = body.strip_prefix(r#"{"text":"#) {
        (Kind::Text, payload)
    } else if let Some(payload) = body.strip_prefix(r#"{"json":"#) {
        (Kind::Json, payload)
    } else {
        (Kind::Binary, body.strip_prefix(r#"{"binary":"#)?)
    };
    Some((kind, trim(payload)))
}

/// The name of the envelope's member and everything up to the envelope's end, unread.
fn split(unit: &str) -> Option<(Name<'_>, &str)> {
    member(trim(trim(unit).strip_prefix('{')?.strip_suffix('}')?))
}

/// The name that a member begins with, and everything behind its colon.
fn member(body: &str) -> Option<(Name<'_>, &str)> {
    let (name, rest) = body.split_at_checked(literal_length(body.as_bytes())?)?;
    let payload = trim(trim(rest).strip_prefix(':')?);
    let name = string(name).ok()?;
    Some(match &*name {
        "text" => (Name::Kind(Kind::Text), payload),
        "json" => (Name::Kind(Kind::Json), payload),
        "binary" => (Name::Kind(Kind::Binary), payload),
        _ => (Name::Other(name), payload),
    })
}

/// A request's or a reply's number, and the message that follows.
fn exchange(unit: &mut Source<'_>, body: &str) -> Result<(RequestId, Payload), DecodeError> {
    const NO_MESSAGE: DecodeError = DecodeError::Malformed("a request or reply without a message");
    let (id, message) = body.split_once(',').ok_or(NO_MESSAGE)?;
    let id = rules::request(count(trim(id))?)?;
    let Some((Name::Kind(kind), body)) = member(trim(message)) else { return Err(NO_MESSAGE) };
    Ok((id, payload(unit, kind, body)?))
}

fn payload(unit: &mut Source<'_>, kind: Kind, body: &str) -> Result<Payload, DecodeError> {
    match kind {
        Kind::Binary => binary(body),
        Kind::Json => json_value(unit, body).map(Payload::Json),
        Kind::Text => text(unit, body).map(Payload::Text),
    }
}

/// Removes JSON's white space, and no other, from both ends.
fn trim(text: &str) -> &str {
    // Almost always there is none.
    match text.as_bytes() {
        [first, .., last] if *first > b' ' && *last > b' ' => text,
        _ => text.trim_matches([' ', '\t', '\n', '\r']),
    }
}

/// The characters between the quotes, if the literal has no escapes.
fn plain_literal(literal: &str) -> Option<&str> {
    literal.strip_prefix('"')?.strip_suffix('"').filter(|inner| is_plain(inner.as_bytes()))
}

fn string(literal: &str) -> serde_json::Result<Cow<'_, str>> {
    match plain_literal(literal) {
        Some(plain) => Ok(Cow::Borrowed(plain)),
        None => serde_json::from_str(literal).map(Cow::Owned),
    }
}

fn shared_string(unit: &mut Source<'_>, literal: &str) -> serde_json::Result<Text> {
    string(literal).map(|text| match text {
        Cow::Borrowed(plain) => unit.keep(plain).assume_verbatim(),
        Cow::Owned(text) => text.into(),
    })
}

fn text(unit: &mut Source<'_>, payload: &str) -> Result<Text, DecodeError> {
    shared_string(unit, payload).map_err(|error| PayloadError::new(Kind::Text, error.to_string()).into())
}

fn json_value(unit: &mut Source<'_>, payload: &str) -> Result<Json, DecodeError> {
    let checked = json::check(payload.as_bytes()).map_err(|error| PayloadError::new(Kind::Json, error.to_string()))?;
    let bytes = if checked.breaks { json::compact(payload).into() } else { unit.keep(payload).into_bytes() };
    Ok(Json::from_checked(bytes, JsonEncoding::Text))
}

fn binary(payload: &str) -> Result<Payload, DecodeError> {
    // No escape is of the alphabet: what has one, or a fault, is read in the other way, which knows what to say.
    let inner = payload.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    if let Some(Ok(bytes)) = inner.map(|inner| base64_simd::STANDARD.decode_to_vec(inner)) {
        return Ok(Payload::Binary(bytes.into()));
    }
    let problem = |problem: String| DecodeError::from(PayloadError::new(Kind::Binary, problem));
    let text = string(payload).map_err(|error| problem(error.to_string()))?;
    let bytes = STANDARD.decode(&*text).map_err(|error| problem(error.to_string()))?;
    Ok(Payload::Binary(bytes.into()))
}

fn control(unit: &mut Source<'_>, name: &str, body: &str) -> Result<Frame, DecodeError> {
    Ok(match name {
        "open" => {
            let OpenBody { attachment, window } = object(body)?;
            Frame::Open(Open { attachment, window: read_window(&window)? })
        }
        "opened" => {
            let body: OpenedBody<'_> = object(body)?;
            let millis = |millis| rules::duration(millis).ok_or(DecodeError::Malformed("a duration beyond 2^53-1"));
            Frame::Opened(Opened {
                session: id(&body.session)?,
                token: id(&body.token)?,
                heartbeat: millis(body.heartbeat)?,
                timeout: millis(body.timeout)?,
                proof: millis(body.proof)?,
                resume: millis(body.resume)?,
                window: read_window(&body.window)?,
            })
        }
        "resume" => {
            let ResumeBody { session, token, attachment, received } = object(body)?;
            Frame::Resume(Offer { session: id(&session)?, token: id(&token)?, attachment, received })
        }
        "resumed" => {
            let ResumedBody { received } = object(body)?;
            Frame::Resumed { received }
        }
        "reset" => {
            let text = shared_string(unit, body);
            Frame::Reset { text: text.map_err(|_| DecodeError::Malformed("a reset without text"))? }
        }
        "ack" => Frame::Ack { received: count(body)? },
        "ping" => Frame::Ping { received: count(body)? },
        "pong" => Frame::Pong { received: count(body)? },
        "close" => {
            let CloseBody { code, reason, received } = object(body)?;
            Frame::Close(Close { code, reason: reason.into_owned().into(), received })
        }
        _ => return Err(DecodeError::Malformed("not the name of a frame")),
    })
}

fn count(body: &str) -> Result<u64, DecodeError> {
    serde_json::from_str(body).map_err(|_| DecodeError::Malformed("not a count"))
}

fn id<T: FromStr>(text: &str) -> Result<T, DecodeError> {
    text.parse().map_err(|_| DecodeError::Malformed("not a session id or token"))
}

fn read_window(&Object(WindowBody { messages, bytes }): &Object<WindowBody>) -> Result<Window, DecodeError> {
    rules::window(messages, bytes).ok_or(DecodeError::Malformed("a window beyond 2^53-1"))
}

fn object<'a, T: Deserialize<'a>>(body: &'a str) -> Result<T, DecodeError> {
    let body = serde_json::from_str(body).map(|Object(body)| body);
    body.map_err(|_| DecodeError::Malformed("a body without the fields of its frame"))
}

/// What must be an object: of a structure, serde would take an array of the fields as well.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(std::marker::PhantomData)).map(Self)
    }
}

struct Members<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

#[derive(Deserialize)]
struct OpenBody {
    attachment: u64,
    window: Object<WindowBody>,
}

#[derive(Deserialize)]
struct OpenedBody<'a> {
    #[serde(borrow)]
    session: Cow<'a, str>,
    #[serde(borrow)]
    token: Cow<'a, str>,
    heartbeat: u64,
    timeout: u64,
    proof: u64,
    resume: u64,
    window: Object<WindowBody>,
}

#[derive(Deserialize)]
struct ResumeBody<'a> {
    #[serde(borrow)]
    session: Cow<'a, str>,
    #[serde(borrow)]
    token: Cow<'a, str>,
    attachment: u64,
    received: u64,
}

#[derive(Deserialize)]
struct ResumedBody {
    received: u64,
}

#[derive(Deserialize)]
struct CloseBody<'a> {
    code: u16,
    #[serde(borrow)]
    reason: Cow<'a, str>,
    received: u64,
}

#[derive(Deserialize)]
struct WindowBody {
    messages: u64,
    bytes: u64,
}
