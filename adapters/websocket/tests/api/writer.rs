//! What is written, in which order, and what is pulled when.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use nosphere_core::{Encoded, Text, Unit};
use nosphere_websocket::{Close, CloseState, Flush, Item, Outgoing, ProtocolError, Role, TryWrite, Writer};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::AsyncWrite;

use crate::support::*;

#[test]
fn a_gather_is_one_write_with_prepared_frames_as_they_are() {
    let io = Wire::open();
    let mut queue = VecDeque::from([shared("a"), single("b"), binary(&[7; 300]), Outgoing::Ping(Bytes::new())]);
    let mut writer = Writer::server();
    assert_eq!(writer.flush(&io, || queue.pop_front()).unwrap(), Flush::Done);
    assert_eq!(io.writes.borrow().as_slice(), [6]);
    let expected = [
        unmasked(TEXT, true, b"a"),
        unmasked(TEXT, true, b"b"),
        unmasked(BINARY, true, &[7; 300]),
        unmasked(PING, true, b""),
    ];
    assert_eq!(io.taken(), expected.concat());
}

#[test]
fn many_messages_take_few_writes() {
    let io = Wire::open();
    let mut queue: VecDeque<_> = (0..130).map(|i| single(&i.to_string())).collect();
    let mut writer = Writer::server();
    assert_eq!(writer.flush(&io, || queue.pop_front()).unwrap(), Flush::Done);
    assert_eq!(io.writes.borrow().as_slice(), [128, 128, 4]);
    let (items, result) = decode_parts(Role::Client, [&io.taken()[..]]);
    let expected: Vec<_> = (0..130).map(|i| Item::Text(i.to_string().into())).collect();
    assert_eq!((items, result), (expected, Ok(())));
}

#[test]
fn a_write_cut_at_any_byte_leaves_the_stream_whole() {
    let messages = || VecDeque::from([shared("one"), single(&"two".repeat(50)), binary(b""), single("é")]);
    let io = Wire::open();
    let mut queue = messages();
    let mut writer = Writer::server();
    assert_eq!(writer.flush(&io, || queue.pop_front()).unwrap(), Flush::Done);
    let expected = io.taken();
    for first in 0..expected.len() {
        for second in [0, 1, 2, 7, expected.len()] {
            let io = Wire::with_room([first, second, usize::MAX]);
            let mut queue = messages();
            let mut writer = Writer::server();
            while writer.flush(&io, || queue.pop_front()).unwrap() == Flush::Blocked {
                assert!(writer.wants_write());
                io.drain();
            }
            assert!(!writer.wants_write());
            assert_eq!(io.taken(), expected, "cut at {first} and then {second}");
        }
    }
}

#[test]
fn nothing_is_pulled_before_what_was_pulled_is_written() {
    let io = Wire::with_room([100, 0, usize::MAX]);
    let pulled = Cell::new(0);
    let mut writer = Writer::server();
    let mut next = || {
        pulled.set(pulled.get() + 1);
        (pulled.get() <= 200).then(|| single("0123456789"))
    };
    assert_eq!(writer.flush(&io, &mut next).unwrap(), Flush::Blocked);
    assert_eq!(pulled.get(), 64);
    assert_eq!(writer.flush(&io, &mut next).unwrap(), Flush::Blocked);
    io.drain();
    assert_eq!(writer.flush(&io, &mut next).unwrap(), Flush::Blocked);
    assert_eq!(pulled.get(), 64);
    io.drain();
    assert_eq!(writer.flush(&io, &mut next).unwrap(), Flush::Done);
    assert_eq!(pulled.get(), 201);
    assert_eq!(io.taken().len(), 200 * 12);
}

#[test]
fn large_messages_are_not_pulled_by_the_dozen() {
    let io = Wire::with_room([0]);
    let pulled = Cell::new(0);
    let mut writer = Writer::server();
    let next = || {
        pulled.set(pulled.get() + 1);
        Some(binary(&[0; 200_000]))
    };
    assert_eq!(writer.flush(&io, next).unwrap(), Flush::Blocked);
    assert_eq!(pulled.get(), 2);
}

#[test]
fn pongs_go_before_what_is_not_pulled_but_never_into_a_frame() {
    let io = Wire::with_room([3, usize::MAX]);
    let mut queue = VecDeque::from([single("first"), single("second")]);
    let mut writer = Writer::server();
    assert_eq!(writer.flush(&io, || queue.pop_front()).unwrap(), Flush::Blocked);
    writer.pong(Bytes::from_static(b"p"));
    queue.push_back(single("third"));
    io.drain();
    assert_eq!(writer.flush(&io, || queue.pop_front()).unwrap(), Flush::Done);
    let expected = [
        unmasked(TEXT, true, b"first"),
        unmasked(TEXT, true, b"second"),
        unmasked(PONG, true, b"p"),
        unmasked(TEXT, true, b"third"),
    ];
    assert_eq!(io.taken(), expected.concat());
}

