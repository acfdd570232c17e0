//! Deadlines, measured from outside, to the millisecond, over a network without delay (SPEC §10 to §14).
//!
//! Plans measure what applications see; what only a peer sees is measured here: when pings come, when a silent link is
//! ended, when a poll is answered, how long a closed session is remembered.

mod raw;

use std::time::Duration;

use nosphere::Transport;
use nosphere_core::{Frame, Kind, Open, Reason, Side, Window};

use self::raw::{Answer, Raw, Said, answer, close, expect_status};
use crate::coverage::Covered;
use crate::net::Network;
use crate::payload::{Content, Sort};
use crate::plan::{ClientPlan, Fault, Leave, NetPlan, Op, Plan, Timed};
use crate::random::Rng;
use crate::run::{Outcome, in_virtual_time, live};
use crate::server::Host;
use crate::trace::{Seen, Trace, What, Who};
use crate::world::World;

/// A deadline to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Probe {
    /// CLS-1: a server whose `close` is not answered waits no longer than the close timeout.
    CloseTimeout,
    /// HB-1: pings come on time, while they are answered.
    Heartbeat,
    /// HB-4: a client ends a link on which it hears nothing.
    ClientSilence,
    /// WS-1: a WebSocket on which nothing is said.
    OpenTimeout,
    /// SES-2: between two polls.
    PollGap,
    /// POL-4: a poll without anything to say.
    PollTime,
    /// PST-7: a body that stops coming.
    Progress,
    /// SES-6: a session that nobody shows to have.
    Proof,
    /// SES-2: a session without a link.
    Resume,
    /// HB-3: a server ends a link whose pings are not answered.
    ServerSilence,
    /// CLS-4: how long a closed session is remembered.
    Tombstone,
}

const ALL: [Probe; 11] = {
    use Probe::*;
    [
        CloseTimeout,
        Heartbeat,
        ClientSilence,
        OpenTimeout,
        PollGap,
        PollTime,
        Progress,
        Proof,
        Resume,
        ServerSilence,
        Tombstone,
    ]
};

/// Measures one of the deadlines, with limits that the seed chooses.
pub fn probe(seed: u64) -> Outcome {
    probe_against(seed, 0)
}

/// The same against a server whose deadlines are all so many milliseconds too long.
pub fn probe_against(seed: u64, late: u64) -> Outcome {
    let mut rng = Rng::new(seed, "probe", 0);
    let what = *rng.pick(&ALL);
    let mut plan = plan(seed, &mut rng);
    plan.late = late;
    let limits = plan.server.clone();
    let (mut outcome, result) = if what == Probe::ClientSilence {
        client_silence(plan, &mut rng)
    } else {
        in_virtual_time(false, async |world, _| {
            let network = Network::new(world);
            network.join(0, plan.clients[0].net.clone(), Rng::new(seed, "network", 0));
            let host = Host::start(world, &network, &plan);
            let mut measure = Measure { world: world.clone(), plan: plan.clone(), raw: Raw::new(&network), rng };
            // Some time after the start, so that a clock that starts elsewhere is seen.
            measure.wait(measure.rng.clone().below(5000)).await;
            let result = measure.run(what).await;
            host.shut_down().await;
            result
        })
    };
    outcome.coverage.add(Covered::Probes, 1);
    outcome.coverage.add(Covered::Sessions, 1);
    outcome.broken = result.err().map(|problem| format!("{what:?} with {:?}: {problem}", limits));
    outcome
}

/// One client that does nothing, over a network without delay.
fn plan(seed: u64, rng: &mut Rng) -> Plan {
    let mut plan = Plan::generate(seed);
    plan.server.heartbeat = rng.range(300, 30_000);
    plan.server.queued = (4096, 4 << 20);
    plan.events.clear();
    plan.clients.truncate(1);
    let client = &mut plan.clients[0];
    client.net = NetPlan { up: (0, 0), down: (0, 0), buffer: 64 << 10, ..client.net.clone() };
    *client = ClientPlan {
        path: "/lobby".to_owned(),
        starts: 0,
        sessions: 1,
        pace: 0,
        window: (256, 1 << 20),
        queued: (4096, 4 << 20),
        actions: Vec::new(),
        faults: Vec::new(),
        leaves: Leave::Wait,
        ..client.clone()
    };
    plan
}

