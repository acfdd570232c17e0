//! Audiences of the application's own, and the data that they go by.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use nosphere::{
    Audience, Client, Event, Everyone, LocalAudience, Me, Member, Others, ServerConfig, SessionId, Transport,
};

use crate::support::*;

#[path = "../examples/custom_audience.rs"]
#[expect(dead_code, reason = "the program around it")]
mod custom_audience;

/// What a session says it is: a number.
struct Rank(u32);

/// `rank N` sets the session's rank; `<audience> <text>` broadcasts, and the count comes back.
fn ranked() -> React {
    Arc::new(|client, event| {
        let Event::Text(line) = event else { return Ok(()) };
        let (word, rest) = line.split_once(' ').ok_or("no word")?;
        let above = |least| LocalAudience::matching(move |member| rank(member) >= least);
        let own = client.id();
        let audience = match word {
            "rank" => {
                client.set_data(Rank(rest.parse()?));
                return Ok(client.send("ranked")?);
            }
            "me" => Me.into(),
            "high" => above(10),
            "low" => !above(10),
            "high-others" => above(10) & Others,
            "others-high" => Others & above(10),
            "high-or-me" => above(10) | Me,
            "me-or-high" => Me | above(10),
            "middle" => above(5) & !above(10),
            "not-me" => LocalAudience::matching(move |member| member.id() != own),
            "except" => Audience::except([own]).into(),
            _ => return Err("no audience".into()),
        };
        let members = client.members(&audience);
        let count = client.broadcast_to(audience, rest);
        assert_eq!(members.len(), count);
        Ok(client.send(format!("to {count}"))?)
    })
}

fn rank(member: &Member<'_>) -> u32 {
    member.data::<Rank>().map_or(0, |rank| rank.0)
}

async fn start(react: React) -> TestServer {
    let (sender, _) = Log::new();
    TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.endpoint("/hall", move |_| Probe::new(&sender, &react))
    })
    .await
}

async fn hall(server: &TestServer) -> Native {
    Native::open(server.addr, "/hall", Transport::WebSocket, FORMATS[0]).await
}

#[tokio::test]
async fn a_predicate_sees_each_sessions_own_data_and_combines_with_everything() {
    let server = start(ranked()).await;
    let mut clients = Vec::new();
    for rank in [0, 5, 10, 20] {
        let mut client = hall(&server).await;
        client.send(text(&format!("rank {rank}"))).await;
        assert_eq!(client.message().await, text("ranked"));
        clients.push(client);
    }
    // Spoken by the one with rank 20.
    for (word, to) in [
        ("me", &[3][..]),
        ("high", &[2, 3]),
        ("low", &[0, 1]),
        ("high-others", &[2]),
        ("others-high", &[2]),
        ("high-or-me", &[2, 3]),
        ("me-or-high", &[2, 3]),
        ("middle", &[1]),
        ("not-me", &[0, 1, 2]),
        ("except", &[0, 1, 2]),
    ] {
        clients[3].send(text(&format!("{word} {word}"))).await;
        for at in to {
            assert_eq!(clients[*at].message().await, text(word), "{word} {at}");
        }
        // Whoever else got it has it before this.
        assert_eq!(clients[3].message().await, text(&format!("to {}", to.len())), "{word}");
    }
    assert_eq!(server.server.broadcaster().to("/hall").send("end"), 4);
    for client in &mut clients {
        assert_eq!(client.message().await, text("end"));
    }
}

