//! What is sent while nobody listens, and what is not lost.

use std::collections::BTreeSet;

use nosphere::{Event, ServerConfig};

use super::{OVER_HTTP, Page, TRANSPORTS, with_kept};
use crate::support::{Raw, TestServer, get, post, send, until};

/// SPEC ATM-18: with every kind of break between any two.
#[tokio::test]
async fn what_is_broadcast_while_a_client_is_away_arrives_once_and_in_order() {
    let (server, clients) = with_kept(ServerConfig::default()).await;
    let broadcaster = server.server.broadcaster();
    for transport in TRANSPORTS {
        for modern in [false, true] {
            let page = Page::new(server.addr, "/kept", transport).tracked();
            let mut page = if modern { page.modern() } else { page };
            page.begin().await;
            clients.of(page.session()).await;
            let mut sent = 0;
            for round in 0..4 {
                if page.link.is_none() {
                    page.attach().await;
                }
                page.cut();
                // The server has to know of it: what is written to a link before is lost.
                let client = clients.of(page.session()).await;
                until(|| client.sink() == nosphere::Sink::None).await;
                for _ in 0..=round {
                    broadcaster.to("/kept").send(format!("m|{sent}"));
                    sent += 1;
                }
                page.attach().await;
                if modern {
                    let words = page.next_unit().await.unwrap();
                    assert!(words.ends_with("|0|X|"), "SPEC ATM-8: {words}");
                }
                for n in sent - round - 1..sent {
                    assert_eq!(page.message().await, format!("m|{n}"), "{transport} {modern} {round}");
                }
            }
            page.leave().await;
        }
    }
}

/// SPEC ATM-18: the poll that a client gave up takes nothing along.
#[tokio::test]
async fn what_comes_between_two_polls_waits_for_the_next_one() {
    let (server, clients) = with_kept(ServerConfig::default()).await;
    let mut page = Page::open(server.addr, "/kept", "long-polling").await;
    let client = clients.of(page.session()).await;
    for n in 0..50 {
        if n % 3 == 0 {
            page.cut();
            until(|| client.sink() == nosphere::Sink::None).await;
        }
        client.send(n.to_string()).unwrap();
        assert_eq!(page.message().await, n.to_string());
    }
}

/// SPEC ATM-8, ATM-9, ATM-10: what a client that comes back hears first.
#[tokio::test]
async fn a_classic_client_that_comes_back_gets_a_space_and_a_modern_one_its_handshake() {
    let server = TestServer::start(ServerConfig::default()).await;
    for transport in ["websocket", "streaming", "sse"] {
        for modern in [false, true] {
            let page = Page::new(server.addr, "/echo", transport);
            let mut page = if modern { page.modern() } else { page };
            page.begin().await;
            page.cut();
            page.attach().await;
            if modern {
                assert_eq!(page.next_unit().await.unwrap(), format!("{}|0|X|", page.id), "{transport}");
            } else if transport != "sse" {
                let words = page.next_unit().await.unwrap();
                assert!(!words.is_empty() && words.trim().is_empty(), "{transport}: {words:?}");
            }
            page.push("a|b").await;
            assert_eq!(page.next_unit().await.unwrap(), "a|b", "{transport}");
        }
    }
}

/// SPEC ATM-8: of a run of polls, only those behind one that broke.
#[tokio::test]
async fn a_modern_poll_behind_one_that_broke_is_answered_by_the_handshake_alone() {
    let (server, clients) = with_kept(ServerConfig::default()).await;
    let mut page = Page::new(server.addr, "/kept", "long-polling").modern();
    page.begin().await;
    let client = clients.of(page.session()).await;
    client.send("a|1").unwrap();
    assert_eq!(page.next_unit().await.unwrap(), "a|1");
    page.attach().await;
    page.cut();
    until(|| client.sink() == nosphere::Sink::None).await;
    client.send("a|2").unwrap();
    page.attach().await;
    assert_eq!(page.next_unit().await.unwrap(), format!("{}|0|X|", page.id));
    page.attach().await;
    assert_eq!(page.next_unit().await.unwrap(), "a|2");
}

/// SPEC ATM-17: as after a restart, of which the client knows nothing.
#[tokio::test]
async fn an_id_that_no_session_has_opens_one() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    for (index, transport) in TRANSPORTS.into_iter().enumerate() {
        for modern in [false, true] {
            let page = Page::new(server.addr, "/echo", transport);
            let mut page = if modern { page.modern() } else { page };
            page.id = format!("24f98d6b-c271-4169-8f9c-{:012x}", index * 2 + usize::from(modern));
            page.attach().await;
            if modern {
                assert_eq!(page.next_unit().await.unwrap(), format!("{}|0|X|", page.id), "{transport}");
            }
            page.push("a").await;
            assert_eq!(page.message().await, "a", "{transport}");
            assert!(matches!(server.log.of(page.session()).await, Event::Connected { .. }));
            assert_eq!(server.log.of(page.session()).await, Event::Text("a".into()), "{transport}");
        }
    }
}

