//! Brokers that go away, come back, are not there yet, or hang.

use std::num::NonZeroU16;
use std::time::Duration;

use nosphere_amqp::{Config, Queue, Source, State};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_killed_and_comes_back_costs_no_message() {
    let mut broker = Broker::start().await;
    let serving = Serving::start().await;
    let mut websocket = serving.websocket("/real-time-buzz").await;
    const EACH: u32 = 150;
    let mut config = quick();
    config.prefetch = NonZeroU16::new(10).unwrap();
    let source = Source::new(&broker.uri(), Queue::durable("outage"), "/real-time-buzz").unwrap().config(config);
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    let mut monitor = source.monitor();
    let mut last = None;
    for round in 0..3 {
        let peer = Peer::connect(&broker).await;
        let publishing = peer.publish_numbers("outage", round * EACH..(round + 1) * EACH);
        // It is killed while deliveries are under way.
        let killing = monitor.wait_for(|status| status.broadcast >= u64::from(round * EACH + EACH / 2));
        let ((), killed_at) = tokio::join!(publishing, killing);
        assert!(killed_at.is_some());
        if round < 2 {
            broker.kill();
            soon(monitor.wait_for(|status| status.state == State::Waiting)).await.unwrap();
            broker.rise().await;
            let again = |status: &nosphere_amqp::Status| status.connects == u64::from(round) + 2;
            soon(monitor.wait_for(again)).await.unwrap();
        }
    }
    for number in 0..3 * EACH {
        let next = websocket.number_after(last).await;
        assert_eq!(next, number, "a gap");
        last = Some(next);
    }
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_is_away_at_start_is_an_error_unless_it_may_be_waited_for() {
    let mut broker = Broker::away();
    let serving = Serving::start().await;
    let mut websocket = serving.websocket("/real-time-buzz").await;
    let source = |wait_at_start| {
        let mut config = quick();
        config.wait_at_start = wait_at_start;
        Source::new(&broker.uri(), Queue::durable("start"), "/real-time-buzz").unwrap().config(config)
    };
    let error = soon(source(false).start(serving.server.broadcaster())).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");

    // Stopping one that waits takes no time, and no broker.
    let waiting = source(true).start(serving.server.broadcaster()).await.unwrap();
    soon(waiting.monitor().wait_for(|status| status.state == State::Waiting)).await.unwrap();
    soon(waiting.stop()).await.unwrap();

    let source = source(true).start(serving.server.broadcaster()).await.unwrap();
    soon(source.monitor().wait_for(|status| status.state == State::Waiting)).await.unwrap();
    broker.rise().await;
    soon(source.monitor().wait_for(|status| status.state == State::Connected)).await.unwrap();
    Peer::connect(&broker).await.publish("start", None, b"at last").await;
    assert_eq!(websocket.text().await, "at last");
    soon(source.stop()).await.unwrap();
}

#[tokio::test]
async fn a_queue_that_is_deleted_is_declared_again() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let mut websocket = serving.websocket("/real-time-buzz").await;
    let source = Source::new(&broker.uri(), Queue::durable("deleted"), "/real-time-buzz").unwrap().config(quick());
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    peer.delete("deleted").await;
    soon(source.monitor().wait_for(|status| status.connects == 2)).await.unwrap();
    peer.publish("deleted", None, b"again").await;
    assert_eq!(websocket.text().await, "again");
    source.stop().await.unwrap();
}

#[tokio::test]
async fn a_broker_that_hangs_does_not_hold_up_the_stop() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let mut websocket = serving.websocket("/real-time-buzz").await;
    let proxy = Proxy::to(broker.port()).await;
    let mut config = quick();
    config.close_timeout = Duration::from_millis(50);
    // Nothing else ends it.
    config.heartbeat = Duration::from_secs(600);
    let source = Source::new(&broker.uri_at(proxy.port), Queue::durable("hung"), "/real-time-buzz").unwrap();
    let source = source.config(config).start(serving.server.broadcaster()).await.unwrap();
    peer.publish("hung", None, b"before").await;
    assert_eq!(websocket.text().await, "before");
    proxy.stall();
    soon(source.stop()).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_falls_silent_is_noticed_by_its_heartbeats() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let proxy = Proxy::to(broker.port()).await;
    let uri = broker.uri_at(proxy.port) + "?heartbeat=1";
    let source = Source::new(&uri, Queue::temporary(), "/real-time-buzz").unwrap().config(quick());
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    proxy.stall();
    soon(source.monitor().wait_for(|status| status.state == State::Waiting)).await.unwrap();
    soon(source.stop()).await.unwrap();
}

#[tokio::test]
async fn a_user_whom_the_broker_does_not_know_any_longer_ends_the_source() {
    let mut broker = Broker::start().await;
    let serving = Serving::start().await;
    let source = Source::new(&broker.uri(), Queue::temporary(), "/real-time-buzz").unwrap().config(quick());
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    broker.kill();
    broker.forget("another");
    broker.rise().await;
    soon(source.monitor().wait_for(|status| status.state == State::Stopped)).await.unwrap();
    let error = soon(source.stop()).await.unwrap_err();
    assert!(error.is_access_refused(), "{error:?}");
}

#[tokio::test]
async fn a_broker_that_accepts_and_says_nothing_is_given_up_and_nothing_is_kept_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let serving = Serving::start().await;
    let mut config = Config::default();
    config.connect_timeout = Duration::from_millis(50);
    let uri = format!("amqp://{}", listener.local_addr().unwrap());
    let source = Source::new(&uri, Queue::durable("hangs"), "/real-time-buzz").unwrap().config(config);
    let error = soon(source.start(serving.server.broadcaster())).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    // The connection is closed, and so is what lapin had for it.
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut greeting = Vec::new();
    soon(stream.read_to_end(&mut greeting)).await.unwrap();
    assert_eq!(greeting, b"AMQP\x00\x00\x09\x01");
}
