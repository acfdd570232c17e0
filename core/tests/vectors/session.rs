//! The player of session scripts: one side of a session, whose peer and clock are the script.

use std::collections::BTreeMap;
use std::sync::Arc;

use nosphere_core::{
    Action, AttachRequest, Config, Connection, Frame, Greeting, LinkId, PostAnswer, Reason, SendError, Time, Transport,
    Unit, WireFormat,
};
use nosphere_wire::PLAIN;
use serde_json::{Value, json};

use super::notation::{self, frame, list, member, number, of_event, of_frame, of_message};
use super::wire;

pub(super) struct Player {
    pub(super) config: Arc<Config>,
    pub(super) format: &'static dyn WireFormat,
    pub(super) plain: bool,
    /// Of a client of atmosphere.js.
    pub(super) known: super::atmosphere::Known,
    pub(super) now: Time,
    pub(super) connection: Option<Connection>,
    /// Links that are not over, and what carries them.
    pub(super) links: BTreeMap<LinkId, Transport>,
    /// WebSockets that have not said yet which session they are for.
    pub(super) greetings: BTreeMap<LinkId, Greeting>,
    pub(super) latest: LinkId,
    client: bool,
    /// The POST in flight.
    post: u64,
    /// How many events the application takes after an input.
    take: usize,
    /// The links take nothing.
    blocked: bool,
    said: Said,
}

/// What came of one input.
#[derive(Default)]
pub(super) struct Said {
    transmits: Vec<Value>,
    post: Option<Value>,
    events: Vec<Value>,
    pub(super) answer: Option<Value>,
    refused: Option<Value>,
    undelivered: Option<Value>,
}

/// Plays a case in one wire format.
pub(super) fn play(case: &Value, format: &str) -> Result<(), String> {
    let config = Arc::new(notation::config(&case["config"]));
    let client = case["role"] == "client";
    let mut player = Player {
        connection: client.then(|| Connection::client(&config, Time::ZERO)),
        config,
        format: wire::format(format),
        plain: format == "plain",
        known: Default::default(),
        now: Time::ZERO,
        links: BTreeMap::new(),
        greetings: BTreeMap::new(),
        latest: LinkId(0),
        client,
        post: 0,
        take: usize::MAX,
        blocked: false,
        said: Said::default(),
    };
    for (index, step) in list(&case["steps"]).iter().enumerate() {
        player.step(step).map_err(|difference| format!("step {} {step}\n    {difference}", index + 1))?;
    }
    Ok(())
}

/// The formats that a case is played in.
pub(super) fn formats(case: &Value) -> Vec<&str> {
    match list(&case["formats"]) {
        [] if case["protocol"] == "plain" => vec!["plain"],
        [] if case["protocol"] == "atmosphere" => vec!["atmosphere"],
        [] => vec!["json", "messagepack"],
        formats => formats.iter().map(notation::string).collect(),
    }
}

impl Player {
    fn step(&mut self, step: &Value) -> Result<(), String> {
        self.pass_until(Time(step["at"].as_u64().unwrap_or(self.now.0)))?;
        self.take = step["take"].as_u64().map_or(usize::MAX, |take| take as usize);
        self.blocked = step["blocked"] == true;
        self.input(step);
        self.collect();
        let mut said = std::mem::take(&mut self.said);
        let expected = self.expected(step);
        for (is, should) in said.transmits.iter_mut().zip(list(&expected["transmits"])) {
            // A number is compared where the script gives one.
            let kinds = ["text", "json", "binary", "request", "reply"];
            if should["number"].is_null() && kinds.iter().any(|kind| should.get(kind).is_some()) {
                is.as_object_mut().unwrap().remove("number");
            }
        }
        let Said { transmits, post, events, answer, refused, undelivered } = said;
        let is = json!({
            "transmits": transmits, "post": post, "events": events, "answer": answer, "refused": refused,
            "undelivered": undelivered,
        });
        if is != expected {
            let differs = |name: &&String| is[name.as_str()] != expected[name.as_str()];
            let names: Vec<_> = is.as_object().into_iter().flatten().map(|(name, _)| name).filter(differs).collect();
            let lines = names.iter().map(|name| format!("{name}: is {}, should be {}", is[*name], expected[*name]));
            return Err(Vec::from_iter(lines).join("\n    "));
        }
        match step.get("deadline") {
            Some(deadline) if *deadline != json!(self.deadline().map(|at| at.0)) => {
                Err(format!("deadline: is {:?}, should be {deadline}", self.deadline()))
            }
            _ => Ok(()),
        }
    }

