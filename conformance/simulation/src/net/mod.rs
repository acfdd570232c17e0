//! The network between the clients and the server, in memory.

mod exchange;
mod pipe;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

pub(crate) use exchange::{Exchange, Head, Step};
pub(crate) use pipe::{Conn, End};

use crate::coverage::Covered;
use crate::plan::{Fault, NetPlan, Request, Seen};
use crate::random::Rng;
use crate::world::World;

/// All connections, and who takes the server's ends of them.
#[derive(Clone)]
pub(crate) struct Network {
    world: World,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    clients: BTreeMap<u32, ClientNet>,
    /// Nobody listens while the server is down.
    accept: Option<Box<dyn Fn(End) + Send>>,
}

struct ClientNet {
    plan: NetPlan,
    rng: Rng,
    conns: Vec<Weak<Conn>>,
    offline_until: u64,
    /// What befalls the next request of a kind.
    armed: Vec<Fault>,
}

impl Network {
    pub(crate) fn new(world: &World) -> Self {
        Self { world: world.clone(), inner: Arc::default() }
    }

    /// Whoever is the server from now on, if anybody is.
    pub(crate) fn listen(&self, accept: Option<Box<dyn Fn(End) + Send>>) {
        self.lock().accept = accept;
    }

    pub(crate) fn join(&self, client: u32, plan: NetPlan, rng: Rng) {
        let net = ClientNet { plan, rng, conns: Vec::new(), offline_until: 0, armed: Vec::new() };
        self.lock().clients.insert(client, net);
    }

    /// A new connection of a client, for a kind of request; `None` if it is refused.
    pub(crate) fn dial(&self, client: u32, request: Request) -> Option<End> {
        let now = self.world.now();
        let mut inner = self.lock();
        let Inner { clients, accept } = &mut *inner;
        let net = clients.get_mut(&client)?;
        if net.offline_until > now {
            return None;
        }
        let accept = accept.as_ref()?;
        let (near, far) = pipe::pair(&self.world, &net.plan, &mut net.rng);
        net.conns.retain(|conn| conn.strong_count() > 0);
        net.conns.push(near.weak());
        net.strike(&near, request);
        accept(far);
        Some(near)
    }

    /// A connection is used again, for another request.
    pub(crate) fn reuse(&self, client: u32, end: &End, request: Request) {
        if let Some(net) = self.lock().clients.get_mut(&client) {
            net.strike(end, request);
        }
    }

    /// Something goes wrong now.
    pub(crate) fn fault(&self, client: u32, fault: &Fault) {
        let now = self.world.now();
        let mut inner = self.lock();
        let Some(net) = inner.clients.get_mut(&client) else { return };
        let conns = net.conns();
        let covered = match fault {
            Fault::Cut(seen) => {
                conns.iter().for_each(|conn| conn.cut(*seen));
                match seen {
                    Seen::ByBoth => Covered::CutsOfBothSides,
                    Seen::ByClient => Covered::CutsSeenByClient,
                    Seen::ByServer => Covered::CutsSeenByServer,
                }
            }
            Fault::Hole(time) => {
                let weak: Vec<_> = conns.iter().map(Arc::downgrade).collect();
                conns.iter().for_each(|conn| conn.swallow());
                cut_later(weak, *time);
                Covered::Holes
            }
            Fault::Offline(time) => {
                net.offline_until = now + time;
                conns.iter().for_each(|conn| conn.cut(Seen::ByBoth));
                Covered::Offline
            }
            Fault::Stall(time) => {
                conns.iter().for_each(|conn| conn.stall(now + time));
                Covered::Stalls
            }
            Fault::LateRequest(..) | Fault::LostRequest(_) | Fault::LostResponse(_) => {
                return net.armed.push(fault.clone());
            }
        };
        if !conns.is_empty() {
            self.world.cover(covered);
        }
    }

    /// From now on nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        for net in self.lock().clients.values_mut() {
            net.offline_until = 0;
            net.armed.clear();
            net.conns().iter().for_each(|conn| conn.heal());
        }
    }

    /// All connections of everybody break: the server process is gone.
    pub(crate) fn cut_all(&self) {
        for net in self.lock().clients.values_mut() {
            net.conns().iter().for_each(|conn| conn.cut(Seen::ByBoth));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientNet {
    fn conns(&mut self) -> Vec<Arc<Conn>> {
        self.conns.iter().filter_map(Weak::upgrade).collect()
    }

    /// Lets happen to a request what is to happen to the next of its kind.
    fn strike(&mut self, end: &End, request: Request) {
        let is_for = |fault: &Fault| match fault {
            Fault::LateRequest(kind, _) | Fault::LostRequest(kind) | Fault::LostResponse(kind) => *kind == request,
            Fault::Cut(_) | Fault::Hole(_) | Fault::Offline(_) | Fault::Stall(_) => false,
        };
        let Some(at) = self.armed.iter().position(is_for) else { return };
        match self.armed.remove(at) {
            Fault::LateRequest(_, time) => end.delay(time),
            Fault::LostRequest(_) => end.lose_request(),
            Fault::LostResponse(_) => end.lose_response(),
            Fault::Cut(_) | Fault::Hole(_) | Fault::Offline(_) | Fault::Stall(_) => {}
        }
    }
}

/// The broken connections are noticed at last.
pub(crate) fn cut_later(conns: Vec<Weak<Conn>>, time: u64) {
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(time)).await;
        conns.iter().filter_map(Weak::upgrade).for_each(|conn| conn.cut(Seen::ByBoth));
    });
}
