use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nosphere_core::{
    Action, Attach, Batch, Config, Connection, LinkId, Message, Opening, Protocol, Reason, ResumeToken, SessionId,
    Text, Time, Transport, Unit, Window, WireFormat,
};
use nosphere_wire::{JSON, PLAIN};

use crate::application::{Application, message};

/// Any operations on one server session: the event grammar, one `Disconnected` and nothing after it, limits, deadlines that
/// get on, and transmits only for the current link.
pub fn session(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut next = move || bytes.next();
    let Some(choice) = next() else { return };
    let transport = transport(choice);
    let protocol = if choice & 0x80 == 0 { Protocol::Native } else { Protocol::Plain };
    let format: &dyn WireFormat = if protocol == Protocol::Native { &JSON } else { &PLAIN };
    let mut config = Config::default();
    config.max_queued_messages = 8;
    config.window = Window { messages: 4, bytes: 256 };
    config.heartbeat = Duration::from_secs(2);
    let config = Arc::new(config);
    let opening = Opening {
        session: SessionId::from([1; 16]),
        token: ResumeToken::from_random([2; 16]),
        attachment: 1,
        window: Window { messages: 4, bytes: 256 },
        link: LinkId(0),
        transport,
    };
    let mut now = Time::ZERO;
    let mut connection = Connection::server(&config, protocol, opening, now);
    let mut links = 0;
    let mut application = Application::default();
    while let Some(operation) = next() {
        let argument = next().unwrap_or_default();
        let number = u64::from(argument & 0x0f);
        match operation {
            // What came later has numbers of its own, so that inputs of the corpus go on meaning what they meant.
            240..=244 => application.send(&mut connection, &message(argument), now),
            245..=249 => application.take_reply(&mut connection),
            250.. => connection.handle_blocked(LinkId(number)),
            _ => match operation % 12 {
                0 => application.send(&mut connection, &Message::text("x".repeat(usize::from(argument))), now),
                1 => connection.close(Reason::Closed, now),
                2 => {
                    links += 1;
                    let attachment = (argument & 0x40 == 0).then_some(number);
                    let received = (argument & 0x20 == 0).then_some(number);
                    let attach =
                        Attach { link: LinkId(links), transport: self::transport(argument), attachment, received };
                    let before = connection.clone();
                    if connection.handle_attach(attach, now).is_err() {
                        assert_eq!(connection, before, "a refused request had an effect");
                    }
                }
                3 => connection.handle_detach(LinkId(number), Reason::Lost, now),
                4 => connection.handle_detach(LinkId(links), Reason::Closed, now),
                5 | 6 => connection.handle_unit(LinkId(links), unit(argument), format, now),
                7 => {
                    let units = (0..number % 4).map(|_| unit(argument)).collect();
                    let batch = Batch { attachment: None, base: Some(number), received: Some(number), units };
                    let answer = connection.handle_batch(batch, format, now);
                    assert!(answer.received <= 1 << 53);
                }
                8 => now = now + Duration::from_millis(u64::from(argument) * 100),
                9 => {
                    if let Some(at) = connection.poll_timeout() {
                        now = now.max(at);
                        let before = connection.clone();
                        connection.handle_timeout(now);
                        assert_ne!(connection, before, "a deadline came and nothing happened");
                    }
                }
                10 => {
                    for _ in 0..=number {
                        match connection.poll_transmit(LinkId(links), format, now) {
                            Some(Action::Close { .. }) | None => break,
                            Some(_) => {}
                        }
                    }
                }
                _ => application.take(&mut connection),
            },
        }
        assert!(connection.queued() <= config.max_queued_messages);
        assert_eq!(connection.acknowledged().min(1 << 53), connection.acknowledged());
    }
    application.end(&mut connection, now);
}

pub(crate) fn transport(choice: u8) -> Transport {
    match choice % 3 {
        0 => Transport::WebSocket,
        1 => Transport::ServerSentEvents,
        _ => Transport::LongPolling,
    }
}

pub(crate) fn unit(argument: u8) -> Unit {
    let number = argument & 0x0f;
    let text = match argument % 7 {
        _ if argument >= 0xf0 => format!(r#"{{"reply":{number},"text":"{number}"}}"#),
        _ if argument >= 0xe0 => format!(r#"{{"request":{number},"json":{}}}"#, ["0", "["][usize::from(number & 1)]),
        0 => format!(r#"{{"text":"{number}"}}"#),
        1 => format!(r#"{{"ack":{number}}}"#),
        2 => format!(r#"{{"ping":{number}}}"#),
        3 => format!(r#"{{"pong":{number}}}"#),
        4 => format!(r#"{{"close":{{"code":1000,"reason":"","received":{number}}}}}"#),
        5 => r#"{"json":[}"#.to_owned(),
        _ => return Unit::Binary(Bytes::from(vec![argument; usize::from(argument)])),
    };
    Unit::Text(Text::from(text))
}
