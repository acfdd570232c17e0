//! How sessions end: once, whatever the order in which it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nosphere::{Event, Reason, ServerConfig, Side, Transport};
use tokio::sync::Semaphore;

use super::{OVER_HTTP, Page, TRANSPORTS, with_kept};
use crate::support::{FORMATS, Native, Raw, Serving, TestServer, Ws, WsMessage, get, post, quick, send, soon, until};

const LEFT: Event = Event::Disconnected { by: Side::Client, reason: Reason::Closed };

/// SPEC ATM-20.
#[tokio::test]
async fn a_client_that_leaves_is_seen_to_leave_once_in_whatever_order_it_says_so() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    for transport in TRANSPORTS {
        for order in ["request", "link, request", "request, link", "request, request", "beacon", "link, beacon"] {
            let mut page = Page::open(server.addr, "/quiet", transport).await;
            for step in order.split(", ") {
                match step {
                    "link" => {
                        if let Some(super::client::Link::Socket(socket)) = &mut page.link {
                            socket.send(WsMessage::Close(None)).await;
                        }
                        page.cut();
                    }
                    "beacon" => {
                        let answer = send(server.addr, post(&page.close_url()), "").await;
                        assert_eq!((answer.status, answer.text()), (200, ""));
                    }
                    _ => page.leave().await,
                }
            }
            let events = server.log.end(page.session()).await;
            assert_eq!(events.last(), Some(&LEFT), "{transport}: {order}");
            assert_eq!(events.iter().filter(|event| matches!(event, Event::Connected { .. })).count(), 1);
            page.leave().await;
        }
    }
    until(|| server.server.sessions() == 0).await;
    assert!(server.log.rest().is_empty(), "and nothing after that");
}

/// SPEC ATM-20, ATM-21.
#[tokio::test]
async fn nothing_that_comes_late_brings_a_session_back() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    for transport in TRANSPORTS {
        let mut page = Page::open(server.addr, "/quiet", transport).await;
        page.leave().await;
        assert_eq!(server.log.end(page.session()).await.last(), Some(&LEFT));
        for stray in ["long-polling", "streaming", "sse"] {
            page.transport = stray;
            let answer = send(server.addr, get(&page.url()), "").await;
            assert_eq!((answer.status, answer.text()), (200, ""), "{transport}, then {stray}");
        }
        let push = format!("/quiet?X-Atmosphere-tracking-id={}&X-Atmosphere-Transport=polling", page.id);
        assert_eq!(send(server.addr, post(&push), "late").await.status, 410);
        page.transport = "websocket";
        let Err(refused) = Ws::ask(server.addr, &page.url(), None, &[]).await else { panic!("it is back") };
        assert_eq!(refused.status(), 410);
    }
    assert_eq!(server.server.sessions(), 0);
    assert!(server.log.rest().is_empty());
}

/// A close that overtakes the first poll, and one for which there was never anything.
#[tokio::test]
async fn who_leaves_before_the_session_begins_does_not_begin_it() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut page = Page::new(server.addr, "/quiet", "long-polling");
    let answer = send(server.addr, get(&page.url()), "").await;
    page.id = answer.text().split('|').next().unwrap().into();
    page.leave().await;
    let answer = send(server.addr, get(&page.url()), "").await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    for id in ["", "0", "no-uuid"] {
        page.id = id.into();
        page.leave().await;
    }
    assert_eq!(server.server.sessions(), 0);
    assert!(server.log.rest().is_empty());
}

/// SPEC ATM-13: nobody is told of it.
#[tokio::test]
async fn a_handshake_that_nobody_comes_back_with_leaves_nothing() {
    let mut server = TestServer::start(quick()).await;
    for _ in 0..100 {
        let page = Page::new(server.addr, "/quiet", "long-polling");
        assert_eq!(send(server.addr, get(&page.url()), "").await.status, 200);
    }
    assert_eq!(server.server.sessions(), 0);
    assert!(server.log.rest().is_empty());
}

/// SPEC ATM-21.
#[tokio::test]
async fn what_the_application_closed_stays_closed() {
    let (mut server, clients) = with_kept(ServerConfig::default()).await;
    for transport in TRANSPORTS {
        let mut page = Page::open(server.addr, "/kept", transport).await;
        let client = clients.of(page.session()).await;
        client.send("last").unwrap();
        client.close(Reason::Closed);
        assert_eq!(page.message().await, "last", "{transport}: what was sent before arrives");
        let events = server.log.end(page.session()).await;
        assert_eq!(events.last(), Some(&Event::Disconnected { by: Side::Server, reason: Reason::Closed }));
        if transport == "websocket" {
            let Err(refused) = Ws::ask(server.addr, &page.url(), None, &[]).await else { panic!("it is back") };
            assert_eq!(refused.status(), 410);
        } else {
            assert_eq!(send(server.addr, get(&page.url()), "").await.status, 410);
        }
    }
}

