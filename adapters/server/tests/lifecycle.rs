//! Sessions from `Connected` to `Disconnected`: who ended them and why, handlers that wait, fail and panic, caps, tombstones
//! and shutdown.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use nosphere::{
    Builder, Client, Error, Event, Handler, Reason, RequestHead, ServerConfig, SessionId, Side, Transport, Undelivered,
    handler_fn,
};
use nosphere_core::{Close, Frame};
use tokio::sync::{Semaphore, mpsc};

use crate::support::*;

fn ended(by: Side, reason: Reason) -> Option<Event> {
    Some(Event::Disconnected { by, reason })
}

fn close(code: u16, received: u64) -> Frame {
    Frame::Close(Close { code, reason: "bye".into(), received })
}

#[tokio::test]
async fn each_session_has_a_handler_of_its_own() {
    struct Counter(u32, String);
    impl Handler for Counter {
        async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
            if let Event::Text(_) = event {
                self.0 += 1;
                client.send(format!("{} {} {}", self.1, self.0, client.path()))?;
            }
            Ok(())
        }
    }
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.endpoint("/count/{room}/{name}", |head: &RequestHead| {
            let name = head.parameter("name").unwrap();
            assert_eq!(head.parameter("nobody"), None);
            Counter(0, format!("{name}@{}", head.parameter("room").unwrap()))
        })
    })
    .await;
    let mut a = Native::open(server.addr, "/count/1/a/", Transport::WebSocket, FORMATS[0]).await;
    let mut b = Native::open(server.addr, "/count/2/b", Transport::LongPolling, FORMATS[1]).await;
    for n in 1..4 {
        a.send(text("x")).await;
        b.send(text("x")).await;
        assert_eq!(a.message().await, text(&format!("a@1 {n} /count/1/a")));
        assert_eq!(b.message().await, text(&format!("b@2 {n} /count/2/b")));
    }
    // The handler stays when the session moves.
    a.resume(Transport::ServerSentEvents).await;
    a.send(text("x")).await;
    assert_eq!(a.message().await, text("a@1 4 /count/1/a"));
}

#[tokio::test]
async fn a_client_closes_by_a_frame() {
    // SPEC CLS-2, SES-1
    let mut server = TestServer::start(ServerConfig::default()).await;
    for transport in TRANSPORTS {
        for (code, reason) in [(1000, Reason::Closed), (3001, Reason::Application(3001))] {
            let mut client = Native::open(server.addr, "/quiet", transport, FORMATS[0]).await;
            client.send(text("last")).await;
            client.frame(close(code, 0)).await;
            let answer = client.close_frame().await;
            assert_eq!((answer.code, answer.received), (code, 1), "{transport}");
            if transport == Transport::WebSocket {
                assert_eq!(client.ws().closed().await.0, code, "SPEC WS-5");
            }
            let events = server.log.end(client.session).await;
            let expected = [Event::Connected { transport }, Event::Text("last".into())];
            assert_eq!(events[..2], expected);
            assert_eq!(events.get(2).cloned(), ended(Side::Client, reason));
        }
    }
    until(|| server.server.sessions() == 0).await;
}

#[tokio::test]
async fn the_end_of_a_websocket_suspends_and_the_window_ends() {
    // SPEC §5, SES-2
    let mut server = TestServer::start(quick()).await;
    for orderly in [true, false] {
        let mut client = Native::open(server.addr, "/quiet", Transport::WebSocket, FORMATS[0]).await;
        if orderly {
            client.ws().send(WsMessage::Close(None)).await;
            assert!(matches!(client.ws().next().await, Some(WsMessage::Close(_))));
        }
        client.cut();
        let events = server.log.end(client.session).await;
        assert_eq!(events.get(1), Some(&Event::Suspended));
        assert_eq!(events.get(2).cloned(), ended(Side::Network, Reason::Expired));
    }
    // Plain sessions end with their WebSocket.
    for (orderly, expected) in
        [(true, ended(Side::Client, Reason::Closed)), (false, ended(Side::Network, Reason::Lost))]
    {
        let mut raw = Raw::upgrade(server.addr, "/quiet", "").await;
        let (session, _) = server.log.next().await;
        if orderly {
            raw.frame(8, &1000u16.to_be_bytes()).await;
            raw.read_until("\u{3}").await;
        }
        drop(raw);
        assert_eq!(server.log.end(session).await.pop(), expected);
    }
    until(|| server.server.sessions() == 0).await;
}

