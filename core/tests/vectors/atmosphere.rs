//! What a server does around the one session of a script whose client speaks atmosphere.js: reads its requests, finds the
//! session or opens it, remembers who has left.

use http::Request;
use nosphere_core::{
    Attach, Batch, Connection, Frame, LinkId, Opened, Opening, Protocol, Reason, ResumeToken, Side, Transport, Unit,
    Window, WireFormat as _,
};
use nosphere_wire::atmosphere::{AtmosphereFormat, Greeting};
use nosphere_wire::negotiation::atmosphere::{AtmosphereRequest, Attachment, Push};
use nosphere_wire::negotiation::{Formats, Intent, Refusal, headers, read_request};
use serde_json::{Value, json};

use super::notation::{SESSION, TOKEN, string};
use super::session::Player;

/// What is known of the client beside its session.
#[derive(Default)]
pub(super) struct Known {
    /// It has the handshake, and its first poll has not come.
    issued: bool,
    /// It left before there was a session.
    left: bool,
}

enum Found {
    Closed,
    Left,
    Living,
    Nobody,
}

impl Player {
    /// A request, as a line: `GET /the-chat?X-Atmosphere-…`.
    pub(super) fn atmosphere_is_asked(&mut self, step: &Value) {
        let (method, target) = string(&step["asks"]).split_once(' ').unwrap();
        let (parts, ()) = Request::builder().method(method).uri(target).body(()).unwrap().into_parts();
        let mut formats = Formats::default();
        formats.expect_atmosphere_heartbeats(!self.config.client_heartbeat.is_zero());
        let request = match read_request(&parts, step["upgrade"] == true, &formats) {
            Ok(Intent::Atmosphere(request)) => request,
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => return self.answer(refused(&refusal)),
        };
        match request {
            AtmosphereRequest::Attach(attachment) => self.atmosphere_attaches(attachment),
            AtmosphereRequest::Close { tracking } => {
                match tracking.map(|tracking| self.found(&tracking)) {
                    Some(Found::Living) => self.connection.as_mut().unwrap().handle_leave(self.now),
                    Some(Found::Nobody) => self.known.left = true,
                    Some(Found::Closed | Found::Left) | None => {}
                }
                self.answer(json!({"status": 200, "body": ""}));
            }
            AtmosphereRequest::Handshake(Attachment { format, .. }) => {
                let unit = format.encode(Frame::Opened(self.handshake())).unwrap();
                self.known.issued = true;
                self.answer(json!({"status": 200, "body": str::from_utf8(unit.as_bytes()).unwrap()}));
            }
            AtmosphereRequest::Push(push) => self.atmosphere_pushes(push, step),
            _ => self.answer(json!({"status": 200, "body": ""})),
        }
    }

    fn atmosphere_attaches(&mut self, attachment: Attachment) {
        let Attachment { transport, tracking, mut format, .. } = attachment;
        let tracking = tracking.unwrap_or_else(|| TOKEN.parse().unwrap());
        if std::mem::take(&mut self.known.issued) {
            format = format.greeting_by(Greeting::None);
        }
        match self.found(&tracking) {
            Found::Closed => return self.answer(json!({"status": 410})),
            Found::Left if transport == Transport::WebSocket => return self.answer(json!({"status": 410})),
            Found::Left => return self.answer(json!({"status": 200, "body": ""})),
            Found::Living => {
                let link = self.new_link(transport);
                let attach = Attach { link, transport, attachment: None, received: None };
                self.connection.as_mut().unwrap().handle_attach(attach, self.now).unwrap();
            }
            Found::Nobody => {
                let link = self.new_link(transport);
                self.atmosphere_opens(tracking, link, transport);
            }
        }
        self.format = format;
    }

    fn atmosphere_opens(&mut self, token: ResumeToken, link: LinkId, transport: Transport) {
        let window = Window { messages: u32::MAX, bytes: u32::MAX };
        let opening = Opening { session: token.session(), token, attachment: 1, window, link, transport };
        self.connection = Some(Connection::server(&self.config, Protocol::Atmosphere, opening, self.now));
    }

    fn atmosphere_pushes(&mut self, push: Push, step: &Value) {
        let Some(tracking) = push.tracking else { return self.answer(json!({"status": 400})) };
        match self.found(&tracking) {
            Found::Closed | Found::Left => return self.answer(json!({"status": 410})),
            Found::Living => {}
            Found::Nobody => {
                // It is between two polls.
                let link = LinkId(0);
                self.atmosphere_opens(tracking, link, Transport::LongPolling);
                self.connection.as_mut().unwrap().handle_detach(link, Reason::Lost, self.now);
            }
        }
        let body = push.body.unwrap_or_else(|| string(&step["body"]).to_owned().into());
        let unit = if push.binary { Unit::Binary(body) } else { Unit::Text(str::from_utf8(&body).unwrap().into()) };
        let batch = Batch { attachment: None, base: None, received: None, units: vec![unit] };
        let now = self.now;
        let answer = self.connection.as_mut().unwrap().handle_batch(batch, push.format, now);
        answer.outcome.unwrap();
        self.answer(json!({"status": 200, "body": ""}));
    }

    fn found(&self, tracking: &ResumeToken) -> Found {
        let known = |connection: &&Connection| connection.session() == Some(tracking.session());
        let nobody = if self.known.left { Found::Left } else { Found::Nobody };
        let Some(connection) = self.connection.as_ref().filter(known) else { return nobody };
        assert!(connection.verifies(tracking));
        match connection.ended() {
            None => Found::Living,
            Some(_) if connection.is_finished() => nobody,
            Some((Side::Client, Reason::Closed)) => Found::Left,
            Some((_, Reason::Expired | Reason::Unproved)) => nobody,
            Some(_) => Found::Closed,
        }
    }

    fn handshake(&self) -> Opened {
        Opened {
            session: SESSION.parse().unwrap(),
            token: TOKEN.parse().unwrap(),
            heartbeat: self.config.client_heartbeat,
            timeout: self.config.timeout,
            proof: self.config.proof,
            resume: self.config.resume,
            window: self.config.window,
        }
    }
}

/// Which flavour of the format a script begins with.
pub(super) fn any_format() -> &'static AtmosphereFormat {
    AtmosphereFormat::of(Greeting::None, false, false)
}

fn refused(refusal: &Refusal) -> Value {
    let response = refusal.clone().into_response();
    let error = response.headers().get(headers::atmosphere::ERROR).map(|text| text.to_str().unwrap());
    let mut answer = json!({"status": refusal.status().as_u16()});
    if let Some(error) = error {
        answer["error"] = error.into();
    }
    answer
}