/// SPEC ATM-13: or it would show the handshake of the next server to its page. A classic one expects none.
#[tokio::test]
async fn the_poll_of_a_modern_client_breaks_as_the_server_goes_away() {
    for modern in [false, true] {
        let server = TestServer::start(quick()).await;
        let page = Page::new(server.addr, "/quiet", "long-polling");
        let mut page = if modern { page.modern() } else { page };
        page.begin().await;
        let (unit, ()) = tokio::join!(page.next_unit(), server.server.shutdown());
        assert_eq!(unit.as_deref().map(str::trim), (!modern).then_some(""));
        let answer = send(server.addr, get(&page.url()), "").await;
        assert_eq!((answer.status, answer.header("x-atmosphere-error").is_some()), (503, true));
    }
}

/// SPEC ATM-22.
#[tokio::test]
async fn who_closes_its_socket_and_stays_away_has_left_and_who_loses_it_is_lost() {
    let mut server = TestServer::start(quick()).await;
    for transport in TRANSPORTS {
        for closes in [true, false] {
            let mut page = Page::open(server.addr, "/quiet", transport).await;
            // It shows that it is there.
            page.push("a").await;
            server.log.find(page.session(), |event| matches!(event, Event::Text(_))).await;
            if let (Some(super::client::Link::Socket(socket)), true) = (&mut page.link, closes) {
                socket.send(WsMessage::Close(None)).await;
            }
            page.cut();
            let by = if closes && transport == "websocket" { Side::Client } else { Side::Network };
            let events = server.log.end(page.session()).await;
            assert_eq!(events, [Event::Suspended, Event::Disconnected { by, reason: Reason::Expired }], "{transport}");
            // SPEC ATM-22: for the client nothing is over.
            page.attach().await;
            page.push("b").await;
            assert!(matches!(server.log.of(page.session()).await, Event::Connected { .. }));
            page.leave().await;
            assert_eq!(server.log.end(page.session()).await.last(), Some(&LEFT));
        }
    }
}

/// SPEC ATM-22: the tombstone of the first does not take the second along when it is forgotten.
#[tokio::test]
async fn the_end_of_what_is_remembered_does_not_end_who_has_the_id_by_then() {
    let mut server = TestServer::start(quick()).await;
    let mut page = Page::open(server.addr, "/echo", "sse").await;
    page.push("a").await;
    page.cut();
    assert!(matches!(server.log.end(page.session()).await.last(), Some(Event::Disconnected { .. })));
    page.attach().await;
    assert!(matches!(server.log.of(page.session()).await, Event::Connected { .. }));
    // A tombstone that is younger is forgotten later.
    let other = Page::open(server.addr, "/quiet", "sse").await;
    other.leave().await;
    let late = format!("/quiet?X-Atmosphere-tracking-id={}&X-Atmosphere-Transport=polling", other.id);
    soon(async { while send(server.addr, post(&late), "a").await.status == 410 {} }).await;
    page.push("b").await;
    assert_eq!(page.message().await, "b");
    let again = |(id, event): &(_, Event)| *id == page.session() && matches!(event, Event::Connected { .. });
    assert!(!server.log.rest().iter().any(again));
}

/// SPEC ATM-2, ATM-19.
#[tokio::test]
async fn a_session_is_reached_by_its_own_dialect_path_and_owner_alone() {
    let mut server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.principal(|head| head.header("user").map(Into::into))
    })
    .await;
    let native = Native::open(server.addr, "/quiet", Transport::WebSocket, FORMATS[0]).await;
    let id = native.session.to_string();
    let mut page = Page::open(server.addr, "/quiet", "sse").await;
    let own = page.id.clone();
    // The native session's id is no secret, and the token of none.
    page.id = id;
    page.leave().await;
    assert_ne!(page.session(), native.session);
    // The session's own id is not its tracking id.
    page.id.clone_from(&own);
    let shown = page.session().to_string();
    page.id = shown;
    page.leave().await;
    page.id = own;
    for (path, user, status) in [("/quiet", "joe", 403), ("/echo", "", 403), ("/quiet", "", 200)] {
        let close = page.close_url().replace("/quiet", path);
        let mut asked = get(&close);
        if !user.is_empty() {
            asked = asked.header("user", user);
        }
        assert_eq!(server.server.sessions(), 2);
        assert_eq!(send(server.addr, asked, "").await.status, status, "{path} {user}");
    }
    assert_eq!(server.log.end(page.session()).await.last(), Some(&LEFT));
    drop(native);
}

