//! WebSockets over HTTP/2 (RFC 8441): so many streams on each connection. Echo, or with `--groups 1` broadcasts by the first
//! stream to all.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::ext::Protocol as ExtendedProtocol;
use h2::{RecvStream, SendStream};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;

use crate::client::{PATIENCE, form};
use crate::form::Form;
use crate::latency::Latencies;
use crate::meter::Meter;
use crate::options::{Error, Options};
use crate::talk::{Heard, Talk};

/// What all streams share.
struct Shared {
    form: Arc<Form>,
    fan: bool,
    members: u64,
    window: u32,
    publish: AtomicBool,
    /// Streams look at `publish` again.
    changed: Notify,
    delivered: AtomicU64,
    sent: AtomicU64,
    failure: Mutex<Option<String>>,
    latencies: Mutex<(Latencies, Instant)>,
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn run(options: &Options) -> Result<Value, Error> {
    let mut meter = Meter::new(options)?;
    let (connections, streams): (usize, usize) = (options.get("connections", 8)?, options.get("streams", 8)?);
    let fan = options.get("groups", 0)? > 0;
    let shared = Arc::new(Shared {
        form: form(options)?,
        fan,
        members: if fan { (connections * streams) as u64 } else { 1 },
        window: options.get("window", 1)?,
        publish: AtomicBool::new(false),
        changed: Notify::new(),
        delivered: AtomicU64::new(0),
        sent: AtomicU64::new(0),
        failure: Mutex::new(None),
        latencies: Mutex::new((Latencies::new(), Instant::now())),
    });
    let path = options.text("path", "/echo");
    let uri = |scheme| format!("{scheme}://localhost{path}");
    let uri = uri(if options.flag("tls") { "https" } else { "http" });
    for connection in 0..connections {
        let mut sender = connect(options).await?;
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        for stream in 0..streams {
            let mut request =
                http::Request::builder().method("CONNECT").uri(&uri).header("sec-websocket-version", "13");
            if let Some(subprotocol) = shared.form.protocol.subprotocol() {
                request = request.header("sec-websocket-protocol", subprotocol);
            }
            let request = request.extension(ExtendedProtocol::from_static("websocket")).body(())?;
            sender = sender.ready().await?;
            let (answer, output) = sender.send_request(request, false)?;
            let answer = answer.await?;
            if answer.status() != 200 {
                return Err(format!("no WebSocket: {}", answer.status()).into());
            }
            let publishes = !fan || (connection == 0 && stream == 0);
            let one = Stream::open(answer.into_body(), output, Arc::clone(&shared), publishes).await?;
            tokio::spawn(one.go_on());
        }
    }
    phase(&shared, options, "warm", "warm-count", 0.5).await?;
    shared.latencies.lock().expect("no panic").0 = Latencies::new();
    meter.start()?;
    let before = shared.delivered.load(Relaxed);
    phase(&shared, options, "secs", "count-messages", 2.0).await?;
    let mut result = meter.stop(shared.delivered.load(Relaxed) - before)?;
    let latencies = &shared.latencies.lock().expect("no panic").0;
    result["p50_us"] = latencies.quantile(0.5).into();
    result["p99_us"] = latencies.quantile(0.99).into();
    Ok(result)
}

async fn connect(options: &Options) -> Result<h2::client::SendRequest<Bytes>, Error> {
    let tcp = TcpStream::connect(options.addr()?).await?;
    tcp.set_nodelay(true)?;
    let mut builder = h2::client::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(16 << 20);
    if options.flag("tls") {
        let mut config = (*crate::net::tls()?).clone();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = TlsConnector::from(Arc::new(config)).connect("localhost".try_into()?, tcp).await?;
        let (sender, connection) = builder.handshake(tls).await?;
        tokio::spawn(connection);
        return Ok(sender.ready().await?);
    }
    let (sender, connection) = builder.handshake(tcp).await?;
    tokio::spawn(connection);
    Ok(sender.ready().await?)
}

/// Publishes for a while, and waits until everything has arrived.
async fn phase(shared: &Shared, options: &Options, time: &str, messages: &str, default: f64) -> Result<(), Error> {
    let limit = options.get(messages, u64::MAX)?;
    let time = if limit == u64::MAX { options.seconds(time, default)? } else { Duration::from_secs(3600) };
    let (started, first) = (Instant::now(), shared.delivered.load(Relaxed));
    shared.publish.store(true, Relaxed);
    shared.changed.notify_waiters();
    let mut progress = (Instant::now(), first);
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if let Some(failure) = shared.failure.lock().expect("no panic").take() {
            return Err(failure.into());
        }
        let delivered = shared.delivered.load(Relaxed);
        if started.elapsed() >= time || delivered - first >= limit {
            shared.publish.store(false, Relaxed);
            if delivered == shared.sent.load(Relaxed) * shared.members {
                return Ok(());
            }
        }
        if delivered > progress.1 {
            progress = (Instant::now(), delivered);
        } else if progress.0.elapsed() > PATIENCE {
            return Err("nothing arrives any more".into());
        }
    }
}

