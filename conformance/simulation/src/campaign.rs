//! Many runs.

use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::coverage::{Coverage, Covered};
use crate::plan::Plan;
use crate::probe::probe;
use crate::run::{Outcome, run};

/// What many runs came to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Campaign {
    /// How many plans were run.
    pub plans: u64,
    /// What they exercised.
    pub coverage: Coverage,
    /// How much virtual time passed, in milliseconds.
    pub virtual_time: u64,
    /// How much time passed.
    pub wall_time: Duration,
    /// The first run that broke a promise.
    pub failure: Option<Failure>,
}

/// A run that broke a promise.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Failure {
    /// What its plan was made from.
    pub seed: u64,
    /// Which promise.
    pub broken: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, broken } = self;
        write!(f, "seed {seed}: {broken}\nreplay: cargo run --release -p nosphere-simulation -- --seed {seed}")
    }
}

/// Which seeds are run.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "by number or by what comes of it")]
pub enum Seeds {
    /// As many as it takes for so many sessions, from a seed on, every so many.
    Sessions {
        /// The first seed.
        from: u64,
        /// The distance of one seed to the next.
        step: u64,
        /// How many sessions.
        sessions: u64,
    },
    /// These.
    These(Range<u64>),
}

/// Runs one seed after the other, until the first that fails.
pub fn simulate(seeds: &Seeds, mut progress: impl FnMut(&Campaign, u64)) -> Campaign {
    let start = Instant::now();
    let mut campaign = Campaign::default();
    let mut seed = match seeds {
        Seeds::Sessions { from, .. } => *from,
        Seeds::These(range) => range.start,
    };
    loop {
        let (more, step) = match seeds {
            Seeds::Sessions { sessions, step, .. } => (campaign.sessions() < *sessions, *step),
            Seeds::These(range) => (range.contains(&seed), 1),
        };
        if !more || campaign.failure.is_some() {
            campaign.wall_time = start.elapsed();
            return campaign;
        }
        campaign.add(seed, run(&Plan::generate(seed), false));
        if campaign.failure.is_none() && is_probed(seed) {
            campaign.add(seed, probe(seed));
        }
        campaign.wall_time = start.elapsed();
        progress(&campaign, seed);
        seed += step;
    }
}

/// Whether a seed has a [`probe`] beside its plan.
fn is_probed(seed: u64) -> bool {
    seed.is_multiple_of(4)
}

impl Campaign {
    /// How many sessions were opened.
    pub fn sessions(&self) -> u64 {
        self.coverage.of(Covered::Sessions)
    }

    /// Adds what others came to, who worked at the same time.
    pub fn merge(&mut self, other: Self) {
        self.plans += other.plans;
        self.coverage.merge(&other.coverage);
        self.virtual_time += other.virtual_time;
        self.wall_time = self.wall_time.max(other.wall_time);
        self.failure = self.failure.take().or(other.failure);
    }

    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.plans += 1;
        self.coverage.merge(&outcome.coverage);
        self.virtual_time += outcome.virtual_time;
        self.failure = outcome.broken.map(|broken| Failure { seed, broken });
    }
}

impl fmt::Display for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hours = self.virtual_time / 3_600_000;
        write!(f, "{}", self.coverage)?;
        write!(
            f,
            "{} sessions, {} messages, {} plans, {hours} hours of virtual time in {} s",
            self.sessions(),
            self.coverage.of(Covered::Messages),
            self.plans,
            self.wall_time.as_secs()
        )
    }
}
