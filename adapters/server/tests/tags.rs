//! Tags: who joins and leaves them, and who is reached by them.

use std::sync::Arc;

use nosphere::{Audience, Client, Event, InvalidTag, JoinError, Me, Others, Payload, ServerConfig, Tag, Transport};

use crate::support::*;

/// Endpoints `/club/{id}` and `/clubs` whose clients the test has.
async fn start(config: ServerConfig) -> (TestServer, Clients) {
    let clients = Clients::default();
    let (sender, log) = Log::new();
    let mut server = TestServer::with(config, Serving::Auto, |builder| {
        ["/clubs", "/clubs/{id}"].into_iter().fold(builder, |builder, path| {
            let (sender, react) = (sender.clone(), clients.react());
            builder.endpoint(path, move |_| Probe::new(&sender, &react))
        })
    })
    .await;
    server.log = log;
    (server, clients)
}

async fn open(server: &TestServer, clients: &Clients, path: &str, transport: Transport) -> (Native, Client) {
    let native = Native::open(server.addr, path, transport, FORMATS[0]).await;
    let client = clients.of(native.session).await;
    (native, client)
}

#[tokio::test]
async fn joining_twice_leaving_twice_and_unknown_tags_are_answered_and_harmless() {
    let mut config = ServerConfig::default();
    config.max_tags_per_session = 3;
    let (server, clients) = start(config).await;
    let (mut native, client) = open(&server, &clients, "/clubs", Transport::WebSocket).await;
    assert_eq!(client.tags(), []);
    assert!(!client.leave("chess"));
    assert_eq!(client.join("chess"), Ok(true));
    assert_eq!(client.join(tag("chess")), Ok(false));
    assert_eq!(client.join(String::from("go")), Ok(true));
    let poker = tag("poker");
    assert_eq!(client.join(&poker), Ok(true));
    assert_eq!(client.join(&poker), Ok(false));
    assert_eq!(client.join("bridge"), Err(JoinError::TooMany { limit: 3 }));
    assert_eq!(client.join("chess"), Ok(false), "it is in, however many there may be");
    assert!(matches!(client.join(""), Err(JoinError::Invalid(InvalidTag { length: 0, .. }))));
    assert!(matches!(client.join("x".repeat(257)), Err(JoinError::Invalid(_))));
    assert_eq!(sorted(&client.tags()), ["chess", "go", "poker"]);
    assert!(client.leave(tag("go")));
    assert!(!client.leave("go"));
    assert_eq!(client.join("bridge"), Ok(true));
    let news = server.server.broadcaster();
    for (name, count) in [("chess", 1), ("go", 0), ("nobody knows", 0)] {
        assert_eq!(news.all().send_to(tag(name), name), count);
        assert_eq!(client.broadcast_to(tag(name), name), count);
        assert_eq!(client.members(tag(name)).ids(), vec![client.id(); count]);
        for _ in 0..2 * count {
            assert_eq!(native.message().await, text(name));
        }
    }
}

