//! What handlers are given, and what becomes of them when they fail.

use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use nosphere::testing::{ConnectError, TestClient};
use nosphere::{
    Client, Error, Event, Handler, Json, Panicked, Parsed, Peer, Reason, Refusal, RequestHead, Server, SessionError,
    Side, Transport, handler_fn,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tower::Service as _;

use crate::support::{FORMATS, Lines, TestServer, Ws};

/// What middleware finds out about whoever asks.
#[derive(Clone, Debug, PartialEq)]
struct User(&'static str);

/// Says what it saw of the request in `Connected`, and whether it sees it later.
struct Curious;

impl Handler for Curious {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        match event {
            Event::Connected { .. } => {
                let head = client.head().ok_or("no head")?;
                client.send(describe(&head))?;
                // However long that takes.
                tokio::task::yield_now().await;
                assert!(client.head().is_some());
            }
            Event::Text(_) => client.send(format!("{:?}", client.head().map(|head| head.uri().clone())))?,
            _ => {}
        }
        Ok(())
    }
}

fn describe(head: &RequestHead) -> String {
    let user = head.extension::<User>().map(|user| user.0);
    format!(
        "{} {} {:?} {:?} {:?} {:?} {user:?} {:?}",
        head.endpoint(),
        head.path(),
        head.parameter("id"),
        head.query("q"),
        head.header("x-test"),
        head.peer(),
        head.principal(),
    )
}

#[tokio::test(start_paused = true)]
async fn connected_still_sees_the_head_that_the_factory_saw_and_nothing_later_does() {
    let made = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&made);
    let builder = Server::builder().principal(|head| head.extension::<User>().map(|user| user.0.to_owned()));
    let server = builder.endpoint("/rooms/{id}", move |head| {
        seen.lock().unwrap().push(describe(head));
        Curious
    });
    let server = server.build().unwrap();
    for transport in [Transport::ServerSentEvents, Transport::LongPolling] {
        let peer: SocketAddr = "192.0.2.7:4711".parse().unwrap();
        let client = TestClient::builder("/rooms/7/?p=0&q=a%20b%C3%A9&q=2").header("x-test", "yes");
        let client = client.extension(User("joe")).extension(Peer(peer)).transport(transport);
        let mut client = client.connect(&server).await.unwrap();
        let said =
            r#"/rooms/{id} /rooms/7 Some("7") Some("a bé") Some("yes") Some(192.0.2.7:4711) Some("joe") Some("joe")"#;
        assert_eq!(client.receive().await.unwrap(), said);
        assert_eq!(made.lock().unwrap().pop().unwrap(), said);
        client.send("later").unwrap();
        assert_eq!(client.receive().await.unwrap(), "None");
    }
}