struct Stream {
    talk: Talk,
    input: RecvStream,
    output: SendStream<Bytes>,
    out: Vec<u8>,
    last: Option<u32>,
    published: Instant,
    publishes: bool,
    shared: Arc<Shared>,
}

impl Stream {
    async fn open(
        input: RecvStream,
        output: SendStream<Bytes>,
        shared: Arc<Shared>,
        publishes: bool,
    ) -> Result<Self, Error> {
        let (talk, out, last, published) = (Talk::new(&shared.form), vec![], None, Instant::now());
        let mut stream = Self { talk, input, output, out, last, published, publishes, shared };
        stream.talk.without_head(&mut stream.out);
        stream.write()?;
        while !stream.talk.is_open() {
            stream.read().await?;
        }
        Ok(stream)
    }

    async fn go_on(mut self) {
        if let Err(error) = self.exchange().await {
            *self.shared.failure.lock().expect("no panic") = Some(error.to_string());
        }
    }

    async fn exchange(&mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        while !self.publishes {
            self.read().await?;
        }
        loop {
            let mut changed = std::pin::pin!(shared.changed.notified());
            changed.as_mut().enable();
            if shared.publish.load(Relaxed) {
                self.refill()?;
            }
            tokio::select! {
                read = self.read() => read?,
                () = changed => {}
            }
        }
    }

    fn refill(&mut self) -> Result<(), Error> {
        let complete = match self.shared.fan {
            true => self.shared.delivered.load(Relaxed) / self.shared.members,
            false => self.talk.received,
        };
        let in_flight = self.talk.sent - complete as u32;
        if in_flight < self.shared.window {
            let count = self.shared.window - in_flight;
            self.published = Instant::now();
            if self.shared.fan {
                self.shared.latencies.lock().expect("no panic").1 = self.published;
            }
            self.shared.sent.fetch_add(count.into(), Relaxed);
            self.talk.publish(0, count, &mut self.out);
            self.write()?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Error> {
        let Some(data) = self.input.data().await else { return Err("the server ended a stream".into()) };
        let data = data?;
        self.input.flow_control().release_capacity(data.len())?;
        let (mut wrong, mut count) = (None, 0);
        self.talk.input(&data, &mut self.out, &mut |heard| {
            if let Heard::Message { number, .. } = heard {
                if self.last.is_some_and(|last| last + 1 != number) {
                    wrong = Some(format!("{number} after {:?}", self.last));
                }
                self.last = Some(number);
                count += 1;
            }
        })?;
        if let Some(wrong) = wrong {
            return Err(wrong.into());
        }
        if count > 0 {
            let mut latencies = self.shared.latencies.lock().expect("no panic");
            let published = if self.shared.fan { latencies.1 } else { self.published };
            latencies.0.add(published.elapsed());
            drop(latencies);
            let delivered = self.shared.delivered.fetch_add(count, Relaxed) + count;
            if self.shared.fan && delivered.is_multiple_of(self.shared.members) {
                // Whoever publishes is to go on.
                self.shared.changed.notify_waiters();
            }
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), Error> {
        if !self.out.is_empty() {
            self.output.send_data(std::mem::take(&mut self.out).into(), false)?;
        }
        Ok(())
    }
}
