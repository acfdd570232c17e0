//! What one client or one handler may take from the others of its thread: a turn, and not all of them.
//!
//! By event loops, and, with `NOSPHERE_SCHEDULING=tasks`, by the runtime's tasks.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use nosphere::{Builder, Client, Error, Event, Scheduling, Server, ServerConfig, Transport, handler_fn};
use tokio::runtime;
use tokio::sync::{Notify, oneshot, watch};

use crate::support::*;

/// A server with a runtime of one thread to itself, which the test does not share.
fn on_its_own(more: impl FnOnce(Builder) -> Builder + Send + 'static) -> (SocketAddr, oneshot::Sender<()>) {
    let (sender, addr) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = TestServer::with(ServerConfig::default(), Serving::Auto, more).await;
            sender.send(server.addr).unwrap();
            stopped.await.unwrap_err();
        });
    });
    (addr.recv().unwrap(), stop)
}

fn upgrade(addr: SocketAddr, path: &str, more: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte)? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    Ok(stream)
}

fn echo(stream: &mut TcpStream, what: &[u8; 2]) -> std::io::Result<()> {
    stream.write_all(&[&[0x81, 0x82, 0, 0, 0, 0][..], what].concat())?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    assert_eq!(answer, [0x81, 2, what[0], what[1]]);
    Ok(())
}

/// Writes frames again and again.
struct Flood {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Flood {
    fn begin(mut stream: TcpStream, frame: &[u8]) -> Self {
        let bytes = frame.repeat((1 << 20) / frame.len());
        stream.set_write_timeout(Some(Duration::from_secs(1))).unwrap();
        let (stop, sent, ended) = <(Arc<AtomicBool>, Arc<AtomicU64>, Arc<AtomicBool>)>::default();
        let (stopped, counted, over) = (Arc::clone(&stop), Arc::clone(&sent), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) && stream.write_all(&bytes).is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            over.store(true, Ordering::Relaxed);
        });
        Self { stop, sent, ended, thread }
    }

    /// Waits until it has sent so many MiB more, or was ended.
    fn flows(&self, more: u64) {
        let before = self.sent.load(Ordering::Relaxed);
        while self.sent.load(Ordering::Relaxed) < before + more && !self.ended.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// While one connection is flooded, a session is answered, and another connection is accepted.
fn others_have_their_turn(path: &str, more: &str, frame: &[u8], begin: &[u8]) {
    let (addr, server) = on_its_own(|builder| {
        builder.endpoint("/hangs", |_| {
            handler_fn(|_, event| async move {
                if let Event::Text(_) = event {
                    std::future::pending::<()>().await;
                }
                Ok::<(), Error>(())
            })
        })
    });
    let mut before = upgrade(addr, "/echo", "").unwrap();
    echo(&mut before, b"01").unwrap();
    let mut stream = upgrade(addr, path, more).unwrap();
    stream.write_all(begin).unwrap();
    let flood = Flood::begin(stream, frame);
    flood.flows(32);
    let answered = (0..10).try_for_each(|_| echo(&mut before, b"02"));
    let accepted = answered.is_ok().then(|| upgrade(addr, "/echo", "").map(drop));
    flood.end();
    drop(server);
    answered.expect("a session is answered while another one is flooded");
    accepted.unwrap().expect("a connection is accepted while a session is flooded");
}

/// With 125 bytes of payload: a read is handled sooner than the next is there.
const PONG: [u8; 131] = {
    let mut frame = [0; 131];
    (frame[0], frame[1]) = (0x8a, 0x80 | 125);
    frame
};
const TEXT: [u8; 8] = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];

#[test]
fn pongs_of_one_session_do_not_stop_its_thread() {
    others_have_their_turn("/quiet", "", &PONG, &[]);
}

#[test]
fn pongs_while_a_handler_waits_do_not_stop_its_thread() {
    others_have_their_turn("/hangs", "", &PONG, &TEXT);
}

#[test]
fn pongs_before_the_first_word_do_not_stop_its_thread() {
    others_have_their_turn("/quiet", "Sec-WebSocket-Protocol: nosphere.v1.json\r\n", &PONG, &[]);
}

#[test]
fn what_comes_after_a_close_does_not_stop_its_thread() {
    others_have_their_turn("/quiet", "", &PONG, &[0x88, 0x80, 0, 0, 0, 0]);
}

#[test]
fn many_messages_of_one_session_do_not_stop_its_thread() {
    others_have_their_turn("/quiet", "", &TEXT, &[]);
}

#[tokio::test]
async fn of_three_handlers_that_are_always_ready_each_goes_on() {
    let counts: Arc<[AtomicU64; 3]> = Arc::default();
    let next = Arc::new(AtomicU64::new(0));
    let given = Arc::clone(&counts);
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, move |builder| {
        builder.endpoint("/busy", move |_| {
            let (counts, own) = (Arc::clone(&given), next.fetch_add(1, Ordering::Relaxed) as usize);
            handler_fn(move |_, event| {
                let counts = Arc::clone(&counts);
                async move {
                    while let Event::Text(_) = &event {
                        counts[own].fetch_add(1, Ordering::Relaxed);
                        tokio::task::consume_budget().await;
                    }
                    Ok::<(), Error>(())
                }
            })
        })
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Ws::connect(server.addr, "/busy", None).await;
        client.text("begin").await;
        clients.push(client);
    }
    until(|| counts.iter().all(|count| count.load(Ordering::Relaxed) > 50_000)).await;
}