/// A wrapper that knows the address, as a server of one's own would be.
#[tokio::test]
async fn a_websockets_handler_sees_the_head_and_the_address_of_its_peer() {
    let server = Server::builder().endpoint("/rooms/{id}", |_| Curious).build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = server.clone();
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let mut server = serving.clone();
            let service = tower::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(Peer(peer));
                server.call(request)
            });
            let http = hyper::server::conn::http1::Builder::new();
            let connection = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            tokio::spawn(connection.with_upgrades());
        }
    });
    let mut ws = Ws::connect(addr, "/rooms/7?q=1", None).await;
    let said = ws.next_text().await;
    assert!(said.starts_with(r#"/rooms/{id} /rooms/7 Some("7") Some("1") None Some(127.0.0.1:"#), "{said}");
    ws.text("later").await;
    assert_eq!(ws.next_text().await, "None");
}

#[tokio::test(start_paused = true)]
async fn an_admission_that_waits_is_asked_before_the_factory_for_every_opening_and_resumption() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (at_gate, at_factory) = (Arc::clone(&asked), Arc::clone(&asked));
    let banned = Arc::new(Mutex::new(false));
    let is_banned = Arc::clone(&banned);
    let builder = Server::builder().principal(|head| head.header("x-user").map(str::to_owned));
    let builder = builder.admission(move |head: RequestHead| {
        at_gate.lock().unwrap().push(format!("gate {}", head.principal().unwrap_or("nobody")));
        let is_banned = Arc::clone(&is_banned);
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let is_banned = *is_banned.lock().unwrap();
            match (is_banned, head.principal()) {
                (_, None) => Err(Refusal::by_admission(StatusCode::UNAUTHORIZED, "who are you?")
                    .with_header(http::header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic"))
                    .with_body(HeaderValue::from_static("application/json"), r#"{"login":"/login"}"#)),
                (true, _) => Err(Refusal::forbidden("not any more")),
                (false, Some("panic")) => panic!("a panic that the test wants"),
                (false, Some(_)) => Ok(()),
            }
        }
    });
    let server = builder.endpoint("/room", move |_| {
        at_factory.lock().unwrap().push("factory".into());
        handler_fn(|client, event| async move {
            if let Event::Text(text) = event {
                client.send(text)?;
            }
            Ok(())
        })
    });
    let server = server.build().unwrap();
    let refused = |error: ConnectError| match error {
        ConnectError::Refused(refused) => refused,
        other => panic!("{other}"),
    };
    let stranger = refused(TestClient::connect(&server, "/room").await.unwrap_err());
    assert_eq!((stranger.status().as_u16(), stranger.name()), (401, Some("forbidden")));
    assert_eq!(
        (&stranger.headers()["www-authenticate"], stranger.body().as_ref()),
        (&"Basic".parse().unwrap(), &br#"{"login":"/login"}"#[..])
    );
    assert_eq!(stranger.headers()["content-type"], "application/json");

    let unlucky = TestClient::builder("/room").header("x-user", "panic").connect(&server).await;
    assert_eq!(refused(unlucky.unwrap_err()).status().as_u16(), 500);
    assert_eq!(asked.lock().unwrap().drain(..).collect::<Vec<_>>(), ["gate nobody", "gate panic"]);

    let mut joe = TestClient::builder("/room").header("x-user", "joe").connect(&server).await.unwrap();
    joe.send("hello").unwrap();
    assert_eq!(joe.receive().await.unwrap(), "hello");
    joe.suspend();
    joe.resume().await.unwrap();
    // Neither the POST nor anything else of an open session is asked about again.
    assert_eq!(asked.lock().unwrap().drain(..).collect::<Vec<_>>(), ["gate joe", "factory", "gate joe", "factory"]);
    joe.suspend();
    *banned.lock().unwrap() = true;
    assert!(joe.resume().await.is_err());
}

/// A handler that says what it is told, and fails as it is told.
struct Fragile(mpsc::UnboundedSender<Event>);

impl Handler for Fragile {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        self.0.send(event.clone())?;
        match &event {
            Event::Text(word) if *word == "fail" => {
                client.send("last words")?;
                let number = "not a number".parse::<u32>()?;
                client.send(number.to_string())?;
            }
            Event::Text(word) if *word == "panic" => panic!("a panic that the test wants"),
            Event::Text(word) if *word == "panic later" => {
                tokio::task::yield_now().await;
                panic!("a panic that the test {}", "wants");
            }
            // It may fail again, and that is the end of it.
            Event::Error(_) | Event::Disconnected { .. } => return Err("once more".into()),
            _ => {}
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_or_panics_is_told_why_and_then_of_the_end() {
    for (word, cause) in [
        ("fail", "invalid digit found in string"),
        ("panic", "panicked: a panic that the test wants"),
        ("panic later", "panicked: a panic that the test wants"),
    ] {
        let (sender, mut told) = mpsc::unbounded_channel();
        let server = Server::builder().endpoint("/fragile", move |_| Fragile(sender.clone())).build().unwrap();
        let log = Lines::default();
        let _logging = log.capture();
        let mut joe = TestClient::connect(&server, "/fragile").await.unwrap();
        joe.send(word).unwrap();
        joe.send("not taken").unwrap();
        let ended = joe.ended().await.unwrap();
        assert_eq!((ended.by, ended.reason), (Side::Server, Reason::Internal));
        assert_eq!(ended.undelivered.unknown.len(), 1, "the message behind comes back");
        if word == "fail" {
            assert_eq!(joe.receive().await.unwrap(), "last words");
        }
        assert!(matches!(told.recv().await, Some(Event::Connected { .. })));
        assert_eq!(told.recv().await, Some(Event::Text(word.into())));
        let Some(Event::Error(SessionError::Handler(why))) = told.recv().await else { panic!("no error") };
        assert_eq!((why.to_string().as_str(), why.source().is_some()), (cause, false));
        assert_eq!(why.downcast_ref::<Panicked>().is_some(), word.starts_with("panic"));
        assert_eq!(why.downcast_ref::<std::num::ParseIntError>().is_some(), word == "fail");
        let end = Event::Disconnected { by: Side::Server, reason: Reason::Internal };
        assert_eq!(told.recv().await, Some(end));
        assert_eq!(server.sessions(), 0);
        // Once for what it did, and twice for what it did when it was told.
        let lines = log.lines();
        assert_eq!(lines.len(), 3, "{lines:#?}");
        let named = format!("session={}", joe.id());
        assert!(lines.iter().all(|line| line.contains(&named)), "{lines:#?}");
        assert!(lines[0].contains(cause.trim_start_matches("panicked: ")), "{lines:#?}");
    }
}

/// Found by the simulation: they were passed over, and their sender was told that they are received.
#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_after_its_client_has_closed_gets_the_messages_that_count_as_received() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let gate = Arc::new(Notify::new());
    let opened = Arc::clone(&gate);
    let server = Server::builder().endpoint("/fragile", move |_| {
        let (sender, gate) = (sender.clone(), Arc::clone(&opened));
        handler_fn(move |_, event| {
            let gate = Arc::clone(&gate);
            sender.send(event.clone()).expect("the test listens");
            async move {
                match event {
                    Event::Text(word) if word == "wait" => gate.notified().await,
                    Event::Text(word) if word == "fail" => return Err("a failure that the test wants".into()),
                    _ => {}
                }
                Ok(())
            }
        })
    });
    let server = server.build().unwrap();
    let mut joe = TestClient::connect(&server, "/fragile").await.unwrap();
    for word in ["wait", "fail", "later"] {
        joe.send(word).unwrap();
    }
    let release = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        gate.notify_one();
    };
    let (ended, ()) = tokio::join!(joe.close(), release);
    let ended = ended.unwrap();
    assert_eq!((ended.by, ended.reason), (Side::Client, Reason::Closed));
    assert!(ended.undelivered.unknown.is_empty() && ended.undelivered.unsent.is_empty(), "{ended:?}");
    let mut words = Vec::new();
    while let Some(event) = told.recv().await {
        match event {
            Event::Text(word) => words.push(word.to_string()),
            Event::Error(error) => words.push(error.to_string()),
            Event::Disconnected { .. } => break,
            _ => {}
        }
    }
    assert_eq!(words, ["wait", "fail", "the handler failed: a failure that the test wants", "later"]);
}

/// `client.send(…)?` is what every handler writes.
#[tokio::test(start_paused = true)]
async fn a_handler_that_answers_a_client_that_has_gone_has_not_failed() {
    let (sender, mut told) = mpsc::unbounded_channel();
    let server = Server::builder().endpoint("/echo", move |_| {
        let sender = sender.clone();
        handler_fn(move |client, event| {
            sender.send(event.clone()).expect("the test listens");
            async move {
                if let Event::Text(text) = event {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    client.send(text)?;
                }
                Ok(())
            }
        })
    });
    let server = server.build().unwrap();
    let log = Lines::default();
    let _logging = log.capture();
    let mut joe = TestClient::connect(&server, "/echo").await.unwrap();
    for word in ["0", "1", "2"] {
        joe.send(word).unwrap();
    }
    let ended = joe.close().await.unwrap();
    assert!(ended.undelivered.unknown.is_empty() && ended.undelivered.unsent.is_empty(), "{ended:?}");
    assert!(matches!(told.recv().await, Some(Event::Connected { .. })));
    for word in ["0", "1", "2"] {
        assert_eq!(told.recv().await, Some(Event::Text(word.into())));
    }
    assert_eq!(told.recv().await, Some(Event::Disconnected { by: Side::Client, reason: Reason::Closed }));
    assert!(log.lines().is_empty(), "{:?}", log.lines());
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Said {
    Line { text: String },
    Typing,
}

/// In MessagePack, too, and a payload that is something else is no lost message.
#[tokio::test(start_paused = true)]
async fn messages_are_matched_as_a_type_of_the_applications_own() {
    let server = Server::builder().endpoint("/typed", |_| {
        handler_fn(|client, event: Event| async move {
            match event.parse::<Said>() {
                Parsed::Message(Said::Line { text }, json) => {
                    client.send(Json::new(&Said::Line { text: text.to_uppercase() })?)?;
                    client.send(json)?;
                }
                Parsed::Message(Said::Typing, _) => client.send("typing")?,
                Parsed::Invalid { json, error } => client.send(format!("{error}: {}", json.to_text()?))?,
                Parsed::Other(Event::Text(text)) => client.send(text)?,
                _ => {}
            }
            Ok(())
        })
    });
    let server = server.build().unwrap();
    for format in FORMATS {
        let mut joe = TestClient::builder("/typed").format(format.name()).connect(&server).await.unwrap();
        let line = |text: &str| Said::Line { text: text.into() };
        joe.send(Json::new(&line("hi")).unwrap()).unwrap();
        assert_eq!(joe.receive().await.unwrap().json::<Said>().unwrap(), line("HI"));
        assert_eq!(joe.receive().await.unwrap().json::<Said>().unwrap(), line("hi"));
        joe.send(Json::new(&Said::Typing).unwrap()).unwrap();
        assert_eq!(joe.receive().await.unwrap(), "typing");
        joe.send(serde_json::json!({ "type": "dance" })).unwrap();
        let invalid = joe.receive().await.unwrap();
        let invalid = invalid.text().unwrap();
        assert!(
            invalid.starts_with("unknown variant `dance`") && invalid.ends_with(r#": {"type":"dance"}"#),
            "{invalid}"
        );
        joe.send("text").unwrap();
        assert_eq!(joe.receive().await.unwrap(), "text");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_while_admission_waits_has_no_session() {
    let server = Server::builder().admission(|_| std::future::pending()).endpoint("/room", |_| Curious);
    let server = server.build().unwrap();
    let connecting = TestClient::builder("/room").patience(Duration::from_secs(3)).connect(&server);
    let from = Instant::now();
    assert!(connecting.await.is_err());
    assert_eq!((from.elapsed().as_secs(), server.sessions()), (3, 0));
}

/// What a server's service is under another one.
const _: fn() = || {
    fn mounts<S: tower::Service<http::Request<hyper::body::Incoming>, Error = Infallible> + Clone + Send + Sync>() {}
    mounts::<Server>();
};

/// It is kept until `Connected` was handled, and of WebSockets that say nothing there may be many.
#[tokio::test]
async fn a_head_that_is_too_long_is_refused_before_anybody_is_asked() {
    let server = TestServer::start(Default::default()).await;
    let long = "x".repeat(16 << 10);
    let refused = Ws::ask(server.addr, "/echo", None, &[("x-long", &long)]).await.err().unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["nosphere-error"]), (431, &"head".parse().unwrap()));
    let fits = "x".repeat(14 << 10);
    assert!(Ws::ask(server.addr, "/echo", None, &[("x-long", &fits)]).await.is_ok());
}

/// A service that has room for one request, and says so when it is asked whether it is ready.
#[tokio::test]
async fn an_endpoint_behind_which_a_busy_service_stands_answers_all_the_same() {
    let server = Server::builder().endpoint("/room", |_| Curious).build().unwrap();
    let (sender, mut calls) = mpsc::unbounded_channel();
    let page = tower::service_fn(move |_: http::Request<String>| {
        let sender = sender.clone();
        async move {
            sender.send(()).unwrap();
            std::future::pending::<Result<http::Response<String>, Infallible>>().await
        }
    });
    let front = server.in_front_of(tower::limit::ConcurrencyLimit::new(page, 1));
    let call = |path: &str, accept: &str| {
        let request = http::Request::get(path).header("accept", accept).body(String::new()).unwrap();
        tower::ServiceExt::oneshot(front.clone(), request)
    };
    let stuck = tokio::spawn(call("/", "text/html"));
    calls.recv().await.unwrap();
    for _ in 0..3 {
        let stream = crate::support::soon(call("/room", "text/event-stream")).await.unwrap();
        assert_eq!(stream.status(), 200);
    }
    stuck.abort();
}
