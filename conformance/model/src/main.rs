//! Checks and walks both roles of nosphere-core. `nosphere-model --help` says how.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Instant;

use nosphere_model::check::{self, Order};
use nosphere_model::walk::{self, Walk};
use nosphere_model::{Scope, Sight, Sights, scopes};

const HELP: &str = "\
Both roles of nosphere-core, their applications, and a network that fails.

nosphere-model check [--large] [SCOPE…]   explores every state of these scopes, or of all small (or large) ones
nosphere-model walk [--walks N] [--from SEED] [--steps N] [SCOPE…]
                                          walks at random: N walks from SEED on, each of so many steps (300)
nosphere-model walk --seed SEED SCOPE     walks one, and says every step
nosphere-model scopes                     lists the scopes

  --threads N   for check (2)
  --most N      the most steps of a scope that a check follows; it gives up after (6,000,000; large: 2,000,000,000)

Exits with 1 when a rule broke; the shortest way there is printed, and the command that goes it again.
The last line is the sum: N passed, N failed.
";

/// How many steps a scope may have, unless it is said: some four times what the largest has.
const MOST: usize = 6_000_000;
const MOST_LARGE: usize = 2_000_000_000;

/// How far walks go, unless it is said.
const STEPS: u64 = 300;

struct Arguments {
    command: String,
    scopes: Vec<&'static Scope>,
    large: bool,
    threads: usize,
    most: Option<usize>,
    walks: u64,
    from: u64,
    seed: Option<u64>,
    steps: u64,
}

fn main() -> ExitCode {
    let outcome = arguments().map_err(|error| error.to_string()).and_then(|arguments| {
        let done = match arguments.command.as_str() {
            "check" => check_all(&arguments),
            "scopes" => list(),
            "walk" => walk_all(&arguments),
            _ => io::stdout().write_all(HELP.as_bytes()).map(|()| true),
        };
        done.map_err(|error| error.to_string())
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(io::stderr(), "nosphere-model: {error}"));
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Result<Arguments, lexopt::Error> {
    use lexopt::prelude::*;

    let mut arguments = Arguments {
        command: "help".into(),
        scopes: vec![],
        large: false,
        threads: 2,
        most: None,
        walks: 10_000,
        from: 0,
        seed: None,
        steps: STEPS,
    };
    let mut parser = lexopt::Parser::from_env();
    let mut named = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Long("from") => arguments.from = parser.value()?.parse()?,
            Long("large") => arguments.large = true,
            Long("most") => arguments.most = Some(parser.value()?.parse()?),
            Long("seed") => arguments.seed = Some(parser.value()?.parse()?),
            Long("steps") => arguments.steps = parser.value()?.parse()?,
            Long("threads") => arguments.threads = parser.value()?.parse()?,
            Long("walks") => arguments.walks = parser.value()?.parse()?,
            Short('h') | Long("help") => arguments.command = "help".into(),
            Value(value) if named => {
                let name = value.string()?;
                let scope = scopes::find(&name).ok_or_else(|| format!("there is no scope {name:?}"))?;
                arguments.scopes.push(scope);
            }
            Value(value) => (arguments.command, named) = (value.string()?, true),
            other @ (Long(_) | Short(_)) => return Err(other.unexpected()),
        }
    }
    if arguments.seed.is_some() && arguments.scopes.len() != 1 {
        return Err("a seed walks one scope: name it".into());
    }
    Ok(arguments)
}

fn list() -> io::Result<bool> {
    let mut out = io::stdout().lock();
    for (kind, scopes) in [("small", scopes::SMALL), ("large", scopes::LARGE), ("walk", scopes::WALKS)] {
        for Scope { name, transports, budget, window, sorts, slow_sockets } in scopes {
            writeln!(
                out,
                "{kind:5} {name}: {transports:?} window {window} slow sockets {slow_sockets} {budget:?} {sorts:?}"
            )?;
        }
    }
    Ok(true)
}