#[tokio::test]
async fn a_server_closes_after_what_it_sent() {
    // SPEC CLS-1, WS-5
    let (sender, mut log) = Log::new();
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.endpoint("/end", move |_| {
            Probe::new(
                &sender,
                &(Arc::new(|client: &Client, event: &Event| {
                    if let Event::Text(_) = event {
                        for n in 0..50 {
                            client.send(n.to_string())?;
                        }
                        client.close(Reason::Application(3007));
                        assert!(client.send("late").is_err());
                        // Once is enough.
                        client.close(Reason::Closed);
                    }
                    Ok(())
                }) as _),
            )
        })
    })
    .await;
    for transport in TRANSPORTS {
        let mut client = Native::open(server.addr, "/end", transport, FORMATS[0]).await;
        client.send(text("go")).await;
        for n in 0..50 {
            assert_eq!(client.message().await, text(&n.to_string()), "{transport}");
        }
        assert_eq!(client.close_frame().await.code, 3007);
        client.frame(close(3007, 50)).await;
        if transport == Transport::WebSocket {
            assert_eq!(client.ws().closed().await.0, 3007);
        }
        let events = log.end(client.session).await;
        assert_eq!(events.last().cloned(), ended(Side::Server, Reason::Application(3007)));
    }
    let mut ws = Ws::connect(server.addr, "/end", None).await;
    ws.text("go").await;
    for n in 0..50 {
        assert_eq!(ws.next_text().await, n.to_string());
    }
    assert_eq!(ws.closed().await.0, 3007);
    until(|| server.server.sessions() == 0).await;
}

