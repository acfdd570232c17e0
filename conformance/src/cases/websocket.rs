use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::peer::{JSON, MESSAGEPACK, Outcome, Peer, open, same};

super::cases! {
    "NEG-2" "the first subprotocol that is supported is chosen, not the first one" chooses_supported
    "NEG-2" "if only unknown versions of nosphere are offered, the answer is 400" refuses_unknown_versions
    "SEC-2" "an upgrade from a foreign origin is refused with 403 origin" refuses_foreign_upgrade
    "WS-1"  "a ping before open is answered with pong 0" pongs_before_open
    "WS-1"  "the 17th ping before open ends the connection with 4422" limits_pings_before_open
    "WS-1"  "a message before open ends the connection with 4422" refuses_message_before_open
    "WS-2"  "open is answered with opened, which has a token and all limits" opens
    "WS-3"  "binary data on a JSON connection ends it with 4400" refuses_wrong_kind
    "FRM-1" "unknown fields are ignored" ignores_unknown_fields
    "FRM-2" "a unit that is no frame ends the link with 4400, and the session can be resumed" survives_malformed
    "FRM-2" "a second open ends the link with 4422, and the session can be resumed" survives_unexpected
    "FRM-3" "a message with an unreadable payload is counted, and the next one passes" counts_unreadable
    "TRM-1" "a count beyond 2^53-1 ends the link with 4400" refuses_large_count
    "JSN-2" "a binary payload without padding is a payload error" refuses_unpadded
    "JSN-3" "64 levels of nesting pass, and 65 are a payload error" limits_nesting
    "MSP-1" "further elements of a MessagePack array are ignored" ignores_further_elements
    "MSP-1" "bytes behind a MessagePack frame end the link with 4400" refuses_bytes_behind
    "MSP-2" "a text comes back in MessagePack" echoes_messagepack
    "HB-2"  "a ping is answered with the count of messages taken" pongs
    "DLV-2" "no more messages come than the client's window allows" respects_window
    "DLV-4" "an ack for what was never sent ends the link with 4422" refuses_impossible_ack
    "DLV-4" "an ack that is lower than an earlier one is ignored" ignores_lower_ack
    "DLV-6" "after resume, everything behind received comes again, in order, and nothing before it" replays
    "ATT-2" "a resume whose attachment is not higher is refused with 4409, without harm" refuses_same_attachment
    "ATT-3" "a newer attachment ends the older WebSocket with 4409" fences
    "REQ-1" "a request is delivered as one, and answered with a reply that has its id and what it held" answers_requests
    "REQ-1" "a request in MessagePack is answered in MessagePack" answers_messagepack_requests
    "REQ-1" "a reply that was not acknowledged comes again after resume, and a request that was taken is not asked again" replays_replies
    "REQ-2" "a reply to nothing counts, and has no other effect" passes_over_stray_replies
    "FRM-3" "a request with an unreadable payload is counted, and the next one is answered" counts_unreadable_requests
    "JSN-4" "a request whose id is beyond 2^53-1, or no integer, ends the link with 4400" refuses_bad_request_ids
    "SES-3" "a resume of an unknown session is answered with reset" resets
    "SES-4" "a wrong token is refused with 4403, without harm" refuses_token
    "SES-5" "a resume with a count that was never reached is refused with 4422, without harm" refuses_impossible_offer
    "CLS-2" "close is answered with close and the count, behind all that came before" answers_close
    "WS-5"  "after close, the WebSocket is closed with the same code" closes_with_code
    "CLS-4" "a closed session answers a resume with close" keeps_tombstone
}

async fn chooses_supported(peer: Peer) -> Outcome {
    let offered = "nosphere.v9.json, chat, nosphere.v1.messagepack, nosphere.v1.json";
    let (_, chosen) = peer.dial(&[("sec-websocket-protocol", offered)]).await?;
    same("the subprotocol", chosen.as_deref(), Some(MESSAGEPACK))
}

async fn refuses_unknown_versions(peer: Peer) -> Outcome {
    refused(&peer, &[("sec-websocket-protocol", "nosphere.v9.json, chat")], 400, "bad-request").await
}

async fn refuses_foreign_upgrade(peer: Peer) -> Outcome {
    let headers = [("sec-websocket-protocol", JSON), ("origin", "https://elsewhere.example")];
    refused(&peer, &headers, 403, "origin").await
}

async fn refused(peer: &Peer, headers: &[(&str, &str)], status: u16, error: &str) -> Outcome {
    match peer.dial(headers).await {
        Err(SocketError::Http(response)) => {
            let name = response.headers().get("nosphere-error").and_then(|name| name.to_str().ok());
            same("the answer", (response.status().as_u16(), name), (status, Some(error)))
        }
        Err(error) => Err(error.into()),
        Ok(_) => Err("the upgrade was granted".into()),
    }
}

