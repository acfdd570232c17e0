//! Broadcasts to event streams and to polls. Who publishes is a client on a WebSocket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Client, PATIENCE, connect_all};
use crate::form::{Form, Kind, Protocol, digits};
use crate::http::{Chunks, Head, Posts, TICK};
use crate::latency::Latencies;
use crate::meter::Meter;
use crate::net::{Link, Poller, Target};
use crate::options::{Error, Options};
use crate::talk::{Control, Heard};

/// Half of the default window: that many messages a client takes before it says so.
const ACKNOWLEDGE: u64 = 128;
const TIMES: usize = 512;

pub(crate) fn run(options: &Options) -> Result<Value, Error> {
    let mut meter = Meter::new(options)?;
    let mut push = Push::new(options)?;
    push.open()?;
    let phase = |name: &str, messages: &str, default| -> Result<_, Error> {
        let limit = options.get(messages, u64::MAX)?;
        let time = if limit == u64::MAX { options.seconds(name, default)? } else { Duration::from_secs(3600) };
        Ok((time, limit))
    };
    push.phase(phase("warm", "warm-count", 0.5)?)?;
    push.latencies = Latencies::new();
    meter.start()?;
    let (total, answers, posts) = (push.total, push.answers, push.posts.done);
    push.phase(phase("secs", "count-messages", 2.0)?)?;
    let mut result = meter.stop(push.total - total)?;
    let seconds = result["seconds"].as_f64().unwrap_or(1.0);
    result["p50_us"] = push.latencies.quantile(0.5).into();
    result["p99_us"] = push.latencies.quantile(0.99).into();
    result["polls_rate"] = ((push.answers - answers) as f64 / seconds).into();
    result["messages_per_answer"] = ((push.total - total) as f64 / (push.answers - answers).max(1) as f64).into();
    result["posts"] = (push.posts.done - posts).into();
    Ok(result)
}

/// A client that gets messages.
struct Receiver {
    link: Link,
    /// Bytes of a head, or of a line, whose end has not come.
    rest: Vec<u8>,
    /// The answer's body, once its head was read: a stream, or so many bytes.
    stream: Option<Chunks>,
    /// `<session>` and `<token>`.
    session: Option<(String, String)>,
    received: u64,
    acknowledged: u64,
    last: Option<u32>,
}

struct Push {
    target: Target,
    form: Arc<Form>,
    path: String,
    polls: bool,
    poller: Poller,
    receivers: Vec<Receiver>,
    publisher: Client,
    posts: Posts,
    times: Vec<Instant>,
    window: u32,
    latencies: Latencies,
    delivered: u64,
    total: u64,
    answers: u64,
}

/// What a receiver heard.
enum News {
    Opened,
    Message(u32),
    Ping,
    Nothing,
}

impl Push {
    fn new(options: &Options) -> Result<Self, Error> {
        let target = Target::new(options)?;
        let protocol = Protocol::named(&options.text("protocol", "json"))?;
        let polls = options.command == "poll";
        if !matches!(protocol, Protocol::Json | Protocol::Plain) || (polls && protocol == Protocol::Plain) {
            return Err("event streams are json or plain here, polls json".into());
        }
        let form = Arc::new(Form::new(protocol, Kind::Text, options.get("size", 128)?, "m")?);
        let (path, count) = (options.text("path", "/broadcast"), options.get("clients", 1000)?);
        let mut poller = Poller::new()?;
        let publisher = connect_all(&target, &mut Poller::new()?, &form, 1, |_| path.clone())?.remove(0);
        poller.add(&publisher.link, count)?;
        let mut receivers = Vec::with_capacity(count);
        for id in 0..count {
            let link = target.connect()?;
            poller.add(&link, id)?;
            let (rest, stream, session) = (vec![], None, None);
            receivers.push(Receiver { link, rest, stream, session, received: 0, acknowledged: 0, last: None });
        }
        Ok(Self {
            posts: Posts::new(&target, &mut poller, 8, count + 1)?,
            times: vec![Instant::now(); TIMES],
            window: options.get("window", 1)?,
            latencies: Latencies::new(),
            delivered: 0,
            total: 0,
            answers: 0,
            target,
            form,
            path,
            polls,
            poller,
            receivers,
            publisher,
        })
    }

