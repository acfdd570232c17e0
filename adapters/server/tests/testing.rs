//! `nosphere::testing`, judged by handlers like those of an application.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nosphere::testing::{ConnectError, OtherMessage, PATIENCE, Refused, TestClient, WaitError};
use nosphere::{
    Client, Config, Error, Event, Everyone, Handler, Json, Kind, Message, Overflow, Payload, Reason, Refusal,
    SendError, Server, ServerConfig, Side, Transport, Window,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::support::FORMATS;

/// A server with one endpoint.
macro_rules! serve {
    ($path:expr, $factory:expr) => {
        Server::builder().endpoint($path, $factory).build().unwrap()
    };
}

const TRANSPORTS: [Transport; 2] = [Transport::ServerSentEvents, Transport::LongPolling];

/// Every transport with every format.
fn carriers() -> impl Iterator<Item = (Transport, &'static str)> {
    TRANSPORTS.into_iter().flat_map(|transport| FORMATS.map(|format| (transport, format.name())))
}

#[tokio::test(start_paused = true)]
async fn two_clients_chat_over_every_transport_in_every_format() {
    for (transport, format) in carriers() {
        let server = room();
        let connect = || TestClient::builder("/room").transport(transport).format(format).connect(&server);
        let mut joe = connect().await.unwrap();
        let mut ann = connect().await.unwrap();
        let line = Line { author: "joe".into(), message: "hi".into() };
        joe.send(Json::new(&line).unwrap()).unwrap();
        joe.send("text").unwrap();
        joe.send(Message::binary(vec![0, 255])).unwrap();
        assert_eq!(ann.receive().await.unwrap().json::<Line>().unwrap(), line);
        assert_eq!(ann.receive().await.unwrap(), "text");
        assert_eq!(ann.receive().await.unwrap().binary().unwrap().as_ref(), [0, 255]);
        joe.expect_silence().await.unwrap();
        ann.expect_silence().await.unwrap();
        assert_eq!((ann.transport(), server.sessions_on("/room")), (transport, 2));
        assert_ne!(joe.id(), ann.id());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_comes_with_all_that_the_answer_says() {
    let refuse = || Refusal::forbidden("not you").with_header(http::header::RETRY_AFTER, 7.into());
    let server = serve!("/refused", move |_| Err::<Room, _>(refuse()));
    for transport in TRANSPORTS {
        let refused = refused(TestClient::builder("/refused").transport(transport).connect(&server).await);
        assert_eq!((refused.status().as_u16(), refused.name()), (403, Some("forbidden")));
        assert_eq!((refused.text().as_str(), &refused.headers()["retry-after"]), ("not you", &"7".parse().unwrap()));
        assert_eq!(refused.to_string(), "403 Forbidden, forbidden: not you");
    }
    let nowhere = refused(TestClient::connect(&server, "/elsewhere").await);
    assert_eq!((nowhere.status().as_u16(), nowhere.name()), (404, None));
    assert_eq!(server.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_server_without_room_says_is_not_waited_out() {
    let mut config = ServerConfig::default();
    config.max_sessions = 1;
    let server = Server::builder().config(config).endpoint("/room", |_| Room).build().unwrap();
    let _joe = TestClient::connect(&server, "/room").await.unwrap();
    let from = Instant::now();
    let refused = refused(TestClient::connect(&server, "/room").await);
    assert_eq!((refused.status().as_u16(), from.elapsed()), (503, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn admission_sees_the_request_as_it_was_described() {
    #[derive(Clone)]
    struct User(&'static str);
    let server = serve!("/rooms/{id}", |head| {
        let key = head.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        let user = head.extensions().get::<User>().map(|user| user.0);
        let seen = format!("{:?} {:?} {:?} {user:?}", head.parameter("id"), head.uri().query(), key);
        Greet(seen)
    });
    let mut ann = TestClient::builder("/rooms/7?a=b")
        .header("authorization", "Bearer x")
        .extension(User("ann"))
        .connect(&server)
        .await
        .unwrap();
    assert_eq!(ann.receive().await.unwrap(), r#"Some("7") Some("a=b") Some("Bearer x") Some("ann")"#);
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_an_error_and_not_a_request() {
    let server = room();
    let error = |builder: nosphere::testing::TestClientBuilder| {
        let server = server.clone();
        async move { builder.connect(&server).await.unwrap_err().to_string() }
    };
    let client = || TestClient::builder("/room");
    let cases = [
        (client().header("a b", "c"), "not a request: the name of a header: invalid HTTP header name"),
        (client().header("a", "\n"), "not a request: the value of a header: failed to parse header value"),
        (TestClient::builder("a b"), "not a request: the URI \"a b\": invalid uri character"),
        (client().format("xml"), "the server has no wire format \"xml\""),
        (client().transport(Transport::WebSocket), "a test client has no websocket; handlers see the same over sse"),
    ];
    for (builder, expected) in cases {
        assert_eq!(error(builder).await, expected);
    }
    let mut joe = client().connect(&server).await.unwrap();
    joe.suspend();
    let error = joe.resume_over(Transport::WebSocket).await.unwrap_err();
    assert!(matches!(error, ConnectError::Transport { transport: Transport::WebSocket }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_while_a_client_is_suspended_and_nothing_doubled() {
    for (transport, format) in carriers() {
        let server = room();
        let connect = || TestClient::builder("/room").transport(transport).format(format).connect(&server);
        let mut joe = connect().await.unwrap();
        let mut ann = connect().await.unwrap();
        joe.send("1").unwrap();
        joe.settled().await.unwrap();
        ann.suspend();
        for text in ["2", "3"] {
            joe.send(text).unwrap();
        }
        ann.send("from ann").unwrap();
        joe.expect_silence().await.unwrap();
        ann.resume().await.unwrap();
        joe.send("4").unwrap();
        for text in ["1", "2", "3", "4"] {
            assert_eq!(ann.receive().await.unwrap(), text, "{transport} {format}");
        }
        assert_eq!(joe.receive().await.unwrap(), "from ann");
        ann.expect_silence().await.unwrap();
        joe.expect_silence().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_back_over_another_transport_says_so_on_both_sides() {
    let (events, log) = std::sync::mpsc::channel();
    let server = serve!("/", move |_| Witness(events.clone()));
    let mut joe = TestClient::connect(&server, "/").await.unwrap();
    joe.suspend();
    joe.resume_over(Transport::LongPolling).await.unwrap();
    let expected = [
        Event::Connected { transport: Transport::ServerSentEvents },
        Event::Suspended,
        Event::Resumed { transport: Transport::LongPolling },
    ];
    // No waiting: the handler has dealt with what the client did.
    assert_eq!(log.try_iter().collect::<Vec<_>>(), expected);
    for event in expected {
        assert_eq!(joe.event().await.unwrap(), event);
    }
    assert_eq!(joe.transport(), Transport::LongPolling);
}

#[tokio::test(start_paused = true)]
async fn a_resume_that_admission_does_not_want_is_refused() {
    let asked = AtomicUsize::new(0);
    let server = serve!("/once", move |_| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => Ok(Room),
        _ => Err(Refusal::forbidden("once is enough")),
    });
    let mut joe = TestClient::connect(&server, "/once").await.unwrap();
    joe.suspend();
    match joe.resume().await {
        Err(WaitError::Refused(refused)) => assert_eq!(refused.text(), "once is enough"),
        other => panic!("{other:?}"),
    }
    let ended = joe.ended().await.unwrap();
    assert_eq!((ended.by, ended.reason), (Side::Server, Reason::Forbidden));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_messages_arrive_in_order_through_a_window_of_five() {
    let mut config = ServerConfig::default();
    config.session.window = Window { messages: 5, bytes: 1000 };
    for (transport, format) in carriers() {
        let server = Server::builder().config(config.clone()).endpoint("/echo", |_| Echo).build().unwrap();
        let builder = TestClient::builder("/echo").transport(transport).format(format);
        let mut joe = builder.window(Window { messages: 3, bytes: 1000 }).connect(&server).await.unwrap();
        for number in 0..1000 {
            joe.send(number.to_string().as_str()).unwrap();
        }
        for number in 0..1000 {
            assert_eq!(joe.receive().await.unwrap(), number.to_string().as_str());
        }
        joe.expect_silence().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_not_noticed_too_early_on_several_threads() {
    // Many bodies, so that the client has to go on by itself.
    let mut config = ServerConfig::default();
    config.session.window = Window { messages: 2, bytes: 1000 };
    for (transport, format) in carriers() {
        let server = Server::builder().config(config.clone()).endpoint("/room", |_| Room).build().unwrap();
        let connect = || TestClient::builder("/room").transport(transport).format(format).connect(&server);
        let mut joe = connect().await.unwrap();
        let mut ann = connect().await.unwrap();
        for round in 0..100 {
            for _ in 0..50 {
                joe.send("noise").unwrap();
            }
            match ann.expect_silence().await {
                Err(WaitError::Noise { messages }) => assert_eq!(messages.len(), 50, "round {round}"),
                other => panic!("round {round}: {other:?}"),
            }
            for _ in 0..50 {
                assert_eq!(ann.receive().await.unwrap(), "noise");
            }
            joe.expect_silence().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_connects_hears_nothing_of_what_was_before() {
    for _ in 0..200 {
        let server = serve!("/greet", |_| Greet("welcome".into()));
        let mut joe = TestClient::connect(&server, "/greet").await.unwrap();
        let mut ann = TestClient::connect(&server, "/greet").await.unwrap();
        ann.settled().await.unwrap();
        assert_eq!(joe.receive().await.unwrap(), "welcome");
        assert_eq!(joe.receive().await.unwrap(), "welcome");
        assert_eq!(ann.receive().await.unwrap(), "welcome");
        joe.close().await.unwrap();
        let mut eve = TestClient::connect(&server, "/greet").await.unwrap();
        assert_eq!(eve.receive().await.unwrap(), "welcome", "and not that joe has left");
        eve.expect_silence().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn silence_waits_for_a_handler_that_takes_its_time() {
    let server = serve!("/slow", |_| Slow(Duration::from_secs(3)));
    let joe = TestClient::connect(&server, "/slow").await.unwrap();
    let mut ann = TestClient::connect(&server, "/slow").await.unwrap();
    let from = Instant::now();
    joe.send("a").unwrap();
    joe.send("b").unwrap();
    let error = ann.expect_silence().await.unwrap_err();
    assert_eq!(error.to_string(), r#"silence was expected, and there came [Text("a"), Text("b")]"#);
    assert_eq!(from.elapsed(), Duration::from_secs(6));
    assert_eq!(ann.receive().await.unwrap(), "a");
    assert_eq!(ann.receive().await.unwrap(), "b");
    ann.expect_silence().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_never_ends_says_what_it_was_for_and_what_came_instead() {
    let server = serve!("/slow", |_| Slow(Duration::from_secs(3600)));
    let mut joe = TestClient::connect(&server, "/slow").await.unwrap();
    let timed_out = async |expected: &str, error: WaitError, from: Instant| {
        assert_eq!((error.to_string().as_str(), from.elapsed()), (expected, PATIENCE));
    };
    let from = Instant::now();
    let nothing = "waited 10s for a message; there came instead [Connected { transport: ServerSentEvents }]";
    timed_out(nothing, joe.receive().await.unwrap_err(), from).await;
    assert_eq!(joe.event().await.unwrap(), Event::Connected { transport: Transport::ServerSentEvents });
    let from = Instant::now();
    timed_out("waited 10s for an event; nothing came instead", joe.event().await.unwrap_err(), from).await;
    let from = Instant::now();
    let end = "waited 10s for the end of the session; there came instead [Heartbeat]";
    timed_out(end, joe.ended().await.unwrap_err(), from).await;
    joe.send("wait for it").unwrap();
    let from = Instant::now();
    let busy =
        "waited 10s for everything to be handled, with handlers busy on [\"/slow\"]; there came instead [Heartbeat]";
    timed_out(busy, joe.expect_silence().await.unwrap_err(), from).await;
    let hasty = TestClient::builder("/slow").patience(Duration::from_millis(20));
    let mut hasty = hasty.connect(&server).await.unwrap();
    let from = Instant::now();
    assert!(matches!(hasty.event().await, Ok(Event::Connected { .. })));
    assert!(matches!(hasty.event().await, Err(WaitError::TimedOut { limit, .. }) if limit == from.elapsed()));
}

#[tokio::test(start_paused = true)]
async fn what_the_server_does_not_take_is_not_settled() {
    let mut config = ServerConfig::default();
    config.max_bodies_per_session = 0;
    let server = Server::builder().config(config).endpoint("/room", |_| Room).build().unwrap();
    let joe = TestClient::connect(&server, "/room").await.unwrap();
    joe.send("for nobody").unwrap();
    let error = joe.settled().await.unwrap_err();
    assert!(matches!(error, WaitError::TimedOut { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_in_connected_does_not_hold_up_the_test() {
    let gate = Arc::new(Notify::new());
    let opens = Arc::clone(&gate);
    let server = serve!("/gate", move |_| Gate(Arc::clone(&opens)));
    let mut joe = TestClient::connect(&server, "/gate").await.unwrap();
    gate.notify_one();
    assert_eq!(joe.receive().await.unwrap(), "open");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_takes_nobody_along() {
    let server = serve!("/fragile", |_| Fragile);
    let mut ann = TestClient::connect(&server, "/fragile").await.unwrap();
    for way in ["fail", "panic"] {
        let mut joe = TestClient::connect(&server, "/fragile").await.unwrap();
        joe.send(way).unwrap();
        let ended = joe.ended().await.unwrap();
        assert_eq!((ended.by, ended.reason), (Side::Server, Reason::Internal), "{way}");
        let error = joe.receive().await.unwrap_err();
        let expected = "the session was ended by Server with internal (1011); the test waited for a message";
        assert_eq!(error.to_string(), expected);
        assert!(matches!(joe.send("more"), Err(SendError::Closed(message)) if message == Message::text("more")));
        assert!(matches!(joe.expect_silence().await, Err(WaitError::Ended { .. })), "nobody is there to hear");
    }
    ann.send("still there").unwrap();
    assert_eq!(ann.receive().await.unwrap(), "still there");
    assert_eq!(server.sessions(), 1);
}

#[tokio::test(start_paused = true)]
async fn both_sides_learn_how_a_session_ended() {
    for transport in TRANSPORTS {
        let (events, log) = std::sync::mpsc::channel();
        let server = serve!("/", move |_| Witness(events.clone()));
        let mut joe = TestClient::builder("/").transport(transport).connect(&server).await.unwrap();
        let ended = joe.close_with(Reason::Application(3210)).await.unwrap();
        assert_eq!((ended.by, ended.reason), (Side::Client, Reason::Application(3210)));
        assert_eq!(ended.undelivered, Default::default());
        let disconnected = Event::Disconnected { by: Side::Client, reason: Reason::Application(3210) };
        assert_eq!(log.try_iter().last(), Some(disconnected.clone()), "the handler has seen it by now");
        assert_eq!(joe.events(), [Event::Connected { transport }, disconnected]);
        assert_eq!(server.sessions(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_into_the_void_is_handed_back() {
    let server = room();
    let mut joe = TestClient::connect(&server, "/room").await.unwrap();
    joe.suspend();
    joe.send("lost").unwrap();
    let from = Instant::now();
    let ended = joe.close().await.unwrap();
    assert_eq!(from.elapsed(), Config::default().close_timeout, "there is no link to say it on");
    let unsent: Vec<_> = ended.undelivered.unsent.iter().map(Message::payload).collect();
    assert_eq!(unsent, [&Payload::Text("lost".into())]);
    assert_eq!(ended.undelivered.unknown, []);
}

#[tokio::test(start_paused = true)]
async fn who_vanishes_is_missed_when_the_session_expires() {
    for transport in TRANSPORTS {
        let (events, log) = std::sync::mpsc::channel();
        let server = serve!("/", move |_| Witness(events.clone()));
        let joe = TestClient::builder("/").transport(transport).connect(&server).await.unwrap();
        let ann = TestClient::connect(&server, "/").await.unwrap();
        joe.vanish();
        ann.settled().await.unwrap();
        assert_eq!(server.sessions(), 2);
        let config = Config::default();
        tokio::time::sleep(config.poll_gap + config.resume + Duration::from_secs(1)).await;
        ann.settled().await.unwrap();
        let events: Vec<_> = log.try_iter().collect();
        let expected = [Event::Suspended, Event::Disconnected { by: Side::Network, reason: Reason::Expired }];
        let tail: Vec<_> = events.into_iter().filter(|event| expected.contains(event)).collect();
        assert_eq!(tail, expected, "{transport}");
        assert_eq!(server.sessions(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_silence_is_survived_by_heartbeats_and_polls() {
    for (transport, format) in carriers() {
        let server = serve!("/echo", |_| Echo);
        let builder = TestClient::builder("/echo").transport(transport).format(format);
        let mut joe = builder.connect(&server).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        joe.send("still there").unwrap();
        assert_eq!(joe.receive().await.unwrap(), "still there");
        let lost = joe.events().into_iter().find(|event| matches!(event, Event::Suspended | Event::Error(_)));
        assert_eq!(lost, None, "{transport} {format}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_meets_the_policy_for_full_queues() {
    let mut config = ServerConfig::default();
    config.session.max_queued_messages = 10;
    for (overflow, taken) in [(Overflow::DropNewest, 0..10), (Overflow::DropOldest, 0..4), (Overflow::Disconnect, 0..4)]
    {
        config.session.overflow = overflow;
        let server = Server::builder().config(config.clone()).endpoint("/", |_| Room).build().unwrap();
        let client = TestClient::builder("/").window(Window { messages: 4, bytes: 1000 }).backlog(0);
        let mut joe = client.connect(&server).await.unwrap();
        let broadcaster = server.broadcaster();
        for number in 0..20 {
            broadcaster.to("/").send(number.to_string().as_str());
            joe.settled().await.unwrap();
        }
        let disconnects = overflow == Overflow::Disconnect;
        assert_eq!(server.sessions(), usize::from(!disconnects), "{overflow:?}");
        for number in taken {
            assert_eq!(joe.receive().await.unwrap(), number.to_string().as_str(), "{overflow:?}");
        }
        match overflow {
            Overflow::DropOldest => {
                for number in 14..20 {
                    assert_eq!(joe.receive().await.unwrap(), number.to_string().as_str());
                }
                joe.expect_silence().await.unwrap();
            }
            Overflow::DropNewest => joe.expect_silence().await.unwrap(),
            _ => assert_eq!(joe.ended().await.unwrap().reason, Reason::Overflow),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_broken_by_what_a_client_has_not_taken() {
    let server = room();
    let mut joe = TestClient::builder("/room").backlog(0).connect(&server).await.unwrap();
    server.broadcaster().to("/room").send("noise");
    assert!(matches!(joe.expect_silence().await, Err(WaitError::Noise { messages }) if messages.len() == 1));
    assert_eq!(joe.receive().await.unwrap(), "noise");
    joe.expect_silence().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_at_once_each_hear_all_the_others() {
    const CLIENTS: usize = 100;
    let server = room();
    let connecting = (0..CLIENTS).map(|number| {
        let (transport, format) = carriers().nth(number % 4).unwrap();
        TestClient::builder("/room").transport(transport).format(format).connect(&server)
    });
    let mut clients = futures::future::try_join_all(connecting).await.unwrap();
    for (number, client) in clients.iter().enumerate() {
        client.send(number.to_string().as_str()).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut heard = Vec::new();
        for _ in 1..CLIENTS {
            heard.push(client.receive().await.unwrap().text().unwrap().parse::<usize>().unwrap());
        }
        heard.sort_unstable();
        assert!(heard.into_iter().eq((0..CLIENTS).filter(|other| *other != number)));
        client.expect_silence().await.unwrap();
    }
    let ends = clients.iter_mut().map(TestClient::close);
    let ends = futures::future::try_join_all(ends).await.unwrap();
    assert!(ends.iter().all(|end| end.by == Side::Client));
    assert_eq!(server.sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_down_takes_leave_of_its_clients() {
    let server = room();
    let mut joe = TestClient::connect(&server, "/room").await.unwrap();
    server.broadcaster().to("/room").send("goodbye");
    let (ended, ()) = tokio::join!(joe.ended(), server.shutdown());
    assert_eq!(ended.unwrap().reason, Reason::GoingAway);
    assert_eq!(joe.receive().await.unwrap(), "goodbye", "what came before the end can still be taken");
    let refused = refused(TestClient::connect(&server, "/room").await);
    assert_eq!((refused.status().as_u16(), refused.name()), (503, Some("going-away")));
}

#[tokio::test(start_paused = true)]
async fn a_message_of_another_kind_is_told_with_what_it_is() {
    let server = serve!("/echo", |_| Echo);
    let mut joe = TestClient::connect(&server, "/echo").await.unwrap();
    joe.send("text").unwrap();
    let received = joe.receive().await.unwrap();
    let error = received.json::<Line>().unwrap_err();
    assert!(matches!(error, OtherMessage::Kind { expected: Kind::Json, .. }));
    assert_eq!(error.to_string(), r#"not a json message: Text("text")"#);
    assert!(received.binary().is_err());
    joe.send(Json::new(&[1]).unwrap()).unwrap();
    let received = joe.receive().await.unwrap();
    assert!(received.text().is_err());
    assert!(matches!(received.json::<Line>(), Err(OtherMessage::Value { .. })));
    assert_eq!(received.json::<[u8; 1]>().unwrap(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_client_shows_what_it_is_and_no_secret() {
    let server = room();
    let joe = TestClient::builder("/room?key=secret").header("authorization", "secret").connect(&server).await.unwrap();
    let shown = format!("{joe:?}");
    assert!(shown.contains(&joe.id().to_string()) || shown.contains("SessionId"), "{shown}");
    assert!(shown.contains("/room") && shown.contains("ServerSentEvents") && shown.contains("Open"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_client_may_be_used_where_no_task_runs() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let server = room();
    let (joe, mut ann) = runtime.block_on(async {
        let joe = TestClient::connect(&server, "/room").await.unwrap();
        (joe, TestClient::connect(&server, "/room").await.unwrap())
    });
    joe.send("from outside").unwrap();
    assert_eq!(runtime.block_on(ann.receive()).unwrap(), "from outside");
    ann.suspend();
    joe.vanish();
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Line {
    author: String,
    message: String,
}

fn room() -> Server {
    serve!("/room", |_| Room)
}

fn refused(answer: Result<TestClient, ConnectError>) -> Refused {
    match answer {
        Err(ConnectError::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

fn message(event: &Event) -> Option<Message> {
    match event {
        Event::Binary(bytes) => Some(bytes.clone().into()),
        Event::Json(json) => Some(json.clone().into()),
        Event::Text(text) => Some(text.clone().into()),
        _ => None,
    }
}

/// Sends every message to everybody else.
struct Room;

impl Handler for Room {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Some(message) = message(&event) {
            client.broadcast(message);
        }
        Ok(())
    }
}

/// Sends every message back.
struct Echo;

impl Handler for Echo {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        Ok(message(&event).map_or(Ok(()), |message| client.send(message))?)
    }
}

/// Tells everybody who comes and goes.
struct Greet(String);

impl Handler for Greet {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        match event {
            Event::Connected { .. } => client.broadcast_to(&Everyone, self.0.as_str()),
            Event::Disconnected { .. } => client.broadcast("left"),
            _ => 0,
        };
        Ok(())
    }
}

/// Writes down what it sees.
struct Witness(std::sync::mpsc::Sender<Event>);

impl Handler for Witness {
    async fn receive(&mut self, _: &Client, event: Event) -> Result<(), Error> {
        Ok(self.0.send(event)?)
    }
}

/// Thinks about every message before it passes it on.
struct Slow(Duration);

impl Handler for Slow {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Some(message) = message(&event) {
            tokio::time::sleep(self.0).await;
            client.broadcast(message);
        }
        Ok(())
    }
}

/// Waits until it may greet.
struct Gate(Arc<Notify>);

impl Handler for Gate {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Connected { .. } = event {
            self.0.notified().await;
            client.send("open")?;
        }
        Ok(())
    }
}

/// Fails when it is told to, and sends back everything else.
struct Fragile;

impl Handler for Fragile {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        match event {
            Event::Text(text) if &*text == "fail" => Err("as it was told".into()),
            Event::Text(text) if &*text == "panic" => panic!("as it was told"),
            Event::Text(text) => Ok(client.send(text)?),
            _ => Ok(()),
        }
    }
}
