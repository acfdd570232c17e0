//! What a server does around its sessions, of which a script has one: greets sockets, finds the session, compares tokens.

use nosphere_core::{
    Attach, Batch, Connection, Fault, Frame, Greeted, Greeting, LinkId, Offer, Opening, Protocol, Reason, ResumeToken,
    Transport, Unit,
};
use serde_json::{Value, json};

use super::notation::{SESSION, TOKEN, frame, list, member, of_frame, transport};
use super::session::Player;

/// The name in `Nosphere-Error`.
fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::Gap => "gap",
        Fault::Stale => "stale",
        fault => fault.reason().name(),
    }
}

impl Player {
    pub(super) fn server_connects(&mut self) {
        let link = self.new_link(Transport::WebSocket);
        if self.plain {
            self.open(link, Transport::WebSocket, &json!({"open": {}}));
        } else {
            self.greetings.insert(link, Greeting::new(&self.config, self.now));
        }
    }

    /// The first words on a WebSocket.
    pub(super) fn server_is_greeted(&mut self, link: LinkId, unit: Unit) {
        let now = self.now;
        let Some(greeting) = self.greetings.get_mut(&link) else { return };
        match greeting.handle_frame(self.format.decode(unit)) {
            Greeted::Fault(reason) => self.end(link, reason),
            Greeted::Open(open) => self.open(link, Transport::WebSocket, &of_frame(&Frame::Open(open))),
            Greeted::Reply(reply) => self.say(link, of_frame(&reply)),
            Greeted::Resume(offer) => match self.find(&offer) {
                Err(Reason::UnknownSession) => {
                    // What becomes of the link then, SPEC leaves to the server.
                    self.say(link, json!({"reset": ""}));
                    self.links.remove(&link);
                    self.greetings.remove(&link);
                }
                Err(reason) => self.end(link, reason),
                Ok(connection) => {
                    let attach = Attach {
                        link,
                        transport: Transport::WebSocket,
                        attachment: Some(offer.attachment),
                        received: Some(offer.received),
                    };
                    match connection.handle_attach(attach, now) {
                        Ok(()) => drop(self.greetings.remove(&link)),
                        Err(fault) => self.end(link, fault.reason()),
                    }
                }
            },
        }
    }

    /// An event stream or a poll is asked for: `{"sse": {"open": {…}}}`.
    pub(super) fn server_is_asked(&mut self, get: &Value) {
        let (name_of_transport, request) = member(get);
        let transport = transport(&name_of_transport.into());
        let link = self.new_link(transport);
        let (kind, body) = member(request);
        if kind == "open" {
            return self.open(link, transport, request);
        }
        let attach =
            Attach { link, transport, attachment: body["attachment"].as_u64(), received: body["received"].as_u64() };
        let now = self.now;
        let fault = match self.find(&offer(body)) {
            Ok(connection) => connection.handle_attach(attach, now).err().map(|fault| {
                let received = connection.report_received();
                json!({"error": name(fault), "received": received})
            }),
            Err(reason) => Some(json!({"error": reason.name()})),
        };
        if let Some(answer) = fault {
            self.links.remove(&link);
            self.latest = self.links.keys().last().copied().unwrap_or(link);
            self.answer(answer);
        }
    }

    pub(super) fn server_is_posted(&mut self, body: &Value) {
        let units = list(&body["frames"]).iter().map(|value| self.unit(value)).collect();
        let count = |name: &str| body[name].as_u64();
        let (attachment, base, received) = (count("attachment"), count("base"), count("received"));
        let batch = Batch { attachment, base, received, units };
        let (format, now) = (self.format, self.now);
        let answer = match self.find(&offer(body)) {
            Err(reason) => json!({"error": reason.name()}),
            Ok(connection) => {
                let answer = connection.handle_batch(batch, format, now);
                match answer.outcome {
                    Ok(()) => json!({"received": answer.received}),
                    Err(fault) => json!({"error": name(fault), "received": answer.received}),
                }
            }
        };
        self.answer(answer);
    }

    fn open(&mut self, link: LinkId, transport: Transport, open: &Value) {
        let Frame::Open(open) = frame(open, &nosphere_core::Config::default()) else { panic!("no open: {open}") };
        let opening = Opening {
            session: SESSION.parse().unwrap(),
            token: TOKEN.parse().unwrap(),
            attachment: open.attachment,
            window: open.window,
            link,
            transport,
        };
        let protocol = if self.plain { Protocol::Plain } else { Protocol::Native };
        self.greetings.remove(&link);
        self.connection = Some(Connection::server(&self.config, protocol, opening, self.now));
    }

    /// The session that a request names, if it has the right to it.
    fn find(&mut self, offer: &Offer) -> Result<&mut Connection, Reason> {
        let known =
            |connection: &&mut Connection| connection.session() == Some(offer.session) && !connection.is_finished();
        let connection = self.connection.as_mut().filter(known).ok_or(Reason::UnknownSession)?;
        if connection.verifies(&offer.token) { Ok(connection) } else { Err(Reason::Forbidden) }
    }
}

/// Session and token of a request; those of the one session where they are left out.
fn offer(body: &Value) -> Offer {
    let token: ResumeToken = body["token"].as_str().unwrap_or(TOKEN).parse().unwrap();
    let session = body["session"].as_str().unwrap_or(SESSION).parse().unwrap();
    Offer { session, token, attachment: 1, received: 0 }
}