struct Measure {
    world: World,
    plan: Plan,
    raw: Raw,
    rng: Rng,
}

impl Measure {
    async fn run(&mut self, probe: Probe) -> Result<(), String> {
        match probe {
            Probe::CloseTimeout => self.close_timeout().await,
            Probe::Heartbeat => self.heartbeat(true).await,
            Probe::ServerSilence => self.heartbeat(false).await,
            Probe::OpenTimeout => self.open_timeout().await,
            Probe::PollGap => self.poll_gap().await,
            Probe::PollTime => self.poll_time().await,
            Probe::Progress => self.progress().await,
            Probe::Proof => self.proof().await,
            Probe::Resume => self.resume().await,
            Probe::Tombstone => self.tombstone().await,
            Probe::ClientSilence => Ok(()),
        }
    }

    async fn close_timeout(&mut self) -> Result<(), String> {
        let mut socket = self.raw.open_socket().await?;
        let (_, message) = self.world.message(Content { kind: Kind::Text, size: 0, sort: Sort::Plain }, Op::Close);
        let from = self.now();
        socket.send(Frame::Message(message.into_payload())).await?;
        loop {
            match socket.next().await? {
                Some(Said::Frame(Frame::Close(_))) => break,
                Some(Said::Frame(_)) => {}
                other => return Err(format!("no close: {other:?}")),
            }
        }
        self.at("close comes", from)?;
        self.ended(from + self.plan.server.close_timeout, Side::Server, Reason::Application(3001)).await
    }

    async fn heartbeat(&mut self, answering: bool) -> Result<(), String> {
        let (every, timeout) = (self.plan.server.heartbeat, self.plan.server.timeout);
        let from = self.now();
        let over_stream = self.rng.chance(50);
        let mut carrier = if over_stream {
            let stream = self.raw.stream().await?;
            expect_status(&self.raw.post(Vec::new(), 0).await?, 204)?;
            Carrier::Stream(stream)
        } else {
            Carrier::Socket(self.raw.open_socket().await?)
        };
        let answered = if answering { self.rng.range(2, 6) } else { self.rng.below(3) };
        for n in 1..=answered {
            carrier.ping().await?;
            self.at("a ping", from + n * every)?;
            let delay = self.rng.below(every.min(timeout));
            self.wait(delay).await;
            let pong = Frame::Pong { received: 0 };
            match &mut carrier {
                Carrier::Socket(socket) => socket.send(pong).await?,
                Carrier::Stream(_) => expect_status(&self.raw.post(vec![pong], 0).await?, 204)?,
            }
        }
        if answering {
            return Ok(());
        }
        let silent_since = from + (answered + 1) * every;
        carrier.ping().await?;
        self.at("a ping", silent_since)?;
        while carrier.is_alive().await? {}
        self.at("the end of the silent link", silent_since + timeout)?;
        self.seen(Seen::Suspended, silent_since + timeout)
    }

    async fn open_timeout(&mut self) -> Result<(), String> {
        let from = self.now();
        let mut socket = self.raw.socket().await?;
        if self.rng.chance(50) {
            self.wait(self.plan.server.open_timeout - 1).await;
            socket.send(Frame::Ping { received: 0 }).await?;
            match socket.next().await? {
                Some(Said::Frame(Frame::Pong { .. })) => {}
                other => return Err(format!("no pong: {other:?}")),
            }
        }
        match socket.next().await? {
            Some(Said::End(Some(4408))) => {
                self.at("the end of a silent WebSocket", from + self.plan.server.open_timeout)
            }
            other => Err(format!("no close: {other:?}")),
        }
    }

