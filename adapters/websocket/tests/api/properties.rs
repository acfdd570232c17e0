//! What holds for any stream, however it is cut.

use crate::support::*;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use nosphere_core::{Arena, Lent};
use nosphere_websocket::{Close, Decoder, Item, Next, ProtocolError, Reader, Role, Unread, Whole};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_items(
        (stream, expected) in stream(),
        cuts in vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let parts = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
        prop_assert_eq!(decode_parts(Role::Server, parts), (expected, Ok(())));
    }

    #[test]
    fn single_bytes_give_the_same_items((stream, expected) in stream()) {
        prop_assert_eq!(decode_parts(Role::Server, stream.chunks(1)), (expected, Ok(())));
    }

    #[test]
    fn any_bytes_end_the_same_way_however_they_are_cut(
        stream in prop_oneof![vec(any::<u8>(), 0..200), damaged()],
        size in 1usize..50,
    ) {
        let whole = decode(&stream);
        prop_assert_eq!(decode_parts(Role::Server, stream.chunks(size)), whole);
    }

    #[test]
    fn a_reader_gives_what_a_decoder_does_however_its_reads_are_cut_and_kept(
        stream in prop_oneof![stream().prop_map(|(stream, _)| stream), damaged(), sizes(), bursts(), long_and_damaged()],
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        leftover in any::<prop::sample::Index>(),
        keeps in vec(any::<bool>(), 1..20),
    ) {
        let leftover = leftover.index(stream.len() + 1);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([leftover, stream.len()]);
        cuts.retain(|cut| *cut >= leftover);
        cuts.sort_unstable();
        let parts = cuts.windows(2).map(|cut| &stream[cut[0]..cut[1]]);
        prop_assert_eq!(read(&stream[..leftover], parts, keeps.iter().copied().cycle()), decode(&stream));
    }

    #[test]
    fn memory_is_bounded_by_what_arrived(
        stream in prop_oneof![vec(any::<u8>(), 0..200), damaged()],
        size in 1usize..50,
        role in prop_oneof![Just(Role::Client), Just(Role::Server)],
    ) {
        let mut decoder = Decoder::new(role, 1 << 40);
        let mut items = Vec::new();
        let mut arrived = 0;
        for part in stream.chunks(size) {
            arrived += part.len();
            let result = decoder.decode(&mut part.to_vec(), &mut items);
            prop_assert!(decoder.buffered() <= 2 * arrived + 512);
            prop_assert_eq!(result.is_err() && !decoder.is_ended(), false);
        }
        let payload: usize = items.iter().map(length).sum();
        prop_assert!(payload <= stream.len());
    }
}

/// What a server's reader makes of a stream that comes in these reads. Now and then, what is unread is put back.
fn read<'a>(
    leftover: &[u8],
    parts: impl Iterator<Item = &'a [u8]>,
    mut keeps: impl Iterator<Item = bool>,
) -> (Vec<Item>, Result<(), ProtocolError>) {
    let mut reader = Reader::new(Decoder::new(Role::Server, MAX_MESSAGE_SIZE), leftover);
    let (mut items, mut result) = (Vec::new(), Ok(()));
    let mut cx = Context::from_waker(Waker::noop());
    for mut part in [&[][..]].into_iter().chain(parts) {
        loop {
            let mut unread = Unread::default();
            if part.is_empty() && reader.needs_stream() {
                break;
            }
            let filled = reader.poll_fill(Pin::new(&mut part), &mut cx, &mut unread);
            let Poll::Ready(Ok(true)) = filled else {
                assert!(reader.decoder().is_ended(), "{filled:?}");
                break;
            };
            loop {
                if keeps.next() == Some(true)
                    && let Some((message, arena)) = unread.next_found()
                {
                    items.push(kept(message, arena));
                    continue;
                }
                match reader.next(&mut unread) {
                    Next::Nothing => break,
                    Next::Error(error) => {
                        assert_eq!(result, Ok(()), "an error is reported once");
                        result = Err(error);
                    }
                    Next::Item(item) => items.push(item),
                    Next::Message(Whole::Lent(message), arena) => items.push(kept(message, arena)),
                    Next::Message(Whole::Own(unit), _) => items.push(unit.into()),
                }
                if keeps.next() == Some(true) {
                    reader.keep(std::mem::take(&mut unread));
                    break;
                }
            }
        }
    }
    (items, result)
}

fn kept(message: Lent<'_>, arena: &mut Arena) -> Item {
    match message {
        Lent::Text(text) => Item::Text(arena.text(text)),
        Lent::Binary(bytes) => Item::Binary(arena.bytes(bytes)),
    }
}

