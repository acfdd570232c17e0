//! Echo and broadcasts: publishers, each of which has so many messages in flight, and groups whose members get them all.
//! An echo is a group of one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, PATIENCE, connect_all, form};
use crate::form::{Form, Protocol};
use crate::latency::Latencies;
use crate::meter::Meter;
use crate::net::{Poller, Target};
use crate::options::{Error, Options};
use crate::talk::Heard;

struct Publisher {
    client: usize,
    /// Its number in its group, which its messages carry.
    number: u8,
    group: usize,
    /// Of its messages, over all members.
    delivered: u64,
    /// When the last ones were published.
    times: Vec<Instant>,
}

/// How many times are kept: more than are ever in flight.
const TIMES: usize = 512;

struct Group {
    members: u64,
    /// Its publishers are here and the next ones.
    publishers: usize,
}

/// What a client has got: the last number of each publisher, `None` before the first.
type Seen = Vec<Option<u32>>;

pub(crate) struct Traffic {
    target: Target,
    form: Arc<Form>,
    path: String,
    poller: Poller,
    clients: Vec<Client>,
    /// The group of each client.
    group_of: Vec<usize>,
    /// `None`: it does not read.
    seen: Vec<Option<Seen>>,
    groups: Vec<Group>,
    publishers: Vec<Publisher>,
    /// The publisher that a client is.
    publishing: Vec<Option<usize>>,
    window: u32,
    batch: bool,
    /// The server does not keep the order.
    unordered: bool,
    latencies: Latencies,
    total: u64,
    resumed: u32,
    replayed: u64,
}

pub(crate) fn run(options: &Options) -> Result<Value, Error> {
    let mut meter = Meter::new(options)?;
    let before = meter.rss()?;
    let mut traffic = Traffic::new(options)?;
    let connected = meter.rss()?;
    traffic.join()?;
    traffic.phase(&Until::new(options, "warm", "warm-count", 0.5)?, &[])?;
    traffic.latencies = Latencies::new();
    let cuts: &[usize] = if options.flag("cut") { &[0, 1] } else { &[] };
    meter.start()?;
    let total = traffic.total;
    traffic.phase(&Until::new(options, "secs", "count-messages", 2.0)?, cuts)?;
    let mut result = meter.stop(traffic.total - total)?;
    if traffic.resumed != cuts.len().min(traffic.clients.len()) as u32 {
        return Err(format!("{} of the clients that were cut have resumed", traffic.resumed).into());
    }
    let mut set = |name: &str, value: Value| result[name] = value;
    set("p50_us", traffic.latencies.quantile(0.5).into());
    set("p99_us", traffic.latencies.quantile(0.99).into());
    set("max_us", traffic.latencies.max().into());
    set("resumed", traffic.resumed.into());
    set("replayed", traffic.replayed.into());
    set("in_sequence", json!(traffic.form.protocol != Protocol::Raw && !traffic.unordered));
    set("rss_before", before.into());
    set("rss_connected", connected.into());
    Ok(result)
}

/// When a phase ends.
struct Until {
    time: Duration,
    messages: u64,
}

impl Until {
    fn new(options: &Options, time: &str, messages: &str, default: f64) -> Result<Self, Error> {
        let messages = options.get(messages, u64::MAX)?;
        let time = if messages == u64::MAX { options.seconds(time, default)? } else { Duration::from_secs(3600) };
        Ok(Self { time, messages })
    }
}

