//! Sessions that have exchanged a message, and then do nothing but answer heartbeats.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::client::{Client, PATIENCE, connect_all, form};
use crate::meter::Meter;
use crate::net::{Poller, Target};
use crate::options::{Error, Options};
use crate::talk::Heard;

pub(crate) fn run(options: &Options) -> Result<Value, Error> {
    let meter = Meter::new(options)?;
    let (target, form, path) = (Target::new(options)?, form(options)?, options.text("path", "/echo"));
    let count = options.get("clients", 10_000)?;
    let mut poller = Poller::new()?;
    // What the server's program needs once, it has after these.
    let mut first = connect_all(&target, &mut poller, &form, 16, |_| path.clone())?;
    exchange(&mut first, &mut poller)?;
    let before = meter.rss()?;
    let mut poller = Poller::new()?;
    let started = Instant::now();
    let mut clients = connect_all(&target, &mut poller, &form, count, |_| path.clone())?;
    let connecting = started.elapsed();
    let connected = meter.rss()?;
    exchange(&mut clients, &mut poller)?;
    let touched = meter.rss()?;
    let each = |rss: u64| (rss as f64 - before as f64) / count as f64;
    let mut result = json!({
        "count": count,
        "connect_seconds": connecting.as_secs_f64(),
        "rss_before": before,
        "rss": touched,
        "bytes_connected": each(connected),
        "bytes": each(touched),
    });
    if options.flag("hold") {
        println!("{result}");
        let pings = hold(&mut clients, &mut poller)?;
        result["pings"] = pings.into();
    }
    Ok(result)
}

/// Every client sends a message and gets it back.
fn exchange(clients: &mut [Client], poller: &mut Poller) -> Result<(), Error> {
    let (mut ids, mut buffer) = (vec![], vec![0; 64 << 10]);
    // By and by: all at once would fill buffers that idle sessions do not have.
    for start in (0..clients.len()).step_by(64) {
        let end = (start + 64).min(clients.len());
        let mut missing = end - start;
        for client in &mut clients[start..end] {
            client.talk.publish(0, 1, &mut client.out);
            client.write()?;
        }
        let started = Instant::now();
        while missing > 0 {
            poller.wait(Duration::from_millis(100), &mut ids)?;
            for &id in &ids {
                let client = &mut clients[id];
                let going_on = client.read(&mut buffer, &mut |heard| {
                    missing -= usize::from(matches!(heard, Heard::Message { .. }));
                });
                let going_on = going_on.map_err(|error| format!("client {id}: {error}"))?;
                if !going_on {
                    return Err(format!("the server closed the connection of client {id}").into());
                }
                client.write()?;
            }
            if started.elapsed() > PATIENCE {
                return Err(format!("{missing} messages did not come back").into());
            }
        }
    }
    Ok(())
}

/// Answers heartbeats until standard input ends. How many there were.
fn hold(clients: &mut [Client], poller: &mut Poller) -> Result<u64, Error> {
    let over = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&over);
    std::thread::spawn(move || {
        drop(std::io::stdin().read_to_end(&mut vec![]));
        tell.store(true, Ordering::Relaxed);
    });
    let (mut ids, mut buffer, mut pings) = (vec![], vec![0; 64 << 10], 0);
    while !over.load(Ordering::Relaxed) {
        poller.wait(Duration::from_millis(200), &mut ids)?;
        for &id in &ids {
            let client = &mut clients[id];
            let going_on = client.read(&mut buffer, &mut |heard| pings += u64::from(matches!(heard, Heard::Ping)));
            let going_on = going_on.map_err(|error| format!("client {id}: {error}"))?;
            if !going_on {
                return Err(format!("the server closed the connection of client {id}").into());
            }
            client.write()?;
        }
    }
    Ok(pings)
}
