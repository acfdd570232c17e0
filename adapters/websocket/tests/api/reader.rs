//! The socket loop's reading side.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use nosphere_core::{Lent, Text};
use nosphere_websocket::{Close, Decoder, Item, Next, ProtocolError, ReadOutcome, Reader, Role, Unread, Whole};
use tokio::io::{AsyncRead, AsyncWriteExt as _, ReadBuf};

use crate::support::*;

#[tokio::test]
async fn what_the_http_server_had_read_comes_first() {
    let stream = [masked(TEXT, true, b"one"), masked(TEXT, true, b"two")].concat();
    for cut in 0..=stream.len() {
        let (mut near, mut far) = tokio::io::duplex(100);
        far.write_all(&stream[cut..]).await.unwrap();
        let mut reader = reader(&stream[..cut]);
        let mut items = Vec::new();
        while items.len() < 2 {
            let outcome = reader.read_items(&mut near, &mut items).await.unwrap();
            assert_eq!(outcome, ReadOutcome::Items);
        }
        assert_eq!(items, [Item::Text("one".into()), Item::Text("two".into())]);
    }
}

#[tokio::test]
async fn the_end_of_the_stream_is_told() {
    let (mut near, far) = tokio::io::duplex(100);
    drop(far);
    let outcome = reader(&[]).read_items(&mut near, &mut Vec::new()).await.unwrap();
    assert_eq!(outcome, ReadOutcome::End);
}

#[tokio::test]
async fn an_error_comes_with_what_came_before_it_and_then_the_stream_is_not_read() {
    let (mut near, mut far) = tokio::io::duplex(100);
    let stream = [masked(TEXT, true, b"good"), masked(CONTINUATION, true, b"bad")].concat();
    far.write_all(&stream).await.unwrap();
    let mut reader = reader(&[]);
    let mut items = Vec::new();
    let outcome = reader.read_items(&mut near, &mut items).await.unwrap();
    assert_eq!(outcome, ReadOutcome::Error(ProtocolError::ContinuationUnexpected));
    assert_eq!(items, [Item::Text("good".into())]);
    let outcome = reader.read_items(&mut near, &mut items).await.unwrap();
    assert_eq!((outcome, items.len()), (ReadOutcome::End, 1));
}

#[tokio::test]
async fn after_a_close_the_stream_is_not_read() {
    let (mut near, mut far) = tokio::io::duplex(100);
    far.write_all(&masked(CLOSE, true, b"")).await.unwrap();
    let mut reader = reader(&[]);
    let mut items = Vec::new();
    assert_eq!(reader.read_items(&mut near, &mut items).await.unwrap(), ReadOutcome::Items);
    assert_eq!(items, [Item::Close(Close::default())]);
    assert_eq!(reader.read_items(&mut near, &mut items).await.unwrap(), ReadOutcome::End);
}

#[test]
fn a_poll_reads_once_and_a_broken_stream_is_an_error() {
    struct Reads(usize);
    impl AsyncRead for Reads {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.0 += 1;
            match self.0 {
                1 => buf.put_slice(&masked(TEXT, true, b"a")),
                2 => return Poll::Pending,
                _ => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
            Poll::Ready(Ok(()))
        }
    }
    let mut io = Reads(0);
    let mut reader = reader(&[]);
    let mut items = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = || reader.poll_read_items(Pin::new(&mut io), &mut cx, &mut items);
    assert!(matches!(poll(), Poll::Ready(Ok(ReadOutcome::Items))));
    assert!(poll().is_pending());
    assert!(matches!(poll(), Poll::Ready(Err(_))));
    assert_eq!((io.0, items.len()), (3, 1));
}

fn reader(leftover: &[u8]) -> Reader {
    Reader::new(Decoder::new(Role::Server, MAX_MESSAGE_SIZE), leftover)
}

#[test]
fn what_is_not_asked_for_does_not_get_into_the_next_read_of_the_thread() {
    let stream = |first: &[u8]| [masked(TEXT, true, first), masked(TEXT, true, &[b'x'; 100])].concat();
    // Its second message is never asked for.
    for (first, text) in [(&b"one"[..], "one"), (b"\xff", "")] {
        let (mut one, mut unread) = (reader(&[]), Unread::default());
        fill(&mut one, &stream(first), &mut unread);
        match one.next(&mut unread) {
            Next::Message(Whole::Lent(Lent::Text(given)), _) => assert_eq!(given, text),
            Next::Error(error) => assert_eq!((error, text), (ProtocolError::InvalidUtf8, "")),
            other @ (Next::Nothing | Next::Item(_) | Next::Message(..)) => panic!("{other:?}"),
        }
        drop(unread);
        let (mut other, mut unread) = (reader(&[]), Unread::default());
        fill(&mut other, &stream(b"other"), &mut unread);
        let next = other.next(&mut unread);
        assert!(matches!(&next, Next::Message(Whole::Lent(Lent::Text("other")), _)), "{next:?}");
    }
}

#[test]
fn a_character_that_is_cut_between_two_messages_is_in_neither() {
    let (first, second) = "é".as_bytes().split_at(1);
    let stream = [masked(TEXT, true, b"good"), masked(TEXT, true, first), masked(TEXT, true, second)].concat();
    let (mut reader, mut unread) = (reader(&[]), Unread::default());
    fill(&mut reader, &stream, &mut unread);
    assert!(matches!(reader.next(&mut unread), Next::Message(Whole::Lent(Lent::Text("good")), _)));
    assert!(matches!(reader.next(&mut unread), Next::Error(ProtocolError::InvalidUtf8)));
    assert!(reader.decoder().is_ended());
}

