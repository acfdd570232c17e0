//! Senders that have much to send, and wait for those who read slowly.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream;
use nosphere::testing::TestClient;
use nosphere::{Client, Event, Message, Overflow, RequestHead, Server, ServerConfig, Window, handler_fn};
use tokio::time::Instant;

use crate::support::{EventReader, TestServer, Ws, request, soon, until, with_clients};

/// A queue of eight messages, and a window of two.
fn config() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.session.max_queued_messages = 8;
    config.session.overflow = Overflow::DropNewest;
    config.patience = Duration::from_secs(3);
    config
}

/// A client that does not keep up: it takes what its window holds, and no more before the test asks.
async fn slow(server: &Server) -> TestClient {
    let window = Window { messages: 2, bytes: 1 << 16 };
    TestClient::builder("/news/slow").window(window).backlog(0).connect(server).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_asked_for_no_more_than_the_slowest_reader_has_room_for() {
    let (server, _) = with_clients(config(), "/news/{of}");
    let mut reader = slow(&server).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let messages = stream::iter(0..200).map_counted(counted);
    let broadcaster = server.broadcaster();
    let pumping = tokio::spawn(async move { broadcaster.to("/news").pump(messages).await });
    for n in 0..200 {
        assert_eq!(reader.receive().await.unwrap(), n.to_string().as_str());
        let ahead = asked.load(Ordering::Relaxed) - n;
        assert!(ahead <= 9, "{ahead} ahead of {n}");
    }
    assert_eq!(pumping.await.unwrap(), 200);
    reader.expect_silence().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_never_reads_is_waited_for_once_and_no_longer_than_the_patience() {
    let (server, _) = with_clients(config(), "/news/{of}");
    let mut stuck = slow(&server).await;
    let window = Window { messages: 2, bytes: 1 << 16 };
    let mut good = TestClient::builder("/news/good").window(window).connect(&server).await.unwrap();
    let broadcaster = server.broadcaster();
    let news = broadcaster.to("/news");
    let from = Instant::now();
    for n in 0..4 {
        assert_eq!(news.send_when_ready(n.to_string()).await, 2);
    }
    assert_eq!(from.elapsed(), Duration::ZERO);
    for n in 4..10 {
        // The slow one's queue fills up, and then refuses; the other one gets everything.
        let queued = news.send_when_ready(n.to_string()).await;
        assert_eq!(queued, if n < 8 { 2 } else { 1 }, "{n}");
    }
    assert_eq!(from.elapsed().as_secs(), 3);
    for n in 0..10 {
        assert_eq!(good.receive().await.unwrap(), n.to_string().as_str());
    }
    // Once it has caught up it is waited for again.
    for n in 0..8 {
        assert_eq!(stuck.receive().await.unwrap(), n.to_string().as_str());
    }
    let from = Instant::now();
    for n in 10..15 {
        assert_eq!(news.send_when_ready(n.to_string()).await, 2);
    }
    assert_eq!(from.elapsed().as_secs(), 3);
}

/// Its window is larger than the queue, so it would acknowledge by itself with the next heartbeat and no sooner.
#[tokio::test(start_paused = true)]
async fn a_reader_that_has_taken_everything_is_not_waited_for_until_the_next_heartbeat() {
    let (server, clients) = with_clients(config(), "/news/{of}");
    let mut reader = TestClient::builder("/news/large").connect(&server).await.unwrap();
    let client = clients.lock().unwrap()[0].clone();
    let from = Instant::now();
    let broadcaster = server.broadcaster();
    let pumping = tokio::spawn(async move {
        broadcaster.to("/news").pump(stream::iter((0..100).map(|n| n.to_string()))).await;
        client.ready().await;
    });
    for n in 0..100 {
        assert_eq!(reader.receive().await.unwrap(), n.to_string().as_str());
    }
    pumping.await.unwrap();
    assert!(from.elapsed() < Duration::from_secs(1), "{:?}", from.elapsed());
}

/// A reader that takes nothing is asked now and then whether it has, and not as fast as it answers.
#[tokio::test(start_paused = true)]
async fn a_reader_that_takes_nothing_is_not_asked_without_pause() {
    let answers = Arc::new(AtomicUsize::new(0));
    let answered = Arc::clone(&answers);
    let handler = move |_: &RequestHead| {
        let answered = Arc::clone(&answered);
        handler_fn(move |client: Client, event| {
            match event {
                Event::Connected { .. } => {
                    (0..8).for_each(|n| drop(client.send(n.to_string())));
                    for _ in 0..100 {
                        let client = client.clone();
                        tokio::spawn(async move { client.ready().await });
                    }
                }
                Event::Heartbeat => drop(answered.fetch_add(1, Ordering::Relaxed)),
                _ => {}
            }
            async { Ok(()) }
        })
    };
    let server = Server::builder().config(config()).endpoint("/news/{of}", handler).build().unwrap();
    let _stuck = slow(&server).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let answers = answers.load(Ordering::Relaxed);
    assert!((5..=50).contains(&answers), "{answers} pongs in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_reader_and_one_that_is_gone_are_not_waited_for() {
    let (server, clients) = with_clients(config(), "/news/{of}");
    let (mut away, gone) = (slow(&server).await, slow(&server).await);
    let broadcaster = server.broadcaster();
    let news = broadcaster.to("/news");
    for n in 0..4 {
        news.send_when_ready(n.to_string()).await;
    }
    let client = clients.lock().unwrap()[0].clone();
    let waiting = {
        let client = client.clone();
        tokio::spawn(async move { client.ready().await })
    };
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let from = Instant::now();
    away.suspend();
    gone.vanish();
    waiting.await.unwrap();
    for n in 4..8 {
        news.send_when_ready(n.to_string()).await;
    }
    assert_eq!(from.elapsed(), Duration::ZERO);
    away.resume().await.unwrap();
    for n in 0..8 {
        assert_eq!(away.receive().await.unwrap(), n.to_string().as_str());
    }
    client.ready().await;
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_ever_waits_without_a_deadline() {
    let mut config = config();
    config.patience = Duration::MAX;
    let server = Server::builder().config(config).endpoint("/news/{of}", |_| handler_fn(|_, _| async { Ok(()) }));
    let server = server.build().unwrap();
    let mut reader = slow(&server).await;
    let broadcaster = server.broadcaster();
    let pumping =
        tokio::spawn(async move { broadcaster.to("/news").pump(stream::iter((0..20).map(|n| n.to_string()))).await });
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(!pumping.is_finished());
    for n in 0..20 {
        assert_eq!(reader.receive().await.unwrap(), n.to_string().as_str());
    }
    assert_eq!(pumping.await.unwrap(), 20);
}

/// What it has read is kept for the case that it comes back, and is in nobody's way.
#[tokio::test]
async fn an_event_stream_that_reads_everything_is_never_waited_for() {
    let mut server = TestServer::start(config()).await;
    let stream = crate::support::get("/quiet").header("accept", "text/event-stream");
    let stream = stream.body(Default::default()).unwrap();
    let mut events = EventReader::new(request(crate::support::Http::One, server.addr, stream).await);
    drop(server.log.next().await);
    events.next().await.unwrap();
    let broadcaster = server.server.broadcaster();
    for n in 0..100 {
        assert_eq!(soon(broadcaster.to("/quiet").send_when_ready(n.to_string())).await, 1);
        assert_eq!(events.next().await.unwrap().data, n.to_string());
    }
}

/// A socket that takes nothing more.
#[tokio::test]
async fn what_is_volatile_is_not_kept_for_a_socket_that_takes_nothing() {
    let server = TestServer::start(ServerConfig::default()).await;
    let broadcaster = server.server.broadcaster();
    let _silent = Ws::connect(server.addr, "/quiet", None).await;
    until(|| server.server.sessions_on("/quiet") == 1).await;
    let message = Message::text("·".repeat(1 << 14)).volatile().shared();
    let (mut queued, mut dropped) = (0, 0);
    while dropped < 1_000 {
        match broadcaster.to("/quiet").send(message.clone()) {
            0 => dropped += 1,
            _ => queued += 1,
        }
        tokio::task::yield_now().await;
    }
    // Some of them are in the buffers of the kernel. A queue of 4 MiB would have been full, and the session ended.
    assert!(queued < 20_000, "{queued}");
    assert_eq!(server.server.sessions(), 1);
}

/// Counts what is asked for.
trait MapCounted: futures::Stream<Item = i32> + Sized {
    fn map_counted(self, asked: Arc<AtomicUsize>) -> impl futures::Stream<Item = String> {
        futures::StreamExt::map(self, move |n| {
            asked.fetch_add(1, Ordering::Relaxed);
            n.to_string()
        })
    }
}

impl<S: futures::Stream<Item = i32>> MapCounted for S {}