#[tokio::test]
async fn a_tag_reaches_those_who_have_joined_it_on_that_path_or_on_all_beneath_one() {
    let (server, clients) = start(ServerConfig::default()).await;
    let mut members = Vec::new();
    for (path, tags) in [
        ("/clubs", &["chess"][..]),
        ("/clubs/1", &["chess", "go"]),
        ("/clubs/1", &["go"]),
        ("/clubs/2", &["chess"]),
        ("/clubs/2", &[]),
    ] {
        for transport in TRANSPORTS {
            let (native, client) = open(&server, &clients, path, transport).await;
            for tag in tags {
                assert_eq!(client.join(*tag), Ok(true));
            }
            members.push((native, client));
        }
    }
    let news = server.server.broadcaster();
    let (chess, go) = (tag("chess"), tag("go"));
    // As many as there are transports, each.
    assert_eq!(news.all().send_to(&chess, "chess everywhere"), 9);
    assert_eq!(news.to("/clubs").send_to(&go, "go beneath clubs"), 6);
    assert_eq!(news.at("/clubs").send_to(&go, "never"), 0);
    assert_eq!(news.at("/clubs").send_to(&chess, "chess at clubs"), 3);
    assert_eq!(news.at("/clubs/1").send_to(Audience::any_of([&chess, &go]), "either in 1"), 6);
    assert_eq!(members[3].1.broadcast_to(!chess.clone() & &go, "go alone"), 3);
    assert_eq!(members[0].1.broadcast_to(chess & Others, "others"), 2);
    assert_eq!(news.all().send("end"), 15);
    let expected: [&[&str]; 5] = [
        &["chess everywhere", "chess at clubs", "others"],
        &["chess everywhere", "go beneath clubs", "either in 1"],
        &["go beneath clubs", "either in 1", "go alone"],
        &["chess everywhere"],
        &[],
    ];
    for (at, (native, _)) in members.iter_mut().enumerate() {
        for expected in expected[at / 3].iter().filter(|line| at != 0 || **line != "others").chain(&["end"]) {
            assert_eq!(native.message().await, text(expected), "{at}");
        }
    }
}

#[tokio::test]
async fn thousands_of_tags_on_a_session_are_joined_and_left_with_its_end() {
    const COUNT: usize = 5000;
    let mut config = ServerConfig::default();
    config.max_tags_per_session = COUNT;
    let (mut server, clients) = start(config).await;
    let (mut many, client) = open(&server, &clients, "/clubs", Transport::WebSocket).await;
    let (_watching, watcher) = open(&server, &clients, "/clubs", Transport::WebSocket).await;
    for n in 0..COUNT {
        assert_eq!(client.join(n.to_string()), Ok(true));
    }
    assert!(matches!(client.join("more"), Err(JoinError::TooMany { limit: COUNT })));
    watcher.join("7").unwrap();
    assert_eq!(watcher.watch("4999").unwrap().ids(), [client.id()]);
    assert_eq!(client.tags().len(), COUNT);
    assert_eq!(watcher.broadcast_to(tag("4999"), "last"), 1);
    assert_eq!(many.message().await, text("last"));
    let session = many.session;
    many.close().await;
    server.log.end(session).await;
    let left = server.log.find(watcher.id(), |event| matches!(event, Event::Left { .. })).await;
    assert_eq!(left, Event::Left { session, tag: tag("4999") });
    assert_eq!(watcher.members(tag("7")).ids(), [watcher.id()]);
    assert_eq!(watcher.members(Audience::any_of((0..COUNT).map(|n| tag(&n.to_string())))).ids(), [watcher.id()]);
}

#[tokio::test]
async fn a_suspended_session_stays_in_its_tags_and_one_that_has_ended_does_not() {
    let (mut server, clients) = start(quick()).await;
    for from in TRANSPORTS {
        let (mut native, client) = open(&server, &clients, "/clubs/9", from).await;
        let session = native.session;
        client.join("chess").unwrap();
        native.cut();
        server.log.find(session, |event| *event == Event::Suspended).await;
        let news = server.server.broadcaster();
        for place in [news.all(), news.to("/clubs"), news.at("/clubs/9")] {
            assert_eq!(place.send_to(tag("chess"), from.name()), 1, "{from}");
            assert_eq!((place.sessions(), place.members(tag("chess")).ids()), (1, vec![session]));
            assert_eq!(place.paths(), ["/clubs/9"]);
        }
        native.resume(Transport::WebSocket).await;
        for _ in 0..3 {
            assert_eq!(native.message().await, text(from.name()));
        }
        native.cut();
        server.log.end(session).await;
        assert_eq!(news.all().send_to(tag("chess"), "nobody"), 0);
        assert_eq!(news.all().paths(), <[String; 0]>::default());
        assert_eq!(client.join("chess"), Err(JoinError::Ended));
        assert!(matches!(client.watch("chess"), Err(JoinError::Ended)));
        assert!(!client.leave("chess"));
    }
}