impl Traffic {
    fn new(options: &Options) -> Result<Self, Error> {
        let (target, form, path) = (Target::new(options)?, form(options)?, options.text("path", "/echo"));
        let count: usize = options.get("clients", 64)?;
        // Without groups everybody is alone, and gets an echo.
        let groups = match options.get("groups", 0)? {
            0 => count,
            groups => groups,
        };
        let (stalled, each): (usize, usize) = (options.get("stalled", 0)?, options.get("publishers", 1)?);
        let mut poller = Poller::new()?;
        let clients = connect_all(&target, &mut poller, &form, count, |id| path_of(&path, id % groups))?;
        let mut traffic = Self {
            group_of: (0..count).map(|id| id % groups).collect(),
            groups: (0..groups).map(|id| Group { members: 0, publishers: id * each }).collect(),
            // The last ones do not read.
            seen: (0..count).map(|id| (id < count - stalled).then(|| vec![None; each])).collect(),
            publishing: vec![None; count],
            publishers: vec![],
            window: options.get("window", 1)?,
            batch: options.flag("batch"),
            unordered: options.flag("unordered"),
            latencies: Latencies::new(),
            total: 0,
            resumed: 0,
            replayed: 0,
            target,
            form,
            path,
            poller,
            clients,
        };
        for id in 0..count {
            if traffic.seen[id].is_some() {
                traffic.groups[id % groups].members += 1;
            } else {
                traffic.clients[id].link.keep_little()?;
            }
        }
        for group in 0..groups {
            for number in 0..each {
                let client = group + number * groups;
                traffic.publishing[client] = Some(traffic.publishers.len());
                let times = vec![Instant::now(); TIMES];
                traffic.publishers.push(Publisher { client, number: number as u8, group, delivered: 0, times });
            }
        }
        Ok(traffic)
    }