    async fn poll_gap(&mut self) -> Result<(), String> {
        let limits = self.plan.server.clone();
        self.raw.open_by_poll().await?;
        let mut from = self.now();
        if self.rng.chance(50) {
            // The gap is over, and a POST shows that somebody is there: then it begins again (SES-2).
            self.until(from + limits.poll_gap + self.rng.clone().below(limits.resume)).await;
            expect_status(&self.raw.post(Vec::new(), 0).await?, 204)?;
            self.seen(Seen::Suspended, from + limits.poll_gap)?;
            from = self.now();
        }
        if self.rng.chance(50) {
            // One that comes at the last moment is in time.
            self.until(from + limits.poll_gap - 1).await;
            expect_status(&self.raw.poll().await?, 200)?;
            from = self.now();
        }
        self.until(from + limits.poll_gap + 1).await;
        self.seen(Seen::Suspended, from + limits.poll_gap)?;
        self.ended(from + limits.poll_gap + limits.resume, Side::Network, Reason::Expired).await
    }

    async fn poll_time(&mut self) -> Result<(), String> {
        self.raw.open_by_poll().await?;
        self.wait(self.rng.clone().below(self.plan.server.poll_gap)).await;
        let from = self.now();
        let poll = self.raw.poll().await?;
        expect_status(&poll, 200)?;
        if !poll.frames.is_empty() {
            return Err(format!("an answer without a reason: {poll:?}"));
        }
        self.at("a poll's answer", from + self.plan.server.poll_time.min(25_000))
    }

    async fn progress(&mut self) -> Result<(), String> {
        self.raw.open_by_poll().await?;
        let from = self.now();
        let exchange = self.raw.begin_post(Vec::new(), 0, 5)?;
        let answer = answer(exchange).await?;
        expect_status(&answer, 408)?;
        self.at("the end of a body that stops coming", from + self.plan.server.timeout)
    }

    async fn proof(&mut self) -> Result<(), String> {
        let from = self.now();
        let limits = self.plan.server.clone();
        let socket = if self.rng.chance(50) {
            let mut socket = self.raw.socket().await?;
            socket.send(Frame::Open(Open { attachment: 1, window: Window::default() })).await?;
            Some(socket)
        } else {
            let poll = self.raw.poll().await?;
            expect_status(&poll, 200)?;
            None
        };
        // Of a client that does not even answer a ping, or come back with a poll, it may be known sooner.
        let linked = if socket.is_some() { limits.heartbeat + limits.timeout } else { limits.poll_gap };
        if linked + limits.resume < limits.proof {
            return self.ended(from + linked + limits.resume, Side::Network, Reason::Expired).await;
        }
        self.ended(from + limits.proof, Side::Server, Reason::Unproved).await
    }

    async fn resume(&mut self) -> Result<(), String> {
        let resume = self.plan.server.resume;
        drop(self.raw.open_socket().await?);
        let mut from = self.now();
        for _ in 0..self.rng.below(3) {
            self.until(from + resume - 1).await;
            let (socket, said) = self.raw.resume_socket().await?;
            let Some(Said::Frame(Frame::Resumed { .. })) = said else {
                return Err(format!("not resumed in the last millisecond: {said:?}"));
            };
            drop(socket);
            from = self.now();
        }
        self.ended(from + resume, Side::Network, Reason::Expired).await
    }

    async fn tombstone(&mut self) -> Result<(), String> {
        let resume = self.plan.server.resume;
        self.raw.open_by_poll().await?;
        let from = self.now();
        expect_status(&self.raw.post(vec![close()], 0).await?, 204)?;
        self.until(from + resume - 1).await;
        let says = |answer: &Answer| answer.frames.iter().any(|frame| matches!(frame, Frame::Close(_)));
        let poll = self.raw.poll().await?;
        if !says(&poll) {
            return Err(format!("a poll does not say that the session is closed: {poll:?}"));
        }
        expect_status(&self.raw.post(vec![close()], 0).await?, 204)?;
        let stray = self.raw.post(Vec::new(), 0).await?;
        if (stray.status, stray.error.as_deref()) != (410, Some("closed")) {
            return Err(format!("a stray POST to a closed session: {stray:?}"));
        }
        self.until(from + resume).await;
        let poll = self.raw.poll().await?;
        match (poll.status, poll.error.as_deref()) {
            (410, Some("unknown-session")) => Ok(()),
            _ => Err(format!("the closed session is remembered for too long: {poll:?}")),
        }
    }

