use http::Method;
use tokio_tungstenite::tungstenite::Message;

use crate::peer::{Answer, Outcome, Peer, same};

super::cases! {
    "PLN-1" "on a plain WebSocket, trimmed objects and arrays are JSON, and anything else is text" tells_json
    "PLN-2" "on a plain WebSocket, text comes verbatim, JSON compact, binary as it is" writes_plain
    "PLN-3" "a plain event stream begins with its key, and each id holds key and count" streams
    "PLN-3" "Last-Event-ID resumes a plain event stream behind that event" resumes
    "PLN-4" "a session that is gone gives a new one, and then reset without a number" resets
    "PLN-6" "a plain poll holds one message, with its kind and its number" polls
    "PLN-7" "a body that is not the JSON it says is refused with 400 malformed" refuses_bad_json
    "PLN-7" "another content type is refused with 415" refuses_content_type
}

async fn tells_json(peer: Peer) -> Outcome {
    let echoes = [("1 ", "1 "), (r#" {"a": 1.50} "#, r#"{"a":1.50}"#), ("[ ]\n", "[]"), (r#"{"a": "#, r#"{"a": "#)];
    echo(&peer, echoes.map(|(sent, expected)| (Message::text(sent), Message::text(expected)))).await
}

async fn writes_plain(peer: Peer) -> Outcome {
    let messages = [Message::text("  ñ \r\n 漢 "), Message::text(""), Message::binary(vec![0, 255])];
    echo(&peer, messages.map(|message| (message.clone(), message))).await
}

async fn echo(peer: &Peer, messages: impl IntoIterator<Item = (Message, Message)>) -> Outcome {
    let (mut socket, _) = peer.dial(&[]).await?;
    for (sent, expected) in messages {
        socket.send_raw(sent).await?;
        same("the echo", socket.next_raw().await?, expected)?;
    }
    Ok(())
}

const STREAM: (&str, &str) = ("accept", "text/event-stream");

/// A POST into the session of a key `session.token`.
async fn post(peer: &Peer, key: &str, content_type: &str, body: &str) -> Outcome<Answer> {
    let (session, token) = key.split_once('.').ok_or("the key has no token")?;
    let headers = [("nosphere-session", session), ("nosphere-token", token), ("content-type", content_type)];
    peer.request(Method::POST, &headers, body).await
}

async fn streams(peer: Peer) -> Outcome {
    let (_, mut events) = peer.stream(&[STREAM]).await?;
    let first = events.next().await?;
    same("the first event", &*first.name, "session")?;
    same("its id", first.id, format!("{}.0", first.data))?;
    post(&peer, &first.data, "text/plain", "two\nlines").await?.is(204, "")?;
    let echo = events.next().await?;
    same("the echo", (&*echo.name, &*echo.data), ("", "two\nlines"))?;
    same("its id", echo.id, format!("{}.1", first.data))
}

async fn resumes(peer: Peer) -> Outcome {
    let (_, mut events) = peer.stream(&[STREAM]).await?;
    let key = events.next().await?.data;
    for text in ["1", "2", "3"] {
        post(&peer, &key, "text/plain", text).await?.is(204, "")?;
        same("the echo", &*events.next().await?.data, text)?;
    }
    drop(events);
    let (_, mut events) = peer.stream(&[STREAM, ("last-event-id", &format!("{key}.1"))]).await?;
    same("the first event", &*events.next().await?.name, "session")?;
    for text in ["2", "3"] {
        let event = events.next().await?;
        same("the event", (event.data, event.id), (text.to_owned(), format!("{key}.{text}")))?;
    }
    Ok(())
}

async fn resets(peer: Peer) -> Outcome {
    let gone = "24f98d6b-c271-4169-8f9c-217343b62aa7.00112233445566778899aabbccddeeff.17";
    let (_, mut events) = peer.stream(&[STREAM, ("last-event-id", gone)]).await?;
    same("the first event", &*events.next().await?.name, "session")?;
    let reset = events.next().await?;
    same("the second event", (&*reset.name, &*reset.data), ("reset", ""))
}

const POLL: (&str, &str) = ("nosphere-transport", "long-polling");

/// The key `session.token` of a new session on plain polls.
async fn open(peer: &Peer) -> Outcome<String> {
    let answer = peer.get(&[POLL]).await?;
    answer.is(204, "")?;
    match (answer.header("nosphere-session"), answer.header("nosphere-token")) {
        (Some(session), Some(token)) => Ok(format!("{session}.{token}")),
        _ => Err("the answer has no session and token".into()),
    }
}

async fn polls(peer: Peer) -> Outcome {
    let key = open(&peer).await?;
    let messages = [
        ("text/plain", "ñ", "text/plain;charset=utf-8", "ñ"),
        ("application/json", r#"{"a": 1}"#, "application/json", r#"{"a":1}"#),
        ("application/json", " 1 ", "text/plain;charset=utf-8", "1"), // SPEC PLN-6: as PLN-1 reads it
        ("application/octet-stream", "abc", "application/octet-stream", "abc"),
    ];
    let (session, token) = key.split_once('.').unwrap_or_default();
    for (number, (kind, body, expected_kind, expected)) in messages.into_iter().enumerate() {
        post(&peer, &key, kind, body).await?.is(204, "")?;
        let received = number.to_string();
        let headers =
            [POLL, ("nosphere-session", session), ("nosphere-token", token), ("nosphere-received", &received)];
        let answer = peer.get(&headers).await?;
        answer.is(200, "")?;
        same("its kind", answer.header("content-type"), Some(expected_kind))?;
        same("its number", answer.header("nosphere-count"), Some(&*(number + 1).to_string()))?;
        same("the message", &*answer.body, expected.as_bytes())?;
    }
    Ok(())
}

async fn refuses_bad_json(peer: Peer) -> Outcome {
    let key = open(&peer).await?;
    post(&peer, &key, "application/json", r#"{"a":"#).await?.is(400, "malformed")
}

async fn refuses_content_type(peer: Peer) -> Outcome {
    let key = open(&peer).await?;
    post(&peer, &key, "application/xml", "<a/>").await?.is(415, "content-type")
}
