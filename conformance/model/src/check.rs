//! Every world within a [`Scope`], one by one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use stateright::{Checker, Model, Property};

use crate::{Broken, Rule, Scope, Sights, Step, World};

/// What a check found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// How many different worlds there are.
    pub states: usize,
    /// How many steps lead from one to another.
    pub steps: usize,
    /// The longest shortest way to a world.
    pub depth: usize,
    /// How long it took.
    pub seconds: f64,
    /// Everything was explored, and not only as many steps as were allowed.
    pub complete: bool,
    /// The shortest way to a broken rule.
    pub broken: Option<(Broken, Vec<Step>)>,
    /// What came to sight.
    pub sights: Sights,
}

struct Worlds {
    scope: &'static Scope,
    sights: Arc<AtomicU32>,
}

impl Model for Worlds {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.scope)]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        *steps = world.steps();
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        let taken = next.apply_caught(step);
        self.sights.fetch_or(next.sights.bits(), Ordering::Relaxed);
        (taken && next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(
            "every rule holds, and a good network mends everything",
            |model: &Self, world: &World| {
                let healed = world.heal_caught();
                if let Ok(healed) = &healed {
                    model.sights.fetch_or(healed.sights.bits(), Ordering::Relaxed);
                }
                healed.is_ok()
            },
        )]
    }
}

/// In which order worlds are explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are no others")]
pub enum Order {
    /// By their distance from the first: a way to a broken rule is a shortest one.
    Breadth,
    /// Far ones first: only the worlds along one way are kept at a time, which takes far less memory.
    Depth,
}

/// Explores every world within a scope.
///
/// After `most` steps it gives up: a scope allows so much trouble and no more, so there is an end if nothing turns in a
/// circle.
pub fn check(scope: &'static Scope, order: Order, threads: usize, most: usize) -> Report {
    let sights = Arc::new(AtomicU32::new(0));
    let worlds = Worlds { scope, sights: Arc::clone(&sights) };
    let started = Instant::now();
    let builder = worlds.checker().threads(threads).target_state_count(most);
    let mut report = match order {
        Order::Breadth => report(&builder.spawn_bfs().join()),
        Order::Depth => report(&builder.spawn_dfs().join()),
    };
    report.seconds = started.elapsed().as_secs_f64();
    report.sights = Sights::from_bits(sights.load(Ordering::Relaxed));
    report.complete = report.broken.is_some() || report.steps < most;
    report
}

fn report(checker: &impl Checker<Worlds>) -> Report {
    let broken = checker.discoveries().into_values().next().map(|path| {
        let broken = path.last_state().heal_caught().err();
        (broken.unwrap_or_else(|| Broken::new(Rule::Panic, "not again".into())), path.into_actions())
    });
    Report {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        seconds: 0.0,
        sights: Sights::default(),
        complete: true,
        broken,
    }
}

impl World {
    /// [`World::apply`], for which a panic is a broken rule too.
    pub fn apply_caught(&mut self, step: Step) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.apply(step))).unwrap_or_else(|panic| {
            self.broken = Some(panicked(&*panic));
            true
        })
    }

    /// [`World::heal`], for which a panic is a broken rule too.
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn heal_caught(&self) -> Result<Self, Broken> {
        catch_unwind(AssertUnwindSafe(|| self.heal())).unwrap_or_else(|panic| Err(panicked(&*panic)))
    }

    /// [`World::close_down`], for which a panic is a broken rule too.
    ///
    /// # Errors
    ///
    /// The broken rule.
    pub fn close_down_caught(&self) -> Result<Self, Broken> {
        catch_unwind(AssertUnwindSafe(|| self.close_down())).unwrap_or_else(|panic| Err(panicked(&*panic)))
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Broken {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    Broken::new(Rule::Panic, text.unwrap_or_default().to_owned())
}