#[tokio::test]
async fn data_is_the_sessions_own_until_its_handler_has_seen_the_end() {
    type Watched = Arc<()>;
    let alive = Arc::new(());
    let (kept, kept_client) = (Arc::clone(&alive), Arc::new(Mutex::new(None::<Client>)));
    let keep = Arc::clone(&kept_client);
    let server = start(Arc::new(move |client, event| {
        match event {
            Event::Connected { .. } => {
                assert!(client.data::<Rank>().is_none());
                assert!(client.set_data(Rank(1)).is_none());
                assert_eq!(client.set_data(Rank(2)).map(|old| old.0), Some(1));
                assert_eq!(client.data::<Rank>().map(|rank| rank.0), Some(2));
                assert!(client.data::<u32>().is_none(), "told apart by type");
                client.set_data(7_u32);
                assert_eq!(client.take_data::<u32>().as_deref(), Some(&7));
                assert!(client.data::<u32>().is_none());
                client.set_data::<Watched>(Arc::clone(&kept));
            }
            Event::Disconnected { .. } => {
                assert_eq!(client.data::<Rank>().map(|rank| rank.0), Some(2));
                *keep.lock().unwrap() = Some(client.clone());
            }
            _ => {}
        }
        Ok(())
    }))
    .await;
    let client = hall(&server).await;
    // One here, one in the handlers' function, one with the session.
    until(|| Arc::strong_count(&alive) == 3).await;
    client.close().await;
    until(|| Arc::strong_count(&alive) == 2).await;
    // A handle that outlives the session keeps nothing alive.
    let client = kept_client.lock().unwrap().take().unwrap();
    assert!(client.data::<Rank>().is_none());
    assert!(client.set_data::<Watched>(Arc::clone(&alive)).is_none());
    assert!(client.data::<Watched>().is_none());
    assert_eq!(Arc::strong_count(&alive), 2);
}

#[tokio::test]
async fn a_predicate_that_panics_leaves_one_session_out_and_nobody_else() {
    let log = Lines::default();
    let _logging = log.capture();
    let server = start(Arc::new(|client, event| {
        match event {
            Event::Text(line) if *line == *"mark" => {
                client.set_data(Rank(13));
                client.send("marked")?;
            }
            Event::Text(line) => {
                // Under `!` too: to be left out is not to be answered "no".
                for turn in [|audience| audience, |audience: LocalAudience| !audience] {
                    let unlucky = LocalAudience::matching(|member| match rank(member) {
                        13 => panic!("unlucky (this test wants it)"),
                        _ => true,
                    });
                    let count = client.broadcast_to(turn(unlucky) | LocalAudience::matching(|_| false), line.clone());
                    client.send(format!("to {count}"))?;
                }
            }
            _ => {}
        }
        Ok(())
    }))
    .await;
    let (mut first, mut marked, mut last) = (hall(&server).await, hall(&server).await, hall(&server).await);
    let mut another = hall(&server).await;
    for client in [&mut marked, &mut another] {
        client.send(text("mark")).await;
        assert_eq!(client.message().await, text("marked"));
    }
    first.send(text("hello")).await;
    for expected in ["hello", "to 2", "to 0"] {
        assert_eq!(first.message().await, text(expected));
    }
    assert_eq!(last.message().await, text("hello"));
    // The one who was left out lives, and so does the one who asked.
    server.server.broadcaster().all().send("end");
    for client in [&mut first, &mut marked, &mut another, &mut last] {
        assert_eq!(client.message().await, text("end"));
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 2, "once for each broadcast: {lines:?}");
    let expected = format!("session={} sessions=2", marked.session);
    assert!(lines.iter().all(|line| line.contains(&expected)), "{lines:?}");
}

#[tokio::test]
async fn a_predicate_may_broadcast_send_join_and_look_around_by_itself() {
    let server = start(Arc::new(|client, event| {
        let Event::Text(_) = event else { return Ok(()) };
        let own = client.clone();
        let asked = AtomicUsize::new(0);
        let audience = LocalAudience::matching(move |member| {
            if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                assert_eq!(own.broadcast_to(Everyone, "within"), 2);
                own.send("to myself").expect("there is room");
                own.join("inside").expect("there is room");
                assert_eq!(own.members(Everyone).len(), 2);
            }
            member.transport() == Transport::WebSocket && member.path() == "/hall" && member.principal().is_none()
        });
        assert_eq!(client.broadcast_to(audience, "around"), 2);
        Ok(())
    }))
    .await;
    let (mut speaker, mut listener) = (hall(&server).await, hall(&server).await);
    speaker.send(text("go")).await;
    for expected in ["within", "to myself", "around"] {
        assert_eq!(speaker.message().await, text(expected));
    }
    for expected in ["within", "around"] {
        assert_eq!(listener.message().await, text(expected));
    }
}