/// SPEC ATM-17: a message may come first, and at once with a poll.
#[tokio::test]
async fn a_message_opens_a_session_too_and_there_is_one_however_many_come_at_once() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut page = Page::new(server.addr, "/echo", "long-polling");
    page.id = "24f98d6b-c271-4169-8f9c-217343b62aa7".into();
    page.push("first").await;
    assert_eq!(page.message().await, "first");
    let mut page = Page::new(server.addr, "/quiet", "long-polling");
    page.id = "24f98d6b-c271-4169-8f9c-217343b62aa8".into();
    let url = format!("/quiet?X-Atmosphere-tracking-id={}&X-Atmosphere-Transport=polling", page.id);
    let pushes = (0..8).map(|n| send(server.addr, post(&url), if n % 2 == 0 { "a" } else { "b" }));
    for answer in futures::future::join_all(pushes).await {
        assert_eq!(answer.status, 200);
    }
    assert!(matches!(server.log.of(page.session()).await, Event::Connected { .. }));
    for _ in 0..8 {
        assert!(matches!(server.log.of(page.session()).await, Event::Text(_)));
    }
}

/// SPEC ATM-8: the message that a page sends as soon as its first poll has begun does not bring the handshake again.
#[tokio::test]
async fn a_message_that_overtakes_the_second_poll_does_not_make_it_a_broken_one() {
    let server = TestServer::start(ServerConfig::default()).await;
    let mut page = Page::new(server.addr, "/echo", "long-polling").modern();
    let answer = send(server.addr, get(&page.url()), "").await;
    page.id = answer.text().split('|').next().unwrap().into();
    page.push("a").await;
    assert_eq!(page.message().await, "a");
    assert!(page.link.is_none(), "one answer");
}

/// SPEC ATM-16: a client never sends again what was refused.
#[tokio::test]
async fn more_messages_at_once_than_there_are_places_for_are_all_taken() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    for transport in OVER_HTTP {
        let page = Page::open(server.addr, "/quiet", transport).await;
        let url = format!("/quiet?X-Atmosphere-tracking-id={}&X-Atmosphere-Transport=polling", page.id);
        let texts: Vec<_> = (0..40).map(|n| n.to_string()).collect();
        let pushes = texts.iter().map(|text| send(server.addr, post(&url), text));
        for answer in futures::future::join_all(pushes).await {
            assert_eq!((answer.status, answer.text()), (200, ""));
        }
        assert!(matches!(server.log.of(page.session()).await, Event::Connected { .. }));
        let mut seen = BTreeSet::new();
        for _ in &texts {
            let Event::Text(text) = server.log.of(page.session()).await else { panic!() };
            assert!(seen.insert(text.as_str().to_owned()));
        }
        assert_eq!(seen, texts.into_iter().collect());
    }
}

/// SPEC ATM-16: the handler has as much as it may; the message waits for it.
#[tokio::test]
async fn a_message_waits_until_the_handler_has_room() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let opens = std::sync::Arc::clone(&gate);
    let mut config = ServerConfig::default();
    config.session.window.messages = 2;
    let server = TestServer::with(config, crate::support::Serving::Auto, |builder| {
        builder.endpoint("/slow", move |_| {
            let gate = std::sync::Arc::clone(&gate);
            nosphere::handler_fn(move |client, event| {
                let gate = std::sync::Arc::clone(&gate);
                async move {
                    if let Event::Text(text) = event {
                        drop(gate.acquire().await);
                        client.send(text)?;
                    }
                    Ok(())
                }
            })
        })
    })
    .await;
    let mut page = Page::open(server.addr, "/slow", "sse").await;
    let url = format!("/slow?X-Atmosphere-tracking-id={}&X-Atmosphere-Transport=polling", page.id);
    let pushes: Vec<_> = (0..6).map(|_| tokio::spawn(send(server.addr, post(&url), "a"))).collect();
    until(|| pushes.iter().filter(|push| push.is_finished()).count() == 3).await;
    opens.add_permits(1);
    for _ in 0..6 {
        assert_eq!(page.message().await, "a");
    }
    for push in pushes {
        assert_eq!(push.await.unwrap().status, 200);
    }
}