#[test]
fn of_too_many_pongs_the_latest_are_sent() {
    let io = Wire::open();
    let mut writer = Writer::server();
    for i in 0..100 {
        writer.pong(vec![i].into());
    }
    assert_eq!(writer.flush(&io, || None).unwrap(), Flush::Done);
    let expected: Vec<_> = (84..100).flat_map(|i| unmasked(PONG, true, &[i])).collect();
    assert_eq!(io.taken(), expected);
    assert!(!writer.wants_write());
}

#[test]
fn no_data_is_pulled_after_a_close_however_it_came() {
    for begin in [
        |writer: &mut Writer| writer.close(Close::new(1001, "bye")),
        |writer: &mut Writer| writer.handle_close(&Close::new(1001, "their words")),
        |writer: &mut Writer| writer.handle_error(ProtocolError::InvalidUtf8),
    ] {
        let io = Wire::open();
        let mut writer = Writer::server();
        begin(&mut writer);
        writer.pong(Bytes::from_static(b"late"));
        assert_eq!(writer.flush(&io, || panic!("pulled")).unwrap(), Flush::Done);
        writer.close(Close::new(1000, "again"));
        assert_eq!(writer.flush(&io, || panic!("pulled")).unwrap(), Flush::Done);
        let (items, _) = decode_parts(Role::Client, [&io.taken()[..]]);
        assert!(matches!(items[..], [Item::Close(_)]), "{items:?}");
    }
}

#[test]
fn a_close_that_is_pulled_follows_the_data_before_it_and_ends_the_pulling() {
    let io = Wire::open();
    let close = Outgoing::Close(Close::new(1000, "done"));
    let mut queue = VecDeque::from([single("last words"), close, single("never")]);
    let mut writer = Writer::server();
    assert_eq!(writer.flush(&io, || queue.pop_front()).unwrap(), Flush::Done);
    assert_eq!(queue.len(), 1);
    let expected = [unmasked(TEXT, true, b"last words"), unmasked(CLOSE, true, b"\x03\xe8done")];
    assert_eq!(io.taken(), expected.concat());
    assert_eq!((writer.state(), writer.is_finished()), (CloseState::Waiting, false));
    writer.handle_close(&Close::new(1000, ""));
    assert!(writer.is_finished());
}

#[test]
fn a_writer_is_not_finished_before_its_close_is_written() {
    let io = Wire::with_room([1, usize::MAX]);
    let mut writer = Writer::server();
    writer.handle_close(&Close::default());
    assert!(!writer.is_finished());
    assert_eq!(writer.flush(&io, || None).unwrap(), Flush::Blocked);
    assert!(!writer.is_finished());
    io.drain();
    assert_eq!(writer.flush(&io, || None).unwrap(), Flush::Done);
    assert!(writer.is_finished());
    assert_eq!(io.taken(), unmasked(CLOSE, true, b""));
}

#[test]
fn a_full_gather_has_room_for_a_close() {
    let io = Wire::open();
    let mut queue: VecDeque<_> = (0..63).map(|_| single("x")).collect();
    queue.push_back(Outgoing::Close(Close::new(1000, "bye")));
    let mut writer = Writer::server();
    writer.pong(Bytes::from_static(b"p"));
    assert_eq!(writer.flush(&io, || queue.pop_front()).unwrap(), Flush::Done);
    let (items, _) = decode_parts(Role::Client, [&io.taken()[..]]);
    assert_eq!(items.len(), 65);
}

#[test]
fn a_ping_never_exceeds_what_a_control_frame_holds() {
    let io = Wire::open();
    let mut queue = VecDeque::from([Outgoing::Ping(vec![1; 200].into())]);
    assert_eq!(Writer::server().flush(&io, || queue.pop_front()).unwrap(), Flush::Done);
    assert_eq!(io.taken(), unmasked(PING, true, &[1; 125]));
}

#[test]
fn a_client_masks_every_frame_with_the_next_key() {
    let mut keys = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]].into_iter();
    let mut writer = Writer::client(move || keys.next().unwrap());
    let io = Wire::open();
    let mut queue = VecDeque::from([shared("shared"), single("single")]);
    writer.pong(Bytes::from_static(b"p"));
    assert_eq!(writer.flush(&io, || queue.pop_front()).unwrap(), Flush::Done);
    let taken = io.taken();
    assert_eq!(taken[..7], [0x8a, 0x81, 1, 2, 3, 4, b'p' ^ 1]);
    assert_eq!(taken[7..13], [0x81, 0x86, 5, 6, 7, 8]);
    let expected = vec![Item::Pong(Bytes::from_static(b"p")), Item::Text("shared".into()), Item::Text("single".into())];
    assert_eq!(decode(&taken), (expected, Ok(())));
}

