//! Opening, sending and receiving over every transport.

use nosphere::{Event, ServerConfig, SessionError, Transport};

use super::{OVER_HTTP, Page, TRANSPORTS, greets, with_kept};
use crate::support::{FORMATS, Native, Serving, TestServer, Ws, WsMessage, get, json, send, soon, text};

const LINE: &str = r#"{"author":"joe","message":"hi|there 😀"}"#;

/// SPEC ATM-8, ATM-9, ATM-11: the page does not know of the handshake, and the numbers are those of JavaScript.
#[tokio::test]
async fn every_kind_of_client_opens_and_is_heard_and_hears_over_every_transport() {
    let server = TestServer::start(ServerConfig::default()).await;
    for transport in TRANSPORTS {
        for kind in 0..4 {
            let page = Page::new(server.addr, "/echo", transport);
            let page = if kind & 1 == 0 { page } else { page.tracked() };
            let mut page = if kind & 2 == 0 { page } else { page.modern() };
            page.begin().await;
            for message in [LINE, "te|xt", "12|", "🙂", "[1]"] {
                page.push(message).await;
                assert_eq!(page.message().await, message, "{transport} {kind}");
            }
            page.leave().await;
        }
    }
}

/// Heads go out at once whoever serves, and a poll's body waits.
#[tokio::test]
async fn every_server_serves_these_clients() {
    for serving in [Serving::Axum, Serving::Http1] {
        let server = TestServer::with(ServerConfig::default(), serving, |builder| builder).await;
        for transport in TRANSPORTS {
            let mut page = Page::open(server.addr, "/echo", transport).await;
            page.push(LINE).await;
            assert_eq!(page.message().await, LINE, "{transport}");
        }
    }
    let server = TestServer::start(ServerConfig::default()).await;
    for transport in OVER_HTTP {
        use http_body_util::BodyExt as _;
        let mut page = Page::new(server.addr, "/echo", transport);
        page.id = format!("24f98d6b-c271-4169-8f9c-{:012x}", transport.len());
        let asked = get(&page.url()).body(http_body_util::Full::default()).unwrap();
        let mut body = crate::support::request(crate::support::Http::Two, server.addr, asked).await.into_body();
        page.push(LINE).await;
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(LINE) {
            all.extend(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap());
        }
    }
}

/// The exchanges that the original is known to have had, byte by byte.
#[tokio::test]
async fn the_first_words_are_what_the_original_wrote() {
    let server = TestServer::start(ServerConfig::default()).await;
    let pad = |length: usize| " ".repeat(length) + "\n";
    for tracked in [false, true] {
        for modern in [false, true] {
            for transport in ["websocket", "streaming", "long-polling"] {
                let page = Page::new(server.addr, "/quiet", transport);
                let page = if tracked { page.tracked() } else { page };
                let mut page = if modern { page.modern() } else { page };
                page.attach().await;
                let words = page.next_unit().await.unwrap();
                let (start, length) =
                    (words.find(|c| c != ' ' && c != '\n').unwrap(), if tracked { "41|" } else { "" });
                let padded = transport == "streaming" && !modern;
                assert_eq!(words[..start], if padded { pad(2048) } else { String::new() }, "SPEC ATM-10, ATM-14");
                let rest = words[start..].strip_prefix(length).unwrap();
                assert_eq!((rest.len(), &rest[36..], &rest[14..15]), (41, "|0|X|", "4"), "a UUID of version 4");
            }
        }
    }
    let mut page = Page::new(server.addr, "/quiet", "sse");
    page.transport = "sse";
    let body = soon(raw_stream(&server, &page.url(), 2001 + 47 + 2)).await;
    let body = body.strip_prefix(&pad(2000)).unwrap();
    assert!(body.starts_with("data:") && body.ends_with("|0|X|\r\n\r\n"), "{body:?}");
}

/// The first bytes of a body.
async fn raw_stream(server: &TestServer, url: &str, length: usize) -> String {
    use http_body_util::BodyExt as _;
    let asked = get(url).body(http_body_util::Full::default()).unwrap();
    let mut body = crate::support::request(crate::support::Http::One, server.addr, asked).await.into_body();
    let mut all = Vec::new();
    while all.len() < length {
        all.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    String::from_utf8(all).unwrap()
}

/// SPEC ATM-8: or the client takes both for the handshake.
#[tokio::test]
async fn what_is_sent_while_connecting_comes_behind_the_handshake_and_not_with_it() {
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, greets).await;
    for transport in TRANSPORTS {
        for modern in [false, true] {
            let page = Page::new(server.addr, "/greets", transport);
            let mut page = if modern { page.modern() } else { page };
            page.begin().await;
            assert_eq!(page.message().await, "wel|come", "{transport}");
        }
    }
}

/// SPEC ATM-13: `onOpen` waits for the head, and in some browsers for a first byte.
#[tokio::test]
async fn a_poll_that_waits_has_its_head_and_a_space_at_once_and_a_modern_one_has_no_space() {
    let (server, clients) = with_kept(ServerConfig::default()).await;
    for modern in [false, true] {
        let page = Page::new(server.addr, "/kept", "long-polling");
        let mut page = if modern { page.modern() } else { page };
        page.begin().await;
        let client = clients.of(page.session()).await;
        client.send("m").unwrap();
        assert_eq!(page.next_unit().await.unwrap(), if modern { "m" } else { " m" });
        client.send("n").unwrap();
        page.attach().await;
        assert_eq!(page.next_unit().await.unwrap(), "n", "nothing has to be waited for");
    }
}

