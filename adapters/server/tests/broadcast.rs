//! Who gets a broadcast, and in which order.

use std::sync::Arc;

use nosphere::{Audience, Client, Event, Everyone, Others, Payload, ServerConfig, SessionId, Transport};
use nosphere_core::Frame;

use crate::support::*;

/// `everyone <text>`, `others <text>`, `only <id> <text>`; the count comes back.
fn speaker() -> React {
    Arc::new(|client, event| {
        let Event::Text(line) = event else { return Ok(()) };
        let (word, rest) = line.split_once(' ').ok_or("no word")?;
        let count = match word {
            "everyone" => client.broadcast_to(Everyone, rest),
            "others" => client.broadcast_to(Others, rest),
            "default" => client.broadcast(rest),
            _ => {
                let (id, rest) = rest.split_once(' ').ok_or("no id")?;
                client.broadcast_to(Audience::only([id.parse()?]), rest)
            }
        };
        Ok(client.send(format!("to {count}"))?)
    })
}

async fn start() -> TestServer {
    let (sender, _) = Log::new();
    TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.endpoint("/speak/{room}", move |_| Probe::new(&sender, &speaker()))
    })
    .await
}

async fn room(server: &TestServer, path: &str) -> Vec<Native> {
    let mut clients = Vec::new();
    for transport in TRANSPORTS {
        for format in FORMATS {
            clients.push(Native::open(server.addr, path, transport, format).await);
        }
    }
    clients
}

#[tokio::test]
async fn a_broadcast_reaches_its_audience_and_nobody_else() {
    let server = start().await;
    let mut clients = room(&server, "/speak/1").await;
    let mut stranger = Native::open(server.addr, "/speak/2", Transport::WebSocket, FORMATS[0]).await;
    for word in ["others", "default"] {
        clients[0].send(text(&format!("{word} hello"))).await;
        assert_eq!(clients[0].message().await, text("to 5"));
        for client in &mut clients[1..] {
            assert_eq!(client.message().await, text("hello"));
        }
    }
    clients[0].send(text("everyone hello")).await;
    for client in &mut clients {
        assert_eq!(client.message().await, text("hello"));
    }
    assert_eq!(clients[0].message().await, text("to 6"));
    let (id, foreign) = (clients[3].session, stranger.session);
    clients[0].send(text(&format!("only {id} secret"))).await;
    assert_eq!(clients[0].message().await, text("to 1"));
    assert_eq!(clients[3].message().await, text("secret"));
    for nobody in [foreign, SessionId::from([1; 16])] {
        clients[0].send(text(&format!("only {nobody} secret"))).await;
        assert_eq!(clients[0].message().await, text("to 0"));
    }
    // The next thing that everybody gets is this.
    clients[1].send(text("everyone end")).await;
    for client in &mut clients {
        assert_eq!(client.message().await, text("end"));
    }
    stranger.send(text("everyone alone")).await;
    assert_eq!(stranger.message().await, text("alone"));
    assert_eq!(stranger.message().await, text("to 1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_members_see_the_same_order() {
    // DESIGN §5, rule 9
    const EACH: usize = 150;
    let (sender, _) = Log::new();
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.endpoint("/shout", move |_| {
            Probe::new(
                &sender,
                &(Arc::new(|client: &Client, event: &Event| {
                    if let Event::Text(text) = event {
                        client.broadcast_to(Everyone, text.clone());
                    }
                    Ok(())
                }) as _),
            )
        })
    })
    .await;
    let clients = room(&server, "/shout").await;
    let total = EACH * (clients.len() + 2);
    // Two threads from outside, and every member.
    let outside = (0..2).map(|thread| {
        let broadcaster = server.server.broadcaster();
        std::thread::spawn(move || {
            for n in 0..EACH {
                broadcaster.to("/shout").send(format!("outside {thread} {n}"));
            }
        })
    });
    let outside: Vec<_> = outside.collect();
    let tasks = clients.into_iter().enumerate().map(|(who, mut client)| {
        tokio::spawn(async move {
            let mut seen = Vec::new();
            for n in 0..EACH {
                client.send(text(&format!("{who} {n}"))).await;
                seen.push(client.message().await);
            }
            while seen.len() < total {
                seen.push(client.message().await);
            }
            seen
        })
    });
    let mut orders = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        orders.push(soon(task).await.unwrap());
    }
    outside.into_iter().for_each(|thread| thread.join().unwrap());
    for order in &orders[1..] {
        assert!(*order == orders[0]);
    }
    // And everybody's own order is kept in it.
    for who in ["0", "5", "outside 1"] {
        let own = orders[0].iter().filter_map(|payload| match payload {
            Payload::Text(text) => text.strip_prefix(who).filter(|rest| rest.starts_with(' ')).map(str::to_owned),
            _ => None,
        });
        let own: Vec<_> = own.collect();
        assert_eq!(own, (0..EACH).map(|n| format!(" {n}")).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_session_is_a_member_when_it_is_connected_until_it_is_disconnected() {
    let (sender, mut log) = Log::new();
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.endpoint("/hall", move |_| {
            Probe::new(
                &sender,
                &(Arc::new(|client: &Client, event: &Event| {
                    match event {
                        Event::Connected { .. } => {
                            let count = client.broadcast_to(Everyone, "joined");
                            client.send(format!("{count} here"))?;
                        }
                        Event::Disconnected { .. } => {
                            assert_eq!(client.broadcast_to(Everyone, "left"), 1);
                        }
                        _ => {}
                    }
                    Ok(())
                }) as _),
            )
        })
    })
    .await;
    let mut first = Native::open(server.addr, "/hall", Transport::WebSocket, FORMATS[0]).await;
    assert_eq!(first.message().await, text("joined"));
    assert_eq!(first.message().await, text("1 here"));
    for transport in TRANSPORTS {
        let mut second = Native::open(server.addr, "/hall", transport, FORMATS[0]).await;
        assert_eq!(server.server.sessions_on("/hall"), 2);
        assert_eq!(second.message().await, text("joined"));
        assert_eq!(second.message().await, text("2 here"));
        assert_eq!(first.message().await, text("joined"));
        let received = second.received;
        second.frame(Frame::Close(nosphere_core::Close { code: 1000, reason: "".into(), received })).await;
        assert_eq!(first.message().await, text("left"));
        log.end(second.session).await;
        assert_eq!(server.server.sessions_on("/hall"), 1);
    }
}