async fn pongs_before_open(peer: Peer) -> Outcome {
    let mut socket = peer.socket().await?;
    socket.send(&json!({"ping": 0})).await?;
    same("the answer", socket.next().await?, json!({"pong": 0}))
}

async fn limits_pings_before_open(peer: Peer) -> Outcome {
    let mut socket = peer.socket().await?;
    for _ in 0..17 {
        socket.send(&json!({"ping": 0})).await?;
    }
    socket.closes(4422).await
}

async fn refuses_message_before_open(peer: Peer) -> Outcome {
    let mut socket = peer.socket().await?;
    socket.send(&json!({"text": "early"})).await?;
    socket.closes(4422).await
}

async fn opens(peer: Peer) -> Outcome {
    let mut socket = peer.socket().await?;
    socket.send(&open(256)).await?;
    let opened = &socket.next().await?["opened"];
    let token = opened["token"].as_str().unwrap_or_default();
    let hexadecimal = token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    same("the token is 32 lower-case hexadecimal digits", token.len() == 32 && hexadecimal, true)?;
    for field in ["heartbeat", "timeout", "proof", "resume"] {
        same(field, opened[field].is_u64(), true)?;
    }
    for field in ["messages", "bytes"] {
        same(field, opened["window"][field].as_u64() >= Some(1), true)?;
    }
    Ok(())
}

