//! WebSocket frames.

use std::hint::black_box;
use std::io::{self, IoSlice};
use std::task::Poll;

use nosphere_core::{Arena, Encoded, Lent, Text, Unit};
use nosphere_websocket::{Decoder, Flush, Next, Reader, Role, TryWrite, Unread, Whole, Writer};

use crate::text;

pub(crate) fn decode_small(count: usize) {
    decode(0x81, 100, count);
}

pub(crate) fn decode_large(count: usize) {
    decode(0x82, 16 << 10, count);
}

pub(crate) fn read_one(count: usize) {
    read(1, count);
}

pub(crate) fn read_many(count: usize) {
    read(16, count);
}

/// As a server reads: what comes whole is lent, and kept.
fn read(at_once: usize, count: usize) {
    let stream = frame(0x81, 100).repeat(at_once);
    let mut reader = Reader::new(Decoder::new(Role::Server, 1 << 20), &[]);
    for _ in 0..count {
        let mut unread = Unread::default();
        let fill = |buffer: &mut [u8]| {
            buffer[..stream.len()].copy_from_slice(&stream);
            Poll::Ready(Ok(stream.len()))
        };
        assert!(matches!(reader.fill_with(&mut unread, fill), Poll::Ready(Ok(true))));
        for _ in 0..at_once {
            // The shorter way, where there is one.
            if let Some((message, arena)) = unread.next_found() {
                black_box(kept(message, arena));
                continue;
            }
            let Next::Message(Whole::Lent(message), arena) = reader.next(&mut unread) else {
                unreachable!("all are lent")
            };
            black_box(kept(message, arena));
        }
        assert!(unread.is_empty());
    }
}

fn kept(message: Lent<'_>, arena: &mut Arena) -> Unit {
    match message {
        Lent::Text(text) => Unit::Text(arena.text(text)),
        Lent::Binary(bytes) => Unit::Binary(arena.bytes(bytes)),
    }
}

fn frame(first: u8, length: usize) -> Vec<u8> {
    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first];
    match u16::try_from(length) {
        Ok(small @ ..126) => frame.push(0x80 | small as u8),
        Ok(medium) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&medium.to_be_bytes());
        }
        Err(_) => unreachable!("no scenario is so long"),
    }
    frame.extend_from_slice(&KEY);
    frame.extend(text(length).bytes().zip(KEY.into_iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn decode(first: u8, length: usize, count: usize) {
    let frame = frame(first, length);
    let mut decoder = Decoder::new(Role::Server, 1 << 20);
    let (mut items, mut buffer) = (vec![], vec![0; frame.len()]);
    for _ in 0..count {
        // It is unmasked in place.
        buffer.copy_from_slice(&frame);
        decoder.decode(&mut buffer, &mut items).expect("a frame");
        assert_eq!(items.len(), 1);
        black_box(&items);
        items.clear();
    }
}

pub(crate) fn encode_one(count: usize) {
    encode(1, count);
}

pub(crate) fn encode_many(count: usize) {
    encode(16, count);
}

fn encode(at_once: usize, count: usize) {
    let shared = Encoded::shared(&Unit::Text(Text::from(text(100))));
    let mut writer = Writer::server();
    for _ in 0..count {
        let mut queue = std::iter::repeat_n(&shared, at_once);
        let flushed = writer.flush(&Everything, || queue.next().cloned().map(Into::into)).expect("no error");
        assert!(matches!(black_box(flushed), Flush::Done), "nothing is left");
    }
}

/// Takes all that is written.
struct Everything;

impl TryWrite for Everything {
    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(slices.iter().map(|slice| slice.len()).sum())
    }
}
