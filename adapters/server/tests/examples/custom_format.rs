use nosphere::{DecodeError, EncodeError, Frame, Payload, Transport, Unit, WireFormat};
use nosphere_wire::JSON;

use crate::program::{Program, leave};
use crate::support::*;

/// What a client has that was written by the example's description, not by its code.
#[derive(Debug)]
struct Described;

impl WireFormat for Described {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn encode(&self, frame: Frame) -> Result<Unit, EncodeError> {
        let mut unit = Vec::new();
        match &frame {
            Frame::Message(Payload::Text(text)) => {
                unit.push(b't');
                unit.extend_from_slice(text.as_bytes());
            }
            Frame::Message(Payload::Binary(bytes)) => {
                unit.push(b'b');
                unit.extend_from_slice(bytes);
            }
            _ => unit.extend_from_slice(JSON.encode(frame)?.as_bytes()),
        }
        Ok(Unit::Binary(unit.into()))
    }

    fn decode(&self, unit: Unit) -> Result<Frame, DecodeError> {
        let bytes = unit.as_bytes();
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        match bytes[0] {
            b't' => Ok(Frame::Message(text(&string(&bytes[1..])))),
            b'b' => Ok(Frame::Message(Payload::Binary(bytes[1..].to_vec().into()))),
            b'{' => JSON.decode(Unit::Text(string(bytes).into())),
            other => panic!("neither t, b nor {{, but {other}"),
        }
    }
}

fn payloads() -> [Payload; 6] {
    [
        text(""),
        text("\"quotes\"\nand lines"),
        text("{\"ack\":1}"),
        json(&serde_json::json!({ "deep": [[1.5, null, "\n"]] })),
        Payload::Binary(Default::default()),
        Payload::Binary((0..=255).collect::<Vec<u8>>().into()),
    ]
}

#[tokio::test]
async fn every_transport_carries_it_and_a_session_moves_between_them() {
    let program = Program::start("custom_format").await;
    for http in [Http::One, Http::Two] {
        for transport in TRANSPORTS {
            let mut client = Native::open_over(http, program.addr, "/echo", transport, &Described).await;
            for payload in payloads() {
                client.send(payload.clone()).await;
                assert_eq!(client.message().await, payload, "{transport}");
            }
            for next in TRANSPORTS {
                client.send(text("moving")).await;
                client.resume(next).await;
                assert_eq!(client.message().await, text("moving"), "{transport} to {next}");
            }
            leave(client).await;
        }
    }
    program.end().await;
}

#[tokio::test]
async fn it_is_negotiated_by_its_name_beside_the_others() {
    let program = Program::start("custom_format").await;
    // The first that is offered and known.
    for (offered, chosen) in [
        ("nosphere.v1.bare, nosphere.v1.json", "nosphere.v1.bare"),
        ("nosphere.v1.json, nosphere.v1.bare", "nosphere.v1.json"),
        ("nosphere.v1.other, nosphere.v1.bare", "nosphere.v1.bare"),
    ] {
        let ws = Ws::connect(program.addr, "/echo", Some(offered)).await;
        assert_eq!(ws.subprotocol.as_deref(), Some(chosen), "{offered}");
    }
    let other = Ws::ask(program.addr, "/echo", Some("nosphere.v1.other"), &[]).await;
    assert_eq!(other.err().expect("refused").status(), 400);
    for format in FORMATS {
        let mut client = Native::open(program.addr, "/echo", Transport::WebSocket, format).await;
        client.send(text("hello")).await;
        assert_eq!(client.message().await, text("hello"));
        leave(client).await;
    }
    program.end().await;
}

#[tokio::test]
async fn a_message_is_a_letter_and_what_it_says() {
    let program = Program::start("custom_format").await;
    let mut ws = Ws::connect(program.addr, "/echo", Some("nosphere.v1.bare")).await;
    ws.binary(br#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#).await;
    assert!(binary(&mut ws).await.starts_with(br#"{"opened":"#));
    for unit in [&b"thello"[..], b"b\x00\xff", br#"{"json":[1,2]}"#] {
        ws.binary(unit).await;
        assert_eq!(binary(&mut ws).await, unit);
    }
    ws.binary(br#"{"close":{"code":1000,"reason":"","received":3}}"#).await;
    assert!(binary(&mut ws).await.starts_with(br#"{"close":{"code":1000,"#));
    program.end().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_an_event_and_what_is_no_frame_costs_the_link() {
    let program = Program::start("custom_format").await;
    for broken in [&b""[..], b"x", b"\xff", b"{", b"{\"nothing\":1}", b"Thello"] {
        let mut client = Native::open(program.addr, "/echo", Transport::WebSocket, &Described).await;
        // Messages that are counted, but not understood.
        for unreadable in [&b"t\xff"[..], b"{\"json\":[}"] {
            client.ws().binary(unreadable).await;
            let Payload::Text(told) = client.message().await else { panic!("told by text") };
            assert!(told.starts_with("not understood"), "{told}");
        }
        client.ws().binary(broken).await;
        assert_eq!(client.ws().closed().await, (4400, "malformed".into()), "{broken:?}");
        // The session is still there, with what was counted.
        client.attachment += 1;
        let mut ws = client.socket().await;
        let offer = client.unit(client.offer());
        ws.send(offer).await;
        assert_eq!(binary(&mut ws).await, br#"{"resumed":{"received":2}}"#);
    }
    let mut client = Native::open(program.addr, "/echo", Transport::WebSocket, &Described).await;
    client.ws().text("thello").await;
    assert_eq!(client.ws().closed().await.0, 4400, "SPEC WS-3: the format is binary");
}

async fn binary(ws: &mut Ws) -> Vec<u8> {
    match ws.next().await {
        Some(WsMessage::Binary(bytes)) => bytes.to_vec(),
        other => panic!("not binary: {other:?}"),
    }
}