#[tokio::test]
async fn a_predicate_is_asked_about_those_alone_who_can_be_in_the_audience() {
    let server = start(Arc::new(|client, event| {
        if let Event::Text(tag) = event {
            client.join(tag.as_str())?;
            client.send("joined")?;
        }
        Ok(())
    }))
    .await;
    let mut clients = Vec::new();
    for n in 0..12 {
        let mut client = hall(&server).await;
        client.send(text(if n < 3 { "few" } else { "many" })).await;
        assert_eq!(client.message().await, text("joined"));
        clients.push(client);
    }
    let news = server.server.broadcaster();
    let ids: Vec<SessionId> = clients.iter().map(|client| client.session).collect();
    let tag = |name| LocalAudience::from(nosphere::Tag::new(name).unwrap());
    let only = |ids: &[SessionId]| LocalAudience::from(Audience::only(ids.iter().copied()));
    for (other, asked, told) in [
        (tag("few"), 3, 3),
        (tag("many") & tag("few"), 3, 0),
        (tag("many") & only(&ids[2..5]), 3, 2),
        (only(&ids[..2]), 2, 2),
        (only(&ids[..2]) | tag("few"), 3, 3),
        (tag("nobody"), 0, 0),
        (tag("nobody") | tag("few"), 3, 3),
        (tag("few") | tag("many"), 12, 12),
        (!tag("few"), 12, 9),
        (Everyone.into(), 12, 12),
        (Audience::any_of(Vec::<Audience>::new()).into(), 0, 0),
    ] {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&count);
        let predicate = LocalAudience::matching(move |_| counting.fetch_add(1, Ordering::Relaxed) < 100);
        // Whichever side it stands on.
        assert_eq!(news.to("/hall").members(other.clone() & &predicate).len(), told, "{other:?}");
        assert!(count.swap(0, Ordering::Relaxed) <= asked, "{other:?}");
        assert_eq!(news.all().send_to(predicate & &other, "hello"), told, "{other:?}");
        assert!(count.load(Ordering::Relaxed) <= asked, "{other:?}");
    }
}

#[tokio::test]
async fn the_example_of_a_custom_audience_reaches_those_who_are_near() {
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.endpoint("/town", |_| custom_audience::Walker)
    })
    .await;
    let mut walkers = Vec::new();
    for (x, y) in [(0, 0), (30, 40), (300, 400)] {
        let mut walker = Native::open(server.addr, "/town", Transport::WebSocket, FORMATS[0]).await;
        walker.send(json(&serde_json::json!({"x": x, "y": y}))).await;
        assert_eq!(walker.message().await, text("you are here"));
        walkers.push(walker);
    }
    // Somebody who has not said where they are is near to nobody, and nobody hears them.
    let mut lost = Native::open(server.addr, "/town", Transport::WebSocket, FORMATS[0]).await;
    lost.send(text("hello?")).await;
    assert_eq!(lost.message().await, text("say where you are first"));
    walkers[0].send(text("hello")).await;
    assert_eq!(walkers[1].message().await, text("hello"));
    walkers[2].send(text("far away")).await;
    server.server.broadcaster().at("/town").send("end");
    for walker in walkers.iter_mut().chain([&mut lost]) {
        assert_eq!(walker.message().await, text("end"));
    }
}

/// A value that holds the client would keep the session for ever.
#[tokio::test(start_paused = true)]
async fn data_that_is_set_after_the_end_is_dropped_at_once_though_there_was_none_before() {
    let (sender, mut clients) = tokio::sync::mpsc::unbounded_channel();
    let server = nosphere::Server::builder().endpoint("/room", move |_| {
        let sender = sender.clone();
        nosphere::handler_fn(move |client, _| {
            let told = sender.send(client);
            async move { Ok(told?) }
        })
    });
    let server = server.build().unwrap();
    let mut joe = nosphere::testing::TestClient::connect(&server, "/room").await.unwrap();
    let client = clients.recv().await.unwrap();
    joe.close().await.unwrap();
    joe.settled().await.unwrap();
    let alive = Arc::new(());
    client.set_data::<Arc<()>>(Arc::clone(&alive));
    assert_eq!(Arc::strong_count(&alive), 1);
    assert!(client.data::<Arc<()>>().is_none());
}
