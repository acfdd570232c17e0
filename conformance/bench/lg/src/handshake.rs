//! From the connection to the first byte of a session: connect, upgrade, and what the protocol wants after that. Then the
//! connection is cut, and the next one made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Client, PATIENCE, form};
use crate::form::Form;
use crate::latency::Latencies;
use crate::meter::Meter;
use crate::net::{Poller, Target};
use crate::options::{Error, Options};

pub(crate) fn run(options: &Options) -> Result<Value, Error> {
    let mut meter = Meter::new(options)?;
    let mut run = Handshakes {
        target: Target::new(options)?,
        form: form(options)?,
        path: options.text("path", "/echo"),
        poller: Poller::new()?,
        at_once: options.get("clients", 64)?,
        latencies: Latencies::new(),
    };
    let limit = options.get("count-messages", u64::MAX)?;
    run.phase(options.seconds("warm", 0.3)?, options.get("warm-count", 300)?)?;
    run.latencies = Latencies::new();
    meter.start()?;
    let time = if limit == u64::MAX { options.seconds("secs", 2.0)? } else { Duration::from_secs(3600) };
    let count = run.phase(time, limit)?;
    let mut result = meter.stop(count)?;
    result["p50_us"] = run.latencies.quantile(0.5).into();
    result["p99_us"] = run.latencies.quantile(0.99).into();
    Ok(result)
}

struct Handshakes {
    target: Target,
    form: Arc<Form>,
    path: String,
    poller: Poller,
    at_once: usize,
    latencies: Latencies,
}

impl Handshakes {
    /// Makes connections until the time is over or there were so many, and all that were begun are done.
    fn phase(&mut self, time: Duration, limit: u64) -> Result<u64, Error> {
        let started = Instant::now();
        let mut clients: Vec<Option<(Client, Instant)>> = (0..self.at_once).map(|_| None).collect();
        let (mut begun, mut done, mut progress) = (0, 0, Instant::now());
        let (mut ids, mut buffer) = (vec![], vec![0; 16 << 10]);
        loop {
            let over = started.elapsed() >= time || begun >= limit;
            if !over {
                for (id, slot) in clients.iter_mut().enumerate() {
                    if slot.is_none() && begun < limit {
                        let at = Instant::now();
                        let client = Client::connect(&self.target, &self.path, &self.form)?;
                        self.poller.add(&client.link, id)?;
                        *slot = Some((client, at));
                        begun += 1;
                    }
                }
            } else if begun == done {
                // The server has heard of the last cuts.
                std::thread::sleep(Duration::from_millis(100));
                return Ok(done);
            }
            self.poller.wait(Duration::from_millis(100), &mut ids)?;
            for &id in &ids {
                let Some((client, at)) = &mut clients[id] else { continue };
                if !client.read(&mut buffer, &mut |_| {})? {
                    return Err("the server closed the connection".into());
                }
                if client.talk.is_open() {
                    self.latencies.add(at.elapsed());
                    clients[id] = None;
                    done += 1;
                    progress = Instant::now();
                } else {
                    client.write()?;
                }
            }
            if progress.elapsed() > PATIENCE {
                return Err("no session is there any more".into());
            }
        }
    }
}
