//! What adapters call where it costs less does what the plain calls do, to the last bit of the session's state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nosphere_core::{
    Action, Arena, Attach, Config, Connection, Encoded, Event, FrameHead, FrameParts, Lent, LinkId, Message, Opening,
    Overflow, Protocol, Reason, ResumeToken, Run, Sent, SessionId, Time, Unit, Window, WireFormat, frame_header,
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
    /// As it is, or as one of many recipients gets it, of whom there may be another here.
    Send {
        message: Message,
        copied: bool,
        to_other: bool,
    },
    /// The socket takes as many units as these at a time, and in the end all.
    Flush {
        writes: Vec<usize>,
    },
    /// That of the other session does.
    FlushOther,
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
        Just(Message::text("z".repeat(600))),
        Just(Message::text("z".repeat(995))),
        Just(Message::text("z".repeat(Run::MAX_FRAME))),
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
        9 => (message(), any::<bool>(), any::<bool>())
            .prop_map(|(message, copied, to_other)| Step::Send { message, copied, to_other }),
        3 => Just(Step::FlushOther),
        5 => prop::collection::vec(0..4usize, 0..4).prop_map(|writes| Step::Flush { writes }),
        1 => (0..30_000u64).prop_map(|millis| Step::Pass { millis }),
        1 => Just(Step::Lose),
        2 => (0..3u64).prop_map(|behind| Step::Resume { behind }),
    ]
}