    /// Every receiver has its session.
    fn open(&mut self) -> Result<(), Error> {
        let transport = if self.polls { "long-polling" } else { "sse" };
        let native = match self.form.protocol {
            Protocol::Json => "Nosphere-Protocol: nosphere.v1.json\r\nNosphere-Attachment: 1\r\n",
            _ => "",
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nNosphere-Transport: {transport}\r\n{native}\r\n",
            self.path, self.target.addr
        );
        // Not all at once: the listener's queue is shorter than that.
        for start in (0..self.receivers.len()).step_by(64) {
            let end = (start + 64).min(self.receivers.len());
            for receiver in &mut self.receivers[start..end] {
                receiver.link.send(request.as_bytes())?;
            }
            let started = Instant::now();
            while self.receivers[start..end].iter().any(|receiver| receiver.session.is_none()) {
                self.step()?;
                if started.elapsed() > PATIENCE {
                    return Err("not every session is there".into());
                }
            }
        }
        Ok(())
    }

    fn phase(&mut self, (time, limit): (Duration, u64)) -> Result<(), Error> {
        let (started, first) = (Instant::now(), self.total);
        let mut progress = (Instant::now(), self.total);
        let members = self.receivers.len() as u64;
        loop {
            let over = started.elapsed() >= time || self.total - first >= limit;
            let in_flight = self.publisher.talk.sent - (self.delivered / members) as u32;
            if over && in_flight == 0 && self.posts.is_idle() {
                return Ok(());
            }
            if !over && in_flight < self.window {
                let now = Instant::now();
                let count = self.window - in_flight;
                for number in 1..=count {
                    self.times[(self.publisher.talk.sent + number) as usize % TIMES] = now;
                }
                self.publisher.talk.publish(0, count, &mut self.publisher.out);
                self.publisher.write()?;
            }
            self.step()?;
            if self.total > progress.1 {
                progress = (Instant::now(), self.total);
            } else if progress.0.elapsed() > PATIENCE {
                return Err(format!("nothing arrives any more, after {} messages", self.total).into());
            }
        }
    }

