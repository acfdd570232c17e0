//! Sessions that come back all at once: after the network was cut, when they resume, and after the server was started again,
//! when it knows nothing of them and they open anew.
//!
//! With `--after restart` it says `{"ready":true}` when the sessions are there, waits until they are all cut off, and tries
//! again until the new server answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, connect_all, form};
use crate::form::Form;
use crate::latency::Latencies;
use crate::meter::Meter;
use crate::net::{Poller, Target};
use crate::options::{Error, Options};
use crate::talk::{Heard, Talk};

/// No client may wait longer; a run is given up when one has waited three times as long.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a client waits before it tries again.
const RETRY: Duration = Duration::from_millis(100);

pub(crate) fn run(options: &Options) -> Result<Value, Error> {
    let meter = Meter::new(options)?;
    let (target, form, path) = (Target::new(options)?, form(options)?, options.text("path", "/echo"));
    let count = options.get("clients", 10_000)?;
    let restart = match options.text("after", "cut").as_str() {
        "cut" => false,
        "restart" => true,
        after => return Err(format!("no --after {after}").into()),
    };
    let mut poller = Poller::new()?;
    let mut clients = connect_all(&target, &mut poller, &form, count, |_| path.clone())?;
    // On its way when the connection is cut: the server gets it, or it is sent again.
    for client in &mut clients {
        client.thorough = true;
        client.talk.publish(0, 1, &mut client.out);
        client.write()?;
    }
    if restart {
        println!("{}", json!({ "ready": true }));
        all_cut_off(&mut clients, &mut poller)?;
    }
    let mut run =
        Returns { target, form, path, poller: Poller::new()?, clients: vec![], at: Instant::now(), attempts: 0 };
    for client in clients {
        let mut talk = client.talk;
        talk.cut();
        run.clients.push(Returning { talk, client: None, retry: None, back: None, answered: false, reset: false });
    }
    let started = run.at;
    run.all_back()?;
    let mut result = json!({
        "count": count,
        "seconds": started.elapsed().as_secs_f64(),
        "attempts": run.attempts,
        "reset": run.clients.iter().filter(|client| client.reset).count(),
        "resumed": run.clients.iter().filter(|client| !client.reset).count(),
        "rss": if restart { 0 } else { meter.rss()? },
    });
    let mut latencies = Latencies::new();
    run.clients.iter().filter_map(|client| client.back).for_each(|back| latencies.add(back));
    result["p50_us"] = latencies.quantile(0.5).into();
    result["p99_us"] = latencies.quantile(0.99).into();
    result["max_us"] = latencies.max().into();
    result["within_limit"] = (latencies.max() <= LIMIT.as_micros() as f64).into();
    Ok(result)
}

fn all_cut_off(clients: &mut [Client], poller: &mut Poller) -> Result<(), Error> {
    let (mut left, mut ids, mut buffer) = (vec![true; clients.len()], vec![], vec![0; 64 << 10]);
    let started = Instant::now();
    while left.iter().any(|there| *there) {
        poller.wait(Duration::from_millis(100), &mut ids)?;
        for &id in &ids {
            // An error is an end, too.
            if left[id] && !clients[id].read(&mut buffer, &mut |_| {}).unwrap_or(false) {
                left[id] = false;
            }
        }
        if started.elapsed() > 6 * LIMIT {
            return Err("the server did not go away".into());
        }
    }
    Ok(())
}

struct Returning {
    /// The session, while there is no connection.
    talk: Talk,
    client: Option<Client>,
    retry: Option<Instant>,
    /// After how long the session was there again.
    back: Option<Duration>,
    /// It has got a message since.
    answered: bool,
    reset: bool,
}

struct Returns {
    target: Target,
    form: Arc<Form>,
    path: String,
    poller: Poller,
    clients: Vec<Returning>,
    at: Instant,
    attempts: u64,
}

impl Returns {
    /// Until every session is back and has got the message that was on its way, or one that it sent anew.
    fn all_back(&mut self) -> Result<(), Error> {
        let (mut ids, mut buffer) = (vec![], vec![0; 64 << 10]);
        for id in 0..self.clients.len() {
            self.attempt(id)?;
        }
        while self.clients.iter().any(|client| !client.answered) {
            self.poller.wait(Duration::from_millis(20), &mut ids)?;
            for &id in &ids {
                self.take(id, &mut buffer)?;
            }
            let now = Instant::now();
            for id in 0..self.clients.len() {
                if self.clients[id].retry.is_some_and(|retry| retry <= now) {
                    self.attempt(id)?;
                }
            }
            if self.at.elapsed() > 3 * LIMIT {
                let missing = self.clients.iter().filter(|client| !client.answered).count();
                return Err(format!("{missing} clients are not back after {} s", 3 * LIMIT.as_secs()).into());
            }
        }
        Ok(())
    }

    fn attempt(&mut self, id: usize) -> Result<(), Error> {
        self.attempts += 1;
        let returning = &mut self.clients[id];
        let link = match self.target.begin() {
            Ok(link) => link,
            // Refused at once: nobody listens.
            Err(error) if error.is::<std::io::Error>() => {
                returning.retry = Some(Instant::now() + RETRY);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.poller.add(&link, id)?;
        let talk = std::mem::replace(&mut returning.talk, Talk::new(&self.form));
        let out = self.form.protocol.upgrade(&self.path, &self.target.addr.to_string());
        returning.client = Some(Client { talk, link, out, thorough: true });
        returning.retry = None;
        Ok(())
    }

    fn take(&mut self, id: usize, buffer: &mut [u8]) -> Result<(), Error> {
        let returning = &mut self.clients[id];
        let Some(client) = &mut returning.client else { return Ok(()) };
        let (mut resumed, mut opened, mut reset, mut numbers) = (None, false, false, vec![]);
        // What waits in `out` goes out first: the first event says that the connection is up.
        let mut going_on = client.write().is_ok();
        if going_on {
            going_on = match client.read(buffer, &mut |heard| match heard {
                Heard::Opened => opened = true,
                Heard::Resumed(received) => resumed = Some(received),
                Heard::Reset => reset = true,
                Heard::Message { number, .. } => numbers.push(number),
                Heard::Ping => {}
            }) {
                Ok(going_on) => going_on,
                // No connection, or the end of one.
                Err(error) if error.is::<std::io::Error>() => false,
                Err(error) => return Err(format!("client {id}: {error}").into()),
            };
        }
        if reset {
            returning.reset = true;
            returning.talk = Talk::new(&self.form);
            returning.client = None;
            return self.attempt(id);
        }
        if let Some(received) = resumed {
            returning.back = Some(self.at.elapsed());
            client.talk.replay(0, received, &mut client.out);
        }
        if opened {
            returning.back = Some(self.at.elapsed());
            client.talk.publish(0, 1, &mut client.out);
        }
        if numbers.iter().any(|number| *number != 1) || (returning.answered && !numbers.is_empty()) {
            return Err(format!("client {id} got {numbers:?}: lost or doubled").into());
        }
        // One that came before the cut was numbered, and does not come again.
        returning.answered |= !numbers.is_empty() || (resumed.is_some() && client.talk.received == 1);
        if going_on {
            going_on = client.write().is_ok();
        }
        if !going_on && let Some(client) = returning.client.take() {
            returning.talk = client.talk;
            returning.talk.cut();
            returning.retry = Some(Instant::now() + RETRY);
        }
        Ok(())
    }
}
