//! One session over WebSocket, event streams and polls, in every format, moved from each to each.

use nosphere::{Event, Payload, ServerConfig, Transport};
use nosphere_core::Frame;
use serde_json::json;

use crate::support::*;

fn payloads() -> Vec<Payload> {
    vec![
        text("hällo\n\"wörld\" \u{1f30d}"),
        text(""),
        json(&json!({"author": "joe", "n": [1, -2.5, null, true, u64::MAX, i64::MIN]})),
        Payload::Binary(bytes::Bytes::from_static(&[0, 255, 10, 13, 7])),
        Payload::Binary(bytes::Bytes::new()),
    ]
}

/// What a payload is, whichever encoding it is in.
fn content(payload: &Payload) -> (String, Vec<u8>) {
    match payload {
        Payload::Json(value) => ("json".into(), value.parse::<serde_json::Value>().unwrap().to_string().into()),
        Payload::Text(text) => ("text".into(), text.as_bytes().into()),
        Payload::Binary(bytes) => ("binary".into(), bytes.to_vec()),
    }
}

#[tokio::test]
async fn every_kind_of_message_passes_every_transport_in_both_native_formats() {
    let server = TestServer::start(ServerConfig::default()).await;
    for http in [Http::One, Http::Two] {
        for transport in TRANSPORTS {
            if (http, transport) == (Http::Two, Transport::WebSocket) {
                continue; // In `sinks`.
            }
            for format in FORMATS {
                let mut client = Native::open_over(http, server.addr, "/echo", transport, format).await;
                for payload in payloads() {
                    client.send(payload.clone()).await;
                    assert_eq!(content(&client.message().await), content(&payload), "{transport} {format:?} {http:?}");
                }
            }
        }
    }
}