async fn refuses_wrong_kind(peer: Peer) -> Outcome {
    let (mut socket, _) = peer.open().await?;
    socket.send_raw(Message::binary(&br#"{"text":"x"}"#[..])).await?;
    socket.closes(4400).await
}

async fn ignores_unknown_fields(peer: Peer) -> Outcome {
    let mut socket = peer.socket().await?;
    let mut open = open(256);
    open["open"]["colour"] = json!(["red"]);
    socket.send(&open).await?;
    socket.frame("opened").await.map(drop)
}

async fn survives_malformed(peer: Peer) -> Outcome {
    survives(peer, Message::text("nonsense"), 4400).await
}

async fn survives_unexpected(peer: Peer) -> Outcome {
    survives(peer, Message::text(open(1).to_string()), 4422).await
}

async fn refuses_large_count(peer: Peer) -> Outcome {
    survives(peer, Message::text(r#"{"ack":9007199254740992}"#), 4400).await
}

async fn refuses_impossible_ack(peer: Peer) -> Outcome {
    survives(peer, Message::text(r#"{"ack":2}"#), 4422).await
}

/// One message is echoed; then this fault ends the link with a code; then the session is resumed and echoes another.
async fn survives(peer: Peer, fault: Message, code: u16) -> Outcome {
    let (mut socket, key) = peer.open().await?;
    socket.send(&json!({"text": "before"})).await?;
    socket.texts(&["before"]).await?;
    socket.send_raw(fault).await?;
    socket.closes(code).await?;
    let (mut socket, answer) = peer.resume(&key, 2, 1).await?;
    same("the answer to resume", answer, json!({"resumed": {"received": 1}}))?;
    socket.send(&json!({"text": "after"})).await?;
    socket.texts(&["after"]).await
}

async fn counts_unreadable(peer: Peer) -> Outcome {
    counts(peer, r#"{"json":{"a":}}"#).await
}

async fn refuses_unpadded(peer: Peer) -> Outcome {
    counts(peer, r#"{"binary":"AQI"}"#).await
}

/// This unit counts as a message, and nothing comes of it.
async fn counts(peer: Peer, unit: &str) -> Outcome {
    let (mut socket, _) = peer.open().await?;
    socket.send_raw(Message::text(unit)).await?;
    socket.send(&json!({"text": "after"})).await?;
    socket.texts(&["after"]).await?;
    socket.send(&json!({"ping": 1})).await?;
    same("the count", socket.frame("pong").await?, 2)
}

async fn limits_nesting(peer: Peer) -> Outcome {
    let nested = |levels| format!(r#"{{"json":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let (mut socket, _) = peer.open().await?;
    socket.send_raw(Message::text(nested(64))).await?;
    same("64 levels", socket.next().await?.to_string(), nested(64))?;
    counts(peer, &nested(65)).await
}

/// A session in MessagePack.
async fn open_messagepack(peer: &Peer) -> Outcome<crate::peer::Socket> {
    let (mut socket, _) = peer.dial(&[("sec-websocket-protocol", MESSAGEPACK)]).await?;
    socket.send_raw(Message::binary(&b"\x95\x00\x01\xcd\x01\x00\xce\x00\x10\x00\x00\xa7unknown"[..])).await?;
    let opened = socket.next_raw().await?.into_data();
    same("opened begins with", opened.get(1..4), Some(&b"\x01\xc4\x10"[..]))?;
    Ok(socket)
}

async fn ignores_further_elements(peer: Peer) -> Outcome {
    open_messagepack(&peer).await.map(drop)
}

async fn refuses_bytes_behind(peer: Peer) -> Outcome {
    let mut socket = open_messagepack(&peer).await?;
    socket.send_raw(Message::binary(&b"\x92\x05\xa1x\xc0"[..])).await?;
    socket.closes(4400).await
}

async fn echoes_messagepack(peer: Peer) -> Outcome {
    let mut socket = open_messagepack(&peer).await?;
    let sent = Message::binary([b"\x92\x05\xa6", "ñ 漢".as_bytes()].concat());
    socket.send_raw(sent.clone()).await?;
    same("the echo", socket.next_raw().await?, sent)
}

async fn pongs(peer: Peer) -> Outcome {
    let (mut socket, _) = peer.open().await?;
    socket.send(&json!({"text": "one"})).await?;
    socket.texts(&["one"]).await?;
    socket.send(&json!({"ping": 1})).await?;
    same("the count", socket.frame("pong").await?, 1)
}

async fn respects_window(peer: Peer) -> Outcome {
    let mut socket = peer.socket().await?;
    socket.send(&open(2)).await?;
    socket.frame("opened").await?;
    for text in ["0", "1", "2", "3"] {
        socket.send(&json!({"text": text})).await?;
    }
    socket.texts(&["0", "1"]).await?;
    // The pong comes behind whatever was sent before.
    socket.send(&json!({"ping": 0})).await?;
    socket.frame("pong").await?;
    socket.send(&json!({"ack": 2})).await?;
    socket.texts(&["2", "3"]).await
}

async fn ignores_lower_ack(peer: Peer) -> Outcome {
    let (mut socket, _) = peer.open().await?;
    socket.send(&json!({"text": "one"})).await?;
    socket.texts(&["one"]).await?;
    socket.send(&json!({"ack": 1})).await?;
    socket.send(&json!({"ack": 0})).await?;
    socket.send(&json!({"text": "two"})).await?;
    socket.texts(&["two"]).await
}

async fn replays(peer: Peer) -> Outcome {
    let (mut socket, key) = peer.open().await?;
    let texts = ["1", "2", "3", "4"];
    for text in texts {
        socket.send(&json!({"text": text})).await?;
    }
    socket.texts(&texts).await?;
    drop(socket);
    for (attachment, received) in [(2, 0), (3, 1), (4, 3), (5, 4)] {
        let (mut socket, answer) = peer.resume(&key, attachment, received).await?;
        same("the answer to resume", answer, json!({"resumed": {"received": 4}}))?;
        socket.texts(&texts[received as usize..]).await?;
        // The pong would come behind anything else. What is acknowledged cannot be asked for again, so nothing more is.
        socket.send(&json!({"ping": received})).await?;
        same("the count", socket.frame("pong").await?, 4)?;
    }
    Ok(())
}

async fn answers_requests(peer: Peer) -> Outcome {
    let (mut socket, _) = peer.open().await?;
    let asked = [
        (0, "text", json!("what?")),
        (5, "json", json!({"what": ["is", {"your": "name?"}], "reply": 6})),
        (9_007_199_254_740_991_u64, "binary", json!("AP/+")),
    ];
    for (id, kind, content) in &asked {
        // The id first, which the order of a map's members would not see to.
        socket.send_raw(Message::text(format!(r#"{{"request":{id},"{kind}":{content}}}"#))).await?;
    }
    for (id, kind, content) in asked {
        same("the reply", socket.next().await?, json!({"reply": id, kind: content}))?;
    }
    socket.send(&json!({"ping": 3})).await?;
    same("the count", socket.frame("pong").await?, 3)
}

async fn answers_messagepack_requests(peer: Peer) -> Outcome {
    let mut socket = open_messagepack(&peer).await?;
    socket.send_raw(Message::binary(&b"\x94\x0c\xcd\x01\x2c\x05\xa2hi"[..])).await?;
    same("the reply", socket.next_raw().await?, Message::binary(&b"\x94\x0d\xcd\x01\x2c\x05\xa2hi"[..]))
}

async fn replays_replies(peer: Peer) -> Outcome {
    let (mut socket, key) = peer.open().await?;
    let replies = [json!({"reply": 7, "text": "one?"}), json!({"reply": 3, "text": "two?"})];
    for (id, text) in [(7, "one?"), (3, "two?")] {
        socket.send_raw(Message::text(format!(r#"{{"request":{id},"text":"{text}"}}"#))).await?;
    }
    for reply in &replies {
        same("the reply", &socket.next().await?, reply)?;
    }
    drop(socket);
    for (attachment, received) in [(2, 0), (3, 1), (4, 2)] {
        let (mut socket, answer) = peer.resume(&key, attachment, received).await?;
        same("the answer to resume", answer, json!({"resumed": {"received": 2}}))?;
        for reply in &replies[received as usize..] {
            same("the reply", &socket.next().await?, reply)?;
        }
        socket.send(&json!({"ping": received})).await?;
        same("what comes next", socket.next().await?, json!({"pong": 2}))?;
    }
    Ok(())
}

async fn passes_over_stray_replies(peer: Peer) -> Outcome {
    let (mut socket, _) = peer.open().await?;
    for id in [9, 9, 0] {
        socket.send_raw(Message::text(format!(r#"{{"reply":{id},"text":"unasked"}}"#))).await?;
    }
    socket.send(&json!({"text": "still here"})).await?;
    socket.texts(&["still here"]).await?;
    socket.send(&json!({"ping": 1})).await?;
    same("the count", socket.frame("pong").await?, 4)
}

async fn counts_unreadable_requests(peer: Peer) -> Outcome {
    let (mut socket, _) = peer.open().await?;
    for unit in [r#"{"request":1,"json":x}"#, r#"{"reply":1,"text":2}"#, r#"{"request":2,"text":"and?"}"#] {
        socket.send_raw(Message::text(unit)).await?;
    }
    same("the reply", socket.next().await?, json!({"reply": 2, "text": "and?"}))?;
    socket.send(&json!({"ping": 1})).await?;
    same("the count", socket.frame("pong").await?, 3)
}

async fn refuses_bad_request_ids(peer: Peer) -> Outcome {
    for id in ["9007199254740992", "-1", "1.5", "\"1\"", "null"] {
        let (mut socket, _) = peer.open().await?;
        socket.send_raw(Message::text(format!(r#"{{"request":{id},"text":"a"}}"#))).await?;
        socket.closes(4400).await?;
    }
    Ok(())
}

async fn refuses_same_attachment(peer: Peer) -> Outcome {
    let (mut socket, key) = peer.open().await?;
    offer_is_refused(&peer, &key.offer(1, 0), 4409).await?;
    socket.send(&json!({"text": "still here"})).await?;
    socket.texts(&["still here"]).await
}

async fn refuses_token(peer: Peer) -> Outcome {
    let (mut socket, mut key) = peer.open().await?;
    key.token = "0".repeat(32);
    offer_is_refused(&peer, &key.offer(2, 0), 4403).await?;
    socket.send(&json!({"text": "still here"})).await?;
    socket.texts(&["still here"]).await
}

async fn refuses_impossible_offer(peer: Peer) -> Outcome {
    let (mut socket, key) = peer.open().await?;
    offer_is_refused(&peer, &key.offer(2, 1), 4422).await?;
    socket.send(&json!({"text": "still here"})).await?;
    socket.texts(&["still here"]).await
}

async fn offer_is_refused(peer: &Peer, offer: &Value, code: u16) -> Outcome {
    let mut socket = peer.socket().await?;
    socket.send(offer).await?;
    socket.closes(code).await
}

async fn fences(peer: Peer) -> Outcome {
    let (mut old, key) = peer.open().await?;
    let (mut new, answer) = peer.resume(&key, 2, 0).await?;
    same("the answer to resume", answer, json!({"resumed": {"received": 0}}))?;
    old.closes(4409).await?;
    new.send(&json!({"text": "here"})).await?;
    new.texts(&["here"]).await
}

async fn resets(peer: Peer) -> Outcome {
    let (_, mut key) = peer.open().await?;
    key.session = "00000000-0000-4000-8000-000000000000".to_owned();
    let (_, answer) = peer.resume(&key, 2, 0).await?;
    same("reset has a text", answer["reset"].is_string(), true)
}

async fn answers_close(peer: Peer) -> Outcome {
    let (mut socket, _) = peer.open().await?;
    socket.send(&json!({"text": "one"})).await?;
    socket.texts(&["one"]).await?;
    socket.send(&json!({"close": {"code": 1000, "reason": "done", "received": 1}})).await?;
    same("the count", &socket.frame("close").await?["received"], 1)
}

async fn closes_with_code(peer: Peer) -> Outcome {
    let (mut socket, _) = peer.open().await?;
    socket.send(&json!({"close": {"code": 3000, "reason": "", "received": 0}})).await?;
    socket.closes(3000).await
}

async fn keeps_tombstone(peer: Peer) -> Outcome {
    let (mut socket, key) = peer.open().await?;
    socket.send(&json!({"close": {"code": 1000, "reason": "", "received": 0}})).await?;
    socket.closes(1000).await?;
    let (_, answer) = peer.resume(&key, 2, 0).await?;
    same("the code", &answer["close"]["code"], 1000)
}
