//! SPEC ATM-23, ATM-24.

use std::time::Duration;

use nosphere::{Event, ServerConfig};

use super::{Page, TRANSPORTS};
use crate::support::{TestServer, WsMessage};

fn beating() -> ServerConfig {
    let mut config = ServerConfig::default();
    config.session.heartbeat = Duration::from_millis(150);
    config
}

#[tokio::test]
async fn the_server_beats_over_every_transport_and_no_page_is_shown_it() {
    let server = TestServer::start(beating()).await;
    for transport in TRANSPORTS {
        for tracked in [false, true] {
            let page = Page::new(server.addr, "/echo", transport);
            let mut page = if tracked { page.tracked() } else { page };
            page.begin().await;
            let beat = page.next_unit().await.unwrap();
            assert_eq!(beat.trim(), if tracked { "1|X" } else { "X" }, "{transport}");
            if transport == "long-polling" {
                assert!(page.next_unit_is_over(), "SPEC ATM-23: it is the answer");
                page.attach().await;
            }
            page.push("a").await;
            assert_eq!(page.message().await, "a");
        }
    }
}

/// A socket whose client is gone is noticed, though heartbeats have no answer.
#[tokio::test]
async fn a_websocket_is_pinged_beside() {
    let server = TestServer::start(beating()).await;
    let mut page = Page::open(server.addr, "/echo", "websocket").await;
    let Some(super::client::Link::Socket(socket)) = &mut page.link else { panic!() };
    let mut seen = [false; 2];
    while seen != [true; 2] {
        match socket.next().await.unwrap() {
            WsMessage::Ping(_) => seen[0] = true,
            WsMessage::Text(text) => seen[1] |= text.as_str() == "X",
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_client_can_have_fewer_heartbeats_and_none_but_not_more() {
    let server = TestServer::start(beating()).await;
    for (wish, beats) in [("0", false), ("60", false), ("nonsense", true)] {
        let mut page = Page::new(server.addr, "/echo", "sse");
        page.more = format!("&X-Heartbeat-Server={wish}");
        page.begin().await;
        if beats {
            assert_eq!(page.next_unit().await.unwrap(), "X");
            continue;
        }
        // As long as another one's heart beats thrice.
        let mut clock = Page::open(server.addr, "/echo", "sse").await;
        let thrice = async {
            for _ in 0..3 {
                assert_eq!(clock.next_unit().await.unwrap(), "X");
            }
        };
        tokio::select! {
            unit = page.next_unit() => panic!("{wish}: {unit:?}"),
            () = thrice => {}
        }
    }
}

#[tokio::test]
async fn an_x_is_a_heartbeat_if_it_was_asked_for_and_otherwise_a_text() {
    for asked in [false, true] {
        let mut config = ServerConfig::default();
        config.session.client_heartbeat = Duration::from_secs(if asked { 60 } else { 0 });
        let mut server = TestServer::start(config).await;
        for transport in TRANSPORTS {
            let mut page = Page::new(server.addr, "/quiet", transport).tracked();
            if transport != "long-polling" {
                page.attach().await;
                let words = page.next_unit().await.unwrap();
                let is = if asked { "|60000|X|" } else { "|0|X|" };
                assert!(words.ends_with(is), "{words}");
                page = Page::new(server.addr, "/quiet", transport).tracked();
            }
            page.begin().await;
            for text in ["X", "...ACK...", "Y"] {
                page.push(text).await;
            }
            let mut events = vec![];
            while events.last() != Some(&Event::Text("Y".into())) {
                events.push(server.log.of(page.session()).await);
            }
            let first = if asked { Event::Heartbeat } else { Event::Text("X".into()) };
            assert_eq!(events[1..], [first, Event::Text("Y".into())], "{transport}: an acknowledgement is nothing");
        }
    }
}