#[tokio::test]
async fn a_closed_session_does_not_wait_for_ever_for_the_answer() {
    let (sender, mut log) = Log::new();
    let server = TestServer::with(quick(), Serving::Auto, |builder| {
        builder.endpoint("/end", move |_| {
            Probe::new(
                &sender,
                &(Arc::new(|client: &Client, event: &Event| {
                    if let Event::Connected { .. } = event {
                        client.close(Reason::Closed);
                    }
                    Ok(())
                }) as _),
            )
        })
    })
    .await;
    for transport in TRANSPORTS {
        let client = Native::silent(Http::One, server.addr, "/end", transport, FORMATS[0]).await;
        assert_eq!(log.end(client.session).await.pop(), ended(Side::Server, Reason::Closed));
    }
    until(|| server.server.sessions() == 0).await;
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_suspended_and_one_that_answers_stays() {
    // SPEC HB-1, HB-3
    let mut config = quick();
    config.session.heartbeat = Duration::from_millis(60);
    config.session.timeout = Duration::from_millis(400);
    let mut server = TestServer::start(config).await;
    for transport in [Transport::WebSocket, Transport::ServerSentEvents] {
        let mut mute = Native::open(server.addr, "/quiet", transport, FORMATS[0]).await;
        let mut alive = Native::open(server.addr, "/quiet", transport, FORMATS[0]).await;
        // Answers while the other one's end comes.
        let answering = tokio::spawn(async move {
            let mut pings = 0;
            while pings < 12 {
                pings += u32::from(matches!(alive.next().await, Some(Frame::Ping { .. })));
            }
            alive
        });
        let events = server.log.end(mute.session).await;
        assert_eq!(events.get(1), Some(&Event::Suspended), "{transport}");
        assert_eq!(events.get(2).cloned(), ended(Side::Network, Reason::Expired));
        if transport == Transport::WebSocket {
            assert_eq!(mute.ws().closed().await, (4408, "timeout".into()));
        }
        let alive = soon(answering).await.unwrap();
        assert_eq!(server.server.sessions(), 1);
        drop(alive);
        until(|| server.server.sessions() == 0).await;
    }
    // Plain: a WebSocket ping, which a browser answers by itself.
    let mut ws = Ws::connect(server.addr, "/quiet", None).await;
    for _ in 0..5 {
        assert!(matches!(ws.next().await, Some(WsMessage::Ping(_))));
    }
    let mut raw = Raw::upgrade(server.addr, "/quiet", "").await;
    raw.read_until("timeout").await;
}

#[tokio::test]
async fn a_handler_that_fails_or_panics_ends_its_own_session_only() {
    struct Late;
    impl Handler for Late {
        // It fails before it gives its future.
        fn receive(&mut self, _: &Client, event: Event) -> impl Future<Output = Result<(), Error>> + Send {
            assert!(!matches!(event, Event::Text(_)), "a panic that the test wants");
            async { Ok(()) }
        }
    }
    let (sender, mut log) = Log::new();
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        let fragile = sender.clone();
        builder
            .endpoint("/fragile", move |_| {
                Probe::new(
                    &fragile,
                    &(Arc::new(|client: &Client, event: &Event| match event {
                        Event::Text(text) if text == "fail" => {
                            client.send("last words")?;
                            Err("a failure that the test wants".into())
                        }
                        Event::Text(text) if text == "panic" => panic!("a panic that the test wants"),
                        Event::Text(text) => Ok(client.send(text.clone())?),
                        _ => Ok(()),
                    }) as _),
                )
            })
            .endpoint("/late", |_| Late)
            .endpoint("/factory", |_| -> Late { panic!("a panic that the test wants") })
    })
    .await;
    let mut good = Native::open(server.addr, "/fragile", Transport::WebSocket, FORMATS[0]).await;
    for transport in TRANSPORTS {
        for (path, word) in [("/fragile", "fail"), ("/fragile", "panic"), ("/late", "panic")] {
            let mut client = Native::open(server.addr, path, transport, FORMATS[0]).await;
            client.send(text(word)).await;
            if word == "fail" {
                assert_eq!(client.message().await, text("last words"));
            }
            let end = client.close_frame().await;
            assert_eq!((end.code, end.reason.as_str()), (1011, "internal"), "{path} {word} {transport}");
            client.frame(close(1011, client.received)).await;
            if transport == Transport::WebSocket {
                assert_eq!(client.ws().closed().await.0, 1011);
            }
            if word == "fail" {
                // It is told of the end; one that panicked is not called again.
                assert_eq!(log.end(client.session).await.pop(), ended(Side::Server, Reason::Internal));
            }
            good.send(text("good")).await;
            assert_eq!(good.message().await, text("good"));
        }
    }
    let mut ws = Ws::connect(server.addr, "/fragile", None).await;
    ws.text("panic").await;
    assert_eq!(ws.closed().await.0, 1011);
    until(|| server.server.sessions() == 1).await;
    assert_eq!(server.server.sessions_on("/"), 1);

    // A factory that panics refuses.
    assert_eq!(Ws::ask(server.addr, "/factory", None, &[]).await.err().unwrap().status(), 500);
    let stream = get("/factory").header("accept", "text/event-stream");
    assert_eq!(send(server.addr, stream, "").await.refusal(), (500, "internal"));
}

/// Says that it waits, and waits until there is a permit.
struct Waiter {
    log: mpsc::UnboundedSender<(SessionId, Event)>,
    gate: Arc<Semaphore>,
}

impl Handler for Waiter {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        self.log.send((client.id(), event.clone()))?;
        if let Event::Text(text) = event
            && client.send(format!("waiting with {text}")).is_ok()
        {
            self.gate.acquire().await?.forget();
        }
        Ok(())
    }
}

async fn waiting(config: ServerConfig) -> (TestServer, Log, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let (log, seen) = Log::new();
    let open = Arc::clone(&gate);
    let server = TestServer::with(config, Serving::Auto, |builder| {
        builder.endpoint("/wait", move |_| Waiter { log: log.clone(), gate: Arc::clone(&open) })
    });
    (server.await, seen, gate)
}