#[tokio::test]
async fn many_that_are_woken_at_once_are_not_polled_in_vain() {
    const CLIENTS: u64 = 1000;
    let polls = Arc::new(AtomicU64::new(0));
    let (sender, receiver) = watch::channel(());
    let given = Arc::clone(&polls);
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, move |builder| {
        builder.endpoint("/watch", move |_| {
            let (polls, receiver) = (Arc::clone(&given), receiver.clone());
            handler_fn(move |client: Client, event| {
                let (polls, mut receiver) = (Arc::clone(&polls), receiver.clone());
                async move {
                    if let Event::Text(_) = event {
                        receiver.mark_unchanged();
                        client.send("waits")?;
                        let mut waits = std::pin::pin!(receiver.changed());
                        std::future::poll_fn(|cx| {
                            polls.fetch_add(1, Ordering::Relaxed);
                            waits.as_mut().poll(cx)
                        })
                        .await?;
                        client.send("told")?;
                    }
                    Ok::<(), Error>(())
                }
            })
        })
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = Ws::connect(server.addr, "/watch", None).await;
        client.text("a").await;
        assert_eq!(client.next_text().await, "waits");
        clients.push(client);
    }
    let before = polls.load(Ordering::Relaxed);
    sender.send(()).unwrap();
    for client in &mut clients {
        assert_eq!(client.next_text().await, "told");
    }
    let polled = polls.load(Ordering::Relaxed) - before;
    assert!(polled <= 2 * CLIENTS, "{polled} polls of {CLIENTS}");
}

#[test]
fn threads_that_come_and_go_leave_no_loops_behind() {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_keep_alive(Duration::from_millis(1))
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
            builder.scheduling(Scheduling::EventLoops)
        })
        .await;
        for _ in 0..100 {
            let mut client = Ws::connect(server.addr, "/echo", None).await;
            client.text("a").await;
            assert_eq!(client.next_text().await, "a");
            drop(client);
            // A worker blocks, so that another thread takes its place.
            let blocked = tokio::spawn(async { tokio::task::block_in_place(std::thread::yield_now) });
            blocked.await.unwrap();
        }
        // Who accepts, the deadlines of two workers, and the loops of those threads that are workers, or were a moment ago.
        let tasks = || runtime::Handle::current().metrics().num_alive_tasks();
        until(|| server.server.sessions() == 0 && tasks() <= 8).await;
    });
}

/// A runtime of several threads that has but one lets others go on while that one blocks.
#[test]
fn block_in_place_lets_the_others_go_on_where_nothing_was_chosen() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let notify = Arc::new(Notify::new());
        let given = Arc::clone(&notify);
        let server = TestServer::with(ServerConfig::default(), Serving::Auto, move |builder| {
            builder.endpoint("/blocks", move |_| {
                let notify = Arc::clone(&given);
                handler_fn(move |client: Client, event| {
                    let notify = Arc::clone(&notify);
                    async move {
                        match event {
                            Event::Text(text) if text.as_str() == "wait" => {
                                client.send("waits")?;
                                let handle = runtime::Handle::current();
                                tokio::task::block_in_place(|| handle.block_on(soon(notify.notified())));
                                client.send("was told")?;
                            }
                            Event::Text(_) => notify.notify_one(),
                            _ => {}
                        }
                        Ok::<(), Error>(())
                    }
                })
            })
        })
        .await;
        let mut one = Ws::connect(server.addr, "/blocks", None).await;
        let mut other = Ws::connect(server.addr, "/blocks", None).await;
        until(|| server.server.sessions() == 2).await;
        one.text("wait").await;
        other.text("tell").await;
        assert_eq!(one.next_text().await, "waits");
        assert_eq!(one.next_text().await, "was told");
    });
}

/// One runtime a thread is a way to deploy it. A client whose session is on one comes back by another, which ends.
#[test]
fn a_session_learns_that_the_runtime_of_its_socket_has_ended() {
    let (log, mut seen) = Log::new();
    let react = Probe::quiet();
    let mut config = ServerConfig::default();
    config.session.heartbeat = Duration::from_secs(3600);
    let server = Server::builder().config(config).endpoint("/x", move |_| Probe::new(&log, &react)).build().unwrap();
    let serving = |server: Server| async move {
        let listener = listen().await;
        let addr = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, server, Serving::Auto));
        addr
    };
    let (send_addr, addr) = mpsc::channel();
    let (end, ended) = oneshot::channel::<()>();
    let second = server.clone();
    let other = std::thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            send_addr.send(serving(second).await).unwrap();
            ended.await.unwrap();
        });
    });
    let other_addr = addr.recv().unwrap();
    let one = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    one.block_on(async {
        let addr = serving(server.clone()).await;
        let mut client = Native::open(addr, "/x", Transport::WebSocket, FORMATS[0]).await;
        let (session, _) = seen.next().await;
        client.addr = other_addr;
        client.resume(Transport::WebSocket).await;
        client.send(text("here")).await;
        seen.find(session, |event| matches!(event, Event::Text(_))).await;
        end.send(()).unwrap();
        other.join().unwrap();
        seen.find(session, |event| matches!(event, Event::Suspended)).await;
    });
}
