use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nosphere_core::{
    Action, Attach, Batch, Config, Connection, Fault, Frame, LinkId, Message, Opening, Payload, Protocol, Reason,
    ResumeToken, State, Text, Time, Transport, Unit, Window, WireFormat,
};
use nosphere_wire::PLAIN;
use nosphere_wire::atmosphere::{AtmosphereFormat, Greeting};

use crate::application::{Application, message};

/// Any operations on one session of a client of atmosphere.js, in any flavour, and any unit of such a client.
///
/// The first byte chooses flavour and transport; what follows is pairs of an operation and its argument.
pub fn atmosphere(data: &[u8]) {
    units(data);
    let mut bytes = data.iter().copied();
    let mut next = move || bytes.next();
    let Some(choice) = next() else { return };
    let mut config = Config::default();
    config.max_queued_messages = 8;
    config.window = Window { messages: 4, bytes: 256 };
    config.heartbeat = Duration::from_secs(2);
    config.client_heartbeat = Duration::from_secs(u64::from(choice >> 7));
    let config = Arc::new(config);
    let token = ResumeToken::from_random([2; 16]);
    let opening = Opening {
        session: token.session(),
        token,
        attachment: 1,
        window: Window { messages: u32::MAX, bytes: u32::MAX },
        link: LinkId(0),
        transport: transport(choice),
    };
    let mut now = Time::ZERO;
    let mut connection = Connection::server(&config, Protocol::Atmosphere, opening, now);
    let mut format = flavour(choice);
    let mut links = 0;
    let mut application = Application::default();
    while let Some(operation) = next() {
        let argument = next().unwrap_or_default();
        match operation % 12 {
            0 => application.send(&mut connection, &message(argument), now),
            1 => connection.close(Reason::Closed, now),
            2 | 3 => {
                links += 1;
                let attach =
                    Attach { link: LinkId(links), transport: transport(argument), attachment: None, received: None };
                match connection.handle_attach(attach, now) {
                    Ok(()) => format = flavour(argument),
                    Err(fault) => {
                        assert_eq!((fault, connection.state()), (Fault::Closed, State::Closed), "SPEC ATM-21");
                    }
                }
            }
            4 => connection.handle_detach(LinkId(links), Reason::Lost, now),
            5 => connection.handle_detach(LinkId(links), Reason::Closed, now),
            6 => connection.handle_unit(LinkId(links), unit(argument), format, now),
            7 => {
                let batch = Batch { attachment: None, base: None, received: None, units: vec![unit(argument)] };
                let answer = connection.handle_batch(batch, format, now);
                if let Err(fault) = answer.outcome {
                    assert!(matches!(fault, Fault::Closed | Fault::Window | Fault::TooLarge), "{fault:?}");
                }
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
            10 => transmit(&mut connection, LinkId(links), format, now),
            _ if argument == 0xff => connection.handle_leave(now),
            _ => application.take(&mut connection),
        }
        assert!(connection.queued() <= config.max_queued_messages);
    }
    application.end(&mut connection, now);
}

/// Everything that there is for a link; of a poll without lengths, no more than one unit.
fn transmit(connection: &mut Connection, link: LinkId, format: &AtmosphereFormat, now: Time) {
    let one =
        connection.link() == Some(link) && connection.transport() == Transport::LongPolling && !format.is_delimited();
    let mut units = 0;
    loop {
        match connection.poll_transmit(link, format, now) {
            Some(Action::Send { unit, .. }) => {
                assert!(unit.is_text() || connection.transport() == Transport::WebSocket, "SPEC ATM-12");
                units += 1;
            }
            Some(Action::Close { .. } | Action::Finish) | None => break,
            Some(_) => {}
        }
    }
    assert!(!one || units <= 1, "SPEC ATM-13");
}

/// Any unit is read, and what is read as a message is the one that a plain client would have sent; what can be written
/// says how long it is.
fn units(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let text = Text::from_utf8(bytes.clone()).ok();
    for choice in [0, 1, 0x41, 0x80, 0xc2] {
        let format = flavour(choice);
        for unit in [text.clone().map(Unit::Text), Some(Unit::Binary(bytes.clone()))].into_iter().flatten() {
            let Ok(frame) = format.decode(unit.clone()) else { panic!("{unit:?} is not read") };
            if frame.is_message() {
                assert_eq!(PLAIN.decode(unit).as_ref(), Ok(&frame));
            } else {
                assert!(matches!(frame, Frame::Ack { received: 0 } | Frame::Pong { received: 0 }));
            }
        }
        let Some(text) = &text else { continue };
        let message = Message::from(Payload::Text(text.clone()));
        let Ok(unit) = message.encode(format) else { continue };
        let written = str::from_utf8(unit.payload()).unwrap_or_default();
        let rest = if format.is_delimited() {
            let (length, rest) = written.split_once('|').unwrap_or_default();
            assert_eq!(length.parse(), Ok(text.encode_utf16().count()), "SPEC ATM-11");
            rest
        } else {
            written
        };
        assert_eq!(rest, text.as_str());
        assert!(!text.trim().is_empty() && text.trim() != "X", "SPEC ATM-12");
    }
}

fn flavour(choice: u8) -> &'static AtmosphereFormat {
    let greeting = match choice >> 2 & 3 {
        0 => Greeting::Handshake,
        1 => Greeting::Space,
        _ => Greeting::None,
    };
    AtmosphereFormat::of(greeting, choice & 0x40 != 0, choice & 0x80 != 0)
}

fn transport(choice: u8) -> Transport {
    match choice & 3 {
        0 => Transport::WebSocket,
        1 => Transport::ServerSentEvents,
        2 => Transport::Streaming,
        _ => Transport::LongPolling,
    }
}

fn unit(argument: u8) -> Unit {
    Unit::Text(match argument & 7 {
        0 => "X".into(),
        1 => "...ACK...".into(),
        2 => "{\"a\":[1]}".into(),
        3 => "{".into(),
        4 => "".into(),
        5 => return Unit::Binary(Bytes::from(vec![argument; 300])),
        6 => "5|hello".into(),
        _ => "x".repeat(usize::from(argument)).into(),
    })
}