/// SPEC §14: of what waits for the handler, no more bodies are read than a session may have.
#[tokio::test]
async fn a_body_that_waits_for_the_handler_keeps_its_place() {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let opens = std::sync::Arc::clone(&gate);
    let mut config = ServerConfig::default();
    config.session.window.messages = 1;
    config.max_bodies_per_session = 1;
    let server = TestServer::with(config, crate::support::Serving::Auto, |builder| {
        builder.endpoint("/slow", move |_| {
            let gate = std::sync::Arc::clone(&gate);
            nosphere::handler_fn(move |_, event| {
                let gate = std::sync::Arc::clone(&gate);
                async move {
                    if let Event::Text(_) = event {
                        drop(gate.acquire().await);
                    }
                    Ok(())
                }
            })
        })
    })
    .await;
    let mut page = Page::open(server.addr, "/slow", "sse").await;
    // One is with the handler, and one waits for it.
    page.push("a").await;
    page.push("b").await;
    let expects = async || {
        let mut raw = Raw::connect(server.addr).await;
        raw.write(format!(
            "POST /slow?X-Atmosphere-tracking-id={} HTTP/1.1\r\nHost: {}\r\nContent-Length: 1\r\n\
             Expect: 100-continue\r\n\r\n",
            page.id, server.addr
        ))
        .await;
        raw
    };
    let mut third = expects().await;
    third.read_until("100 Continue\r\n\r\n").await;
    third.write("c").await;
    let mut fourth = expects().await;
    let mut other = Page::open(server.addr, "/echo", "long-polling").await;
    tokio::select! {
        asked = fourth.read_until("100 Continue") => panic!("{asked}"),
        () = talk(&mut other) => {}
    }
    opens.add_permits(1);
    third.read_until("HTTP/1.1 200").await;
    fourth.read_until("100 Continue\r\n\r\n").await;
    fourth.write("d").await;
    fourth.read_until("HTTP/1.1 200").await;
}

/// A second link takes the place of the first.
#[tokio::test]
async fn the_newer_of_two_links_has_the_session() {
    let (server, clients) = with_kept(ServerConfig::default()).await;
    for transport in TRANSPORTS {
        let mut page = Page::open(server.addr, "/kept", transport).await;
        let client = clients.of(page.session()).await;
        let old = page.link.take();
        page.attach().await;
        let new = page.link.take();
        client.send("for the new one").unwrap();
        page.link = new;
        assert_eq!(page.message().await, "for the new one", "{transport}");
        page.link = old;
        while let Some(unit) = page.next_unit().await {
            assert!(unit.trim().is_empty(), "{transport}: {unit:?}");
            if page.link.is_none() {
                break;
            }
        }
    }
}

/// Of polls that come all at once, every one but the last is answered later, and by nothing; or they would chase each other.
#[tokio::test]
async fn polls_that_come_at_once_do_not_chase_each_other() {
    let (server, clients) = with_kept(ServerConfig::default()).await;
    let mut page = Page::open(server.addr, "/kept", "long-polling").await;
    let client = clients.of(page.session()).await;
    let mut polls = Vec::new();
    for _ in 0..5 {
        page.attach().await;
        polls.push(page.link.take().unwrap());
    }
    client.send("once").unwrap();
    page.link = polls.pop();
    assert_eq!(page.next_unit().await.unwrap().trim(), "once");
    for poll in polls {
        let mut other = Page::open(server.addr, "/echo", "long-polling").await;
        page.link = Some(poll);
        tokio::select! {
            unit = page.next_unit() => panic!("{unit:?}"),
            () = talk(&mut other) => {}
        }
    }
}

/// Takes a while, on whatever machine.
async fn talk(page: &mut Page) {
    for n in 0..50 {
        page.push(&n.to_string()).await;
        assert_eq!(page.message().await, n.to_string());
    }
}

/// A stream that was replaced at once stays open and silent, and ends with its successor: its end would bring two more.
#[tokio::test]
async fn streams_that_come_at_once_do_not_chase_each_other() {
    let (server, clients) = with_kept(ServerConfig::default()).await;
    let mut page = Page::open(server.addr, "/kept", "streaming").await;
    let client = clients.of(page.session()).await;
    page.cut();
    until(|| client.sink() == nosphere::Sink::None).await;
    client.send("once").unwrap();
    page.attach().await;
    let young = page.link.take();
    page.attach().await;
    assert_eq!(page.message().await, "once");
    let current = std::mem::replace(&mut page.link, young);
    assert_eq!(page.next_unit().await.map(|unit| unit.trim().len()), Some(0), "white space");
    let mut other = Page::open(server.addr, "/echo", "long-polling").await;
    tokio::select! {
        unit = page.next_unit() => panic!("{unit:?}"),
        () = talk(&mut other) => {}
    }
    drop(current);
    assert_eq!(page.next_unit().await, None);
}

/// SPEC ATM-18: a client that is gone before its answer is written.
#[tokio::test]
async fn an_answer_that_nobody_was_there_to_take_comes_again() {
    let (server, clients) = with_kept(ServerConfig::default()).await;
    let mut page = Page::open(server.addr, "/kept", "long-polling").await;
    let client = clients.of(page.session()).await;
    for n in 0..20 {
        page.cut();
        let mut raw = Raw::connect(server.addr).await;
        raw.write(format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", page.url(), server.addr)).await;
        raw.read_until("\r\n\r\n").await;
        drop(raw);
        until(|| client.sink() == nosphere::Sink::None).await;
        client.send(n.to_string()).unwrap();
        assert_eq!(page.message().await, n.to_string());
    }
}