    /// The session ends at a time, and not before.
    async fn ended(&mut self, at: u64, by: Side, reason: Reason) -> Result<(), String> {
        self.until(at + 1).await;
        self.seen(Seen::Disconnected(by, reason), at)
    }

    /// The handler saw this, once, at this time.
    fn seen(&self, seen: Seen, at: u64) -> Result<(), String> {
        let what = What::Event(seen);
        let times = times(&self.world, &what, |who| matches!(who, Who::Session(_)));
        if times.last() == Some(&at) { Ok(()) } else { Err(format!("{what:?} at {times:?}, and not at {at}")) }
    }

    fn at(&self, what: &str, expected: u64) -> Result<(), String> {
        let now = self.now();
        if now == expected { Ok(()) } else { Err(format!("{what} at {now}, and not at {expected}")) }
    }

    fn now(&self) -> u64 {
        self.world.now()
    }

    async fn wait(&self, time: u64) {
        tokio::time::sleep(Duration::from_millis(time)).await;
    }

    async fn until(&self, at: u64) {
        tokio::time::sleep_until(self.world.instant(at)).await;
        // Whatever else happens at this time happens first.
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
    }
}

enum Carrier {
    Socket(raw::Socket),
    Stream(raw::Stream),
}

impl Carrier {
    async fn ping(&mut self) -> Result<(), String> {
        let frame = match self {
            Self::Socket(socket) => match socket.next().await? {
                Some(Said::Frame(frame)) => Some(frame),
                Some(Said::End(_)) | None => None,
            },
            Self::Stream(stream) => stream.next().await?,
        };
        if let Some(Frame::Ping { .. }) = frame { Ok(()) } else { Err(format!("no ping: {frame:?}")) }
    }

    /// Whether anything but an end comes.
    async fn is_alive(&mut self) -> Result<bool, String> {
        Ok(match self {
            Self::Socket(socket) => matches!(socket.next().await?, Some(Said::Frame(_))),
            Self::Stream(stream) => stream.next().await?.is_some(),
        })
    }
}

/// A client, of the core, whose network swallows everything from some time on.
fn client_silence(mut plan: Plan, rng: &mut Rng) -> (Outcome, Result<(), String>) {
    let limits = plan.server.clone();
    let falls = rng.range(1, 4 * limits.heartbeat);
    plan.heals = falls + 200_000;
    let client = &mut plan.clients[0];
    client.transport = *rng.pick(&[Transport::LongPolling, Transport::ServerSentEvents, Transport::WebSocket]);
    client.faults = vec![Timed { at: falls, what: Fault::Hole(150_000) }];
    let heard = match client.transport {
        // The last ping. One that comes as the network falls may or may not arrive.
        Transport::ServerSentEvents | Transport::WebSocket if falls.is_multiple_of(limits.heartbeat) => {
            return (Outcome::default(), Ok(()));
        }
        Transport::ServerSentEvents | Transport::WebSocket => falls - falls % limits.heartbeat,
        // The last answer; the next poll is begun at once.
        Transport::LongPolling | _ if falls.is_multiple_of(limits.poll_time.min(25_000)) => {
            return (Outcome::default(), Ok(()));
        }
        Transport::LongPolling | _ => falls - falls % limits.poll_time.min(25_000),
    };
    let interval = if client.transport == Transport::LongPolling { 25_000 } else { limits.heartbeat };
    let expected = heard + interval + limits.timeout;
    let transport = client.transport;
    in_virtual_time(false, async |world, parks| {
        live(&plan, world, parks).await;
        let times = times(world, &What::Event(Seen::Suspended), |who| matches!(who, Who::Client(..)));
        if times.first() == Some(&expected) {
            return Ok(());
        }
        Err(format!("over {transport}, silent from {falls}: Suspended at {times:?}, and not at {expected}"))
    })
}

/// When somebody saw something.
fn times(world: &World, what: &What, is: impl Fn(&Who) -> bool) -> Vec<u64> {
    let find = |trace: &Trace| {
        let entries = trace.entries.iter().filter(|entry| is(&entry.who) && entry.what == *what);
        entries.map(|entry| entry.at).collect()
    };
    world.look(find)
}
