//! One plan, from its beginning to the rest after its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

use crate::client::{Client, Control};
use crate::coverage::Coverage;
use crate::net::Network;
use crate::oracle;
use crate::plan::{Leave, Plan};
use crate::server::Host;
use crate::trace::{Trace, Who};
use crate::world::World;

/// What came of a run.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Outcome {
    /// Which promise was broken, if one was.
    pub broken: Option<String>,
    /// What the applications saw.
    pub trace: Trace,
    /// What the run exercised.
    pub coverage: Coverage,
    /// How much virtual time passed, in milliseconds.
    pub virtual_time: u64,
}

/// Runs a plan; `verbose`: with notes for readers in the trace.
pub fn run(plan: &Plan, verbose: bool) -> Outcome {
    let (mut outcome, ()) = in_virtual_time(verbose, async |world, parks| live(plan, world, parks).await);
    outcome.broken = oracle::judge(&outcome.trace, plan).err();
    outcome
}

/// Runs something on a clock that only moves when nobody has anything to do; counts how often it moved.
pub(crate) fn in_virtual_time<R>(verbose: bool, what: impl AsyncFnOnce(&World, &AtomicU64) -> R) -> (Outcome, R) {
    let parks = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&parks);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .expect("a runtime without I/O can be built");
    runtime.block_on(async {
        let world = World::new(verbose);
        let result = what(&world, &parks).await;
        let virtual_time = world.now();
        let (trace, coverage) = world.take();
        (Outcome { broken: None, trace, coverage, virtual_time }, result)
    })
}

pub(crate) async fn live(plan: &Plan, world: &World, parks: &AtomicU64) {
    let network = Network::new(world);
    let host = tokio::spawn(Host::start(world, &network, plan).follow_plan());
    let mut controls = Vec::new();
    for client in &plan.clients {
        let (task, control) = Client::new(world, &network, client, plan);
        tokio::spawn(task);
        controls.push((client.leaves, control));
    }
    tokio::time::sleep_until(world.instant(plan.heals)).await;
    let Ok(host) = host.await else { return world.wrong(Who::World, "the server's task failed") };
    network.heal();
    world.note(Who::World, || "the network is healed".to_owned());

    let settled = || controls.iter().all(|(_, control)| control.is_settled());
    wait(world, || settled() && world.look(|trace| oracle::outstanding(trace, plan).is_none())).await;
    if let Some(left) = world.look(|trace| oracle::outstanding(trace, plan)) {
        world.wrong(Who::World, format!("the network is healed, and still {left}"));
    } else if !settled() {
        world.wrong(Who::World, "the network is healed, and still not everything is acknowledged");
    }

    world.note(Who::World, || "whoever is left leaves".to_owned());
    controls.iter().for_each(|(_, control)| control.leave());
    let leaving: Vec<&(Leave, Arc<Control>)> = controls.iter().filter(|(leaves, _)| *leaves != Leave::Wait).collect();
    wait(world, || leaving.iter().all(|(_, control)| control.is_done())).await;
    host.shut_down().await;
    wait(world, || controls.iter().all(|(_, control)| control.is_done())).await;
    if controls.iter().any(|(_, control)| !control.is_done()) {
        world.wrong(Who::World, "a client's session does not end");
    }

    // Nothing may be left when tombstones are forgotten and broken connections noticed.
    network.heal();
    network.cut_all();
    tokio::time::sleep(Duration::from_millis(plan.server.resume) + LONGEST).await;
    let before = parks.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let woken = parks.load(Ordering::Relaxed) - before;
    if woken > 16 {
        world.wrong(Who::World, format!("the system does not come to rest: {woken} wake-ups in an hour of nothing"));
    }
    host.stop();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let left = Handle::current().metrics().num_alive_tasks();
    if left > 0 {
        world.wrong(Who::World, format!("{left} tasks are left when everything is over"));
    }
}

/// Lets time pass until something is so; an hour at most.
async fn wait(world: &World, so: impl Fn() -> bool) {
    let end = world.now() + 3_600_000;
    let mut step = 20;
    while !so() && world.now() < end && !world.is_wrong() {
        tokio::time::sleep(Duration::from_millis(step)).await;
        step = (step + step / 4).min(10_000);
    }
}

/// Longer than any fault, any handler and any deadline but the session's own.
const LONGEST: Duration = Duration::from_secs(300);