#[tokio::test]
async fn a_session_that_has_ended_joins_nothing_though_it_never_did_before() {
    let (mut server, clients) = start(ServerConfig::default()).await;
    let (native, client) = open(&server, &clients, "/clubs", Transport::WebSocket).await;
    let session = native.session;
    native.close().await;
    server.log.end(session).await;
    assert_eq!(client.join("chess"), Err(JoinError::Ended));
    assert!(matches!(client.watch("chess"), Err(JoinError::Ended)));
    assert!(client.tags().is_empty() && client.members(tag("chess")).is_empty());
}

#[tokio::test]
async fn a_handler_that_sees_the_end_still_learns_which_tags_it_was_in() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (sender, _log) = Log::new();
    let react: React = Arc::new(move |client, event| {
        match event {
            Event::Connected { .. } => {
                client.join("chess")?;
                client.join("go")?;
                client.leave("go");
            }
            Event::Disconnected { .. } => {
                for tag in client.tags() {
                    // It is out already.
                    tell.send((client.clone(), tag.clone(), client.broadcast_to(tag, "has left")))?;
                }
            }
            _ => {}
        }
        Ok(())
    });
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.endpoint("/clubs", move |_| Probe::new(&sender, &react))
    })
    .await;
    let mut stays = Native::open(server.addr, "/clubs", Transport::WebSocket, FORMATS[0]).await;
    let leaves = Native::open(server.addr, "/clubs", Transport::WebSocket, FORMATS[0]).await;
    until(|| server.server.broadcaster().all().members(tag("chess")).len() == 2).await;
    leaves.close().await;
    let (client, left, count) = soon(told.recv()).await.unwrap();
    assert_eq!((left, count), (tag("chess"), 1));
    assert_eq!(stays.message().await, text("has left"));
    until(|| client.tags().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_joined_is_reached_at_once_and_all_members_see_one_order() {
    const EACH: usize = 400;
    let (server, clients) = start(ServerConfig::default()).await;
    let mut members = Vec::new();
    for transport in TRANSPORTS {
        let (native, client) = open(&server, &clients, "/clubs/1", transport).await;
        client.join("chess").unwrap();
        members.push((native, client));
    }
    let (_native, flapping) = open(&server, &clients, "/clubs/1", Transport::WebSocket).await;
    let shouting = (0..2).map(|who| {
        let broadcaster = server.server.broadcaster();
        std::thread::spawn(move || {
            for n in 0..EACH {
                let line = format!("{who} {n}");
                let count = if who == 0 {
                    broadcaster.to("/clubs").send_to(tag("chess"), line)
                } else {
                    broadcaster.at("/clubs/1").send_to(!tag("go") & tag("chess"), line)
                };
                assert!((3..=4).contains(&count), "{count}");
            }
        })
    });
    let shouting: Vec<_> = shouting.collect();
    let joining = std::thread::spawn(move || {
        for _ in 0..EACH {
            assert_eq!(flapping.join("chess"), Ok(true));
            let members = flapping.members(tag("chess")).ids();
            assert!(members.contains(&flapping.id()));
            assert!(flapping.broadcast_to(tag("chess") & Me, "mine") <= 1);
            assert!(flapping.leave("chess"));
            assert_eq!(flapping.broadcast_to(tag("chess") & Me, "not mine"), 0);
        }
    });
    let mut orders: Vec<Vec<Payload>> = Vec::new();
    let tasks = members.into_iter().map(|(mut native, _)| {
        tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < 2 * EACH {
                seen.push(native.message().await);
            }
            seen
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        orders.push(soon(task).await.unwrap());
    }
    let threads = shouting.into_iter().chain([joining]);
    tokio::task::spawn_blocking(|| threads.for_each(|thread| thread.join().unwrap())).await.unwrap();
    assert!(orders.iter().all(|order| *order == orders[0]));
}

fn tag(name: &str) -> Tag {
    Tag::new(name).unwrap()
}

fn sorted(tags: &[Tag]) -> Vec<String> {
    let mut names: Vec<_> = tags.iter().map(Tag::to_string).collect();
    names.sort_unstable();
    names
}
