use http::Method;
use serde_json::{Value, json};

use crate::peer::{Answer, JSON, JSON_BODY, Key, Outcome, Peer, same};

super::cases! {
    "NEG-1" "a token in the URL is refused with 400 bad-request" refuses_token_in_url
    "NEG-1" "a parameter stands for a header, and the header wins" takes_parameters
    "NEG-3" "headers that are not of their form are refused with 400 bad-request" refuses_bad_headers
    "NEG-4" "answers have Cache-Control: no-store" forbids_caches
    "SSE-1" "an event stream has one unit in each event, of the right type" streams
    "SSE-2" "an event of a message has its number as id" numbers_events
    "SSE-3" "a stream that resumes begins with resumed" resumes_stream
    "POL-1" "a poll can be repeated" repeats_polls
    "POL-2" "a poll with a higher attachment is answered with resumed at once" resumes_polls
    "POL-3" "a second poll replaces the one that waits, which gets 204 replaced" replaces_polls
    "POL-5" "a poll from the past is refused with 409 stale" refuses_stale_polls
    "PST-1" "a body whose last unit is malformed is not applied at all" applies_bodies_whole
    "PST-2" "the overlap of a repeated POST is skipped" skips_overlap
    "PST-2" "a base that is ahead is refused with 409 gap" refuses_gaps
    "PST-3" "a POST of another attachment is refused with 409 fenced" refuses_fenced_posts
    "PST-5" "a content type that names no wire format is refused with 415" refuses_content_type
    "PST-5" "a body over the limit is refused with 413" refuses_large_bodies
    "BAT-1" "one line break may follow the last unit" takes_trailing_line_break
    "ATT-3" "a WebSocket that resumes fences the polls and POSTs of before with 409" fences_requests
    "SES-3" "a request for an unknown session is answered with 410 unknown-session" refuses_unknown_session
    "SES-4" "a wrong token is refused with 403 forbidden" refuses_token
    "SES-5" "a count that was never reached is refused with 400 unexpected" refuses_impossible_count
    "SEC-2" "a POST from a foreign origin is refused with 403 origin" refuses_foreign_posts
    "CLS-4" "after close, a repeated close gets 204, and any other POST 410 closed" keeps_tombstone
    "13"    "another method is refused with 405 and Allow" refuses_methods
    "13"    "another version of WebSocket is refused with 426" refuses_websocket_version
}

const PROTOCOL: (&str, &str) = ("nosphere-protocol", JSON);

/// A session on polls.
struct Polling {
    peer: Peer,
    key: Key,
    attachment: u64,
    received: u64,
    base: u64,
    /// The longest unit that the server takes.
    unit: usize,
}

impl Polling {
    async fn open(peer: Peer) -> Outcome<Self> {
        let answer = peer.get(&[PROTOCOL, ("nosphere-attachment", "1")]).await?;
        let frames = answer.frames()?;
        let opened = frames.first().unwrap_or(&Value::Null);
        Self::of(peer, opened)
    }

    fn of(peer: Peer, opened: &Value) -> Outcome<Self> {
        let unit = opened["opened"]["window"]["bytes"].as_u64().ok_or("opened has no window")?;
        Ok(Self { peer, key: Key::of(opened)?, attachment: 1, received: 0, base: 0, unit: unit as usize })
    }

    /// A request with what every one has, changed.
    async fn ask(&self, method: Method, changed: &[(&str, &str)], body: &str) -> Outcome<Answer> {
        let (attachment, received, base) =
            (self.attachment.to_string(), self.received.to_string(), self.base.to_string());
        let mut headers = vec![
            ("nosphere-session", &*self.key.session),
            ("nosphere-token", &self.key.token),
            ("nosphere-attachment", &attachment),
            ("nosphere-received", &received),
        ];
        if method == Method::POST {
            headers.extend([("content-type", JSON_BODY), ("nosphere-base", &base)]);
        } else {
            headers.push(PROTOCOL);
        }
        headers.retain(|(name, _)| changed.iter().all(|(other, _)| name != other));
        headers.extend(changed);
        self.peer.request(method, &headers, body).await
    }

    async fn poll(&self) -> Outcome<Answer> {
        self.ask(Method::GET, &[], "").await
    }

    async fn post(&self, body: &str) -> Outcome<Answer> {
        self.ask(Method::POST, &[], body).await
    }

    /// Says a text, and gets it back.
    async fn echo(&mut self, text: &str) -> Outcome {
        let body = json!({"text": text}).to_string();
        self.post(&body).await?.is(204, "")?;
        self.base += 1;
        self.texts(&[text]).await
    }

    /// Fails unless the next messages are these texts.
    async fn texts(&mut self, expected: &[&str]) -> Outcome {
        let mut expected = expected.iter();
        while expected.len() > 0 {
            for frame in self.poll().await?.frames()? {
                if let Some(text) = frame.get("text") {
                    same("the next message", Some(text), expected.next().map(|text| json!(text)).as_ref())?;
                    self.received += 1;
                }
            }
        }
        Ok(())
    }
}