#[tokio::test]
async fn formats_meet_in_one_room() {
    let server = TestServer::start(ServerConfig::default()).await;
    let mut clients = Vec::new();
    for transport in TRANSPORTS {
        for format in FORMATS {
            clients.push(Native::open(server.addr, "/room", transport, format).await);
        }
    }
    let mut plain = Ws::connect(server.addr, "/room", None).await;
    until(|| server.server.sessions_on("/room") == 7).await;
    for payload in payloads() {
        clients[0].send(payload.clone()).await;
        for client in &mut clients[1..] {
            assert_eq!(content(&client.message().await), content(&payload));
        }
        let (kind, bytes) = content(&payload);
        match plain.next().await.unwrap() {
            WsMessage::Text(text) => assert!(kind != "binary" && text.as_bytes() == bytes, "{text}"),
            WsMessage::Binary(got) => assert!(kind == "binary" && got == bytes, "{got:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_plain_websocket_guesses_json_and_keeps_text() {
    // SPEC PLN-1, PLN-2
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut ws = Ws::connect(server.addr, "/echo", None).await;
    assert_eq!(ws.subprotocol, None);
    let (session, event) = server.log.next().await;
    assert_eq!(event, Event::Connected { transport: Transport::WebSocket });
    for (sent, is_json) in [(" {\"a\": 1} ", true), ("[1,2]", true), ("{a}", false), (" hi ", false), ("1", false)] {
        ws.text(sent).await;
        assert_eq!(matches!(server.log.of(session).await, Event::Json(_)), is_json, "{sent}");
        let back = ws.next_text().await;
        assert!(if is_json { back == sent.replace(' ', "") } else { back == sent }, "{back}");
    }
    ws.binary(&[1, 2]).await;
    assert_eq!(ws.next().await, Some(WsMessage::binary(vec![1u8, 2])));
}

#[tokio::test]
async fn a_plain_event_stream_is_opened_written_to_and_resumed() {
    // SPEC PLN-3, PLN-4
    let mut server = TestServer::start(ServerConfig::default()).await;
    let open = || get("/echo").header("accept", "text/event-stream");
    let mut events = EventReader::new(request(Http::One, server.addr, open().body(Default::default()).unwrap()).await);
    let first = events.next().await.unwrap();
    assert_eq!(first.name, "session");
    let (session, token) = first.data.split_once('.').unwrap();
    assert_eq!(first.id.as_deref(), Some(&*format!("{session}.{token}.0")));
    let say = |kind: &'static str, body: &'static str| {
        let key = post("/echo").header("nosphere-session", session).header("nosphere-token", token);
        send(server.addr, key.header("content-type", kind), body)
    };
    let answer = say("text/plain", "a\nb").await;
    assert_eq!((answer.status, answer.header("cache-control")), (204, Some("no-store")));
    let event = events.next().await.unwrap();
    assert_eq!((event.name.as_str(), event.data.as_str()), ("message", "a\nb"));
    assert_eq!(event.id.as_deref(), Some(&*format!("{session}.{token}.1")));
    say("application/json", "{\"x\" : 1}").await;
    assert_eq!(events.next().await.unwrap().data, "{\"x\":1}");
    say("application/octet-stream", "abc").await;
    let event = events.next().await.unwrap();
    assert_eq!((event.name.as_str(), event.data.as_str()), ("binary", "YWJj"));

    // The stream is lost after two events were seen: the third comes again, and what was sent meanwhile.
    drop(events);
    let id: nosphere::SessionId = session.parse().unwrap();
    server.log.find(id, |event| *event == Event::Suspended).await;
    say("text/plain", "meanwhile").await;
    let again = open().header("last-event-id", format!("{session}.{token}.2")).body(Default::default());
    let mut events = EventReader::new(request(Http::Two, server.addr, again.unwrap()).await);
    assert_eq!(events.next().await.unwrap().name, "session");
    assert_eq!(events.next().await.unwrap().name, "binary");
    assert_eq!(events.next().await.unwrap().data, "meanwhile");

    // A session that is not known any more.
    let gone =
        open().header("last-event-id", "00000000-0000-4000-8000-000000000000.00000000000000000000000000000000.7");
    let mut events = EventReader::new(request(Http::One, server.addr, gone.body(Default::default()).unwrap()).await);
    assert_eq!(events.next().await.unwrap().name, "session");
    let reset = events.next().await.unwrap();
    assert_eq!((reset.name.as_str(), reset.data.as_str()), ("reset", ""));
}

#[tokio::test]
async fn plain_polls_bring_one_message_each() {
    // SPEC PLN-6, PLN-7
    let server = TestServer::start(ServerConfig::default()).await;
    let poll = || get("/echo").header("nosphere-transport", "long-polling");
    let first = send(server.addr, poll(), "").await;
    assert_eq!((first.status, first.body.len()), (204, 0));
    let (session, token) = (first.header("nosphere-session").unwrap(), first.header("nosphere-token").unwrap());
    let key =
        |builder: http::request::Builder| builder.header("nosphere-session", session).header("nosphere-token", token);
    for (kind, body) in [("text/plain", "hi"), ("application/json", "[1]"), ("application/octet-stream", "abc")] {
        let answer = send(server.addr, key(post("/echo")).header("content-type", kind), body).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    let kinds = ["text/plain;charset=utf-8", "application/json", "application/octet-stream"];
    for (n, kind) in kinds.into_iter().enumerate() {
        // Each is asked for twice: the answer may have been lost.
        for _ in 0..2 {
            let answer = send(server.addr, key(poll()).header("nosphere-received", n), "").await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{answer:?}");
            assert_eq!(answer.header("nosphere-count"), Some(&*(n + 1).to_string()));
            assert_eq!(answer.text(), ["hi", "[1]", "abc"][n]);
        }
    }
}

#[tokio::test]
async fn a_session_moves_from_each_transport_to_each_and_nothing_is_lost_or_doubled() {
    // SPEC ATT-3, DLV-6, SES-1
    for format in FORMATS {
        for from in TRANSPORTS {
            for to in TRANSPORTS {
                for cut in [false, true] {
                    moved(format, from, to, cut).await;
                }
            }
        }
    }
}

async fn moved(format: &'static dyn nosphere::WireFormat, from: Transport, to: Transport, cut: bool) {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut client = Native::open(server.addr, "/echo", from, format).await;
    let mut next = 0;
    let mut expected = 0;
    for round in 0..4 {
        // Messages are on their way in both directions when the link changes: six were sent, three answers read.
        for _ in 0..6 {
            client.send(text(&next.to_string())).await;
            next += 1;
        }
        for _ in 0..3 {
            assert_eq!(client.message().await, text(&expected.to_string()));
            expected += 1;
        }
        if cut {
            client.cut();
        }
        let old = client.resume(if round % 2 == 0 { to } else { from }).await;
        drop(old);
    }
    while expected < next {
        assert_eq!(client.message().await, text(&expected.to_string()), "{from} to {to}");
        expected += 1;
    }
    let events = finish(&mut server, client).await;
    let texts: Vec<_> = events.iter().filter(|event| matches!(event, Event::Text(_))).collect();
    assert_eq!(
        texts,
        (0..next).map(|n| Event::Text(n.to_string().into())).collect::<Vec<_>>().iter().collect::<Vec<_>>()
    );
    assert_eq!(events[0], Event::Connected { transport: from });
}

/// Closes a session; gives all its events.
async fn finish(server: &mut TestServer, mut client: Native) -> Vec<Event> {
    let received = client.received;
    client.frame(Frame::Close(nosphere_core::Close { code: 1000, reason: "".into(), received })).await;
    let events = server.log.end(client.session).await;
    let end = Event::Disconnected { by: nosphere::Side::Client, reason: nosphere::Reason::Closed };
    assert_eq!(events.last(), Some(&end));
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn takeovers_in_quick_succession_leave_the_newest_link_working() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let mut client = Native::open(server.addr, "/echo", Transport::WebSocket, FORMATS[0]).await;
    let mut expected = 0;
    for round in 0u64..150 {
        client.send(text(&round.to_string())).await;
        // The old socket closes, is cut, or stays, while the new one takes over.
        let mut old = std::mem::replace(&mut client.carrier, Carrier::None);
        let (kind, transport) = (round % 3, if round % 5 == 4 { TRANSPORTS[1] } else { TRANSPORTS[0] });
        let closing = tokio::spawn(async move {
            if let Carrier::Ws(ws) = &mut old {
                match kind {
                    0 => ws.try_send(WsMessage::Close(None)).await,
                    1 => ws.try_send(WsMessage::Ping("x".into())).await,
                    _ => {}
                }
            }
            drop(old);
        });
        client.resume(transport).await;
        if round % 4 == 0 {
            while expected <= round {
                assert_eq!(client.message().await, text(&expected.to_string()));
                expected += 1;
            }
        }
        closing.await.unwrap();
    }
    while expected < 150 {
        assert_eq!(client.message().await, text(&expected.to_string()));
        expected += 1;
    }
    let events = finish(&mut server, client).await;
    assert_eq!(events.iter().filter(|event| matches!(event, Event::Text(_))).count(), 150);
}

#[tokio::test]
async fn the_old_link_is_ended_when_another_takes_over() {
    // SPEC ATT-3
    let server = TestServer::start(ServerConfig::default()).await;
    for to in TRANSPORTS {
        let mut client = Native::open(server.addr, "/quiet", Transport::WebSocket, FORMATS[0]).await;
        let Carrier::Ws(mut old) = client.resume(to).await else { panic!() };
        assert_eq!(old.closed().await, (4409, "fenced".into()), "{to}");

        let mut client = Native::open(server.addr, "/quiet", Transport::ServerSentEvents, FORMATS[0]).await;
        let Carrier::Sse(mut old) = client.resume(to).await else { panic!() };
        assert_eq!(old.next().await, None);

        let mut client = Native::open(server.addr, "/quiet", Transport::LongPolling, FORMATS[0]).await;
        let waiting = tokio::spawn(exchange(Http::One, server.addr, client.get_request(Transport::LongPolling, 0)));
        // The poll has arrived once a newer one replaces it, or the resumption does.
        client.resume(to).await;
        let answer = waiting.await.unwrap();
        let (status, name) = answer.refusal();
        assert!((status, name) == (204, "replaced") || (status, name) == (409, "fenced"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_candidate_is_proved_by_ping_before_it_resumes() {
    // SPEC WS-1
    let server = TestServer::start(ServerConfig::default()).await;
    let mut client = Native::open(server.addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
    let mut candidate = client.socket().await;
    for _ in 0..16 {
        candidate.text(r#"{"ping":0}"#).await;
        assert_eq!(candidate.next_text().await, r#"{"pong":0}"#);
        // The old link is in use until then.
        client.send(text("still")).await;
        assert_eq!(client.message().await, text("still"));
    }
    client.attachment += 1;
    candidate.send(client.unit(client.offer())).await;
    assert_eq!(candidate.next_text().await, r#"{"resumed":{"received":16}}"#);
    client.carrier = Carrier::Ws(Box::new(candidate));
    client.send(text("moved")).await;
    assert_eq!(client.message().await, text("moved"));
}

#[tokio::test]
async fn open_and_messages_may_come_in_one_segment() {
    let server = TestServer::start(ServerConfig::default()).await;
    let mut raw = Raw::upgrade(server.addr, "/echo", "Sec-WebSocket-Protocol: nosphere.v1.json\r\n").await;
    let open = r#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#;
    let frames = [open, r#"{"text":"one"}"#, r#"{"text":"two"}"#].map(|unit| raw_frame(1, unit.as_bytes()));
    raw.write(frames.concat()).await;
    raw.read_until(r#"{"text":"two"}"#).await;
}

#[tokio::test]
async fn the_session_of_one_run_of_polls_answers_at_once_what_waits_and_later_what_comes() {
    // SPEC POL-1, POL-4
    let mut config = ServerConfig::default();
    config.session.poll_time = std::time::Duration::from_millis(50);
    config.session.poll_gap = PATIENCE;
    let server = TestServer::start(config).await;
    let mut client = Native::open(server.addr, "/echo", Transport::LongPolling, FORMATS[0]).await;
    let empty = client.poll().await;
    assert_eq!((empty.status, empty.body.len()), (200, 0));
    assert_eq!(empty.header("content-type"), Some("application/vnd.nosphere.v1.json"));
    client.send(text("a")).await;
    client.send(text("b")).await;
    // The answer was lost: the same poll gives the same messages.
    until_answer(&client, "{\"text\":\"a\"}\n{\"text\":\"b\"}").await;
    until_answer(&client, "{\"text\":\"a\"}\n{\"text\":\"b\"}").await;
    client.received = 1;
    until_answer(&client, "{\"text\":\"b\"}").await;
    // A message that comes while the poll waits is its answer.
    client.received = 2;
    let waiting = tokio::spawn(exchange(Http::One, server.addr, client.get_request(Transport::LongPolling, 2)));
    client.send(text("c")).await;
    let answer = waiting.await.unwrap();
    let answer = if answer.body.is_empty() { client.poll().await } else { answer };
    assert_eq!(answer.text(), "{\"text\":\"c\"}");
}

/// Polls until the echo is there.
async fn until_answer(client: &Native, expected: &str) {
    soon(async {
        loop {
            let answer = client.poll().await;
            assert!(expected.starts_with(answer.text()), "{answer:?}");
            if answer.text() == expected {
                break;
            }
        }
    })
    .await;
}
