//! From a seed to a plan.

use nosphere::{Overflow, Transport};
use nosphere_core::Kind;

use super::{Action, ClientPlan, Fault, Leave, Limits, NetPlan, Op, Plan, Reach, Request, Seen, ServerEvent, Timed};
use crate::payload::{Content, Sort};
use crate::random::Rng;

const TRANSPORTS: [Transport; 3] = [Transport::LongPolling, Transport::ServerSentEvents, Transport::WebSocket];
const PATHS: [&str; 4] = ["/lobby", "/rooms/1", "/rooms/2", "/rooms/1/table"];

impl Plan {
    /// The plan of a seed.
    pub fn generate(seed: u64) -> Self {
        let mut rng = Rng::new(seed, "plan", 0);
        let calm = rng.chance(12);
        let server = limits(&mut rng, calm);
        let heals = rng.skewed(500, 60_000).max(300);
        let clients = rng.range(1, 5) as u32;
        // Small networks and slow applications make long runs: not more than one of them in most.
        let clients = (0..clients).map(|id| client(seed, id, calm, heals, &server)).collect();
        let events = events(&mut Rng::new(seed, "server", 0), calm, heals);
        Self { seed, server, clients, events, heals, late: 0 }
    }
}

fn limits(rng: &mut Rng, calm: bool) -> Limits {
    let timeout = rng.skewed(400, 20_000);
    let small = rng.chance(30) && !calm;
    Limits {
        heartbeat: if rng.chance(15) { 0 } else { rng.skewed(500, 25_000) },
        timeout,
        open_timeout: rng.skewed(1500, 10_000),
        proof: rng.skewed(1500, 10_000),
        resume: rng.skewed(1000, 120_000),
        poll_gap: rng.skewed(500, 10_000),
        poll_time: rng.skewed(100, 25_000),
        close_timeout: rng.skewed(500, 5000),
        window: windows(rng),
        queued: if small { (rng.range(1, 40) as usize, rng.range(200, 8000) as usize) } else { (4096, 4 << 20) },
        overflow: *rng.pick(&[Overflow::Disconnect, Overflow::DropNewest, Overflow::DropOldest]),
    }
}

fn windows(rng: &mut Rng) -> (u32, u32) {
    match rng.below(3) {
        0 => (256, 1 << 20),
        1 => (rng.range(1, 12) as u32, 1 << 16),
        _ => (rng.range(1, 64) as u32, rng.range(512, 3000) as u32),
    }
}

fn client(seed: u64, id: u32, calm: bool, heals: u64, server: &Limits) -> ClientPlan {
    let mut rng = Rng::new(seed, "client", u64::from(id));
    let rng = &mut rng;
    let small = rng.chance(20) && !calm;
    let mut plan = ClientPlan {
        id,
        path: (*rng.pick(&PATHS)).to_owned(),
        binary: rng.chance(50),
        transport: *rng.pick(&TRANSPORTS),
        window: windows(rng),
        queued: if small { (rng.range(1, 40) as usize, rng.range(200, 8000) as usize) } else { (4096, 4 << 20) },
        overflow: *rng.pick(&[Overflow::Disconnect, Overflow::DropNewest, Overflow::DropOldest]),
        starts: rng.skewed(0, heals / 2),
        sessions: rng.range(1, 5) as u32,
        pace: if rng.chance(20) && !calm { rng.skewed(1, 400) } else { 0 },
        patience: rng.skewed(1, 1500),
        net: net(rng, server, calm),
        actions: Vec::new(),
        faults: Vec::new(),
        leaves: *rng.pick(&[Leave::Close, Leave::Dismissed, Leave::Wait, Leave::Vanish][..if calm { 3 } else { 4 }]),
    };
    let actions = rng.range(1, 9);
    plan.actions = timed(rng, actions, heals, |rng| action(rng, calm));
    if !calm {
        let faults = if rng.chance(25) { 0 } else { rng.range(1, 5) };
        plan.faults = timed(rng, faults, heals, fault);
    }
    plan
}