fn opened(protocol: Protocol, window: Window, config: &Arc<Config>) -> Connection {
    let opening = Opening {
        session: SessionId::from_random([1; 16]),
        token: ResumeToken::from_random([2; 16]),
        attachment: 1,
        window,
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

/// The frames of a run, and the lengths of their units.
fn frames_of(run: &Run, count: usize) -> (Vec<Out>, Vec<u32>) {
    let frame = |index: usize| Out::Frame(run.frames(index + 1)[run.frames(index).len()..].to_vec());
    ((0..count).map(frame).collect(), run.units(count).to_vec())
}

/// As an adapter writes that knows the short ways.
fn flush_short(
    connection: &mut Connection,
    link: LinkId,
    format: &dyn WireFormat,
    now: Time,
    writes: &[usize],
    run: &mut Run,
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
            let (frames, lengths): (Vec<_>, Vec<_>) = match connection.gather(link, format, run) {
                0 => connection.parts(link, format).take(most).map(|parts| parts_of(&parts)).unzip(),
                count => frames_of(run, count.min(most)),
            };
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

fn format_of(protocol: Protocol) -> &'static dyn WireFormat {
    if protocol == Protocol::Native { &JSON } else { &PLAIN }
}

fn check(
    [protocol, others]: [Protocol; 2],
    window: Window,
    overflow: Overflow,
    steps: Vec<Step>,
) -> Result<(), TestCaseError> {
    let format = format_of(protocol);
    let config = config(|config| {
        config.window = Window { messages: 4, bytes: 100 };
        config.max_queued_messages = 12;
        config.overflow = overflow;
    });
    let (mut short, mut long) = (opened(protocol, window, &config), opened(protocol, window, &config));
    // Another recipient, who acknowledges all.
    let mut other = (opened(others, Window::default(), &config), opened(others, Window::default(), &config));
    let (mut taken, mut run) = (0, Run::new());
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
            Step::Send { message, copied, to_other } => {
                if to_other && other.0.append(&message) {
                    prop_assert_eq!(other.1.send(message.clone(), now), Ok(Sent::Queued));
                }
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
                let written = flush_short(&mut short, link, format, now, &writes, &mut run);
                prop_assert_eq!(written, flush_long(&mut long, link, format, now));
            }
            Step::FlushOther => {
                let format = format_of(others);
                let written = flush_short(&mut other.0, LinkId(1), format, Time::ZERO, &[usize::MAX], &mut run);
                taken += written.len();
                prop_assert_eq!(written, flush_long(&mut other.1, LinkId(1), format, Time::ZERO));
                if others == Protocol::Native {
                    let ack = Unit::Text(format!(r#"{{"ack":{taken}}}"#).into());
                    other.0.handle_unit(LinkId(1), ack.clone(), format, Time::ZERO);
                    other.1.handle_unit(LinkId(1), ack, format, Time::ZERO);
                }
                prop_assert_eq!(&other.0, &other.1);
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
        native in any::<[bool; 2]>(),
        bytes in prop_oneof![Just(200), Just(1000), Just(1222), Just(1500), Just(1 << 20)],
        overflow in prop_oneof![Just(Overflow::Disconnect), Just(Overflow::DropNewest), Just(Overflow::DropOldest)],
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let protocols = native.map(|native| if native { Protocol::Native } else { Protocol::Plain });
        check(protocols, Window { messages: 6, bytes }, overflow, steps)?;
    }
}

#[test]
fn a_run_holds_no_more_than_it_says_and_the_rest_goes_by_itself() {
    let gathered = |messages: Vec<Message>| {
        let config = config(|config| config.window = Window::default());
        let mut connection = opened(Protocol::Plain, Window::default(), &config);
        for message in messages {
            assert!(connection.append(&message.shared()));
        }
        let mut run = Run::new();
        let count = connection.gather(LinkId(1), &PLAIN, &mut run);
        (count, run.frames(count).len())
    };
    let of_length = |length: usize| Message::text("x".repeat(length));
    let header = 4;
    assert_eq!(gathered(vec![of_length(1); Run::MAX_FRAMES + 1]), (Run::MAX_FRAMES, 3 * Run::MAX_FRAMES));
    assert_eq!(gathered(vec![of_length(1), of_length(Run::MAX_FRAME - header)]), (2, 3 + Run::MAX_FRAME));
    assert_eq!(gathered(vec![of_length(1), of_length(Run::MAX_FRAME - header + 1)]), (1, 3));
    let half = vec![of_length(Run::MAX_FRAME / 2 - header); 2 * Run::MAX_BYTES / Run::MAX_FRAME + 1];
    assert_eq!(gathered(half.clone()), (half.len() - 1, Run::MAX_BYTES));
}

/// A session that opened with this window, and has nothing to say but messages.
fn with_window(protocol: Protocol, window: Window) -> Connection {
    let mut connection = opened(protocol, window, &config(|config| config.window = Window::default()));
    if protocol == Protocol::Native {
        assert!(connection.poll_transmit(LinkId(1), &JSON, Time::ZERO).is_some(), "opened");
    }
    connection
}

#[test]
fn who_may_get_nothing_more_leaves_a_run_to_the_others() {
    let mut slow = with_window(Protocol::Native, Window { messages: 2, bytes: 1 << 20 });
    let mut quick = with_window(Protocol::Native, Window { messages: 3, bytes: 1 << 20 });
    let shared = |text: &str| Message::text(text).shared();
    let mut run = Run::new();
    assert!([shared("a"), shared("b"), shared("c")].iter().all(|message| slow.append(message)));
    assert_eq!(slow.gather(LinkId(1), &JSON, &mut run), 2);
    slow.transmit_parts(run.units(2));
    assert!([shared("d"), shared("e")].iter().all(|message| slow.append(message) && quick.append(message)));
    assert_eq!(quick.gather(LinkId(1), &JSON, &mut run), 2);
    let frames = run.frames(2).to_vec();
    assert_eq!(slow.gather(LinkId(1), &JSON, &mut run), 0);
    assert_eq!(run.frames(2), frames);
}

#[test]
fn no_more_is_put_together_than_may_be_sent() {
    let mut run = Run::new();
    for window in [Window { messages: 3, bytes: 1 << 20 }, Window { messages: 256, bytes: 2000 }] {
        let mut slow = with_window(Protocol::Native, window);
        (0..20).for_each(|_| assert!(slow.append(&Message::text("x".repeat(800)).shared())));
        assert_eq!(slow.gather(LinkId(1), &JSON, &mut run), 3);
        assert_eq!(format!("{run:?}"), "Run(3 frames, 2445 bytes)");
    }
}

/// Says when it is let go.
struct Buffer(Arc<AtomicBool>);

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        b"part of much more"
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_run_does_not_hold_the_payloads_of_messages_that_nobody_waits_for() {
    let gone = Arc::new(AtomicBool::new(false));
    let mut connection = with_window(Protocol::Plain, Window::default());
    let mut run = Run::new();
    let message = Message::binary(bytes::Bytes::from_owner(Buffer(Arc::clone(&gone)))).shared();
    assert!(connection.append(&message));
    drop(message);
    assert_eq!(connection.gather(LinkId(1), &PLAIN, &mut run), 1);
    connection.transmit_parts(run.units(1));
    assert!(gone.load(Ordering::Relaxed));
}
