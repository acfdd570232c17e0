//! What reaches clients, as what, and where.

use lapin::BasicProperties;
use nosphere::Message;
use nosphere_amqp::{Queue, Source, State};
use tokio_tungstenite::tungstenite;

use crate::support::*;

#[tokio::test]
async fn deliveries_reach_a_websocket_and_an_event_stream_in_order() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let mut websocket = serving.websocket("/real-time-buzz").await;
    let mut events = serving.event_source("/real-time-buzz/beneath").await;
    let source = Source::new(&broker.uri(), Queue::durable("order"), "/real-time-buzz").unwrap();
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    assert_eq!(source.status().state, State::Connected);
    peer.publish_numbers("order", 0..300).await;
    for number in 0..300 {
        assert_eq!(websocket.text().await, number.to_string());
        assert_eq!(events.next().await, ("message".into(), number.to_string()));
    }
    let status = soon(source.monitor().wait_for(|status| status.broadcast == 300)).await.unwrap();
    assert_eq!((status.queued, status.rejected, status.connects), (600, 0, 1));
    source.stop().await.unwrap();
    assert_eq!(peer.ready("order").await, 0);
}

#[tokio::test]
async fn the_content_type_decides_what_clients_get() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let mut websocket = serving.websocket("/real-time-buzz").await;
    let mut events = serving.event_source("/real-time-buzz").await;
    let source = Source::new(&broker.uri(), Queue::durable("kinds"), "/real-time-buzz").unwrap();
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    peer.publish("kinds", Some("application/json"), b"{\n  \"author\": \"System\"\n}").await;
    peer.publish("kinds", Some("text/plain"), b"text").await;
    peer.publish("kinds", None, "n\u{e4}mlich".as_bytes()).await;
    peer.publish("kinds", Some("application/x-protobuf"), b"\x08\x01").await;
    peer.publish("kinds", None, b"\xff\x00").await;
    // JSON is compact on its way: the plain format's line for it has no breaks.
    assert_eq!(websocket.text().await.replace(' ', ""), r#"{"author":"System"}"#);
    assert_eq!(websocket.text().await, "text");
    assert_eq!(websocket.text().await, "n\u{e4}mlich");
    for binary in [&b"\x08\x01"[..], b"\xff\x00"] {
        assert_eq!(websocket.next().await, tungstenite::Message::binary(binary.to_vec()));
    }
    let (name, data) = events.next().await;
    assert_eq!((name.as_str(), data.replace(' ', "").as_str()), ("message", r#"{"author":"System"}"#));
    for data in ["text", "n\u{e4}mlich"] {
        assert_eq!(events.next().await, ("message".into(), data.into()));
    }
    for base64 in ["CAE=", "/wA="] {
        assert_eq!(events.next().await, ("binary".into(), base64.into()));
    }
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_mapping_sees_the_delivery_and_chooses_the_path_or_declines() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let mut rooms = [serving.websocket("/rooms/1").await, serving.websocket("/rooms/2").await];
    let queue = Queue::durable("mapping").bind("amq.topic", "room.*").bind("amq.topic", "gossip");
    let source = Source::new(&broker.uri(), queue, "/nowhere").unwrap().mapping(|delivery| {
        let Some(room) = delivery.routing_key.strip_prefix("room.") else { return Ok(None) };
        assert_eq!((delivery.exchange.as_str(), delivery.redelivered), ("amq.topic", false));
        let (id, author) = (delivery.message_id.as_deref().unwrap_or("-"), &delivery.headers["author"]);
        let text = format!("{id} {author}: {}", str::from_utf8(&delivery.body)?);
        Ok(Some((format!("/rooms/{room}"), Message::text(text))))
    });
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    let properties = || {
        let author = [("author".into(), lapin::types::AMQPValue::LongString("Ann".into()))];
        let number = [("n".into(), lapin::types::AMQPValue::LongInt(1))];
        let headers = author.into_iter().chain(number).collect::<std::collections::BTreeMap<_, _>>();
        BasicProperties::default().with_headers(headers.into()).with_message_id("m1".into())
    };
    peer.publish_to("amq.topic", "room.1", properties(), b"one").await;
    peer.publish_to("amq.topic", "gossip", properties(), b"not for you").await;
    peer.publish_to("amq.topic", "room.2", properties(), b"two").await;
    peer.publish_to("amq.topic", "room.1", properties(), b"three").await;
    assert_eq!(rooms[0].text().await, "m1 Ann: one");
    assert_eq!(rooms[0].text().await, "m1 Ann: three");
    assert_eq!(rooms[1].text().await, "m1 Ann: two");
    source.monitor().wait_for(|status| (status.broadcast, status.declined) == (3, 1)).await.unwrap();
    source.stop().await.unwrap();
    // What was declined is acknowledged, too.
    assert_eq!(peer.ready("mapping").await, 0);
}

#[tokio::test]
async fn every_temporary_queue_gets_everything_and_leaves_nothing_behind() {
    let (broker, nodes) = (Broker::shared().await, [Serving::start().await, Serving::start().await]);
    let peer = Peer::connect(broker).await;
    let mut sources = Vec::new();
    for node in &nodes {
        let queue = Queue::temporary().bind("amq.fanout", "");
        let source = Source::new(&broker.uri(), queue, "/real-time-buzz").unwrap();
        sources.push(source.start(node.server.broadcaster()).await.unwrap());
    }
    peer.publish_to("amq.fanout", "", BasicProperties::default(), b"for all").await;
    for source in sources {
        // Nobody is there, which is no error.
        let status = soon(source.monitor().wait_for(|status| status.broadcast == 1)).await.unwrap();
        assert_eq!(status.queued, 0);
        source.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_source_runs_as_a_future_until_it_is_told_to_stop_or_dropped() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let queue = Queue::durable(peer.declare("future", &[]).await);
    let source = || Source::new(&broker.uri(), queue.clone(), "/real-time-buzz").unwrap();
    peer.publish_numbers("future", 0..1).await;
    let first = source();
    let mut monitor = first.monitor();
    let stop = async { assert!(monitor.wait_for(|status| status.broadcast == 1).await.is_some()) };
    soon(first.run(serving.server.broadcaster(), stop)).await.unwrap();
    assert_eq!(monitor.status().state, State::Stopped);
    assert_eq!(peer.ready("future").await, 0);

    let second = source();
    let mut monitor = second.monitor();
    let run = second.run(serving.server.broadcaster(), std::future::pending());
    tokio::select! {
        ended = run => panic!("{ended:?}"),
        _ = monitor.wait_for(|status| status.state == State::Connected) => {}
    }
    // Nobody takes it out of the queue any longer.
    assert_eq!(monitor.status().state, State::Stopped);
    assert!(monitor.wait_for(|status| status.state == State::Connected).await.is_none());
    peer.publish_numbers("future", 1..2).await;
    until(async || peer.ready("future").await == 1).await;
}