fn net(rng: &mut Rng, server: &Limits, calm: bool) -> NetPlan {
    // A network that is slower than what waits for it is a lost one.
    let slowest = (server.timeout.min(server.proof).min(server.open_timeout).min(server.poll_gap) / 8).clamp(1, 400);
    let mut delay = || {
        if rng.chance(35) {
            return (0, 0);
        }
        let low = rng.below(slowest);
        (low, low + rng.below(slowest - low))
    };
    let (up, down) = (delay(), delay());
    let tight = rng.chance(20) && !calm;
    NetPlan {
        up,
        down,
        // A tight network takes a round trip for each of its buffers.
        buffer: if tight { rng.skewed(300, 4000) as usize } else { 64 << 10 },
        keep_alive: rng.chance(60),
        vectored: rng.chance(50),
    }
}

fn timed<T>(rng: &mut Rng, count: u64, until: u64, mut make: impl FnMut(&mut Rng) -> T) -> Vec<Timed<T>> {
    let mut all: Vec<_> = (0..count).map(|_| Timed { at: rng.below(until), what: make(rng) }).collect();
    all.sort_by_key(|timed| timed.at);
    all
}

fn content(rng: &mut Rng) -> Content {
    let size = if rng.chance(5) { rng.skewed(0, 6000) } else { rng.skewed(0, 90) } as u32;
    let kind = *rng.pick(&[Kind::Binary, Kind::Json, Kind::Text]);
    let sort = match rng.below(100) {
        0..60 => Sort::Plain,
        60..70 => Sort::Keyed,
        70..80 => Sort::Volatile,
        // A reply of a client is for who asked, and no handler gets it.
        _ => Sort::Request,
    };
    Content { kind, size, sort }
}

fn action(rng: &mut Rng, calm: bool) -> Action {
    let disturbing = if calm { 0 } else { rng.below(100) };
    match disturbing {
        0..80 => match rng.below(100) {
            0..72 => send(rng),
            72..86 => Action::Move(*rng.pick(&TRANSPORTS)),
            86..93 => Action::Try,
            _ => Action::Close(if rng.chance(50) { 0 } else { 3042 }),
        },
        80..86 => Action::Slow(rng.skewed(10, 30_000)),
        86..91 => Action::Freeze(rng.skewed(10, 60_000)),
        91..96 => Action::Jump(rng.skewed(10, 200_000)),
        _ => Action::Vanish,
    }
}

fn send(rng: &mut Rng) -> Action {
    let op = match rng.below(100) {
        0..20 => Op::Nothing,
        20..55 => Op::Send(rng.skewed(1, 12) as u32),
        55..88 => {
            let reach = *rng.pick(&[Reach::Everyone, Reach::Everyone, Reach::Only, Reach::Others]);
            Op::Broadcast(reach, rng.skewed(1, 6) as u32)
        }
        88..94 => Op::Wait(rng.skewed(1, 5000)),
        94..97 => Op::Close,
        _ => Op::Fail,
    };
    // Many that each wait take longer than anybody does.
    let most = if matches!(op, Op::Wait(_)) { 2 } else { 30 };
    Action::Send { count: rng.skewed(1, most) as u32, content: content(rng), op }
}

fn fault(rng: &mut Rng) -> Fault {
    let request = *rng.pick(&[Request::Get, Request::Post, Request::Post, Request::Upgrade]);
    match rng.below(100) {
        0..25 => Fault::Cut(*rng.pick(&[Seen::ByBoth, Seen::ByBoth, Seen::ByClient, Seen::ByServer])),
        25..38 => Fault::Hole(rng.skewed(10, 60_000)),
        38..52 => Fault::LateRequest(request, rng.skewed(10, 60_000)),
        52..64 => Fault::LostRequest(request),
        64..80 => Fault::LostResponse(request),
        80..90 => Fault::Offline(rng.skewed(10, 30_000)),
        _ => Fault::Stall(rng.skewed(10, 40_000)),
    }
}

fn events(rng: &mut Rng, calm: bool, heals: u64) -> Vec<Timed<ServerEvent>> {
    let count = rng.below(5);
    timed(rng, count, heals, |rng| {
        let disturbing = if calm { 0 } else { rng.below(100) };
        match disturbing {
            0..72 => {
                let path = (*rng.pick(&["/", "/lobby", "/rooms", "/rooms/1", "/rooms/2", "/nowhere"])).to_owned();
                ServerEvent::Broadcast { path, content: content(rng) }
            }
            72..84 => ServerEvent::Crash(rng.skewed(1, 5000)),
            84..92 => ServerEvent::Jump(rng.skewed(10, 200_000)),
            _ => ServerEvent::Shutdown,
        }
    })
}