#[tokio::test]
async fn while_a_handler_waits_pings_are_answered_and_the_window_closes() {
    // SPEC DLV-2, DLV-3
    let mut config = ServerConfig::default();
    config.session.window.messages = 4;
    let (server, mut log, gate) = waiting(config).await;
    let mut client = Native::open(server.addr, "/wait", Transport::WebSocket, FORMATS[0]).await;
    client.send(text("0")).await;
    // What it sends goes out while it waits.
    assert_eq!(client.message().await, text("waiting with 0"));
    for n in 1..4 {
        client.send(text(&n.to_string())).await;
    }
    for _ in 0..3 {
        client.ws().send(WsMessage::Ping("x".into())).await;
        assert_eq!(client.ws().next().await, Some(WsMessage::Pong("x".into())));
        // One was taken; three wait.
        client.ws().text("{\"ping\":1}").await;
        assert_eq!(client.ws().next_text().await, "{\"pong\":1}");
    }
    gate.add_permits(2);
    assert_eq!(client.message().await, text("waiting with 1"));
    assert_eq!(client.message().await, text("waiting with 2"));
    // The fifth message would exceed the window's four, had the client not been told.
    client.ws().text("{\"ping\":3}").await;
    assert_eq!(client.next().await, Some(Frame::Pong { received: 3 }));
    for n in 4..7 {
        client.send(text(&n.to_string())).await;
    }
    // A client that exceeds it loses its link and no message.
    client.ws().text("{\"text\":\"too much\"}").await;
    assert_eq!(client.ws().closed().await, (4413, "window".into()));
    client.resume(Transport::WebSocket).await;
    gate.add_permits(10);
    for n in 3..7 {
        assert_eq!(client.message().await, text(&format!("waiting with {n}")));
    }
    let texts = |event: &Event| matches!(event, Event::Text(_));
    for n in 0..7 {
        assert_eq!(log.find(client.session, texts).await, Event::Text(n.to_string().into()));
    }
}

#[tokio::test]
async fn while_a_handler_waits_posts_fill_the_window_and_are_then_refused() {
    let mut config = ServerConfig::default();
    config.session.window.messages = 4;
    let (server, _log, gate) = waiting(config).await;
    for transport in [Transport::ServerSentEvents, Transport::LongPolling] {
        let mut client = Native::open(server.addr, "/wait", transport, FORMATS[0]).await;
        client.send(text("0")).await;
        assert_eq!(client.message().await, text("waiting with 0"));
        for n in 1..4 {
            client.send(text(&n.to_string())).await;
        }
        let beyond = (4..8).map(|n| Frame::Message(text(&n.to_string()))).collect();
        let answer = client.post_frames(4, beyond).await;
        assert_eq!((answer.refusal(), answer.received()), ((400, "window"), Some(1)));
        gate.add_permits(4);
        for n in 1..4 {
            assert_eq!(client.message().await, text(&format!("waiting with {n}")));
        }
    }
}

#[tokio::test]
async fn while_a_handler_waits_a_close_is_seen() {
    let (server, mut log, gate) = waiting(ServerConfig::default()).await;
    // By a frame: it is answered at once, and the handler told when it is done.
    let mut client = Native::open(server.addr, "/wait", Transport::WebSocket, FORMATS[0]).await;
    client.send(text("a")).await;
    client.message().await;
    client.frame(close(1000, 1)).await;
    assert_eq!(client.close_frame().await.code, 1000);
    assert_eq!(client.ws().closed().await.0, 1000);
    gate.add_permits(1);
    assert_eq!(log.end(client.session).await.pop(), ended(Side::Client, Reason::Closed));
    // By a WebSocket close.
    let mut client = Native::open(server.addr, "/wait", Transport::WebSocket, FORMATS[0]).await;
    client.send(text("b")).await;
    client.message().await;
    client.ws().send(WsMessage::Close(None)).await;
    assert!(matches!(client.ws().next().await, Some(WsMessage::Close(_))));
    // And the session is resumed, closed and over, all while the handler waits.
    client.resume(Transport::WebSocket).await;
    client.frame(close(1000, 1)).await;
    assert_eq!(client.close_frame().await.code, 1000);
    gate.add_permits(1);
    let events = log.end(client.session).await;
    let after: Vec<_> = events.iter().skip_while(|event| **event != Event::Text("b".into())).skip(1).cloned().collect();
    let resumed = Event::Resumed { transport: Transport::WebSocket };
    assert_eq!(after, [Event::Suspended, resumed, ended(Side::Client, Reason::Closed).unwrap()]);
    // A plain WebSocket is not read while as much waits as the window allows, and read on after that.
    let mut ws = Ws::connect(server.addr, "/wait", None).await;
    for n in 0..600 {
        ws.text(&n.to_string()).await;
    }
    gate.add_permits(600);
    for n in 0..600 {
        assert_eq!(ws.next_text().await, format!("waiting with {n}"));
    }
}

