//! Sessions that share a task: those that no other should notice, on one thread and on several.
//!
//! All other tests of one thread run so, too: that is the default there. With `NOSPHERE_SCHEDULING=tasks` they do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nosphere::{Client, Error, Event, Handler, Reason, Scheduling, ServerConfig, Side, Transport, handler_fn};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

use crate::support::*;

async fn start(config: ServerConfig) -> TestServer {
    TestServer::with(config, Serving::Auto, |builder| builder.scheduling(Scheduling::EventLoops)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn between_loops_of_several_threads_no_message_is_lost_doubled_or_overtaken() {
    const CLIENTS: usize = 12;
    const MESSAGES: usize = 300;
    let server = start(ServerConfig::default()).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Ws::connect(server.addr, "/room", None).await);
    }
    until(|| server.server.sessions_on("/room") == CLIENTS).await;
    let all = clients.into_iter().enumerate().map(|(own, mut client)| {
        tokio::spawn(async move {
            let mut next = [0; CLIENTS];
            for sent in 0..MESSAGES {
                client.text(&format!("{own} {sent}")).await;
                // Whoever only sends fills the queues of the others.
                let due = (sent + 1) * (CLIENTS - 1) / 2;
                while next.iter().sum::<usize>() < due {
                    note(&mut next, &client.next_text().await);
                }
            }
            while next.iter().sum::<usize>() < MESSAGES * (CLIENTS - 1) {
                note(&mut next, &client.next_text().await);
            }
            assert_eq!(next[own], 0);
        })
    });
    for client in all.collect::<Vec<_>>() {
        soon(client).await.unwrap();
    }

    fn note(next: &mut [usize; CLIENTS], text: &str) {
        let (from, number) = text.split_once(' ').unwrap();
        let next = &mut next[from.parse::<usize>().unwrap()];
        assert_eq!(number.parse::<usize>().unwrap(), *next, "{text}");
        *next += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_session_goes_on_over_sockets_that_other_loops_watch() {
    let server = start(ServerConfig::default()).await;
    for format in FORMATS {
        let mut client = Native::open(server.addr, "/echo", Transport::WebSocket, format).await;
        for round in 0..40 {
            for number in 0..5 {
                client.send(text(&format!("{round} {number}"))).await;
            }
            for number in 0..5 {
                assert_eq!(client.message().await, text(&format!("{round} {number}")));
            }
            // Over HTTP in between: then its task is the runtime's business, and its socket was a loop's.
            let transport = TRANSPORTS[round % TRANSPORTS.len()];
            client.resume(transport).await;
        }
        client.close().await;
    }
}

#[tokio::test]
async fn a_handler_that_is_always_ready_leaves_the_others_of_its_loop_their_turn() {
    struct Busy(Arc<AtomicBool>);
    impl Handler for Busy {
        async fn receive(&mut self, _: &Client, event: Event) -> Result<(), Error> {
            while let (Event::Text(_), false) = (&event, self.0.load(Ordering::Relaxed)) {
                tokio::task::consume_budget().await;
            }
            Ok(())
        }
    }
    let done = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&done);
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.scheduling(Scheduling::EventLoops).endpoint("/busy", move |_| Busy(Arc::clone(&stop)))
    })
    .await;
    let mut busy = Ws::connect(server.addr, "/busy", None).await;
    busy.text("begin").await;
    let mut other = Ws::connect(server.addr, "/echo", None).await;
    for number in 0..20 {
        other.text(&number.to_string()).await;
        assert_eq!(other.next_text().await, number.to_string());
    }
    done.store(true, Ordering::Relaxed);
    until(|| Arc::strong_count(&done) > 1).await;
}

