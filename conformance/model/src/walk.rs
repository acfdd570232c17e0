//! Worlds that go their way at random: farther than any check can follow all of them.

use crate::{Broken, Scope, Sights, Step, World};

/// Names of links and POSTs begin anew with each step, so that leaving a step out changes no other's.
const NAMES_PER_STEP: u64 = 16;

/// A step, and its place in the walk that it was first taken on.
pub type Placed = (u64, Step);

/// What became of a walk.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Walk {
    /// The steps that were taken.
    pub steps: Vec<Placed>,
    /// What came to sight.
    pub sights: Sights,
    /// How many messages the applications took, in all.
    pub messages: u64,
    /// How many attachments the client began before the network was good.
    pub attachments: u64,
    /// The rule that broke, on the way or at the end.
    pub broken: Option<Broken>,
}

/// Walks `length` steps at random, and then lets everything come to its end. The same seed walks the same way.
pub fn walk(scope: &'static Scope, seed: u64, length: u64) -> Walk {
    let mut random = Random(seed);
    drive(scope, |place, steps| if place < length { random.choose(steps) } else { None })
}

/// Walks where somebody else leads: each byte chooses among the steps that can be taken.
pub fn led(scope: &'static Scope, choices: &[u8]) -> Walk {
    drive(scope, |place, steps| {
        let choice = usize::from(*choices.get(place as usize)?);
        steps.get(choice % steps.len().max(1)).copied()
    })
}

fn drive(scope: &'static Scope, mut choose: impl FnMut(u64, &[Step]) -> Option<Step>) -> Walk {
    let mut world = World::new(scope);
    let mut steps = Vec::new();
    while let Some(step) = choose(steps.len() as u64, &world.steps()) {
        let placed = (steps.len() as u64, step);
        steps.push(placed);
        world.take_placed(placed);
        if world.client.is_over() {
            break;
        }
    }
    end(&world, steps)
}

/// Takes these steps, those that can be taken, and then lets everything come to its end.
pub fn replay(scope: &'static Scope, steps: &[Placed]) -> Walk {
    let mut world = World::new(scope);
    for &step in steps {
        world.take_placed(step);
    }
    end(&world, steps.to_vec())
}

/// Leaves out what is not needed for the rule to break: what is left fails the same way, and nothing more of it can go.
pub fn shrink(scope: &'static Scope, steps: &[Placed]) -> Walk {
    let mut best = replay(scope, steps);
    let Some(rule) = best.broken.as_ref().map(|broken| broken.rule) else { return best };
    let mut size = steps.len().next_power_of_two();
    while size > 0 {
        let (mut at, before) = (0, best.steps.len());
        while at < best.steps.len() {
            let mut fewer = best.steps.clone();
            fewer.drain(at..(at + size).min(best.steps.len()));
            let tried = replay(scope, &fewer);
            if tried.broken.as_ref().is_some_and(|broken| broken.rule == rule) {
                best = tried;
            } else {
                at += size;
            }
        }
        if size > 1 || best.steps.len() == before {
            size /= 2;
        }
    }
    best
}

fn end(world: &World, steps: Vec<Placed>) -> Walk {
    let attachments = world.client.connection.attachment();
    let (last, broken) = match world.close_down_caught() {
        Ok(last) => (last, None),
        Err(broken) => (world.clone(), Some(broken)),
    };
    let messages = last.client.got + last.servers.iter().map(|server| server.got).sum::<u64>();
    Walk { steps, sights: last.sights, messages, attachments, broken }
}

impl World {
    fn take_placed(&mut self, (place, step): Placed) {
        self.numbers = place * NAMES_PER_STEP;
        self.apply_caught(step);
        debug_assert!(self.numbers <= (place + 1) * NAMES_PER_STEP);
    }
}

/// How likely a step is to be taken: what ends a world is rare, and so, less so, is trouble.
fn weight(step: &Step) -> u64 {
    match step {
        Step::Close(_) | Step::Restart | Step::Timeout(_) => 1,
        Step::Attach(_)
        | Step::Break(..)
        | Step::Duplicate(_)
        | Step::Fail(_)
        | Step::Forget(_)
        | Step::Repeat(_)
        | Step::Try => 20,
        Step::Block(_) => 40,
        Step::Send(_) | Step::Take(_) | Step::TakeReply(_) => 100,
        Step::Write(_) => 300,
        Step::Answer(_) | Step::Deliver(..) | Step::Post(_) => 600,
    }
}

/// SplitMix64: every seed is as good as any other.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn choose(&mut self, steps: &[Step]) -> Option<Step> {
        let all: u64 = steps.iter().map(weight).sum();
        let mut at = ((u128::from(self.next()) * u128::from(all)) >> 64) as u64;
        let step = steps.iter().find(|step| {
            let here = at < weight(step);
            at = at.saturating_sub(weight(step));
            here
        });
        step.copied()
    }
}