#[tokio::test]
async fn a_full_server_refuses_new_sessions_and_keeps_those_it_has() {
    // SPEC LIM-1
    let mut config = ServerConfig::default();
    config.max_sessions = 2;
    let server = TestServer::start(config).await;
    let mut one = Native::open(server.addr, "/echo", Transport::WebSocket, FORMATS[0]).await;
    let mut two = Native::open(server.addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
    assert_eq!(Ws::ask(server.addr, "/echo", None, &[]).await.err().unwrap().status(), 503);
    let mut ws = one.socket().await;
    ws.text(r#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#).await;
    assert_eq!(ws.closed().await, (4503, "unavailable".into()));
    let native = || get("/echo").header("nosphere-protocol", "nosphere.v1.json").header("nosphere-attachment", 1);
    for builder in
        [native(), native().header("accept", "text/event-stream"), get("/echo").header("accept", "text/event-stream")]
    {
        assert_eq!(send(server.addr, builder, "").await.refusal(), (503, "unavailable"));
    }
    // Both may still come back, over anything.
    for transport in TRANSPORTS.into_iter().chain(TRANSPORTS) {
        one.resume(transport).await;
        one.send(text("still")).await;
        assert_eq!(one.message().await, text("still"), "{transport}");
    }
    two.frame(close(1000, 0)).await;
    until(|| server.server.sessions() == 1).await;
    let mut new = Ws::connect(server.addr, "/echo", None).await;
    new.text("room").await;
    assert_eq!(new.next_text().await, "room");
}

#[tokio::test]
async fn sockets_that_do_not_open_are_few_and_short_lived() {
    let mut config = ServerConfig::default();
    config.max_unopened = 2;
    config.session.open_timeout = Duration::from_secs(1);
    let server = TestServer::start(config).await;
    let native = Some("nosphere.v1.json");
    let mut one = Ws::connect(server.addr, "/echo", native).await;
    let mut two = Ws::connect(server.addr, "/echo", native).await;
    let refused = Ws::ask(server.addr, "/echo", native, &[]).await.err().unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["nosphere-error"]),
        (503, &"unavailable".parse().unwrap())
    );
    // One that opens makes room.
    one.text(r#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#).await;
    assert!(one.next_text().await.starts_with("{\"opened\""));
    let three = Ws::connect(server.addr, "/echo", native).await;
    assert_eq!(two.closed().await.0, 4408);
    drop((two, three));
    soon(async {
        while Ws::ask(server.addr, "/echo", native, &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_tombstone_repeats_the_close_and_brings_nothing_back() {
    // SPEC CLS-4
    let mut server = TestServer::start(ServerConfig::default()).await;
    for transport in TRANSPORTS {
        let mut client = Native::open(server.addr, "/echo", transport, FORMATS[0]).await;
        client.frame(close(3003, 0)).await;
        assert_eq!(client.close_frame().await.code, 3003);
        server.log.end(client.session).await;
        assert_eq!(client.post_frames(0, vec![close(3003, 0)]).await.refusal(), (204, ""));
        let answer = client.post_frames(0, vec![Frame::Message(text("late"))]).await;
        assert_eq!((answer.refusal(), answer.received()), ((410, "closed"), Some(0)));
        for again in TRANSPORTS.into_iter().chain(TRANSPORTS) {
            client.attachment += 1;
            match again {
                Transport::WebSocket => {
                    let mut ws = client.socket().await;
                    ws.send(client.unit(client.offer())).await;
                    assert_eq!(ws.next_text().await, r#"{"close":{"code":3003,"reason":"application","received":0}}"#);
                    assert_eq!(ws.closed().await.0, 3003);
                }
                Transport::ServerSentEvents => {
                    let asked = client.get_request(again, 0);
                    let mut events = EventReader::new(request(Http::One, server.addr, asked).await);
                    assert!(events.next().await.unwrap().data.starts_with("{\"close\""));
                    assert_eq!(events.next().await, None);
                }
                _ => {
                    let answer = client.poll().await;
                    assert_eq!(client.frames(&answer).len(), 1);
                    assert!(answer.text().starts_with("{\"close\""), "{answer:?}");
                }
            }
        }
        assert_eq!(server.server.sessions(), 0);
        assert_eq!(server.log.rest(), []);
    }
}

#[tokio::test]
async fn tombstones_are_few_and_forgotten_in_time() {
    let end = async |server: &mut TestServer| {
        let mut client = Native::open(server.addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
        client.frame(close(1000, 0)).await;
        server.log.end(client.session).await;
        client
    };
    let repeated = async |client: &Native| client.post_frames(0, vec![close(1000, 0)]).await.refusal() == (204, "");
    let mut config = ServerConfig::default();
    config.max_tombstones = 2;
    let mut server = TestServer::start(config).await;
    let (first, second, third) = (end(&mut server).await, end(&mut server).await, end(&mut server).await);
    assert_eq!(first.post_frames(0, vec![close(1000, 0)]).await.refusal(), (410, "unknown-session"));
    assert!(repeated(&second).await && repeated(&third).await);

    let mut server = TestServer::start(quick()).await;
    let client = end(&mut server).await;
    soon(async {
        while repeated(&client).await {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(client.poll().await.refusal(), (410, "unknown-session"));
}

#[tokio::test]
async fn what_was_not_delivered_is_handed_back_once_and_not_kept() {
    // SPEC CLS-3
    struct Keeper(Arc<Mutex<Option<Undelivered>>>, Arc<Vec<u8>>);
    impl Handler for Keeper {
        async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
            match event {
                Event::Connected { .. } => {
                    for _ in 0..300 {
                        client.send(Bytes::from_owner(Owned(Arc::clone(&self.1))))?;
                    }
                }
                Event::Disconnected { .. } if client.path() == "/taken" => {
                    *self.0.lock().unwrap() = Some(client.take_undelivered());
                    assert_eq!(client.take_undelivered(), Undelivered::default());
                }
                _ => {}
            }
            Ok(())
        }
    }
    struct Owned(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    let config = ServerConfig::default();
    let (taken, content) = (Arc::default(), Arc::new(vec![7; 100]));
    let server = TestServer::with(config, Serving::Auto, |builder| {
        let (a, b, content) = (Arc::clone(&taken), Arc::clone(&taken), Arc::clone(&content));
        let other = Arc::clone(&content);
        builder
            .endpoint("/taken", move |_| Keeper(Arc::clone(&a), Arc::clone(&content)))
            .endpoint("/left", move |_| Keeper(Arc::clone(&b), Arc::clone(&other)))
    })
    .await;
    let mut client = Native::open(server.addr, "/taken", Transport::WebSocket, FORMATS[1]).await;
    client.frame(close(1000, 10)).await;
    until(|| taken.lock().unwrap().is_some()).await;
    let undelivered = taken.lock().unwrap().take().unwrap();
    // The window of 256 was sent, ten arrived.
    assert_eq!((undelivered.unknown.len(), undelivered.unsent.len()), (246, 44));
    drop(undelivered);
    let mut client = Native::open(server.addr, "/left", Transport::WebSocket, FORMATS[1]).await;
    client.frame(close(1000, 10)).await;
    // Remembered as tombstones, both hold no message any more: the two endpoints and this test are left.
    until(|| server.server.sessions() == 0 && Arc::strong_count(&content) == 3).await;
}

#[tokio::test]
async fn shutdown_ends_all_sessions_after_what_was_sent_and_refuses_new_ones() {
    let mut config = ServerConfig::default();
    config.session.close_timeout = Duration::from_millis(500);
    let mut server = TestServer::start(config).await;
    let mut clients = Vec::new();
    for transport in TRANSPORTS {
        clients.push(Native::open(server.addr, "/rooms/1", transport, FORMATS[0]).await);
    }
    let mut suspended = Native::open(server.addr, "/rooms/1", Transport::WebSocket, FORMATS[0]).await;
    suspended.cut();
    server.log.find(suspended.session, |event| *event == Event::Suspended).await;
    let mut plain = Ws::connect(server.addr, "/rooms/1", None).await;
    let mut greeting = clients[0].socket().await;
    until(|| server.server.sessions() == 5).await;
    assert_eq!(server.server.broadcaster().to("/").send("last"), 5);
    let ending = tokio::spawn({
        let server = server.server.clone();
        async move { server.shutdown().await }
    });
    for client in &mut clients {
        assert_eq!(client.message().await, text("last"));
        let end = client.close_frame().await;
        assert_eq!((end.code, end.reason.as_str()), (1001, "going-away"));
        client.frame(close(1001, 1)).await;
    }
    assert_eq!(plain.next_text().await, "last");
    assert_eq!(plain.closed().await.0, 1001);
    greeting.text(r#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#).await;
    assert_eq!(greeting.closed().await, (1001, "going-away".into()));
    soon(ending).await.unwrap();
    assert_eq!(server.server.sessions(), 0);
    for session in clients.iter().map(|client| client.session).chain([suspended.session]) {
        assert_eq!(server.log.end(session).await.pop(), ended(Side::Server, Reason::GoingAway));
    }
    assert_eq!(Ws::ask(server.addr, "/echo", None, &[]).await.err().unwrap().status(), 503);
    let poll = get("/echo").header("nosphere-protocol", "nosphere.v1.json").header("nosphere-attachment", 1);
    assert_eq!(send(server.addr, poll, "").await.refusal(), (503, "going-away"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_misses_no_session_that_opens_meanwhile() {
    for _ in 0..20 {
        let server = TestServer::start(ServerConfig::default()).await;
        let addr = server.addr;
        let opening: Vec<_> = (0..8).map(|_| tokio::spawn(Ws::ask(addr, "/echo", None, &[]))).collect();
        until(|| server.server.sessions() > 0).await;
        soon(server.server.shutdown()).await;
        for ws in opening {
            if let Ok(mut ws) = soon(ws).await.unwrap() {
                assert_eq!(ws.closed().await.0, 1001);
            }
        }
        until(|| server.server.sessions() == 0).await;
    }
}

#[tokio::test]
async fn nothing_is_left_of_handlers_and_sessions_that_ended() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    impl Handler for Counted {
        async fn receive(&mut self, _: &Client, _: Event) -> Result<(), Error> {
            Ok(())
        }
    }
    let alive = Arc::new(AtomicUsize::new(0));
    let server = TestServer::with(quick(), Serving::Auto, |builder| {
        let alive = Arc::clone(&alive);
        builder.endpoint("/counted", move |_| {
            alive.fetch_add(1, Ordering::Relaxed);
            Counted(Arc::clone(&alive))
        })
    })
    .await;
    for transport in TRANSPORTS {
        let mut client = Native::open(server.addr, "/counted", transport, FORMATS[0]).await;
        // The handler that admits a resumption is not kept.
        client.resume(TRANSPORTS[0]).await;
        until(|| alive.load(Ordering::Relaxed) == 1).await;
        client.cut();
        until(|| alive.load(Ordering::Relaxed) == 0).await;
    }
    // A factory's handler whose socket never opens.
    drop(Ws::connect(server.addr, "/counted", Some("nosphere.v1.json")).await);
    until(|| alive.load(Ordering::Relaxed) == 0).await;
    assert_eq!(server.server.sessions(), 0);
}

#[tokio::test]
async fn a_websocket_close_behind_the_end_of_its_session_in_one_segment_is_heard() {
    let mut config = ServerConfig::default();
    // Whoever waits for another close waits for longer than the test.
    config.session.close_timeout = 10 * PATIENCE;
    let closes = |builder: Builder| {
        builder.endpoint("/closes", |_| {
            handler_fn(|client: Client, event| {
                if let Event::Text(_) = event {
                    client.close(Reason::Closed);
                }
                async { Ok(()) }
            })
        })
    };
    let server = TestServer::with(config, Serving::Auto, closes).await;
    let close = raw_frame(8, &1000_u16.to_be_bytes());

    let mut native = Raw::upgrade(server.addr, "/quiet", "Sec-WebSocket-Protocol: nosphere.v1.json\r\n").await;
    native.frame(1, br#"{"open":{"attachment":1,"window":{"messages":64,"bytes":1048576}}}"#).await;
    native.read_until("opened").await;
    let end = raw_frame(1, br#"{"close":{"code":1000,"reason":"","received":0}}"#);
    native.write([raw_frame(1, br#"{"text":"last"}"#), end, close.clone()].concat()).await;
    native.read_to_end().await;

    let mut plain = Raw::upgrade(server.addr, "/closes", "").await;
    plain.write([raw_frame(1, b"first"), raw_frame(1, b"more"), close].concat()).await;
    plain.read_to_end().await;
}