/// SPEC ATM-13, ATM-14.
#[tokio::test]
async fn without_lengths_an_answer_is_one_message_and_a_piece_of_a_stream_is_one_too() {
    let (server, clients) = with_kept(ServerConfig::default()).await;
    let numbers: Vec<_> = (0..20).map(|n| format!("{{\"n\":{n}}}")).collect();
    for transport in ["long-polling", "streaming"] {
        let mut page = Page::open(server.addr, "/kept", transport).await;
        let client = clients.of(page.session()).await;
        numbers.iter().for_each(|number| client.send(number.as_str()).unwrap());
        for number in &numbers {
            if page.link.is_none() {
                page.attach().await;
            }
            assert_eq!(page.next_unit().await.unwrap().trim(), number, "{transport}");
        }
    }
    let mut page = Page::new(server.addr, "/kept", "long-polling").tracked();
    page.begin().await;
    let client = clients.of(page.session()).await;
    client.send("first").unwrap();
    assert_eq!(page.message().await, "first");
    ["a😀b", "xyz"].into_iter().for_each(|text| client.send(text).unwrap());
    page.attach().await;
    assert_eq!(page.next_unit().await.unwrap(), "4|a😀b3|xyz", "SPEC ATM-11");
}

/// Everybody hears everybody, whatever they speak.
#[tokio::test]
async fn clients_of_every_protocol_are_in_one_room() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut pages = Vec::new();
    for transport in TRANSPORTS {
        pages.push(Page::open(server.addr, "/room", transport).await);
        let mut tracked = Page::new(server.addr, "/room", transport).tracked().modern();
        tracked.begin().await;
        pages.push(tracked);
    }
    for page in &pages {
        server.log.find(page.session(), |event| matches!(event, Event::Connected { .. })).await;
    }
    let mut native = Native::open(server.addr, "/room", Transport::WebSocket, FORMATS[0]).await;
    let mut plain = Ws::connect(server.addr, "/room", None).await;
    server.log.find(native.session, |event| matches!(event, Event::Connected { .. })).await;
    plain.text(r#"{"from":"plain"}"#).await;
    assert_eq!(native.message().await, json(&serde_json::json!({"from": "plain"})));
    for page in &mut pages {
        assert_eq!(page.message().await, r#"{"from":"plain"}"#);
    }
    native.send(text("na|tive")).await;
    assert_eq!(plain.next_text().await, "na|tive");
    for page in &mut pages {
        assert_eq!(page.message().await, "na|tive");
    }
    for from in 0..pages.len() {
        let line = format!("{{\"from\":{from}}}");
        pages[from].push(&line).await;
        for (to, page) in pages.iter_mut().enumerate().filter(|(to, _)| *to != from) {
            assert_eq!(page.message().await, line, "from {from} to {to}");
        }
        assert_eq!(plain.next_text().await, line);
        assert_eq!(native.message().await, json(&serde_json::json!({"from": from})));
    }
}

#[tokio::test]
async fn bytes_pass_a_websocket_both_ways_and_come_by_a_post() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut page = Page::open(server.addr, "/echo", "websocket").await;
    let Some(super::client::Link::Socket(socket)) = &mut page.link else { panic!() };
    socket.binary(b"\x01\xff|").await;
    loop {
        match socket.next().await.unwrap() {
            WsMessage::Binary(bytes) => break assert_eq!(&bytes[..], b"\x01\xff|", "SPEC ATM-11: without a length"),
            WsMessage::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let page = Page::open(server.addr, "/quiet", "sse").await;
    let url = format!("/quiet?X-Atmosphere-tracking-id={}&X-Atmosphere-Transport=polling", page.id);
    let asked = crate::support::post(&url).header("content-type", "application/octet-stream");
    assert_eq!(send(server.addr, asked, "ab").await.status, 200);
    let event = server.log.find(page.session(), |event| matches!(event, Event::Binary(_))).await;
    assert_eq!(event, Event::Binary(b"ab".as_slice().into()));
}

/// SPEC ATM-12: an error, and not silence.
#[tokio::test]
async fn what_no_client_can_show_comes_back_to_the_application() {
    let (mut server, clients) = with_kept(ServerConfig::default()).await;
    for transport in TRANSPORTS {
        let mut page = Page::open(server.addr, "/kept", transport).await;
        let client = clients.of(page.session()).await;
        for lost in ["", " \n", "X", " X\t"] {
            client.send(lost).unwrap();
            let event = server.log.find(page.session(), |event| matches!(event, Event::Error(_))).await;
            let Event::Error(SessionError::Undeliverable { message, .. }) = event else { panic!("{event:?}") };
            assert_eq!(*message, lost.into());
        }
        client.send("XX").unwrap();
        assert_eq!(page.message().await, "XX", "{transport}");
    }
    for transport in OVER_HTTP {
        let page = Page::open(server.addr, "/kept", transport).await;
        let client = clients.of(page.session()).await;
        assert!(client.send(bytes::Bytes::from_static(b"\x01")).is_err());
    }
    let page = Page::open(server.addr, "/kept", "sse").await;
    let client = clients.of(page.session()).await;
    assert!(client.send("a\rb").is_err());
    assert!(client.request("?", std::time::Duration::from_secs(1)).await.is_err(), "there is no form for a request");
}

#[tokio::test]
async fn the_application_is_told_the_transport() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let transports = [Transport::WebSocket, Transport::ServerSentEvents, Transport::Streaming, Transport::LongPolling];
    for (name, transport) in TRANSPORTS.into_iter().zip(transports) {
        let page = Page::open(server.addr, "/quiet", name).await;
        assert_eq!(server.log.of(page.session()).await, Event::Connected { transport });
        assert_eq!(transport.name(), name);
    }
}