async fn refuses_token_in_url(peer: Peer) -> Outcome {
    let polling = Polling::open(peer).await?;
    let Key { session, token } = &polling.key;
    let peer = polling.peer.with_query(&format!("nosphere-session={session}&nosphere-token={token}"));
    let headers = [PROTOCOL, ("nosphere-attachment", "1"), ("nosphere-received", "0")];
    peer.get(&headers).await?.is(400, "bad-request")
}

async fn takes_parameters(peer: Peer) -> Outcome {
    let peer = peer.with_query("nosphere-protocol=nosphere.v1.messagepack&nosphere-attachment=1");
    let answer = peer.get(&[]).await?;
    same("the type", answer.header("content-type"), Some("application/vnd.nosphere.v1.messagepack"))?;
    Key::of(&peer.get(&[PROTOCOL]).await?.frames()?[0]).map(drop)
}

async fn refuses_bad_headers(peer: Peer) -> Outcome {
    let bad = [
        ("nosphere-protocol", "nosphere.v9.json"),
        ("nosphere-attachment", "0"),
        ("nosphere-attachment", "9007199254740992"),
        ("nosphere-received", "-1"),
        ("nosphere-session", "me"),
        ("nosphere-token", "secret"),
        ("nosphere-transport", "pigeon"),
        ("nosphere-window", "0/1"),
    ];
    let mut polling = Polling::open(peer).await?;
    for changed in bad {
        let answer = polling.ask(Method::GET, &[changed], "").await?;
        answer.is(400, "bad-request").map_err(|error| format!("{changed:?}: {error}"))?;
    }
    polling.echo("still here").await
}

async fn forbids_caches(peer: Peer) -> Outcome {
    let polling = Polling::open(peer).await?;
    let wrong = polling.ask(Method::GET, &[("nosphere-received", "x")], "").await?;
    for answer in [polling.post("").await?, wrong] {
        same("Cache-Control", answer.header("cache-control"), Some("no-store"))?;
    }
    Ok(())
}

const STREAM: [(&str, &str); 3] = [PROTOCOL, ("accept", "text/event-stream"), ("nosphere-attachment", "1")];

async fn streams(peer: Peer) -> Outcome {
    let (headers, mut events) = peer.stream(&STREAM).await?;
    same("the type", &headers["content-type"], "text/event-stream;charset=utf-8")?;
    same("Cache-Control", &headers["cache-control"], "no-store, no-transform")?;
    Key::of(&serde_json::from_str(&events.next().await?.data)?).map(drop)
}

async fn numbers_events(peer: Peer) -> Outcome {
    let (_, mut events) = peer.stream(&STREAM).await?;
    let polling = Polling::of(peer, &serde_json::from_str(&events.next().await?.data)?)?;
    polling.post("{\"text\":\"a\"}\n{\"text\":\"b\"}").await?.is(204, "")?;
    for (number, text) in [("1", "a"), ("2", "b")] {
        let mut event = events.next().await?;
        while !event.data.contains("text") {
            same("the id of a frame that is no message", &*event.id, "")?;
            event = events.next().await?;
        }
        same("the event", serde_json::from_str::<Value>(&event.data)?, json!({"text": text}))?;
        same("its id", &*event.id, number)?;
    }
    Ok(())
}

async fn resumes_stream(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    polling.echo("one").await?;
    let Key { session, token } = &polling.key;
    let key = [("nosphere-session", &**session), ("nosphere-token", token), ("nosphere-received", "0")];
    let headers = [&key[..], &STREAM[..2], &[("nosphere-attachment", "2")]].concat();
    let (_, mut events) = polling.peer.stream(&headers).await?;
    let first: Value = serde_json::from_str(&events.next().await?.data)?;
    same("the first event", first, json!({"resumed": {"received": 1}}))?;
    same("the id of the next", &*events.next().await?.id, "1")
}

async fn repeats_polls(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    polling.post("{\"text\":\"a\"}\n{\"text\":\"b\"}").await?.is(204, "")?;
    for _ in 0..3 {
        polling.texts(&["a", "b"]).await?;
        polling.received = 0;
    }
    Ok(())
}

async fn resumes_polls(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    polling.attachment = 2;
    same("the answer", polling.poll().await?.frames()?.first(), Some(&json!({"resumed": {"received": 0}})))
}