#[test]
fn a_broken_stream_is_reported_once_and_nothing_is_pulled_for_it() {
    struct Broken;
    impl TryWrite for Broken {
        fn try_write_vectored(&self, _: &[IoSlice<'_>]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let mut queue = VecDeque::from([single("a"), single("b")]);
    let mut writer = Writer::server();
    let error = writer.flush(&Broken, || queue.pop_front()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(writer.flush(&Broken, || panic!("pulled")).unwrap(), Flush::Done);
    assert!(writer.is_finished());
}

#[test]
fn after_the_end_of_the_stream_nothing_waits_and_nothing_is_pulled() {
    let io = Wire::with_room([1]);
    let mut queue = VecDeque::from([single("a")]);
    let mut writer = Writer::server();
    assert_eq!(writer.flush(&io, || queue.pop_front()).unwrap(), Flush::Blocked);
    writer.pong(Bytes::new());
    writer.handle_end();
    assert!(writer.is_finished());
    assert_eq!(writer.flush(&io, || panic!("pulled")).unwrap(), Flush::Done);
}

#[test]
fn a_stream_without_vectored_writes_gets_joined_frames() {
    let mut io = Polled { vectored: false, ..Polled::default() };
    let mut queue = VecDeque::from([single("a"), single("b"), shared("c")]);
    let mut writer = Writer::server();
    let mut cx = Context::from_waker(Waker::noop());
    let result = writer.poll_flush(Pin::new(&mut io), &mut cx, || queue.pop_front());
    assert!(matches!(result, Poll::Ready(Ok(()))));
    assert_eq!((io.writes, io.flushes), (1, 1));
    assert_eq!(io.taken, [unmasked(TEXT, true, b"a"), unmasked(TEXT, true, b"b"), unmasked(TEXT, true, b"c")].concat());
}

#[test]
fn a_message_larger_than_a_joined_write_arrives_whole() {
    let large = "0123456789".repeat(20_000);
    for vectored in [true, false] {
        let mut io = Polled { vectored, ..Polled::default() };
        let mut queue = VecDeque::from([single("a"), single(&large), single("b")]);
        let mut writer = Writer::server();
        let mut cx = Context::from_waker(Waker::noop());
        let result = writer.poll_flush(Pin::new(&mut io), &mut cx, || queue.pop_front());
        assert!(matches!(result, Poll::Ready(Ok(()))));
        let expected = [unmasked(TEXT, true, b"a"), unmasked(TEXT, true, large.as_bytes()), unmasked(TEXT, true, b"b")];
        assert_eq!(io.taken, expected.concat());
    }
}

proptest! {
    #[test]
    fn any_room_gives_the_stream_that_one_write_gives(
        messages in vec(("[a-z]{0,200}", any::<bool>()), 0..100),
        room in vec(0usize..300, 0..60),
    ) {
        let expected: Vec<_> = messages.iter().map(|(text, _)| Item::Text(text.as_str().into())).collect();
        let mut queue: VecDeque<_> =
            messages.iter().map(|(text, many)| if *many { shared(text) } else { single(text) }).collect();
        let io = Wire::with_room(room.into_iter().chain([usize::MAX]));
        let mut writer = Writer::server();
        while writer.flush(&io, || queue.pop_front()).unwrap() == Flush::Blocked {
            io.drain();
        }
        prop_assert_eq!(decode_parts(Role::Client, [&io.taken()[..]]), (expected, Ok(())));
    }
}

fn shared(text: &str) -> Outgoing {
    Encoded::shared(&Unit::Text(text.into())).into()
}

fn single(text: &str) -> Outgoing {
    Encoded::new(Unit::Text(Text::from(text))).into()
}

fn binary(bytes: &[u8]) -> Outgoing {
    Encoded::new(Unit::Binary(Bytes::copy_from_slice(bytes))).into()
}

/// A stream that has room for so many bytes until it is drained.
struct Wire {
    room: RefCell<VecDeque<usize>>,
    taken: RefCell<Vec<u8>>,
    /// The slices of each write.
    writes: RefCell<Vec<usize>>,
}

impl Wire {
    fn open() -> Self {
        Self::with_room([usize::MAX])
    }

    fn with_room(room: impl IntoIterator<Item = usize>) -> Self {
        let room = RefCell::new(room.into_iter().collect());
        Self { room, taken: RefCell::default(), writes: RefCell::default() }
    }

    fn drain(&self) {
        self.room.borrow_mut().pop_front();
    }

    fn taken(&self) -> Vec<u8> {
        self.taken.borrow().clone()
    }
}

impl TryWrite for Wire {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        assert!(slices.iter().all(|slice| !slice.is_empty()));
        let mut room = self.room.borrow_mut();
        let Some(room) = room.front_mut().filter(|room| **room > 0) else {
            return Err(io::ErrorKind::WouldBlock.into());
        };
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(*room).collect();
        *room -= bytes.len();
        self.taken.borrow_mut().extend_from_slice(&bytes);
        self.writes.borrow_mut().push(slices.len());
        Ok(bytes.len())
    }
}

/// A stream that is polled and always ready.
#[derive(Default)]
struct Polled {
    vectored: bool,
    taken: Vec<u8>,
    writes: usize,
    flushes: usize,
}

impl AsyncWrite for Polled {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.taken.extend_from_slice(bytes);
        self.writes += 1;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        self.poll_write(cx, &bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