    /// What the step says, with everything that it leaves out.
    fn expected(&self, step: &Value) -> Value {
        let filled = |value: &Value| of_frame(&frame(value, &self.config));
        let transmit = |value: &Value| {
            let mut value = value.clone();
            let members = value.as_object_mut().unwrap();
            for name in ["open", "opened", "resume"] {
                if let Some(body) = members.get_mut(name) {
                    *body = filled(&json!({name: body}))[name].clone();
                }
            }
            value
        };
        let ended = list(&step["events"]).iter().any(|event| event["disconnected"].is_object());
        let undelivered = || {
            let left = &step["undelivered"];
            json!({"unknown": list(&left["unknown"]), "unsent": list(&left["unsent"])})
        };
        json!({
            "transmits": list(&step["transmits"]).iter().map(transmit).collect::<Vec<_>>(),
            "post": step["post"],
            "events": list(&step["events"]),
            "answer": step["answer"],
            "refused": step["refused"],
            "undelivered": if ended { undelivered() } else { Value::Null },
        })
    }

    /// Time passes, up to a step. What becomes due on the way has to be the business of a step of its own.
    fn pass_until(&mut self, at: Time) -> Result<(), String> {
        for _ in 0..100 {
            let Some(due) = self.deadline().filter(|&due| due < at) else { break };
            self.now = self.now.max(due);
            self.time_out();
            self.collect();
            let Said { transmits, post, events, .. } = std::mem::take(&mut self.said);
            if !transmits.is_empty() || post.is_some() || !events.is_empty() {
                return Err(format!("at {due} already: {transmits:?} {post:?} {events:?}"));
            }
        }
        if at < self.now {
            return Err(format!("the clock is at {} already", self.now));
        }
        self.now = at;
        Ok(())
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        let greetings = self.greetings.values().map(Greeting::poll_timeout);
        greetings.chain(self.connection.as_ref().and_then(Connection::poll_timeout)).min()
    }

    fn time_out(&mut self) {
        let now = self.now;
        let late: Vec<_> = self.greetings.iter().filter(|(_, g)| g.poll_timeout() <= now).map(|(l, _)| *l).collect();
        late.into_iter().for_each(|link| self.end(link, Reason::Timeout));
        if let Some(connection) = &mut self.connection {
            connection.handle_timeout(now);
        }
    }

    fn input(&mut self, step: &Value) {
        const INPUTS: [&str; 14] = [
            "alive", "asks", "attach", "close", "connect", "detach", "get", "polled", "posts", "posted", "receive",
            "refuse", "send", "try",
        ];
        let Some(name) = INPUTS.into_iter().find(|name| step.get(name).is_some()) else { return self.time_out() };
        let (body, now) = (&step[name], self.now);
        let on = step["on"].as_u64().map_or(self.latest, LinkId);
        match name {
            "asks" => return self.atmosphere_is_asked(step),
            "connect" => return self.server_connects(),
            "get" => return self.server_is_asked(body),
            "posts" => return self.server_is_posted(body),
            "receive" => return self.receive(on, body, step["id"].as_u64()),
            _ => {}
        }
        let link = if matches!(name, "attach" | "try") { self.new_link(notation::transport(body)) } else { on };
        let connection = self.connection.as_mut().expect("there is no session");
        match name {
            "alive" => connection.handle_alive(link, now),
            "attach" => connection.attach(link, notation::transport(body), now),
            "try" => connection.try_link(link, notation::transport(body)),
            "close" => connection.close(notation::reason(body), now),
            "detach" => {
                connection.handle_detach(link, notation::reason(body), now);
                self.links.remove(&link);
            }
            "polled" => {
                connection.handle_received(link, number(&body["received"]), now);
                for value in list(&body["frames"]) {
                    self.receive(link, value, None);
                }
                self.connection.as_mut().unwrap().handle_detach(link, Reason::Closed, now);
                self.links.remove(&link);
            }
            "posted" => connection.handle_post_answer(self.post, post_answer(body), now),
            "refuse" => {
                connection.handle_refused(link, notation::reason(body), now);
                self.links.remove(&link);
            }
            _ => {
                let refused = connection.send(notation::message(body), now).err().map(|error| match error {
                    SendError::Closed(_) => "closed",
                    SendError::Full(_) => "full",
                    SendError::Inexpressible { .. } => "inexpressible",
                    SendError::TooLarge { .. } => "too-large",
                    other => panic!("no name for {other}"),
                });
                self.said.refused = refused.map(Into::into);
            }
        }
    }

