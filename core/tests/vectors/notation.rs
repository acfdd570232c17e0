//! Frames, messages and events as the vectors write them, and back.

use std::time::Duration;

use bytes::Bytes;
use nosphere_core::{
    Close, Config, Event, Frame, Json, Message, Offer, Open, Opened, Payload, Reason, Reply, Request, RequestId,
    SessionError, Side, Text, Transport, Unit, Window, WireFormat as _,
};
use nosphere_wire::JSON;
use serde_json::{Value, json};

pub(super) const SESSION: &str = "24f98d6b-c271-4169-8f9c-217343b62aa7";
pub(super) const TOKEN: &str = "00112233445566778899aabbccddeeff";

/// The one member of an object.
pub(super) fn member(value: &Value) -> (&str, &Value) {
    let mut members = value.as_object().unwrap_or_else(|| panic!("no object: {value}")).iter();
    let (name, body) = members.next().unwrap_or_else(|| panic!("no member: {value}"));
    (name, body)
}

pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no count: {value}"))
}

pub(super) fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The items of a list, or the one thing that is there instead.
pub(super) fn one_or_more(value: &Value) -> &[Value] {
    match value {
        Value::Array(several) => several,
        one => std::slice::from_ref(one),
    }
}

/// Bytes, written as `{"hex": "01 02"}`, or in several lines.
pub(super) fn bytes(value: &Value) -> Bytes {
    let lines = one_or_more(&value["hex"]).iter();
    let digits: Vec<char> = lines.flat_map(|line| string(line).chars()).filter(|c| *c != ' ').collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&String::from_iter(pair), 16).unwrap()).collect()
}

pub(super) fn unit(value: &Value) -> Unit {
    match &value["text"] {
        Value::String(text) => Unit::Text(text.as_str().into()),
        _ => Unit::Binary(bytes(value)),
    }
}

/// The window's bytes and messages are a permission, which this implementation uses up to 2³²−1.
fn window(value: &Value, default: Window) -> Window {
    let field = |name: &str, default| value[name].as_u64().map_or(default, |n| u32::try_from(n).unwrap_or(u32::MAX));
    Window { messages: field("messages", default.messages), bytes: field("bytes", default.bytes) }
}

/// A frame. Members that are left out have the values of `config`.
pub(super) fn frame(value: &Value, config: &Config) -> Frame {
    let (name, body) = member(value);
    let millis = |name: &str, default| body[name].as_u64().map_or(default, Duration::from_millis);
    let count = |name: &str, default| body[name].as_u64().unwrap_or(default);
    let session = || body["session"].as_str().unwrap_or(SESSION).parse().unwrap();
    let token = || body["token"].as_str().unwrap_or(TOKEN).parse().unwrap();
    match name {
        "open" => {
            Frame::Open(Open { attachment: count("attachment", 1), window: window(&body["window"], config.window) })
        }
        "opened" => Frame::Opened(Opened {
            session: session(),
            token: token(),
            heartbeat: millis("heartbeat", config.heartbeat),
            timeout: millis("timeout", config.timeout),
            proof: millis("proof", config.proof),
            resume: millis("resume", config.resume),
            window: window(&body["window"], config.window),
        }),
        "resume" => Frame::Resume(Offer {
            session: session(),
            token: token(),
            attachment: number(&body["attachment"]),
            received: number(&body["received"]),
        }),
        "resumed" => Frame::Resumed { received: number(&body["received"]) },
        "reset" => Frame::Reset { text: string(body).into() },
        "ack" => Frame::Ack { received: number(body) },
        "ping" => Frame::Ping { received: number(body) },
        "pong" => Frame::Pong { received: number(body) },
        "close" => Frame::Close(Close {
            code: number(&body["code"]) as u16,
            reason: body["reason"].as_str().unwrap_or_default().into(),
            received: number(&body["received"]),
        }),
        "request" => Frame::Request(Request { id: request_id(body), payload: inner(body).into_payload() }),
        "reply" => Frame::Reply(Reply { id: request_id(body), payload: inner(body).into_payload() }),
        _ => Frame::Message(message(value).into_payload()),
    }
}

fn request_id(body: &Value) -> RequestId {
    RequestId(number(&body["id"]))
}

/// The message of a request or a reply, which stands beside its id.
fn inner(body: &Value) -> Message {
    let mut body = body.clone();
    body.as_object_mut().unwrap().remove("id");
    message(&body)
}

pub(super) fn message(value: &Value) -> Message {
    let (name, body) = member(value);
    match name {
        "text" => Message::text(string(body)),
        "binary" => Message::binary(bytes(body)),
        "json" => body.clone().into(),
        "json-text" => Json::from_text(&string(body).into()).unwrap().into(),
        "request" => Message::request(request_id(body), inner(body)),
        "reply" => Message::reply(request_id(body), inner(body)),
        _ => panic!("no frame: {value}"),
    }
}