    /// A server may say that a session is there before it is in its group. So every group gets messages, until all have got
    /// the last one.
    fn join(&mut self) -> Result<(), Error> {
        if self.form.protocol == Protocol::Raw {
            // Nothing to tell by.
            std::thread::sleep(Duration::from_millis(300));
            return Ok(());
        }
        let started = Instant::now();
        let mut behind: Vec<usize> = (0..self.groups.len()).collect();
        while !behind.is_empty() {
            for &group in &behind {
                self.publish(self.groups[group].publishers, 1)?;
            }
            let published = Instant::now();
            while !behind.is_empty() && published.elapsed() < Duration::from_secs(5) {
                self.step(false)?;
                let mut complete = vec![true; self.groups.len()];
                for (id, seen) in self.seen.iter().enumerate() {
                    let first = &self.publishers[self.groups[self.group_of[id]].publishers];
                    let last = self.clients[first.client].talk.sent;
                    if seen.as_ref().is_some_and(|seen| seen[0] != Some(last)) {
                        complete[self.group_of[id]] = false;
                    }
                }
                behind.retain(|group| !complete[*group]);
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("in {} groups not everybody gets what is sent", behind.len()).into());
            }
        }
        for publisher in &mut self.publishers {
            let members = self.groups[publisher.group].members;
            publisher.delivered = u64::from(self.clients[publisher.client].talk.sent) * members;
        }
        Ok(())
    }

    /// Publishes until the phase is over and everything has arrived. In the middle, connections are cut.
    fn phase(&mut self, until: &Until, mut cuts: &[usize]) -> Result<(), Error> {
        let (started, first) = (Instant::now(), self.total);
        let mut progress = (Instant::now(), self.total);
        for publisher in 0..self.publishers.len() {
            self.refill(publisher)?;
        }
        loop {
            let over = started.elapsed() >= until.time || self.total - first >= until.messages;
            self.step(!over)?;
            if started.elapsed() * 2 > until.time || self.total - first > until.messages / 2 {
                for &id in std::mem::take(&mut cuts) {
                    if id < self.clients.len() {
                        self.cut(id)?;
                    }
                }
            }
            if over
                && self.publishers.iter().all(|publisher| self.in_flight(publisher) == 0)
                && self.clients.iter().all(|client| client.talk.is_open())
            {
                return Ok(());
            }
            if self.total > progress.1 {
                progress = (Instant::now(), self.total);
            } else if progress.0.elapsed() > PATIENCE {
                return Err(format!("nothing arrives any more, after {} messages", self.total).into());
            }
        }
    }

    /// Takes what has come.
    fn step(&mut self, publish: bool) -> Result<(), Error> {
        thread_local!(static SCRATCH: std::cell::RefCell<(Vec<usize>, Vec<u8>)> = std::cell::RefCell::new((vec![], vec![0; 256 << 10])));
        let (mut ids, mut buffer) = SCRATCH.take();
        self.poller.wait(Duration::from_millis(100), &mut ids)?;
        for &id in &ids {
            if self.seen[id].is_some() {
                self.take(id, &mut buffer).map_err(|error| format!("client {id}: {error}"))?;
                let group = &self.groups[self.group_of[id]];
                if publish && group.members == 1 {
                    self.refill(group.publishers)?;
                }
            }
        }
        if publish {
            for publisher in 0..self.publishers.len() {
                self.refill(publisher)?;
            }
        }
        SCRATCH.set((ids, buffer));
        Ok(())
    }

    fn take(&mut self, id: usize, buffer: &mut [u8]) -> Result<(), Error> {
        let Self { clients, group_of, groups, publishers, publishing, seen, latencies, total, unordered, .. } = self;
        let client = &mut clients[id];
        let seen = seen[id].as_mut().ok_or("does not read")?;
        let (mut wrong, mut resumed, now) = (None, None, Instant::now());
        let first = groups[group_of[id]].publishers;
        let going_on = client.read(buffer, &mut |heard| match heard {
            Heard::Message { publisher, number } => {
                let last = &mut seen[usize::from(publisher)];
                if !*unordered && last.is_some_and(|last| last + 1 != number) {
                    wrong = Some(format!("{number} of publisher {publisher} after {}", last.unwrap_or(0)));
                }
                *last = Some(number);
                let publisher = &mut publishers[first + usize::from(publisher)];
                publisher.delivered += 1;
                *total += 1;
                latencies.add(now.saturating_duration_since(publisher.times[number as usize % TIMES]));
            }
            Heard::Resumed(received) => resumed = Some(received),
            Heard::Opened | Heard::Ping | Heard::Reset => {}
        })?;
        if let Some(wrong) = wrong {
            return Err(wrong.into());
        }
        if !going_on {
            return Err("the server closed the connection".into());
        }
        if let Some(received) = resumed {
            self.resumed += 1;
            if let Some(publisher) = publishing[id] {
                self.replayed += u64::from(client.talk.sent) - received;
                client.talk.replay(publishers[publisher].number, received, &mut client.out);
            }
        }
        client.write()
    }

    fn in_flight(&self, publisher: &Publisher) -> u32 {
        let complete = publisher.delivered / self.groups[publisher.group].members;
        self.clients[publisher.client].talk.sent - complete as u32
    }

    fn refill(&mut self, publisher: usize) -> Result<(), Error> {
        let in_flight = self.in_flight(&self.publishers[publisher]);
        let few = if self.batch { in_flight == 0 } else { in_flight < self.window };
        if few && self.clients[self.publishers[publisher].client].talk.is_open() {
            self.publish(publisher, self.window - in_flight)?;
        }
        Ok(())
    }

    fn publish(&mut self, publisher: usize, count: u32) -> Result<(), Error> {
        let publisher = &mut self.publishers[publisher];
        let client = &mut self.clients[publisher.client];
        let now = Instant::now();
        for number in client.talk.sent + 1..=client.talk.sent + count {
            publisher.times[number as usize % TIMES] = now;
        }
        client.talk.publish(publisher.number, count, &mut client.out);
        client.write()
    }

    fn cut(&mut self, id: usize) -> Result<(), Error> {
        if let Some(publisher) = self.publishing[id] {
            let publisher = &mut self.publishers[publisher];
            let client = &mut self.clients[id];
            // One that is lost with the connection, so that something has to be sent again.
            client.talk.publish(publisher.number, 1, &mut client.out);
            publisher.times[client.talk.sent as usize % TIMES] = Instant::now();
        }
        let path = path_of(&self.path, self.group_of[id]);
        self.clients[id].cut(&self.target, &path, self.form.protocol)?;
        self.poller.add(&self.clients[id].link, id)
    }
}

fn path_of(path: &str, group: usize) -> String {
    path.replace("{group}", &group.to_string())
}