/// SPEC ATM-19: over every transport.
#[tokio::test]
async fn nobody_else_takes_a_session_over() {
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.principal(|head| head.query("user").map(Into::into))
    })
    .await;
    let mut page = Page::new(server.addr, "/quiet", "sse");
    page.more = "&user=ann".into();
    page.begin().await;
    page.more = "&user=joe".into();
    for transport in OVER_HTTP {
        page.transport = transport;
        assert_eq!(send(server.addr, get(&page.url()), "").await.status, 403);
    }
    page.transport = "websocket";
    let Err(refused) = Ws::ask(server.addr, &page.url(), None, &[]).await else { panic!("it was taken over") };
    assert_eq!(refused.status(), 403);
    let push = format!("/quiet?X-Atmosphere-tracking-id={}&X-Atmosphere-Transport=polling&user=joe", page.id);
    assert_eq!(send(server.addr, post(&push), "a").await.status, 403);
}

/// SPEC ATM-21: what waits for admission is as late as anything else.
#[tokio::test]
async fn who_leaves_while_a_request_of_its_waits_for_admission_begins_no_session() {
    let (gate, asked) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opens, counts) = (Arc::clone(&gate), Arc::clone(&asked));
    let mut server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.admission(move |_| {
            counts.fetch_add(1, Ordering::Relaxed);
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                Ok(())
            }
        })
    })
    .await;
    for (index, what) in ["long-polling", "streaming", "sse", "message", "websocket"].into_iter().enumerate() {
        let mut page = Page::new(server.addr, "/quiet", if what == "message" { "polling" } else { what });
        page.id = format!("24f98d6b-c271-4169-8f9c-{index:012x}");
        let (addr, url) = (server.addr, page.url());
        let waits = tokio::spawn(async move {
            match what {
                "websocket" => Ws::connect(addr, &url, None).await.next().await.map(|_| (101, String::new())),
                "message" => Some(send(addr, post(&url), "a").await).map(|answer| (answer.status, String::new())),
                _ => Some(send(addr, get(&url), "").await).map(|answer| (answer.status, answer.text().to_owned())),
            }
        });
        until(|| asked.load(Ordering::Relaxed) == index + 1).await;
        page.leave().await;
        opens.add_permits(1);
        let expected = match what {
            "message" => 410,
            "websocket" => 101,
            _ => 200,
        };
        assert_eq!(waits.await.unwrap(), Some((expected, String::new())), "{what}");
    }
    assert_eq!(server.server.sessions(), 0);
    assert!(server.log.rest().is_empty());
}

/// SPEC §14: what is forgotten at once is forgotten at once.
#[tokio::test]
async fn no_more_sessions_are_remembered_than_may_be() {
    let mut config = ServerConfig::default();
    config.max_tombstones = 0;
    let mut server = TestServer::start(config).await;
    let mut page = Page::open(server.addr, "/quiet", "sse").await;
    page.leave().await;
    assert_eq!(server.log.end(page.session()).await.last(), Some(&LEFT));
    until(|| server.server.sessions() == 0).await;
    page.attach().await;
    assert!(matches!(server.log.of(page.session()).await, Event::Connected { .. }), "it is new");
}

/// SPEC SES-6, ATM-18: who names its id has shown that it has it.
#[tokio::test]
async fn a_session_that_its_client_named_waits_for_it_as_long_as_any() {
    let mut config = ServerConfig::default();
    config.session.proof = std::time::Duration::from_millis(100);
    let (mut server, clients) = with_kept(config).await;
    for (index, transport) in OVER_HTTP.into_iter().enumerate() {
        let mut page = Page::new(server.addr, "/kept", transport);
        page.id = format!("24f98d6b-c271-4169-8f9c-{index:012x}");
        page.attach().await;
        let client = clients.of(page.session()).await;
        page.cut();
        until(|| client.sink() == nosphere::Sink::None).await;
        client.send("waits").unwrap();
        // A message that comes slowly.
        let id = format!("24f98d6b-c271-4169-8f9d-{index:012x}");
        let mut raw = Raw::connect(server.addr).await;
        raw.write(format!(
            "POST /kept?X-Atmosphere-tracking-id={id} HTTP/1.1\r\nHost: {}\r\nContent-Length: 2\r\n\r\na",
            server.addr
        ))
        .await;
        let mut slow = Page::new(server.addr, "/kept", "sse");
        slow.id = id;
        clients.of(slow.session()).await;
        // A younger one, of which nothing was heard.
        let mut other = Page::open(server.addr, "/kept", "sse").await;
        other.cut();
        let unproved = Event::Disconnected { by: Side::Server, reason: Reason::Unproved };
        assert_eq!(server.log.end(other.session()).await.last(), Some(&unproved));
        raw.write("b").await;
        assert!(raw.read_until("\r\n\r\n").await.starts_with("HTTP/1.1 200"), "{transport}");
        page.attach().await;
        assert_eq!(page.message().await, "waits", "{transport}");
    }
}