fn check_all(arguments: &Arguments) -> io::Result<bool> {
    let all = if arguments.large { scopes::LARGE } else { scopes::SMALL };
    let most = arguments.most.unwrap_or(if arguments.large { MOST_LARGE } else { MOST });
    let order = if arguments.large { Order::Depth } else { Order::Breadth };
    let whole = arguments.scopes.is_empty() && !arguments.large;
    let chosen = if arguments.scopes.is_empty() { all.iter().collect() } else { arguments.scopes.clone() };
    let (mut passed, mut failed, mut states) = (0, 0, 0);
    let mut sights = Sights::default();
    for scope in chosen {
        let report = check::check(scope, order, arguments.threads, most);
        sights = Sights::from_bits(sights.bits() | report.sights.bits());
        states += report.states;
        let mut out = io::stdout().lock();
        let check::Report { states, steps, depth, seconds, .. } = report;
        writeln!(out, "{:22} {states:9} states {steps:10} steps, {depth:2} deep {seconds:6.1} s", scope.name)?;
        match report.broken {
            None if report.complete => passed += 1,
            None => {
                failed += 1;
                writeln!(out, "    given up: there are more states than {most} steps reach")?;
                break;
            }
            Some((broken, steps)) => {
                failed += 1;
                writeln!(out, "    {broken}, {} states on, after", states)?;
                steps.iter().try_for_each(|step| writeln!(out, "    {step:?}"))?;
                writeln!(out, "    again: nosphere-model check {}", scope.name)?;
                break;
            }
        }
    }
    let mut out = io::stdout().lock();
    if whole {
        let unseen = scopes::unseen(sights);
        (passed, failed) = if unseen.is_empty() { (passed + 1, failed) } else { (passed, failed + 1) };
        writeln!(out, "{states} states in all; did not come to sight: {unseen:?}")?;
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    Ok(failed == 0)
}

fn walk_all(arguments: &Arguments) -> io::Result<bool> {
    let Arguments { steps, from, walks, .. } = *arguments;
    let chosen: Vec<_> =
        if arguments.scopes.is_empty() { scopes::WALKS.iter().collect() } else { arguments.scopes.clone() };
    if let Some(seed) = arguments.seed {
        let walk = walk::walk(chosen[0], seed, steps);
        return tell(chosen[0], seed, &walk, true);
    }
    let started = Instant::now();
    let mut sights = Sights::default();
    let (mut messages, mut attachments) = (0, 0);
    for seed in from..from + walks {
        let scope = chosen[(seed % chosen.len() as u64) as usize];
        let walk = walk::walk(scope, seed, steps);
        sights = Sights::from_bits(sights.bits() | walk.sights.bits());
        messages += walk.messages;
        attachments += walk.attachments;
        if walk.broken.is_some() {
            writeln!(io::stdout(), "seed {seed}, after {} walks:", seed - from + 1)?;
            return tell(scope, seed, &walk::shrink(scope, &walk.steps), false);
        }
    }
    let unseen: Vec<Sight> = if arguments.scopes.is_empty() { scopes::unseen(sights) } else { vec![] };
    let mut out = io::stdout().lock();
    writeln!(out, "{messages} messages over {attachments} attachments")?;
    let seconds = started.elapsed().as_secs_f64();
    writeln!(
        out,
        "{walks} walks of {steps} steps from seed {from}: {seconds:.1} s; did not come to sight: {unseen:?}"
    )?;
    writeln!(out, "{} passed, {} failed", u8::from(unseen.is_empty()), u8::from(!unseen.is_empty()))?;
    Ok(unseen.is_empty())
}

fn tell(scope: &Scope, seed: u64, walk: &Walk, whole: bool) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    walk.steps.iter().try_for_each(|(place, step)| writeln!(out, "    {place:3} {step:?}"))?;
    if let Some(broken) = &walk.broken {
        writeln!(out, "    {broken}")?;
        if !whole {
            writeln!(out, "    the whole walk: nosphere-model walk --seed {seed} {}", scope.name)?;
        }
    }
    writeln!(out, "{} passed, {} failed", u8::from(walk.broken.is_none()), u8::from(walk.broken.is_some()))?;
    Ok(walk.broken.is_none())
}