#[tokio::test]
async fn a_broadcaster_reaches_a_path_and_what_is_beneath_it_from_any_thread() {
    let server = TestServer::start(ServerConfig::default()).await;
    let mut lobby = Native::open(server.addr, "/room", Transport::WebSocket, FORMATS[0]).await;
    let mut one = Native::open(server.addr, "/rooms/1", Transport::ServerSentEvents, FORMATS[1]).await;
    let mut ten = Native::open(server.addr, "/rooms/10", Transport::LongPolling, FORMATS[0]).await;
    let news = server.server.broadcaster();
    let one_id = one.session;
    let counts = std::thread::spawn(move || {
        let counts = ["/rooms/1", "/rooms/1/", "/rooms", "/", "", "/room", "/roo", "/nowhere"]
            .map(|path| news.to(path).send(path));
        assert_eq!(news.to("/").send_to(Audience::only([one_id]), "only"), 1);
        assert_eq!(news.to("/rooms/10").send_to(Audience::only([one_id]), "only"), 0);
        assert_eq!(news.to("/").send_to(Others, "others"), 3);
        counts
    });
    let counts = tokio::task::spawn_blocking(|| counts.join().unwrap()).await.unwrap();
    assert_eq!(counts, [1, 1, 2, 3, 3, 1, 0, 0]);
    for (client, expected) in [
        (&mut lobby, &["/", "", "/room", "others"][..]),
        (&mut one, &["/rooms/1", "/rooms/1/", "/rooms", "/", "", "only", "others"]),
        (&mut ten, &["/rooms", "/", "", "others"]),
    ] {
        for word in expected {
            assert_eq!(client.message().await, text(word));
        }
    }
    for (path, count) in [("/", 3), ("/rooms", 2), ("/rooms/1", 1), ("/room/", 1), ("/rooms/2", 0)] {
        assert_eq!(server.server.sessions_on(path), count, "{path}");
    }
}

#[tokio::test]
async fn a_client_between_two_polls_or_suspended_gets_it_later() {
    let mut config = ServerConfig::default();
    config.session.poll_gap = std::time::Duration::from_millis(50);
    let mut server = TestServer::start(config).await;
    let news = server.server.broadcaster();
    for from in TRANSPORTS {
        for to in TRANSPORTS {
            let mut client = Native::open(server.addr, "/room", from, FORMATS[0]).await;
            news.to("/room").send("before");
            assert_eq!(client.message().await, text("before"));
            // Between two polls, if it polls.
            news.to("/room").send("between");
            client.cut();
            server.log.find(client.session, |event| *event == Event::Suspended).await;
            for n in 0..10 {
                assert_eq!(news.to("/room").send(n.to_string()), 1);
            }
            client.resume(to).await;
            assert_eq!(client.message().await, text("between"));
            for n in 0..10 {
                assert_eq!(client.message().await, text(&n.to_string()), "{from} {to}");
            }
            news.to("/room").send("after");
            assert_eq!(client.message().await, text("after"));
            let received = client.received;
            client.frame(Frame::Close(nosphere_core::Close { code: 1000, reason: "".into(), received })).await;
            server.log.end(client.session).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_while_others_speak() {
    let server = TestServer::start(ServerConfig::default()).await;
    let mut steady = Native::open(server.addr, "/room", Transport::WebSocket, FORMATS[0]).await;
    let news = server.server.broadcaster();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let speaking = std::thread::spawn(move || {
        let mut n = 0;
        while stopped.try_recv().is_err() && n < 2000 {
            news.to("/room").send(n.to_string());
            n += 1;
            // Not faster than the steady one may read without a look at its queue.
            std::thread::yield_now();
            if n % 50 == 0 {
                std::thread::park_timeout(std::time::Duration::from_millis(2));
            }
        }
        news.to("/room").send("end");
        n
    });
    let addr = server.addr;
    let passing = tokio::spawn(async move {
        for round in 0..60 {
            let mut ws = Ws::connect(addr, "/room", None).await;
            if round % 2 == 0 {
                // What it sees has no gap.
                let first: u64 = ws.next_text().await.parse().unwrap_or(u64::MAX);
                for n in 1..3 {
                    let text = ws.next_text().await;
                    assert!(first == u64::MAX || text == "end" || text == (first + n).to_string(), "{first} {text}");
                    if text == "end" {
                        return;
                    }
                }
            }
        }
    });
    let mut seen = 0;
    loop {
        let payload = steady.message().await;
        if payload == text("end") {
            break;
        }
        assert_eq!(payload, text(&seen.to_string()));
        seen += 1;
        if passing.is_finished() {
            // It may have ended by itself.
            let _ = stop.send(());
        }
    }
    assert_eq!(tokio::task::spawn_blocking(|| speaking.join().unwrap()).await.unwrap(), seen);
    passing.abort();
    let received = steady.received;
    steady.frame(Frame::Close(nosphere_core::Close { code: 1000, reason: "".into(), received })).await;
    until(|| server.server.sessions() == 0).await;
    assert_eq!(server.server.sessions_on("/"), 0);
}
