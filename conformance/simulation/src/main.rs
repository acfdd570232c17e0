//! `nosphere-simulation`: runs plans, and shows the smallest that fails.

use std::io::{self, Write};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lexopt::prelude::*;
use nosphere_simulation::{Campaign, Failure, Outcome, Plan, Seeds, probe, run, simulate};

const HELP: &str = "\
Usage: nosphere-simulation [--sessions N] [--from SEED] [--jobs N]
       nosphere-simulation --seeds A..B
       nosphere-simulation --seed N [--whole]

  --sessions N   runs plans until N sessions were opened (10000)
  --from SEED    begins with this seed (0)
  --jobs N       runs so many plans at a time (1)
  --seeds A..B   runs the plans of these seeds
  --seed N       runs the plan of one seed, and shows what happens in it; if it fails, the smallest plan that does
  --whole        shows the whole plan, though a smaller one fails
  --brief        names the seed that fails, and looks for nothing smaller
";

/// A plan takes milliseconds. One that takes this long hangs, and the clock stands still.
const HANGS: Duration = Duration::from_secs(120);

enum Task {
    Help,
    Many { from: u64, sessions: u64, jobs: u64, brief: bool },
    One { seed: u64, whole: bool },
    These { seeds: Range<u64>, brief: bool },
}

fn main() -> ExitCode {
    let result = read().map_err(io::Error::other).and_then(|task| match task {
        Task::Help => write!(io::stdout(), "{HELP}").map(|()| true),
        Task::Many { from, sessions, jobs, brief } => finish(&many(from, sessions, jobs), brief),
        Task::One { seed, whole } => one(seed, whole),
        Task::These { seeds, brief } => finish(&simulate(&Seeds::These(seeds), watched(&watch())), brief),
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(io::stderr(), "{error}"));
            ExitCode::from(2)
        }
    }
}

fn read() -> Result<Task, lexopt::Error> {
    let (mut from, mut sessions, mut jobs, mut seed, mut seeds) = (0, 10_000, 1, None, None);
    let (mut whole, mut brief) = (false, false);
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("sessions") => sessions = parser.value()?.parse()?,
            Long("from") => from = parser.value()?.parse()?,
            Long("jobs") => jobs = parser.value()?.parse()?,
            Long("seed") => seed = Some(parser.value()?.parse()?),
            Long("whole") => whole = true,
            Long("brief") => brief = true,
            Long("seeds") => {
                let range = parser.value()?.string()?;
                let (from, to) = range.split_once("..").ok_or("--seeds wants A..B")?;
                seeds = Some(from.parse::<u64>().map_err(to_error)?..to.parse::<u64>().map_err(to_error)?);
            }
            Long("help") => return Ok(Task::Help),
            Long(_) | Short(_) | Value(_) => return Err(argument.unexpected()),
        }
    }
    Ok(match (seed, seeds) {
        (Some(seed), _) => Task::One { seed, whole },
        (None, Some(seeds)) => Task::These { seeds, brief },
        (None, None) => Task::Many { from, sessions, jobs, brief },
    })
}

fn to_error(error: std::num::ParseIntError) -> lexopt::Error {
    lexopt::Error::Custom(error.into())
}

fn many(from: u64, sessions: u64, jobs: u64) -> Campaign {
    let whole = Mutex::new(Campaign::default());
    std::thread::scope(|scope| {
        for job in 0..jobs {
            let seeds = Seeds::Sessions { from: from + job, step: jobs, sessions: sessions.div_ceil(jobs) };
            let whole = &whole;
            scope.spawn(move || {
                let campaign = simulate(&seeds, watched(&watch()));
                whole.lock().unwrap_or_else(PoisonError::into_inner).merge(campaign);
            });
        }
    });
    whole.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn finish(campaign: &Campaign, brief: bool) -> io::Result<bool> {
    writeln!(io::stdout(), "{campaign}")?;
    match &campaign.failure {
        None => Ok(true),
        Some(Failure { seed, broken, .. }) if brief => {
            writeln!(io::stdout(), "seed {seed} breaks a promise: {broken}").map(|()| false)
        }
        Some(Failure { seed, .. }) => one(*seed, false),
    }
}

/// One seed, in all detail.
fn one(seed: u64, whole: bool) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let progress = watch();
    let mut plan = Plan::generate(seed);
    let Outcome { broken, .. } = run(&plan, false);
    if let Some(broken) = &broken
        && !whole
    {
        writeln!(out, "seed {seed} breaks a promise: {broken}\nlooking for a smaller plan that does ...")?;
        let kind = kind(broken);
        plan = plan.shrink(|smaller| {
            progress.fetch_add(1, Ordering::Relaxed);
            run(smaller, false).broken.is_some_and(|broken| self::kind(&broken) == kind)
        });
    }
    let outcome = run(&plan, true);
    writeln!(out, "{plan}")?;
    outcome.trace.entries.iter().try_for_each(|entry| writeln!(out, "{entry}"))?;
    writeln!(out, "trace {:016x}", outcome.trace.hash())?;
    match outcome.broken {
        None => writeln!(out, "every promise was kept")?,
        Some(broken) => {
            writeln!(out, "broken: {broken}\nreplay: cargo run --release -p nosphere-simulation -- --seed {seed}")?;
        }
    }
    let measured = probe(seed).broken;
    if let Some(broken) = &measured {
        writeln!(out, "and a deadline is not kept: {broken}")?;
    }
    Ok(broken.is_none() && measured.is_none())
}

/// What is broken, without numbers and names: a smaller plan may fail the same way at another time.
fn kind(broken: &str) -> String {
    let words = broken.split(|c: char| !c.is_ascii_alphabetic() && c != ' ');
    let text: String = words.collect();
    text.split(' ').filter(|word| word.len() > 2).collect::<Vec<_>>().join(" ")
}

/// Ends the program when a plan hangs. Gives what counts the plans.
fn watch() -> Arc<AtomicU64> {
    let plans = Arc::new(AtomicU64::new(0));
    let counter = Arc::downgrade(&plans);
    std::thread::spawn(move || {
        let mut seen = u64::MAX;
        while let Some(now) = counter.upgrade().map(|plans| plans.load(Ordering::Relaxed)) {
            if now == seen {
                drop(writeln!(io::stderr(), "the plan of seed {now} or the next hangs: something spins"));
                std::process::exit(3);
            }
            seen = now;
            std::thread::sleep(HANGS);
        }
    });
    plans
}

fn watched(plans: &Arc<AtomicU64>) -> impl FnMut(&Campaign, u64) + use<> {
    let plans = Arc::clone(plans);
    move |_, seed| plans.store(seed, Ordering::Relaxed)
}
