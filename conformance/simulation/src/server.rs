//! The server under test, its application, and what ends it.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use nosphere::{Audience, Client, Error, Event, Handler, Server};
use nosphere_core::{Kind, Reason};

use crate::client::cover;
use crate::coverage::Covered;
use crate::net::{End, Network};
use crate::payload::{Content, Sort};
use crate::plan::{Op, Plan, Reach, ServerEvent};
use crate::random::Rng;
use crate::trace::{FAILURE, What, Who};
use crate::world::World;

/// Runs one server after the other.
pub(crate) struct Host {
    world: World,
    network: Network,
    plan: Plan,
    server: Server,
    process: Arc<Process>,
    generation: u64,
}

/// A server process: once it is dead, nothing that is left of it has any effect.
#[derive(Debug, Default)]
struct Process {
    dead: AtomicBool,
}

impl Host {
    /// A server that listens.
    pub(crate) fn start(world: &World, network: &Network, plan: &Plan) -> Self {
        let (process, server) = boot(world, plan, 0);
        let host =
            Self { world: world.clone(), network: network.clone(), plan: plan.clone(), server, process, generation: 0 };
        host.listen();
        host
    }

    /// Does what the plan says, when it says so.
    pub(crate) async fn follow_plan(mut self) -> Self {
        for event in self.plan.events.clone() {
            tokio::time::sleep_until(self.world.instant(event.at)).await;
            self.world.note(Who::World, || format!("{:?}", event.what));
            match event.what {
                ServerEvent::Broadcast { path, content } => self.broadcast(path, content),
                ServerEvent::Crash(time) => {
                    self.world.cover(Covered::Crashes);
                    self.die();
                    tokio::time::sleep(Duration::from_millis(time)).await;
                    self.reboot();
                }
                ServerEvent::Jump(time) => {
                    self.world.cover(Covered::JumpsOfServer);
                    tokio::time::advance(Duration::from_millis(time)).await;
                }
                ServerEvent::Shutdown => {
                    self.shut_down().await;
                    self.die();
                    self.reboot();
                }
            }
        }
        self
    }

    /// Shuts the server down; it goes on to answer.
    pub(crate) async fn shut_down(&self) {
        self.world.cover(Covered::Shutdowns);
        let from = self.world.now();
        self.server.shutdown().await;
        let took = self.world.now() - from;
        let limit = 2 * self.plan.server.close_timeout;
        let jumps = self.plan.events.iter().any(|event| matches!(event.what, ServerEvent::Jump(_)));
        if took > limit && !jumps {
            self.world.wrong(Who::World, format!("a shutdown took {took} ms, and {limit} are enough"));
        }
        self.world.note(Who::World, || "the server is shut down".to_owned());
    }

    /// The server is not needed any more. What it still has is wrong.
    pub(crate) fn stop(self) {
        for path in ["/", "/lobby", "/rooms"] {
            let left = self.server.sessions_on(path);
            if left > 0 {
                self.world.wrong(Who::World, format!("{left} sessions are left on {path}"));
            }
        }
        let left = self.server.sessions();
        if left > 0 {
            self.world.wrong(Who::World, format!("{left} sessions are left"));
        }
        self.network.listen(None);
    }

    fn broadcast(&self, path: String, content: Content) {
        self.world.cover(Covered::BroadcastsFromOutside);
        let (id, message) = self.world.message(content.firm(), Op::Nothing);
        let count = self.server.broadcaster().to(&path).send(message);
        let what = What::Broadcast { id, path, beneath: true, except: None, only: None, count };
        self.world.record(Who::World, what);
    }

    /// The process is gone, and so are its connections.
    fn die(&mut self) {
        self.process.dead.store(true, Ordering::Relaxed);
        self.world.record(Who::World, What::Crash);
        self.network.listen(None);
        self.network.cut_all();
    }

    fn reboot(&mut self) {
        self.generation += 1;
        (self.process, self.server) = boot(&self.world, &self.plan, self.generation);
        self.listen();
    }

    fn listen(&self) {
        let server = self.server.clone();
        self.network.listen(Some(Box::new(move |end| {
            tokio::spawn(serve(server.clone(), end));
        })));
    }
}

async fn serve(server: Server, end: End) {
    let service = TowerToHyperService::new(server);
    let mut http = http1::Builder::new();
    // The one thing in an answer that depends on the time of day.
    let connection = http.auto_date_header(false).serve_connection(TokioIo::new(end), service);
    // Clients that go away are none of the server's errors.
    drop(connection.with_upgrades().await);
}

