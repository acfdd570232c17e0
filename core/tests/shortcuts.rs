//! What adapters call where it costs less does what the plain calls do, to the last bit of the session's state.

use std::sync::Arc;

use nosphere_core::{
    Action, Arena, Attach, Config, Connection, Encoded, Event, FrameHead, FrameParts, Lent, LinkId, Message, Opening,
    Overflow, Protocol, Reason, ResumeToken, Sent, SessionId, Time, Unit, Window, WireFormat, frame_header,
};
use nosphere_wire::{JSON, PLAIN};
use proptest::prelude::*;

use crate::support::{WS, config};

#[derive(Clone, Debug)]
enum Step {
    /// The peer sends something; the application waits for events, or is busy.
    Receive {
        unit: String,
        waits: bool,
    },
    /// As it is, or as one of many recipients gets it.
    Send {
        message: Message,
        copied: bool,
    },
    /// The socket takes as many units as these at a time, and in the end all.
    Flush {
        writes: Vec<usize>,
    },
    Pass {
        millis: u64,
    },
    Lose,
    Resume {
        behind: u64,
    },
}

fn message() -> impl Strategy<Value = Message> {
    let payload = prop_oneof![
        "[a-z]{0,20}".prop_map(Message::text),
        Just(Message::binary(vec![1; 30])),
        Just(serde_json::json!({"a": [1, 2]}).into()),
        Just(Message::text("x".repeat(90))),
        Just(Message::text("to be \"escaped\"")),
    ];
    (payload, 0..6).prop_map(|(message, kind)| match kind {
        0 => message.volatile(),
        1 => message.keyed("k"),
        2 => message,
        _ => message.shared(),
    })
}