    fn receive(&mut self, link: LinkId, value: &Value, id: Option<u64>) {
        let unit = self.unit(value);
        if self.greetings.contains_key(&link) {
            return self.server_is_greeted(link, unit);
        }
        let connection = self.connection.as_mut().expect("there is no session");
        // SPEC SSE-4: the carrier compares.
        if id.is_some_and(|id| id != connection.next_number()) {
            return connection.handle_detach(link, Reason::Unexpected, self.now);
        }
        connection.handle_unit(link, unit, self.format, self.now);
    }

    /// A frame as a unit, or a unit that is none.
    pub(super) fn unit(&self, value: &Value) -> Unit {
        let text = self.format.is_text();
        let either = |json: &str, messagepack: &'static [u8]| {
            if text { Unit::Text(json.into()) } else { Unit::Binary(messagepack.into()) }
        };
        match member(value) {
            ("unit", text) => Unit::Text(notation::string(text).into()),
            // The client's units are never what the server's are.
            _ if self.speaks_atmosphere() => PLAIN.encode(frame(value, &self.config)).unwrap(),
            ("malformed", _) => either("{}", &[0x90]),
            ("wrong-kind", _) if text => Unit::Binary(b"{\"ack\":0}".as_slice().into()),
            ("wrong-kind", _) => Unit::Text("{\"ack\":0}".into()),
            ("unreadable", kind) => self.unreadable(kind, "{", &[0x92]),
            (name @ ("request" | "reply"), body) if body["unreadable"].is_string() => {
                // MessagePack has these in one byte, which is the number itself.
                let id = number(&body["id"]) as u8 & 0x7f;
                let kind = if name == "request" { 12 } else { 13 };
                self.unreadable(&body["unreadable"], &format!(r#"{{"{name}":{id},"#), &[0x94, kind, id])
            }
            _ => self.format.encode(frame(value, &self.config)).unwrap(),
        }
    }

    fn speaks_atmosphere(&self) -> bool {
        self.format.name().starts_with("atmosphere")
    }

    /// A message whose payload cannot be read, behind what its unit begins with.
    fn unreadable(&self, kind: &Value, text: &str, packed: &[u8]) -> Unit {
        let (member, element): (_, &[u8]) = match notation::string(kind) {
            "json" => (r#""json":x}"#, &[6, 0xc1]),
            "text" => (r#""text":1}"#, &[5, 1]),
            _ => (r#""binary":1}"#, &[7, 1]),
        };
        if self.format.is_text() {
            Unit::Text([text, member].concat().into())
        } else {
            Unit::Binary([packed, element].concat().into())
        }
    }

    pub(super) fn new_link(&mut self, transport: Transport) -> LinkId {
        self.latest = LinkId(self.latest.0 + 1);
        self.links.insert(self.latest, transport);
        self.latest
    }

    /// Events, what goes out over the links, a POST, and events again: until nothing comes any more.
    fn collect(&mut self) {
        loop {
            let mut some = self.take_events();
            if !self.blocked {
                for link in Vec::from_iter(self.links.keys().copied()) {
                    some |= self.transmit(link);
                }
                some |= self.client && self.take_post();
                some |= self.take_events();
            }
            if !some {
                return;
            }
        }
    }

    fn take_events(&mut self) -> bool {
        let mut some = false;
        while self.take > 0
            && let Some(connection) = &mut self.connection
            && let Some(event) = connection.poll_event()
        {
            let event = of_event(event);
            if event["disconnected"].is_object() {
                let left = connection.take_undelivered();
                let of = |messages: Vec<_>| messages.iter().map(of_message).collect::<Vec<_>>();
                self.said.undelivered = Some(json!({"unknown": of(left.unknown), "unsent": of(left.unsent)}));
            }
            self.said.events.push(event);
            self.take -= 1;
            some = true;
        }
        some
    }

    fn transmit(&mut self, link: LinkId) -> bool {
        let mut some = false;
        while self.links.contains_key(&link)
            && !self.greetings.contains_key(&link)
            && let Some(connection) = &mut self.connection
            && let Some(action) = connection.poll_transmit(link, self.format, self.now)
        {
            some = true;
            match action {
                Action::Attach(AttachRequest::Open(open)) => self.say(link, of_frame(&Frame::Open(open))),
                Action::Attach(AttachRequest::Resume(offer)) => self.say(link, of_frame(&Frame::Resume(offer))),
                Action::Close { reason } => self.end(link, reason),
                Action::Finish => {
                    let received = connection.report_received();
                    let answered = if self.speaks_atmosphere() { json!(true) } else { json!(received) };
                    self.links.remove(&link);
                    self.say(link, json!({"answered": answered}));
                }
                Action::Lost { messages } => self.say(link, json!({"lost": messages})),
                Action::Ping => self.say(link, json!({"carrier": "ping"})),
                Action::Send { unit, number } => {
                    let mut value = self.notation(notation::text_of(&unit));
                    if let Some(number) = number.filter(|_| !self.speaks_atmosphere()) {
                        value["number"] = number.into();
                    }
                    self.say(link, value);
                }
                action => panic!("an action without a notation: {action:?}"),
            }
        }
        some
    }

    fn take_post(&mut self) -> bool {
        let Some(post) = self.connection.as_mut().and_then(|connection| connection.poll_post(self.format)) else {
            return false;
        };
        self.post = post.id;
        let mut frames: Vec<_> = post.units.into_iter().map(|unit| self.notation(unit)).collect();
        // The header has the same count.
        frames.retain(|frame| frame.get("ack").is_none());
        self.said.post = Some(json!({
            "attachment": post.attachment, "base": post.base, "received": post.received, "frames": frames,
        }));
        true
    }

    /// A unit that goes out. What is only for people is not compared.
    fn notation(&self, unit: Unit) -> Value {
        match unit {
            Unit::Text(text) if self.speaks_atmosphere() => return json!({"unit": text.as_str()}),
            unit if self.speaks_atmosphere() => return of_frame(&PLAIN.decode(unit).unwrap()),
            _ => {}
        }
        let mut value = of_frame(&self.format.decode(unit).unwrap());
        if let Some(close) = value.get_mut("close").and_then(Value::as_object_mut) {
            close.remove("reason");
        }
        value
    }

    pub(super) fn say(&mut self, link: LinkId, mut value: Value) {
        if link != self.latest {
            value["on"] = link.0.into();
        }
        self.said.transmits.push(value);
    }

    pub(super) fn answer(&mut self, answer: Value) {
        self.said.answer = Some(answer);
    }

    /// This side ends a link. Why, is told over a WebSocket only.
    pub(super) fn end(&mut self, link: LinkId, reason: Reason) {
        self.greetings.remove(&link);
        let how = match self.links.remove(&link) {
            Some(Transport::WebSocket) | None => json!(reason.code()),
            Some(Transport::LongPolling) if !self.client => json!("replaced"),
            Some(transport) => json!(transport.name()),
        };
        self.say(link, json!({"end": how}));
    }
}

fn post_answer(value: &Value) -> PostAnswer {
    if value == "failed" {
        return PostAnswer::Failed;
    }
    match member(value) {
        ("received", received) => PostAnswer::Accepted { received: number(received) },
        ("error", name) if name == "gap" => PostAnswer::Gap,
        (_, name) => PostAnswer::Refused { reason: notation::reason(name) },
    }
}