fn boot(world: &World, plan: &Plan, generation: u64) -> (Arc<Process>, Server) {
    let process = Arc::new(Process::default());
    let rng = Mutex::new(Rng::new(plan.seed, "sessions", generation));
    let mut builder = Server::builder()
        .config(plan.server.config(plan.late))
        .random(move |bytes| rng.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes));
    for path in ["/lobby", "/rooms/{room}", "/rooms/{room}/table"] {
        let (world, process) = (world.clone(), Arc::clone(&process));
        builder = builder.endpoint(path, move |_| Application { world: world.clone(), process: Arc::clone(&process) });
    }
    (process, builder.build().expect("these endpoints can be mounted"))
}

/// Does what the messages of its client say.
struct Application {
    world: World,
    process: Arc<Process>,
}

impl Handler for Application {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        self.world.act();
        if self.process.dead.load(Ordering::Relaxed) {
            return Ok(());
        }
        let who = Who::Session(client.id());
        let what = self.world.saw(who, &event);
        cover(&self.world, &what, false);
        if let What::Received(id) = what {
            return self.obey(client, id).await;
        }
        match event {
            Event::Connected { .. } => self.world.record(who, What::Path(client.path().to_owned())),
            Event::Disconnected { .. } => {
                let undelivered = client.take_undelivered();
                let (unknown, unsent) = (undelivered.unknown.len(), undelivered.unsent.len());
                (0..unknown).for_each(|_| self.world.cover(Covered::UnknownHandedBack));
                (0..unsent).for_each(|_| self.world.cover(Covered::UnsentHandedBack));
                self.world.undelivered(who, &undelivered);
            }
            Event::Binary(_)
            | Event::Error(_)
            | Event::Heartbeat
            | Event::Joined { .. }
            | Event::Json(_)
            | Event::Left { .. }
            | Event::Reply(_)
            | Event::Request(_)
            | Event::Resumed { .. }
            | Event::Suspended
            | Event::Text(_)
            | Event::Writable
            | _ => {}
        }
        Ok(())
    }
}

impl Application {
    fn obey(&self, client: &Client, id: u32) -> impl Future<Output = Result<(), Error>> + Send {
        let who = Who::Session(client.id());
        let crate::trace::Message { op, content: cause } = self.world.sent(id);
        self.world.note(who, || format!("is told to {op:?}"));
        let waits = match op {
            Op::Wait(time) => {
                self.world.record(who, What::Busy(time));
                Some(Duration::from_millis(time))
            }
            Op::Broadcast(..) | Op::Close | Op::Fail | Op::Nothing | Op::Send(_) => None,
        };
        let result = match op {
            Op::Broadcast(reach, count) => {
                (0..count).for_each(|n| self.broadcast(client, reach, answer(cause, n)));
                Ok(())
            }
            Op::Close => {
                self.world.record(who, What::Closing);
                client.close(Reason::Application(3001));
                Ok(())
            }
            Op::Fail => {
                self.world.record(who, What::Closing);
                Err(FAILURE.into())
            }
            Op::Send(count) => {
                (0..count).for_each(|n| self.send(client, answer(cause, n)));
                Ok(())
            }
            Op::Nothing | Op::Wait(_) => Ok(()),
        };
        async move {
            if let Some(time) = waits {
                tokio::time::sleep(time).await;
            }
            result
        }
    }

    fn send(&self, client: &Client, content: Content) {
        let (id, message) = self.world.message(content, Op::Nothing);
        match client.send(message) {
            Ok(()) => {
                self.world.cover(Covered::Messages);
                self.world.record(Who::Session(client.id()), What::Sent(id));
            }
            Err(error) => self.world.note(Who::Session(client.id()), || format!("message {id} is refused: {error}")),
        }
    }

    fn broadcast(&self, client: &Client, reach: Reach, content: Content) {
        self.world.cover(Covered::Broadcasts);
        // How many sessions dropped or replaced one, nobody is told.
        let (id, message) = self.world.message(content.firm(), Op::Nothing);
        let own = client.id();
        let (audience, except, only) = match reach {
            Reach::Everyone => (Audience::Everyone, None, None),
            Reach::Only => (Audience::only([own]), None, Some(own)),
            Reach::Others => (Audience::Others, Some(own), None),
        };
        let count = client.broadcast_to(audience, message);
        let path = client.path().to_owned();
        let what = What::Broadcast { id, path, beneath: false, except, only, count };
        self.world.record(Who::Session(own), what);
    }
}

/// What the handler answers with: of every kind, mostly small. It depends on the message that asks for it and on nothing
/// else, or a plan with less in it would be another plan.
fn answer(cause: Content, n: u32) -> Content {
    let mut rng = Rng::new(u64::from(cause.size), "answer", u64::from(n));
    let kind = *rng.pick(&[Kind::Text, Kind::Json, Kind::Binary]);
    let size = if rng.chance(3) { rng.skewed(0, 5000) } else { rng.skewed(0, 60) } as u32;
    let sort = *rng.pick(&[Sort::Plain, Sort::Plain, Sort::Keyed, Sort::Volatile, Sort::Request, Sort::Reply]);
    Content { kind, size, sort }
}