fn unit() -> impl Strategy<Value = String> {
    prop_oneof![
        5 => "[a-z]{0,30}".prop_map(|text| format!(r#"{{"text":"{text}"}}"#)),
        1 => Just(r#"{"json":[1,{"a":null}]}"#.into()),
        1 => Just(r#"{"json":[1,}"#.into()),
        1 => Just(r#"{"request":7,"text":"?"}"#.into()),
        1 => Just(r#"{"reply":7,"text":"!"}"#.into()),
        2 => (0..20u64).prop_map(|count| format!(r#"{{"ack":{count}}}"#)),
        1 => (0..20u64).prop_map(|count| format!(r#"{{"ping":{count}}}"#)),
        1 => Just(r#"{"pong":0}"#.into()),
        1 => Just("{".into()),
        1 => Just(format!(r#"{{"text":"{}"}}"#, "y".repeat(120))),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (unit(), prop::bool::weighted(0.8)).prop_map(|(unit, waits)| Step::Receive { unit, waits }),
        6 => (message(), any::<bool>()).prop_map(|(message, copied)| Step::Send { message, copied }),
        5 => prop::collection::vec(0..4usize, 0..4).prop_map(|writes| Step::Flush { writes }),
        1 => (0..30_000u64).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Lose),
        2 => (0..3u64).prop_map(|behind| Step::Resume { behind }),
    ]
}

fn opened(protocol: Protocol, config: &Arc<Config>) -> Connection {
    let opening = Opening {
        session: SessionId::from_random([1; 16]),
        token: ResumeToken::from_random([2; 16]),
        attachment: 1,
        window: Window { messages: 6, bytes: 200 },
        link: LinkId(1),
        transport: WS,
    };
    Connection::server(config, protocol, opening, Time::ZERO)
}

fn events(connection: &mut Connection, first: Option<Event>) -> Vec<Event> {
    first.into_iter().chain(std::iter::from_fn(|| connection.poll_event())).collect()
}

/// What comes out: a frame as it goes over a WebSocket, or something else to do.
#[derive(Debug, PartialEq)]
enum Out {
    Action(Action),
    Frame(Vec<u8>),
}

fn out(action: Action) -> Out {
    let Action::Send { unit, .. } = action else { return Out::Action(action) };
    frame_of(&unit)
}

fn frame_of(unit: &Encoded) -> Out {
    let (header, size) = frame_header(unit.is_text(), unit.payload().len());
    Out::Frame([&header[..size.into()], unit.payload()].concat())
}

/// The frame, and the length of its unit.
fn parts_of(parts: &FrameParts<'_>) -> (Out, u32) {
    let frame = parts.parts(&mut FrameHead::default()).concat();
    assert_eq!(frame.len(), parts.len());
    let mut copy = vec![b'x'; frame.len() + FrameParts::SPARE];
    assert_eq!(parts.copy_to(&mut copy), Some(frame.len()));
    assert_eq!(copy[..frame.len()], frame);
    assert_eq!(parts.copy_to(&mut copy[1 + FrameParts::SPARE..]), None, "there is no room");
    (Out::Frame(frame), parts.unit_len() as u32)
}

/// As an adapter writes that knows the short ways.
fn flush_short(
    connection: &mut Connection,
    link: LinkId,
    format: &dyn WireFormat,
    now: Time,
    writes: &[usize],
) -> Vec<Out> {
    let mut outs = Vec::new();
    for &most in writes {
        outs.extend(connection.transmit_ack(link, format).map(|unit| frame_of(&unit)));
        if connection.has_one_message(link) {
            let parts = connection.last_message().and_then(|message| message.frame_parts(format));
            let takable = parts.filter(|parts| connection.is_takable(parts.unit_len()));
            if let Some((frame, length)) = takable.map(|parts| parts_of(&parts)) {
                connection.transmit_last_message(length as usize);
                outs.push(frame);
            } else {
                outs.extend(connection.transmit_last(link, format).map(|unit| frame_of(&unit)));
            }
        } else {
            let (frames, lengths): (Vec<_>, Vec<_>) =
                connection.parts(link, format).take(most).map(|parts| parts_of(&parts)).unzip();
            if !frames.is_empty() {
                connection.transmit_parts(&lengths);
            }
            outs.extend(frames);
        }
    }
    if connection.wants_transmit() {
        outs.extend(flush_long(connection, link, format, now));
    }
    outs
}

fn flush_long(connection: &mut Connection, link: LinkId, format: &dyn WireFormat, now: Time) -> Vec<Out> {
    let mut outs = Vec::new();
    while let Some(action) = connection.poll_transmit(link, format, now) {
        let last = matches!(action, Action::Close { .. });
        outs.push(out(action));
        if last {
            break;
        }
    }
    outs
}

fn check(protocol: Protocol, overflow: Overflow, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let format: &dyn WireFormat = if protocol == Protocol::Native { &JSON } else { &PLAIN };
    let config = config(|config| {
        config.window = Window { messages: 4, bytes: 100 };
        config.max_queued_messages = 12;
        config.overflow = overflow;
    });
    let (mut short, mut long) = (opened(protocol, &config), opened(protocol, &config));
    let mut arena = Arena::default();
    let (mut now, mut link, mut attachment) = (Time::ZERO, LinkId(1), 1);
    for step in steps {
        match step {
            Step::Receive { unit, waits } => {
                let lent = Lent::Text(&unit);
                // An application that waits has nothing left to take.
                if waits {
                    prop_assert_eq!(events(&mut short, None), events(&mut long, None));
                    let mut first = None;
                    short.receive_lent(link, lent, &mut arena, format, || now, &mut first);
                    long.handle_unit(link, Unit::Text(unit.as_str().into()), format, now);
                    prop_assert_eq!(events(&mut short, first), events(&mut long, None));
                } else {
                    short.handle_lent(link, lent, &mut arena, format, now);
                    long.handle_unit(link, Unit::Text(unit.as_str().into()), format, now);
                }
            }
            Step::Send { message, copied } => {
                let sent = long.send(message.clone(), now);
                let refused = match copied {
                    true => (!short.append(&message)).then_some(message),
                    false => short.append_own(message),
                };
                match refused {
                    None => prop_assert_eq!(sent, Ok(Sent::Queued)),
                    Some(message) => prop_assert_eq!(short.send(message, now), sent),
                }
            }
            Step::Flush { writes } => {
                let written = flush_short(&mut short, link, format, now, &writes);
                prop_assert_eq!(written, flush_long(&mut long, link, format, now));
            }
            Step::Pass { millis } => {
                now = Time(now.0 + millis);
                short.handle_timeout(now);
                long.handle_timeout(now);
            }
            Step::Lose => {
                short.handle_detach(link, Reason::Lost, now);
                long.handle_detach(link, Reason::Lost, now);
            }
            Step::Resume { behind } => {
                let next = LinkId(link.0 + 1);
                attachment += 1;
                let received = Some(short.acknowledged() + behind);
                let attach = Attach { link: next, transport: WS, attachment: Some(attachment), received };
                let answer = short.handle_attach(attach, now);
                prop_assert_eq!(answer, long.handle_attach(attach, now));
                if answer.is_ok() {
                    link = next;
                }
            }
        }
        prop_assert_eq!(&short, &long);
    }
    prop_assert_eq!(events(&mut short, None), events(&mut long, None));
    prop_assert_eq!(short.take_undelivered(), long.take_undelivered());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_shortcut_does_what_the_long_way_does(
        native in any::<bool>(),
        overflow in prop_oneof![Just(Overflow::Disconnect), Just(Overflow::DropNewest), Just(Overflow::DropOldest)],
        steps in prop::collection::vec(step(), 0..60),
    ) {
        check(if native { Protocol::Native } else { Protocol::Plain }, overflow, steps)?;
    }
}