/// Messages of lengths at which something changes, valid or not, with pings among them.
fn sizes() -> impl Strategy<Value = Vec<u8>> {
    const SIZES: &[usize] = &[
        0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 125, 126, 127, 128, 255, 256, 511, 512, 513, 4095, 4096, 4097, 65_000,
        65_466, 65_467, 65_527, 65_528, 65_529, 65_535, 65_536, 100_000, 100_001,
    ];
    vec(frame(prop::sample::select(SIZES)), 1..8).prop_map(|frames| frames.concat())
}

/// Many short ones, which are found together.
fn bursts() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![3 => 0..40_usize, 1 => 100..300_usize, 1 => 980..1010_usize];
    vec(frame(size), 1..80).prop_map(|frames| frames.concat())
}

/// A message, valid or not, or a ping.
fn frame(size: impl Strategy<Value = usize>) -> impl Strategy<Value = Vec<u8>> {
    let last = prop_oneof![40 => Just(&b""[..]), 1 => Just(&"é".as_bytes()[..1]), 10 => Just("é".as_bytes()), 1 => Just(&"𝄞".as_bytes()[..3])];
    let begin = prop_oneof![40 => Just(&b""[..]), 1 => Just(&"é".as_bytes()[1..]), 10 => Just("𝄞".as_bytes())];
    let opcode = prop_oneof![12 => Just(TEXT), 2 => Just(BINARY), 1 => Just(PING)];
    (size, opcode, begin, last).prop_map(|(size, opcode, begin, last)| {
        let mut payload = vec![b'x'; size];
        if begin.len() + last.len() <= payload.len() {
            payload[..begin.len()].copy_from_slice(begin);
            let at = payload.len() - last.len();
            payload[at..].copy_from_slice(last);
        }
        payload.truncate(if opcode == PING { 125 } else { usize::MAX });
        masked(opcode, true, &payload)
    })
}

/// The same with one byte changed.
fn long_and_damaged() -> impl Strategy<Value = Vec<u8>> {
    (sizes(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut stream, at, byte)| {
        let at = at.index(stream.len());
        stream[at] = byte;
        stream
    })
}

/// A valid stream and what it holds.
fn stream() -> impl Strategy<Value = (Vec<u8>, Vec<Item>)> {
    let close = prop::option::of((prop_oneof![Just(1000u16), 3000..5000u16], ".{0,20}"));
    (vec(part(), 0..12), close).prop_map(|(parts, close)| {
        let (mut stream, mut items): (Vec<_>, Vec<_>) = (Vec::new(), Vec::new());
        for (bytes, part) in parts {
            stream.extend(bytes);
            items.extend(part);
        }
        if let Some((code, reason)) = close {
            stream.extend(masked(CLOSE, true, &[&code.to_be_bytes(), reason.as_bytes()].concat()));
            items.push(Item::Close(Close::new(code, reason)));
        }
        (stream, items)
    })
}

/// A message in one or more frames, with control frames among them.
fn part() -> impl Strategy<Value = (Vec<u8>, Vec<Item>)> {
    let payload = prop_oneof![
        "\\PC{0,60}".prop_map(|text| Item::Text(text.into())),
        "[a-zé𝄞]{100,300}".prop_map(|text| Item::Text(text.into())),
        vec(any::<u8>(), 0..300).prop_map(|bytes| Item::Binary(bytes.into())),
    ];
    let cut = (any::<prop::sample::Index>(), prop::option::of((any::<bool>(), vec(any::<u8>(), 0..126))));
    (payload, vec(cut, 0..4)).prop_map(|(message, mut cuts)| {
        let (opcode, payload) = match &message {
            Item::Text(text) => (TEXT, text.as_bytes()),
            Item::Binary(bytes) => (BINARY, &bytes[..]),
            Item::Close(_) | Item::Ping(_) | Item::Pong(_) => unreachable!(),
        };
        cuts.sort_by_key(|(cut, _)| cut.index(payload.len() + 1));
        let (mut stream, mut items, mut start, mut opcode) = (Vec::new(), Vec::new(), 0, opcode);
        for (cut, control) in cuts {
            let end = cut.index(payload.len() + 1);
            stream.extend(masked(opcode, false, &payload[start..end]));
            (start, opcode) = (end, CONTINUATION);
            if let Some((ping, bytes)) = control {
                stream.extend(masked(if ping { PING } else { PONG }, true, &bytes));
                let bytes = Bytes::from(bytes);
                items.push(if ping { Item::Ping(bytes) } else { Item::Pong(bytes) });
            }
        }
        stream.extend(masked(opcode, true, &payload[start..]));
        items.push(message.clone());
        (stream, items)
    })
}

/// A valid stream with one byte changed.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    (stream(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|((mut stream, _), at, byte)| {
        if !stream.is_empty() {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream
    })
}

fn length(item: &Item) -> usize {
    match item {
        Item::Binary(bytes) | Item::Ping(bytes) | Item::Pong(bytes) => bytes.len(),
        Item::Close(close) => close.reason.len(),
        Item::Text(text) => text.len(),
    }
}