async fn replaces_polls(peer: Peer) -> Outcome {
    let polling = Polling::open(peer).await?;
    let first = Box::pin(polling.poll());
    let second = Box::pin(polling.poll());
    let (replaced, other) = futures::future::select(first, second).await.factor_first();
    replaced?.is(204, "replaced")?;
    polling.post(r#"{"text":"one"}"#).await?.is(204, "")?;
    other.await?.frames().map(drop)
}

async fn refuses_stale_polls(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    polling.echo("one").await?;
    polling.post("").await?.is(204, "")?;
    polling.ask(Method::GET, &[("nosphere-received", "0")], "").await?.is(409, "stale")?;
    polling.echo("two").await
}

async fn applies_bodies_whole(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    polling.post("{\"text\":\"one\"}\nnonsense").await?.is(400, "malformed")?;
    polling.echo("two").await
}

async fn skips_overlap(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    for _ in 0..2 {
        polling.post("{\"text\":\"1\"}\n{\"text\":\"2\"}").await?.is(204, "")?;
    }
    polling.base = 1;
    polling.post("{\"text\":\"2\"}\n{\"text\":\"3\"}").await?.is(204, "")?;
    polling.texts(&["1", "2", "3"]).await?;
    polling.base = 3;
    polling.echo("4").await
}

async fn refuses_gaps(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    let answer = polling.ask(Method::POST, &[("nosphere-base", "1")], r#"{"text":"two"}"#).await?;
    answer.is(409, "gap")?;
    same("Nosphere-Received", answer.header("nosphere-received"), Some("0"))?;
    polling.echo("one").await
}

async fn refuses_fenced_posts(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    polling.ask(Method::POST, &[("nosphere-attachment", "2")], r#"{"text":"x"}"#).await?.is(409, "fenced")?;
    polling.echo("one").await
}

async fn refuses_content_type(peer: Peer) -> Outcome {
    let polling = Polling::open(peer).await?;
    let other = [("content-type", "application/vnd.nosphere.v9.json")];
    polling.ask(Method::POST, &other, r#"{"text":"x"}"#).await?.is(415, "content-type")
}

async fn refuses_large_bodies(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    // More than any body that a server has to take (PST-6), and than one has to by default.
    let body = json!({"text": "x".repeat((polling.unit + (512 << 10)).max(2 << 20))}).to_string();
    polling.post(&body).await?.is(413, "too-large")?;
    polling.echo("one").await
}

async fn takes_trailing_line_break(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    polling.post("{\"text\":\"a\"}\n{\"text\":\"b\"}\n").await?.is(204, "")?;
    polling.texts(&["a", "b"]).await
}

async fn fences_requests(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    polling.echo("one").await?;
    let (mut socket, answer) = polling.peer.resume(&polling.key, 2, 1).await?;
    same("the answer to resume", answer, json!({"resumed": {"received": 1}}))?;
    polling.poll().await?.is(409, "fenced")?;
    polling.post(r#"{"text":"late"}"#).await?.is(409, "fenced")?;
    socket.send(&json!({"text": "two"})).await?;
    socket.texts(&["two"]).await
}

/// A poll and a POST with this header are refused, and the session goes on.
async fn refuses(peer: Peer, changed: (&str, &str), status: u16, error: &str) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    for method in [Method::GET, Method::POST] {
        let answer = polling.ask(method.clone(), &[changed], "").await?;
        answer.is(status, error).map_err(|error| format!("{method}: {error}"))?;
    }
    polling.echo("still here").await
}

async fn refuses_unknown_session(peer: Peer) -> Outcome {
    refuses(peer, ("nosphere-session", "00000000-0000-4000-8000-000000000000"), 410, "unknown-session").await
}

async fn refuses_token(peer: Peer) -> Outcome {
    refuses(peer, ("nosphere-token", "00000000000000000000000000000000"), 403, "forbidden").await
}

async fn refuses_impossible_count(peer: Peer) -> Outcome {
    refuses(peer, ("nosphere-received", "9"), 400, "unexpected").await
}

async fn refuses_foreign_posts(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    let foreign = [("origin", "https://elsewhere.example")];
    polling.ask(Method::POST, &foreign, r#"{"text":"x"}"#).await?.is(403, "origin")?;
    polling.echo("still here").await
}

async fn keeps_tombstone(peer: Peer) -> Outcome {
    let mut polling = Polling::open(peer).await?;
    polling.echo("one").await?;
    for _ in 0..2 {
        let answer = polling.post(r#"{"close":{"code":1000,"reason":"","received":1}}"#).await?;
        answer.is(204, "")?;
        same("Nosphere-Received", answer.header("nosphere-received"), Some("1"))?;
    }
    polling.post(r#"{"text":"late"}"#).await?.is(410, "closed")
}

async fn refuses_methods(peer: Peer) -> Outcome {
    let polling = Polling::open(peer).await?;
    let answer = polling.ask(Method::DELETE, &[], "").await?;
    answer.is(405, "method")?;
    let allowed = answer.header("allow").unwrap_or_default();
    same("Allow has GET and POST", allowed.contains("GET") && allowed.contains("POST"), true)
}

async fn refuses_websocket_version(peer: Peer) -> Outcome {
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "12"),
    ];
    let answer = peer.get(&headers).await?;
    answer.is(426, "")?;
    same("Sec-WebSocket-Version", answer.header("sec-websocket-version"), Some("13"))
}
