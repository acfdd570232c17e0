//! What cannot be broadcast is refused and counted, and nothing else suffers. What cannot work is an error.

use nosphere_amqp::{Queue, Running, Source, Status};

use crate::support::*;

#[tokio::test]
async fn what_is_no_message_is_handed_to_the_dead_letters_and_the_rest_goes_through() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let mut websocket = serving.websocket("/real-time-buzz").await;
    peer.declare("dead", &[]).await;
    let arguments = [("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "dead")];
    let queue = Queue::existing(peer.declare("bad", &arguments).await);
    let mut config = quick();
    config.max_message_bytes = 10;
    let source =
        Source::new(&broker.uri(), queue, "/real-time-buzz").unwrap().config(config).mapping(
            |delivery| match &delivery.body[..] {
                b"panics" => panic!("as it should"),
                b"fails" => Err("as it should".into()),
                _ => Ok(Some(("/real-time-buzz".into(), delivery.message()?))),
            },
        );
    let source = source.start(serving.server.broadcaster()).await.unwrap();
    peer.publish("bad", None, b"first").await;
    peer.publish("bad", Some("application/json"), b"{\"a\":").await;
    peer.publish("bad", Some("application/json"), b"[1]").await;
    peer.publish("bad", None, b"11 bytes...").await;
    peer.publish("bad", None, b"10 bytes..").await;
    peer.publish("bad", None, b"panics").await;
    peer.publish("bad", None, b"fails").await;
    peer.publish("bad", None, b"last").await;
    for text in ["first", "[1]", "10 bytes..", "last"] {
        assert_eq!(websocket.text().await, text);
    }
    source.monitor().wait_for(|status| (status.broadcast, status.rejected) == (4, 4)).await.unwrap();
    assert_eq!(source.status().connects, 1);
    source.stop().await.unwrap();
    assert_eq!(peer.ready("bad").await, 0);
    until(async || peer.ready("dead").await == 4).await;
    for body in [&b"{\"a\":"[..], b"11 bytes...", b"panics", b"fails"] {
        assert_eq!(peer.take("dead").await.unwrap(), body);
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_by_default_does_not_come_back_for_ever() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    let source = start(broker, Queue::durable("large"), &serving).await.unwrap();
    peer.publish("large", None, &vec![b'x'; (1 << 20) + 1]).await;
    peer.publish("large", None, &vec![b'x'; 1 << 20]).await;
    let done = |status: &Status| (status.broadcast, status.rejected) == (1, 1);
    soon(source.monitor().wait_for(done)).await.unwrap();
    source.stop().await.unwrap();
    assert_eq!(peer.ready("large").await, 0);
}

#[tokio::test]
async fn bad_credentials_are_an_error_at_once_even_if_the_broker_may_be_waited_for() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    for wait_at_start in [false, true] {
        for uri in [broker.uri().replace("guest:guest", "guest:wrong"), broker.uri().replace("guest:", "nobody:")] {
            let mut config = quick();
            config.wait_at_start = wait_at_start;
            let source = Source::new(&uri, Queue::durable("never"), "/real-time-buzz").unwrap().config(config);
            let error = soon(source.start(serving.server.broadcaster())).await.unwrap_err();
            assert!(error.is_access_refused(), "{error:?}");
            let text = error.to_string();
            assert!(text.starts_with("the broker refuses access: ") && !text.contains("wrong"), "{text}");
        }
    }
}

#[tokio::test]
async fn what_the_broker_does_not_have_is_an_error_at_once() {
    let (broker, serving) = (Broker::shared().await, Serving::start().await);
    let peer = Peer::connect(broker).await;
    peer.declare("other", &[("x-queue-type", "quorum")]).await;
    let vhost = broker.uri().replace("%2f", "nowhere");
    for (uri, queue) in [
        (broker.uri(), Queue::existing("not there")),
        (broker.uri(), Queue::durable("other")),
        (broker.uri(), Queue::temporary().bind("not there", "")),
        (vhost, Queue::temporary()),
    ] {
        let mut config = quick();
        config.wait_at_start = true;
        let source = Source::new(&uri, queue.clone(), "/real-time-buzz").unwrap().config(config);
        let error = soon(source.start(serving.server.broadcaster())).await.unwrap_err();
        assert!(error.is_refused(), "{queue:?}: {error:?}");
    }
}

#[test]
fn a_source_that_amqp_cannot_express_is_refused_and_does_not_panic_later() {
    let name = "x".repeat(256);
    for queue in [
        Queue::durable(name.clone()),
        Queue::temporary().bind(name.clone(), ""),
        Queue::temporary().bind("", name.clone()),
    ] {
        assert!(Source::new("amqp://localhost", queue, "/").unwrap_err().is_invalid());
    }
    assert!(Source::new("amqp://localhost", Queue::durable(&name[1..]), "/").is_ok());
}

#[test]
fn the_password_is_not_in_the_logs() {
    let source = Source::new("amqp://user:secret@host/vhost", Queue::durable("queue"), "/").unwrap();
    assert_eq!(format!("{source:?}"), r#"Source("queue" at host:5672, "vhost")"#);
}

async fn start(broker: &Broker, queue: Queue, serving: &Serving) -> Result<Running, nosphere_amqp::Error> {
    let source = Source::new(&broker.uri(), queue, "/real-time-buzz").unwrap().config(quick());
    soon(source.start(serving.server.broadcaster())).await
}