fn payload(payload: &Payload) -> Value {
    match payload {
        Payload::Text(text) => json!({"text": text.as_str()}),
        Payload::Json(value) => json!({"json": value.parse::<Value>().unwrap()}),
        Payload::Binary(bytes) => {
            let hex: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"binary": {"hex": hex.join(" ")}})
        }
    }
}

fn exchange(name: &str, id: RequestId, message: &Payload) -> Value {
    let mut body = payload(message);
    body["id"] = id.0.into();
    json!({ name: body })
}

/// How the vectors write a frame, nothing left out.
pub(super) fn of_frame(frame: &Frame) -> Value {
    match frame {
        Frame::Message(message) => payload(message),
        Frame::Request(Request { id, payload }) => exchange("request", *id, payload),
        Frame::Reply(Reply { id, payload }) => exchange("reply", *id, payload),
        // For control frames the notation is that of the format `json`, whose own vectors are compared as text.
        control => match JSON.encode(control.clone()) {
            Ok(Unit::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{control:?}: {other:?}"),
        },
    }
}

/// How the vectors write a message, as it goes out.
pub(super) fn of_message(message: &Message) -> Value {
    let unit = message.encode(&JSON).unwrap();
    of_frame(&JSON.decode(text_of(&unit)).unwrap())
}

pub(super) fn of_event(event: Event) -> Value {
    match event {
        Event::Text(text) => payload(&Payload::Text(text)),
        Event::Json(value) => payload(&Payload::Json(value)),
        Event::Binary(bytes) => payload(&Payload::Binary(bytes)),
        Event::Request(request) => of_frame(&Frame::Request(request)),
        Event::Reply(reply) => of_frame(&Frame::Reply(reply)),
        Event::Connected { transport } => json!({"connected": transport.name()}),
        Event::Resumed { transport } => json!({"resumed": transport.name()}),
        Event::Suspended => json!("suspended"),
        Event::Heartbeat => json!("heartbeat"),
        Event::Writable => json!("writable"),
        Event::Disconnected { by, reason } => {
            let by = match by {
                Side::Client => "client",
                Side::Network => "network",
                Side::Server => "server",
            };
            json!({"disconnected": {"by": by, "code": reason.code()}})
        }
        Event::Error(SessionError::Payload(error)) => json!({"unreadable": error.kind.to_string()}),
        Event::Error(SessionError::Link { reason, .. }) => json!({"fault": reason.name()}),
        Event::Error(SessionError::Undeliverable { message, .. }) => json!({"undeliverable": of_message(&message)}),
        event => panic!("an event without a notation: {event:?}"),
    }
}

pub(super) fn transport(value: &Value) -> Transport {
    let all = [Transport::LongPolling, Transport::ServerSentEvents, Transport::Streaming, Transport::WebSocket];
    all.into_iter().find(|transport| transport.name() == value).unwrap_or_else(|| panic!("no transport: {value}"))
}

pub(super) fn reason(value: &Value) -> Reason {
    match value {
        Value::String(name) => Reason::from_name(name).unwrap_or_else(|| panic!("no reason: {name}")),
        code => Reason::from_code(number(code) as u16),
    }
}

pub(super) fn text_of(unit: &nosphere_core::Encoded) -> Unit {
    if unit.is_text() {
        Unit::Text(Text::from_utf8(unit.payload_bytes()).unwrap())
    } else {
        Unit::Binary(unit.payload_bytes())
    }
}

/// The limits of a case: the defaults of SPEC §14, with what the case changes.
pub(super) fn config(value: &Value) -> Config {
    let mut config = Config::default();
    for (name, value) in value.as_object().into_iter().flatten() {
        let millis = || Duration::from_millis(number(value));
        match name.as_str() {
            "client-heartbeat" => config.client_heartbeat = millis(),
            "close-timeout" => config.close_timeout = millis(),
            "heartbeat" => config.heartbeat = millis(),
            "open-timeout" => config.open_timeout = millis(),
            "overflow" => {
                config.overflow = match string(value) {
                    "disconnect" => nosphere_core::Overflow::Disconnect,
                    "drop-newest" => nosphere_core::Overflow::DropNewest,
                    "drop-oldest" => nosphere_core::Overflow::DropOldest,
                    policy => panic!("no policy: {policy}"),
                }
            }
            "poll-gap" => config.poll_gap = millis(),
            "poll-time" => config.poll_time = millis(),
            "proof" => config.proof = millis(),
            "queue" => {
                let field = |name: &str, default| value[name].as_u64().map_or(default, |n| n as usize);
                config.max_queued_messages = field("messages", config.max_queued_messages);
                config.max_queued_bytes = field("bytes", config.max_queued_bytes);
            }
            "resume" => config.resume = millis(),
            "retained" => config.retained = number(value) as usize,
            "timeout" => config.timeout = millis(),
            "window" => config.window = window(value, config.window),
            name => panic!("no limit: {name}"),
        }
    }
    config
}