    fn step(&mut self) -> Result<(), Error> {
        let (mut ids, mut buffer) = (vec![], vec![0; 64 << 10]);
        self.poller.wait(TICK, &mut ids)?;
        let members = self.receivers.len();
        for id in ids {
            if id < members {
                self.take(id, &mut buffer).map_err(|error| format!("client {id}: {error}"))?;
            } else if id == members {
                if !self.publisher.read(&mut buffer, &mut |_: Heard| {})? {
                    return Err("the server closed the publisher's connection".into());
                }
                self.publisher.write()?;
            } else {
                self.posts.take(id, &mut buffer)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, id: usize, buffer: &mut [u8]) -> Result<(), Error> {
        let receiver = &mut self.receivers[id];
        receiver.link.flush()?;
        let mut come = vec![];
        while let Some(count) = receiver.link.read(buffer)? {
            if count == 0 {
                return Err("the server closed the connection".into());
            }
            come.extend_from_slice(&buffer[..count]);
            if count < buffer.len() {
                break;
            }
        }
        if come.is_empty() {
            return Ok(());
        }
        let now = Instant::now();
        let (mut pong, mut messages) = (false, 0);
        let (times, latencies) = (&self.times, &mut self.latencies);
        let answered = receiver.input(&come, &self.form, self.polls, &mut |news| match news {
            News::Message(number) => {
                messages += 1;
                latencies.add(now.saturating_duration_since(times[number as usize % TIMES]));
            }
            News::Ping => pong = true,
            News::Opened | News::Nothing => {}
        })?;
        self.delivered += messages;
        self.total += messages;
        if answered {
            self.answers += 1;
            let request = receiver.request("GET", &self.path, &self.target, "");
            receiver.link.send(&request)?;
        }
        let due = receiver.received - receiver.acknowledged >= ACKNOWLEDGE;
        // A stream shows by its first acknowledgement that the client has the token.
        let proof = receiver.session.is_some() && receiver.acknowledged == u64::MAX;
        if self.form.protocol == Protocol::Json && !self.polls && (due || proof || pong) {
            let name = if pong { "pong" } else { "ack" };
            receiver.acknowledged = receiver.received;
            let body = format!("{{\"{name}\":{}}}", receiver.received);
            self.posts.send(receiver.request("POST", &self.path, &self.target, &body))?;
        }
        Ok(())
    }
}

impl Receiver {
    /// Whether an answer to a poll is complete.
    fn input(&mut self, come: &[u8], form: &Form, polls: bool, on: &mut impl FnMut(News)) -> Result<bool, Error> {
        if let Some(chunks) = &mut self.stream {
            chunks.take(come, &mut self.rest)?;
            self.lines(form, on)?;
            return Ok(false);
        }
        self.rest.extend_from_slice(come);
        let Some(head) = Head::read(&self.rest)? else { return Ok(false) };
        if !matches!(head.status, 200 | 204) {
            return Err(format!("refused: {}", String::from_utf8_lossy(&self.rest)).into());
        }
        if !polls {
            let body = self.rest.split_off(head.end);
            self.rest.clear();
            let mut chunks = Chunks::default();
            chunks.take(&body, &mut self.rest)?;
            self.stream = Some(chunks);
            self.lines(form, on)?;
            return Ok(false);
        }
        if head.chunked {
            return Err("an answer to a poll in chunks".into());
        }
        let end = head.end + head.length;
        if self.rest.len() < end {
            return Ok(false);
        }
        let body = self.rest[head.end..end].to_vec();
        self.rest.drain(..end);
        for unit in body.split(|byte| *byte == b'\n').filter(|unit| !unit.is_empty()) {
            on(self.unit(unit, form)?);
        }
        Ok(true)
    }

    /// The lines of an event stream.
    fn lines(&mut self, form: &Form, on: &mut impl FnMut(News)) -> Result<(), Error> {
        let rest = std::mem::take(&mut self.rest);
        let mut at = 0;
        while let Some(end) = memchr::memchr(b'\n', &rest[at..]) {
            let line = &rest[at..at + end];
            at += end + 1;
            if let Some(unit) = line.strip_prefix(b"data: ") {
                on(self.unit(unit, form)?);
            }
        }
        self.rest = rest[at..].to_vec();
        Ok(())
    }

    fn unit(&mut self, unit: &[u8], form: &Form) -> Result<News, Error> {
        let plain = form.protocol == Protocol::Plain;
        if plain && self.session.is_none() {
            let text = std::str::from_utf8(unit)?;
            let (session, token) = text.split_once('.').ok_or("no session and token")?;
            self.session = Some((session.into(), token.into()));
            return Ok(News::Opened);
        }
        if plain || matches!(unit.get(2), Some(b't' | b'j' | b'b')) {
            let (_, number) = digits(unit, form.offset).ok_or("not what was sent")?;
            if self.last.is_some_and(|last| last + 1 != number) {
                return Err(format!("{number} after {}", self.last.unwrap_or(0)).into());
            }
            self.last = Some(number);
            self.received += 1;
            return Ok(News::Message(number));
        }
        Ok(match Control::read(Protocol::Json, unit)? {
            Control::Opened { id, token } => {
                self.session = Some((String::from_utf8(id)?, String::from_utf8(token)?));
                self.acknowledged = u64::MAX;
                News::Opened
            }
            Control::Ping => News::Ping,
            Control::Reset => return Err("reset".into()),
            Control::Resumed(_) | Control::Nothing => News::Nothing,
        })
    }

    fn request(&self, method: &str, path: &str, target: &Target, body: &str) -> Vec<u8> {
        let (session, token) = self.session.as_ref().map_or(("", ""), |(session, token)| (session, token));
        let about = match method {
            "POST" => format!(
                "Content-Type: application/vnd.nosphere.v1.json\r\nNosphere-Base: 0\r\nContent-Length: {}\r\n",
                body.len()
            ),
            _ => "Nosphere-Protocol: nosphere.v1.json\r\nNosphere-Transport: long-polling\r\n".into(),
        };
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nNosphere-Session: {session}\r\nNosphere-Token: {token}\r\n\
             Nosphere-Attachment: 1\r\nNosphere-Received: {}\r\n{about}\r\n{body}",
            target.addr, self.received
        )
        .into_bytes()
    }
}