/// What is kept of the texts that one read brings.
fn kept(texts: &[String]) -> (Vec<Text>, Unread) {
    let (mut reader, mut unread) = (reader(&[]), Unread::default());
    let stream: Vec<Vec<u8>> = texts.iter().map(|text| masked(TEXT, true, text.as_bytes())).collect();
    fill(&mut reader, &stream.concat(), &mut unread);
    let mut kept = Vec::new();
    while !unread.is_empty() {
        let Next::Message(Whole::Lent(Lent::Text(text)), arena) = reader.next(&mut unread) else { panic!() };
        kept.push(arena.text(text));
    }
    assert!(kept.iter().map(Text::as_str).eq(texts), "{kept:?}");
    (kept, unread)
}

#[test]
fn messages_of_one_read_share_an_allocation_and_no_more_than_may_be_shared() {
    let texts: Vec<String> = (0..32).map(|n| char::from(b'a' + n % 26).to_string().repeat(100)).collect();
    let (kept, _) = kept(&texts);
    let side_by_side = |pair: &[Text]| pair[0].as_bytes().as_ptr_range().end == pair[1].as_ptr();
    // In runs of ten.
    let apart: Vec<usize> = (1..32).filter(|&n| !side_by_side(&kept[n - 1..=n])).collect();
    assert_eq!(apart, [10, 20, 30]);
}

#[test]
fn a_short_message_does_not_hold_the_long_ones_that_it_came_with() {
    let (kept, _) = kept(&["x".repeat(400), "y".repeat(10), "z".repeat(400)]);
    assert_ne!(kept[0].as_bytes().as_ptr_range().end, kept[1].as_ptr());
}

#[test]
fn what_a_thread_has_read_holds_nothing_once_it_is_used_up_or_dropped() {
    let texts = ["x".repeat(100), "y".repeat(100)];
    for ends_by_drop in [false, true] {
        let (mut kept, mut unread) = kept(&texts);
        if ends_by_drop {
            drop(unread)
        } else {
            unread.clear()
        }
        kept.truncate(1);
        let only = kept.pop().map(|text| text.into_bytes().is_unique());
        assert_eq!(only, Some(true), "dropped: {ends_by_drop}");
    }
}

#[test]
fn what_is_used_up_holds_nothing_once_a_read_has_brought_nothing() {
    let texts = ["x".repeat(100), "y".repeat(100)];
    let stream = texts.each_ref().map(|text| masked(TEXT, true, text.as_bytes())).concat();
    for had_come_before in [false, true] {
        let mut unread = Unread::default();
        let mut reader = if had_come_before {
            // The thread has a buffer, and this is not in it.
            fill(&mut reader(&[]), b"\x81", &mut unread);
            unread.clear();
            let mut reader = reader(&stream);
            fill(&mut reader, &[], &mut unread);
            reader
        } else {
            let mut reader = reader(&[]);
            fill(&mut reader, &stream, &mut unread);
            reader
        };
        let Next::Message(Whole::Lent(Lent::Text(first)), arena) = reader.next(&mut unread) else { panic!() };
        let kept = arena.text(first);
        assert!(matches!(unread.next_found(), Some((Lent::Text(second), _)) if second == texts[1]));
        assert!(unread.is_empty());
        let (mut near, _far) = tokio::io::duplex(100);
        let filled = reader.poll_fill(Pin::new(&mut near), &mut Context::from_waker(Waker::noop()), &mut unread);
        assert!(filled.is_pending());
        assert!(kept.into_bytes().is_unique(), "before the stream: {had_come_before}");
    }
}

#[test]
fn a_read_into_what_is_used_up_needs_no_other_buffer() {
    let (mut reader, mut unread) = (reader(&[]), Unread::default());
    let mut read = || {
        fill(&mut reader, &masked(TEXT, true, b"text"), &mut unread);
        let Next::Message(Whole::Lent(Lent::Text(text)), _) = reader.next(&mut unread) else { panic!() };
        let place = text.as_ptr();
        assert!(matches!(reader.next(&mut unread), Next::Nothing));
        place
    };
    assert_eq!(read(), read());
}

#[test]
fn after_a_close_there_is_nothing_more() {
    let (mut reader, mut unread) = (reader(&[]), Unread::default());
    fill(&mut reader, &[masked(CLOSE, true, b""), masked(TEXT, true, b"text")].concat(), &mut unread);
    assert!(matches!(reader.next(&mut unread), Next::Item(Item::Close(_))));
    assert!(unread.is_empty());
    assert!(matches!(reader.next(&mut unread), Next::Nothing));
}

#[test]
fn bytes_that_outlive_the_thread_s_buffer_are_dropped_without_it() {
    thread_local! {
        static HELD: RefCell<Unread> = RefCell::default();
    }
    std::thread::spawn(|| {
        // Known before the buffer is, and so dropped after it.
        HELD.with_borrow(|held| assert!(held.is_empty()));
        let mut unread = Unread::default();
        fill(&mut reader(&[]), &masked(TEXT, true, b"text"), &mut unread);
        HELD.set(unread);
    })
    .join()
    .unwrap();
}

/// One read that brings this.
fn fill(reader: &mut Reader, bytes: &[u8], unread: &mut Unread) {
    let filled = reader.poll_fill(Pin::new(&mut &bytes[..]), &mut Context::from_waker(Waker::noop()), unread);
    assert!(matches!(filled, Poll::Ready(Ok(true))), "{filled:?}");
}
