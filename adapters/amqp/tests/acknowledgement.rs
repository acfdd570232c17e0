//! Nothing is acknowledged that was not broadcast, and the rest stays with the broker.

use std::num::NonZeroU16;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use nosphere_amqp::{Delivery, Queue, Source, State};

use crate::support::*;

/// A mapping that says that it has begun, and waits to be let go on. Dropping the gate lets everything pass.
fn gate() -> (impl Fn(&Delivery) + Send + Sync + 'static, tokio::sync::mpsc::UnboundedReceiver<bool>, mpsc::Sender<()>)
{
    let (begun, begins) = tokio::sync::mpsc::unbounded_channel();
    let (open, opened) = mpsc::channel();
    let opened = Arc::new(Mutex::new(opened));
    let wait = move |delivery: &Delivery| {
        // Nobody may listen any longer, nor be there to open.
        let _ = begun.send(delivery.redelivered);
        let _ = opened.lock().unwrap().recv();
    };
    (wait, begins, open)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_before_it_is_broadcast() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let mut websocket = serving.websocket("/real-time-buzz").await;
    let queue = Queue::durable(peer.declare("before", &[]).await);
    peer.publish_numbers("before", 0..4).await;
    let (wait, mut begins, open) = gate();
    let proxy = Proxy::to(broker.port()).await;
    let source = Source::new(&broker.uri_at(proxy.port), queue, "/real-time-buzz").unwrap();
    let source = source.config(quick()).mapping(move |delivery| {
        wait(delivery);
        Ok(Some(("/real-time-buzz".into(), delivery.message()?)))
    });
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    // The first goes through, and the second is under way.
    assert_eq!(soon(begins.recv()).await, Some(false));
    open.send(()).unwrap();
    assert_eq!(soon(begins.recv()).await, Some(false));
    assert_eq!(websocket.text().await, "0");
    until(async || peer.ready("before").await == 0).await;
    // The broker gets back what it has no acknowledgement for, and that is all but the first at most.
    proxy.cut().await;
    until(async || peer.ready("before").await >= 3).await;
    drop(open);
    assert_eq!(websocket.text().await, "1");
    soon(source.monitor().wait_for(|status| status.state == State::Waiting)).await.unwrap();
    soon(source.stop()).await.unwrap();
    assert!(peer.ready("before").await >= 3);

    // Whoever consumes next gets them, the second for the second time, and can tell.
    let source = Source::new(&broker.uri(), Queue::existing("before"), "/real-time-buzz").unwrap();
    let source = source.mapping(|delivery| {
        let text = format!("{} {}", str::from_utf8(&delivery.body)?, delivery.redelivered);
        Ok(Some(("/real-time-buzz".into(), text.into())))
    });
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    let mut again = Vec::new();
    while again.last().is_none_or(|text| text != "3 true") {
        // Before it noticed, the first source may have gone on with what it had.
        again.extend(Some(websocket.text().await).filter(|text| text.contains(' ')));
    }
    // Acknowledgements are batched, so the first may be among them.
    assert_eq!(again[again.len() - 3..], ["1 true", "2 true", "3 true"]);
    assert!(again.len() == 3 || again[0] == "0 true", "{again:?}");
    source.stop().await.unwrap();
    assert_eq!(peer.ready("before").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_holds_the_broker_back_and_misses_nothing() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let mut slow = serving.websocket("/real-time-buzz").await;
    let mut config = quick();
    config.prefetch = NonZeroU16::new(4).unwrap();
    let source = Source::new(&broker.uri(), Queue::durable("slow"), "/real-time-buzz").unwrap().config(config);
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    // Far more than a session's queue and the buffers of two sockets take.
    const ALL: usize = 800;
    let text = |number: usize| format!("{number:0>65000}");
    for number in 0..ALL {
        peer.publish("slow", None, text(number).as_bytes()).await;
    }
    let ready = peer.ready("slow").await;
    assert!(ready > 0, "all of it is in memory");
    for number in 0..ALL {
        assert!(slow.text().await == text(number), "{number}");
    }
    soon(source.monitor().wait_for(|status| status.broadcast == ALL as u64)).await.unwrap();
    source.stop().await.unwrap();
    assert_eq!(serving.server.sessions_on("/real-time-buzz"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_keeps_what_is_beyond_the_prefetch() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let queue = Queue::durable(peer.declare("prefetch", &[]).await);
    peer.publish_numbers("prefetch", 0..20).await;
    let (wait, mut begins, open) = gate();
    let mut config = quick();
    config.prefetch = NonZeroU16::new(4).unwrap();
    let source = Source::new(&broker.uri(), queue, "/real-time-buzz").unwrap().config(config);
    let source = source.mapping(move |delivery| {
        wait(delivery);
        Ok(None)
    });
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    soon(begins.recv()).await.unwrap();
    until(async || peer.ready("prefetch").await == 16).await;
    // It has had every chance to hand over more.
    peer.publish_numbers("prefetch", 20..40).await;
    assert_eq!(peer.ready("prefetch").await, 36);
    drop(open);
    soon(source.monitor().wait_for(|status| status.declined == 40)).await.unwrap();
    source.stop().await.unwrap();
    assert_eq!(peer.ready("prefetch").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clean_stop_in_mid_stream_loses_nothing_and_repeats_nothing() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let mut websocket = serving.websocket("/real-time-buzz").await;
    let queue = Queue::durable(peer.declare("stop", &[]).await);
    const ALL: u32 = 600;
    peer.publish_numbers("stop", 0..ALL).await;
    let mut left = ALL;
    let mut rounds = 0;
    while left > 0 {
        let mut config = quick();
        config.prefetch = NonZeroU16::new(16).unwrap();
        let source = Source::new(&broker.uri(), queue.clone(), "/real-time-buzz").unwrap().config(config);
        let source = source.start(serving.server.broadcaster()).await.unwrap();
        let mut monitor = source.monitor();
        soon(monitor.wait_for(|status| status.broadcast >= u64::from(left.min(50)))).await.unwrap();
        source.stop().await.unwrap();
        left -= u32::try_from(monitor.status().broadcast).unwrap();
        assert_eq!(peer.ready("stop").await, left);
        rounds += 1;
    }
    assert!(rounds > 1, "it was never stopped in mid-stream");
    for number in 0..ALL {
        assert_eq!(websocket.text().await, number.to_string());
    }
}