#[tokio::test]
async fn what_a_handler_waits_for_wakes_it_wherever_it_comes_from() {
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.scheduling(Scheduling::EventLoops).endpoint("/wait", move |_| {
            let receiver = Arc::clone(&receiver);
            handler_fn(move |client: Client, event| {
                let receiver = Arc::clone(&receiver);
                async move {
                    if let Event::Text(_) = event {
                        let mut receiver = receiver.lock().await;
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        let said: String = receiver.recv().await.expect("the test is there");
                        client.send(said)?;
                    }
                    Ok(())
                }
            })
        })
    })
    .await;
    let mut client = Ws::connect(server.addr, "/wait", None).await;
    for number in 0..20 {
        client.text("say").await;
        let sender = sender.clone();
        // No runtime is there.
        std::thread::spawn(move || sender.send(number.to_string())).join().unwrap().unwrap();
        assert_eq!(client.next_text().await, number.to_string());
    }
}

#[tokio::test]
async fn a_thread_without_a_runtime_writes_to_a_session_and_ends_it() {
    let clients = Clients::default();
    let react = clients.react();
    let (log, mut seen) = Log::new();
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.scheduling(Scheduling::EventLoops).endpoint("/known", move |_| Probe::new(&log, &react))
    })
    .await;
    let mut socket = Ws::connect(server.addr, "/known", None).await;
    let (session, _) = seen.next().await;
    let client = clients.of(session).await;
    std::thread::spawn(move || {
        client.send("from afar").unwrap();
        client.close(Reason::GoingAway);
    })
    .join()
    .unwrap();
    assert_eq!(socket.next_text().await, "from afar");
    socket.closed().await;
    assert!(matches!(seen.end(session).await.last(), Some(Event::Disconnected { by: Side::Server, .. })));
}

#[tokio::test]
async fn an_end_that_comes_with_the_last_messages_swallows_none() {
    for rest in [1, 200] {
        let mut server = start(ServerConfig::default()).await;
        let mut raw = Raw::upgrade(server.addr, "/quiet", "").await;
        let (session, _) = server.log.next().await;
        let masked: Vec<u8> = (0..rest).flat_map(|_| [&[0x81, 0x82, 0, 0, 0, 0][..], b"hi"].concat()).collect();
        raw.write(masked).await;
        raw.stream.shutdown().await.unwrap();
        let events = server.log.end(session).await;
        assert_eq!(events.iter().filter(|event| matches!(event, Event::Text(_))).count(), rest);
    }
}

#[test]
fn when_a_runtime_ends_so_do_its_sessions_and_the_next_one_of_the_thread_has_a_loop_of_its_own() {
    struct Owner(#[expect(dead_code, reason = "its end is what is looked at")] Arc<()>);
    impl Handler for Owner {
        async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
            if let Event::Text(text) = event {
                client.send(text)?;
            }
            Ok(())
        }
    }
    let owned = Arc::new(());
    for _ in 0..3 {
        let given = Arc::clone(&owned);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
                builder.endpoint("/owned", move |_| Owner(Arc::clone(&given)))
            })
            .await;
            let mut client = Ws::connect(server.addr, "/owned", None).await;
            client.text("hello").await;
            assert_eq!(client.next_text().await, "hello");
            assert_eq!(server.server.sessions(), 1);
            client
        });
        assert!(Arc::strong_count(&owned) > 1, "the session is there as long as its runtime");
        drop(runtime);
        drop(client);
        assert_eq!(Arc::strong_count(&owned), 1, "the handler outlives its runtime");
    }
}

#[tokio::test]
async fn two_servers_of_one_thread_share_a_loop_and_nothing_else() {
    let (one, other) = (start(ServerConfig::default()).await, start(ServerConfig::default()).await);
    let (mut a, mut b) = (Ws::connect(one.addr, "/room", None).await, Ws::connect(other.addr, "/room", None).await);
    let mut c = Ws::connect(other.addr, "/room", None).await;
    until(|| one.server.sessions() == 1 && other.server.sessions() == 2).await;
    a.text("a").await;
    b.text("b").await;
    assert_eq!(c.next_text().await, "b");
    drop(one);
    b.text("more").await;
    assert_eq!(c.next_text().await, "more");
}
