//! Requests and their replies, in both directions.

use std::time::Duration;

use nosphere::testing::TestClient;
use nosphere::{
    Answer, Client, Error, Event, Everyone, Handler, Others, Payload, Reason, RequestError, SendError, Server,
    ServerConfig, Tag, Transport, handler_fn,
};
use tokio::time::Instant;

use crate::support::{Native, TestServer, Ws, text, with_clients};

const LIMIT: Duration = Duration::from_secs(7);

/// Asks what a text says, and says what was answered; answers requests by what they ask, in capitals.
struct Curious;

impl Handler for Curious {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        match event {
            Event::Text(question) => {
                let answer = client.request(question, LIMIT).await;
                let said = match &answer {
                    Ok(payload) => payload.as_text().map_or("no text", |text| text.as_str()).to_owned(),
                    Err(error) => error.to_string(),
                };
                // It may be over by now.
                drop(client.send(said));
            }
            Event::Request(request) => {
                let question = request.payload.as_text().map_or("", |text| text.as_str()).to_uppercase();
                client.reply(&request, question)?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn curious() -> Server {
    Server::builder().endpoint("/curious", |_| Curious).build().unwrap()
}

fn reply_text(reply: &Result<Payload, RequestError>) -> Option<&str> {
    Some(reply.as_ref().ok()?.as_text()?.as_str())
}

#[tokio::test(start_paused = true)]
async fn a_client_gets_the_reply_to_its_request_and_to_no_other() {
    let server = curious();
    for transport in [Transport::ServerSentEvents, Transport::LongPolling] {
        let connect = || TestClient::builder("/curious").transport(transport).connect(&server);
        let (mut joe, mut ann) = (connect().await.unwrap(), connect().await.unwrap());
        assert_eq!(joe.request("one").await.unwrap(), text("ONE"));
        assert_eq!(joe.request("two").await.unwrap(), text("TWO"));
        assert_eq!(ann.request("three").await.unwrap(), text("THREE"));
    }
}

/// The reply is behind the messages that the handler cannot take while it waits.
#[tokio::test(start_paused = true)]
async fn a_handler_that_waits_for_a_reply_gets_it_though_other_messages_are_in_the_way() {
    let server = curious();
    let mut joe = TestClient::connect(&server, "/curious").await.unwrap();
    joe.send("your name?").unwrap();
    let asked = joe.asked().await.unwrap();
    assert_eq!(asked.payload, text("your name?"));
    joe.send("meanwhile").unwrap();
    joe.reply(&asked, "joe").unwrap();
    assert_eq!(joe.receive().await.unwrap(), "joe");
    let next = joe.asked().await.unwrap();
    assert_eq!(next.payload, text("meanwhile"));
    assert_ne!(next.id, asked.id);
    joe.reply(&next, "while").unwrap();
    assert_eq!(joe.receive().await.unwrap(), "while");
}

#[tokio::test]
async fn requests_and_replies_pass_over_real_sockets_in_every_format() {
    let server = TestServer::with(ServerConfig::default(), crate::support::Serving::Auto, |builder| {
        builder.endpoint("/curious", |_| Curious)
    });
    let server = server.await;
    for transport in crate::support::TRANSPORTS {
        for format in crate::support::FORMATS {
            let mut joe = Native::open(server.addr, "/curious", transport, format).await;
            joe.send(text("why?")).await;
            let id = loop {
                match joe.next().await.unwrap() {
                    nosphere::Frame::Request(request) => {
                        assert_eq!(request.payload, text("why?"));
                        break request.id;
                    }
                    nosphere::Frame::Message(payload) => panic!("{payload:?}"),
                    _ => {}
                }
            };
            joe.exchange(nosphere::Frame::Reply(nosphere::Reply { id, payload: text("because") })).await;
            assert_eq!(joe.message().await, text("because"), "{transport} {}", format.name());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_never_comes_is_an_error_at_the_timeout_and_a_late_one_nothing() {
    let server = curious();
    let mut joe = TestClient::connect(&server, "/curious").await.unwrap();
    joe.send("well?").unwrap();
    let asked = joe.asked().await.unwrap();
    let from = Instant::now();
    assert_eq!(joe.receive().await.unwrap(), RequestError::Timeout.to_string().as_str());
    assert_eq!(from.elapsed().as_secs(), LIMIT.as_secs());
    joe.reply(&asked, "late").unwrap();
    joe.expect_silence().await.unwrap();
    assert_eq!(joe.request("still there?").await.unwrap(), text("STILL THERE?"));
}

#[tokio::test(start_paused = true)]
async fn a_request_outlives_a_link_and_ends_with_the_session() {
    let (server, clients) = with_clients(ServerConfig::default(), "/{room}");
    let mut joe = TestClient::connect(&server, "/room").await.unwrap();
    let client = clients.lock().unwrap()[0].clone();
    let ask = || {
        let client = client.clone();
        tokio::spawn(async move { client.request("still there?", Duration::from_secs(60)).await })
    };
    let asking = ask();
    let asked = joe.asked().await.unwrap();
    joe.suspend();
    joe.reply(&asked, "back again").unwrap();
    joe.resume().await.unwrap();
    assert_eq!(reply_text(&asking.await.unwrap()), Some("back again"));

    let asking = ask();
    drop(joe.asked().await.unwrap());
    joe.close().await.unwrap();
    assert_eq!(asking.await.unwrap(), Err(RequestError::Ended));
    assert!(matches!(ask().await.unwrap(), Err(RequestError::NotSent(SendError::Closed(_)))));
}

/// It waits for a reply of its own client, so nobody takes the session's events.
#[tokio::test(start_paused = true)]
async fn a_handler_in_the_middle_of_a_request_learns_that_the_session_is_over() {
    let (sender, mut results) = tokio::sync::mpsc::unbounded_channel();
    let server = Server::builder().endpoint("/room", move |_| {
        let sender = sender.clone();
        handler_fn(move |client, event| {
            let sender = sender.clone();
            async move {
                match event {
                    Event::Connected { .. } => {
                        sender.send(Err(client.request("?", Duration::from_secs(600)).await)).unwrap();
                    }
                    Event::Disconnected { reason, .. } => sender.send(Ok(reason)).unwrap(),
                    _ => {}
                }
                Ok(())
            }
        })
    });
    let server = server.build().unwrap();
    let mut joe = TestClient::connect(&server, "/room").await.unwrap();
    joe.asked().await.unwrap();
    joe.close().await.unwrap();
    assert_eq!(results.recv().await, Some(Err(Err(RequestError::Ended))));
    assert_eq!(results.recv().await, Some(Ok(Reason::Closed)));
}

#[tokio::test(start_paused = true)]
async fn everybody_who_is_asked_answers_once_by_reply_by_timeout_or_by_going() {
    let (server, clients) = with_clients(ServerConfig::default(), "/{room}");
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(TestClient::connect(&server, "/room").await.unwrap());
    }
    let _elsewhere = TestClient::connect(&server, "/other").await.unwrap();
    let asker = clients.lock().unwrap()[0].clone();
    let replies = asker.request_to(Others, "who is there?", LIMIT);
    assert_eq!(replies.asked(), 3);
    let asked = all[1].asked().await.unwrap();
    all[1].reply(&asked, "ann").unwrap();
    // A second reply has no effect.
    all[1].reply(&asked, "ann again").unwrap();
    // The same bytes go to all of them: the id is the server's, not the session's.
    assert_eq!(all[2].asked().await.unwrap().id, asked.id);
    let ids: Vec<_> = all.iter().map(TestClient::id).collect();
    all[2].close().await.unwrap();
    let mut answers = replies.collect().await;
    answers.sort_by_key(|answer| ids.iter().position(|id| *id == answer.session));
    let replies: Vec<_> = answers.iter().map(|answer| &answer.reply).collect();
    assert_eq!(reply_text(replies[0]), Some("ann"));
    assert_eq!(replies[1..], [&Err(RequestError::Ended), &Err(RequestError::Timeout)]);
    assert_eq!(answers.len(), 3);
    all[0].expect_silence().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_audience_is_asked_from_outside_by_path_and_tag() {
    let (server, clients) = with_clients(ServerConfig::default(), "/{room}");
    let mut joe = TestClient::connect(&server, "/joes").await.unwrap();
    let mut ann = TestClient::connect(&server, "/anns").await.unwrap();
    clients.lock().unwrap()[1].join("chess").unwrap();
    let broadcaster = server.broadcaster();
    let nobody = broadcaster.to("/nowhere").request(Everyone, "?", LIMIT);
    assert_eq!((nobody.asked(), nobody.collect().await), (0, vec![]));
    let mut replies = broadcaster.all().request(Tag::new("chess").unwrap(), "e4?", LIMIT);
    assert_eq!(replies.asked(), 1);
    let asked = ann.asked().await.unwrap();
    ann.reply(&asked, "e5").unwrap();
    let answer = replies.next().await.unwrap();
    assert_eq!((answer.session, reply_text(&answer.reply)), (ann.id(), Some("e5")));
    assert_eq!(replies.next().await, None);
    joe.expect_silence().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_waiting_leaves_nothing_behind() {
    let mut config = ServerConfig::default();
    config.max_requests_per_session = 2;
    let (server, clients) = with_clients(config, "/{room}");
    let mut joe = TestClient::connect(&server, "/room").await.unwrap();
    let client = clients.lock().unwrap()[0].clone();
    for _ in 0..10 {
        // Given up at once.
        drop(client.request_to(Everyone, "?", LIMIT));
    }
    let both = [client.request_to(Everyone, "1", LIMIT), client.request_to(Everyone, "2", LIMIT)];
    assert_eq!(client.request("3", LIMIT).await, Err(RequestError::TooMany));
    for _ in 0..10 {
        joe.asked().await.unwrap();
    }
    for replies in both {
        let asked = joe.asked().await.unwrap();
        joe.reply(&asked, asked.payload.clone()).unwrap();
        let answers: Vec<Answer> = replies.collect().await;
        assert_eq!(answers.iter().map(|answer| answer.reply.clone()).collect::<Vec<_>>(), [Ok(asked.payload)]);
    }
}

#[tokio::test]
async fn a_plain_client_cannot_be_asked_and_says_so_at_once() {
    let server = TestServer::start(ServerConfig::default()).await;
    let _ws = Ws::connect(server.addr, "/quiet", None).await;
    crate::support::until(|| server.server.sessions_on("/quiet") == 1).await;
    let answers = server.server.broadcaster().all().request(Everyone, "?", LIMIT).collect().await;
    assert!(matches!(answers[..], [Answer { reply: Err(RequestError::NotSent(SendError::Inexpressible { .. })), .. }]));
}

/// A broadcaster works without a runtime; who waits for the answers has one.
#[test]
fn an_audience_can_be_asked_from_a_thread_without_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (server, _) = with_clients(ServerConfig::default(), "/{room}");
    let mut joe = runtime.block_on(TestClient::connect(&server, "/room")).unwrap();
    let broadcaster = server.broadcaster();
    let asking = std::thread::spawn(move || broadcaster.all().request(Everyone, "?", Duration::MAX));
    let replies = asking.join().unwrap();
    runtime.block_on(async {
        let asked = joe.asked().await.unwrap();
        joe.reply(&asked, "yes").unwrap();
        let answers = replies.collect().await;
        assert_eq!(reply_text(&answers[0].reply), Some("yes"));
    });
}

#[tokio::test(start_paused = true)]
async fn a_request_that_should_not_have_come_is_no_silence() {
    let (server, _) = with_clients(ServerConfig::default(), "/{room}");
    let mut joe = TestClient::connect(&server, "/room").await.unwrap();
    let replies = server.broadcaster().all().request(Everyone, "?", LIMIT);
    assert!(matches!(joe.expect_silence().await, Err(nosphere::testing::WaitError::Noise { .. })));
    let answers = replies.asked();
    drop(replies);
    assert_eq!(answers, 1);
}
