//! What a request's head asks for.

use http::{HeaderMap, HeaderValue, Request};
use nosphere_core::{ResumeToken, SessionId, WireFormat as _};
use nosphere_wire::atmosphere::Greeting;
use nosphere_wire::negotiation::atmosphere::{AtmosphereRequest, Attachment, Push};
use nosphere_wire::negotiation::{
    Dialect, Formats, Intent, OriginPolicy, Post, Refusal, SessionRequest, read_request, subprotocol, take_bearer,
};
use serde_json::{Map, Value, json};

use super::notation::string;

pub(super) fn case(case: &Value) -> Result<(), String> {
    let mut request = Request::builder().method(string(&case["method"])).uri(string(&case["target"]));
    for header in super::notation::list(&case["headers"]) {
        let (name, value) = super::notation::member(header);
        request = request.header(name, HeaderValue::from_bytes(string(value).as_bytes()).unwrap());
    }
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    let mut policy = OriginPolicy::same_origin();
    for origin in super::notation::list(&case["allowed-origins"]) {
        policy = policy.allow(string(origin)).unwrap();
    }
    let upgrade = case["upgrade"] == true;
    let taken = if upgrade { take_bearer(&mut parts) } else { Ok(()) };
    let read = || policy.check(&parts, None).and_then(|_| read_request(&parts, upgrade, &Formats::default()));
    let is = match taken.and_then(|()| read()) {
        Ok(intent) => json!({"asks": intent_notation(&intent, &parts.headers)}),
        Err(refusal) => json!({"refused": refusal_notation(&refusal)}),
    };
    let should =
        if case["refused"].is_null() { json!({"asks": case["asks"]}) } else { json!({"refused": case["refused"]}) };
    if is == should { Ok(()) } else { Err(format!("is {is}, should be {should}")) }
}

fn refusal_notation(refusal: &Refusal) -> Value {
    present([("status", Some(json!(refusal.status().as_u16()))), ("error", refusal.name().map(Into::into))])
}

fn intent_notation(intent: &Intent, headers: &HeaderMap) -> Value {
    match intent {
        Intent::None => json!("nothing"),
        Intent::Atmosphere(request) => json!({"atmosphere": atmosphere(request)}),
        Intent::Preflight => json!("preflight"),
        Intent::WebSocket { protocol, subprotocol } => {
            let chosen = subprotocol.as_ref().map(|value| value.to_str().unwrap().into());
            let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap().into());
            json!({"websocket": present([
                ("protocol", Some(dialect(*protocol))),
                ("subprotocol", chosen),
                ("authorization", text("authorization")),
            ])})
        }
        Intent::Attach { protocol, transport, request } => {
            let request = match *request {
                SessionRequest::Open { attachment, window } => {
                    let window = json!({"messages": window.messages, "bytes": window.bytes});
                    ("open", json!({"attachment": attachment, "window": window}))
                }
                SessionRequest::Resume { session, token, attachment, received } => {
                    let body = present([
                        ("session", Some(session.to_string().into())),
                        ("token", Some(token.reveal().into())),
                        ("attachment", attachment.map(Into::into)),
                        ("received", received.map(Into::into)),
                    ]);
                    ("resume", body)
                }
                ref other => panic!("no notation: {other:?}"),
            };
            let protocol = dialect(*protocol);
            json!({"attach": {"protocol": protocol, "transport": transport.name(), request.0: request.1}})
        }
        Intent::Post(Post { protocol, session, token, attachment, base, received, kind, .. }) => {
            json!({"post": present([
                ("protocol", Some(dialect(*protocol))),
                ("session", Some(session.to_string().into())),
                ("token", Some(token.reveal().into())),
                ("attachment", attachment.map(Into::into)),
                ("base", base.map(Into::into)),
                ("received", received.map(Into::into)),
                ("kind", kind.map(|kind| kind.to_string().into())),
            ])})
        }
        other => panic!("no notation: {other:?}"),
    }
}

fn atmosphere(request: &AtmosphereRequest) -> Value {
    let id =
        |tracking: Option<ResumeToken>| tracking.map(|token| SessionId::from(*token.as_bytes()).to_string().into());
    match request {
        AtmosphereRequest::Attach(Attachment { transport, tracking, format, modern, heartbeat, .. })
        | AtmosphereRequest::Handshake(Attachment { transport, tracking, format, modern, heartbeat, .. }) => {
            let greeting = match format.greeting() {
                Greeting::Handshake => Some("handshake"),
                Greeting::None => None,
                Greeting::Space => Some("space"),
            };
            let name = if let AtmosphereRequest::Handshake(_) = request { "handshake" } else { "attach" };
            json!({name: present([
                ("transport", Some(transport.name().into())),
                ("id", id(*tracking)),
                ("greeting", greeting.map(Into::into)),
                ("tracked", format.is_delimited().then_some(true.into())),
                ("modern", modern.then_some(true.into())),
                ("heartbeat", heartbeat.map(|heartbeat| heartbeat.as_secs().into())),
            ])})
        }
        AtmosphereRequest::Close { tracking } => json!({"close": present([("id", id(*tracking))])}),
        AtmosphereRequest::Push(Push { tracking, body, binary, .. }) => {
            let body = body.as_ref().map(|body| str::from_utf8(body).unwrap().into());
            json!({"push": present([
                ("id", id(*tracking)),
                ("body", body),
                ("binary", binary.then_some(true.into())),
            ])})
        }
        AtmosphereRequest::Nothing => json!("nothing"),
        other => panic!("no notation: {other:?}"),
    }
}

fn dialect(dialect: Dialect) -> Value {
    match dialect {
        Dialect::Native(format) => subprotocol(format).into(),
        _ => "plain".into(),
    }
}

fn present<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(members.collect::<Map<_, _>>())
}
