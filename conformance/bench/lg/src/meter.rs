//! What the server used between two moments: CPU time, instructions, memory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use serde_json::{Value, json};

use crate::options::{Error, Options};

/// How instructions are counted.
enum Counting {
    /// The processor's counters: user and kernel, of every thread.
    Hardware(Vec<(Counter, Counter)>),
    /// The server runs under callgrind, which writes its profiles to this path and a number, and hears commands by pipes
    /// beside them, `vgdb-…`. User instructions only.
    Callgrind(PathBuf),
    Nothing,
}

pub(crate) struct Meter {
    pid: u32,
    counting: Counting,
    start: Option<Snapshot>,
}

struct Snapshot {
    at: Instant,
    nanos: u64,
    ticks: (u64, u64),
    own: u64,
}

impl Meter {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let pid = options.get("pid", 0)?;
        let counting = match options.text("count", "nothing").as_str() {
            "hardware" => Counting::Hardware(vec![]),
            "nothing" => Counting::Nothing,
            path => Counting::Callgrind(path.into()),
        };
        Ok(Self { pid, counting, start: None })
    }

    /// Starts to count. The server should be idle.
    pub(crate) fn start(&mut self) -> Result<(), Error> {
        match &mut self.counting {
            Counting::Hardware(counters) => *counters = hardware(self.pid)?,
            Counting::Callgrind(path) => callgrind(self.pid, path, "zero")?,
            Counting::Nothing => {}
        }
        self.start = Some(self.snapshot()?);
        Ok(())
    }

    /// What was used since `start`, for each of `count` things.
    pub(crate) fn stop(&mut self, count: u64) -> Result<Value, Error> {
        let (start, end) = (self.start.take().ok_or("not started")?, self.snapshot()?);
        let each = |total: u64| total as f64 / count.max(1) as f64;
        let seconds = (end.at - start.at).as_secs_f64();
        let (user, kernel) = (end.ticks.0 - start.ticks.0, end.ticks.1 - start.ticks.1);
        let nanos = end.nanos - start.nanos;
        // schedstat is exact, and the ticks tell only how it is shared.
        let share = user as f64 / (user + kernel).max(1) as f64;
        let (instructions, kernel_instructions) = match &mut self.counting {
            Counting::Hardware(counters) => {
                let mut sums = (0, 0);
                for (user, kernel) in counters {
                    sums = (sums.0 + user.read()?, sums.1 + kernel.read()?);
                }
                (Some(each(sums.0)), Some(each(sums.1)))
            }
            Counting::Callgrind(path) => {
                callgrind(self.pid, path, "dump")?;
                (Some(each(totals(path)?)), None)
            }
            Counting::Nothing => (None, None),
        };
        Ok(json!({
            "count": count,
            "seconds": seconds,
            "rate": count as f64 / seconds,
            "cpu_us": each(nanos) / 1e3,
            "user_us": each(nanos) / 1e3 * share,
            "kernel_us": each(nanos) / 1e3 * (1.0 - share),
            "server_busy": nanos as f64 / 1e9 / seconds,
            "generator_busy": (end.own - start.own) as f64 / 1e9 / seconds,
            "instructions": instructions,
            "kernel_instructions": kernel_instructions,
            "rss": resident(self.pid, "VmRSS:")?,
            "peak_rss": resident(self.pid, "VmHWM:")?,
        }))
    }

    pub(crate) fn rss(&self) -> Result<u64, Error> {
        resident(self.pid, "VmRSS:")
    }

    fn snapshot(&self) -> Result<Snapshot, Error> {
        let (nanos, own) = (cpu(self.pid)?, cpu(std::process::id())?);
        Ok(Snapshot { at: Instant::now(), nanos, ticks: ticks(self.pid)?, own })
    }
}

/// Whether the processor's counters can be had.
pub(crate) fn probe() -> bool {
    Builder::new(Hardware::INSTRUCTIONS).build().is_ok()
}

fn threads(pid: u32) -> Result<Vec<PathBuf>, Error> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    Ok(threads.map(|thread| Ok(thread?.path())).collect::<std::io::Result<_>>()?)
}

/// CPU time in nanoseconds.
fn cpu(pid: u32) -> Result<u64, Error> {
    let mut sum = 0;
    for thread in threads(pid)? {
        let text = std::fs::read_to_string(thread.join("schedstat"))?;
        sum += text.split_whitespace().next().ok_or("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(sum)
}

/// CPU time in ticks, of the user and of the kernel.
fn ticks(pid: u32) -> Result<(u64, u64), Error> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    match fields.get(11..13) {
        Some([user, kernel]) => Ok((user.parse()?, kernel.parse()?)),
        _ => Err("a stat without times".into()),
    }
}

/// In bytes.
fn resident(pid: u32, which: &str) -> Result<u64, Error> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(which)).ok_or("no such line in the status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}

fn hardware(pid: u32) -> Result<Vec<(Counter, Counter)>, Error> {
    let mut counters = vec![];
    for thread in threads(pid)? {
        let id = thread.file_name().and_then(|name| name.to_str()).ok_or("a thread without a number")?.parse()?;
        let mut user = Builder::new(Hardware::INSTRUCTIONS);
        user.observe_pid(id).any_cpu().exclude_kernel(true).exclude_hv(true);
        let mut kernel = Builder::new(Hardware::INSTRUCTIONS);
        kernel.observe_pid(id).any_cpu().exclude_kernel(false).exclude_user(true).exclude_hv(true);
        let (mut user, mut kernel) = (user.build()?, kernel.build()?);
        user.enable()?;
        kernel.enable()?;
        counters.push((user, kernel));
    }
    Ok(counters)
}

fn callgrind(pid: u32, path: &Path, what: &str) -> Result<(), Error> {
    let prefix = format!("--vgdb-prefix={}", path.with_file_name("vgdb").display());
    let said = Command::new("vgdb").arg(prefix).arg(format!("--pid={pid}")).arg(what).output()?;
    if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned().into()) }
}

/// The sum of the newest profile.
fn totals(path: &Path) -> Result<u64, Error> {
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    let newest = (1..).take_while(|number| numbered(*number).exists()).last().ok_or("callgrind wrote nothing")?;
    let text = std::fs::read_to_string(numbered(newest))?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ")).ok_or("a profile without totals")?;
    Ok(line.trim().parse()?)
}
