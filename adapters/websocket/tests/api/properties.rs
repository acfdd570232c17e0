//! What holds for any stream, however it is cut.

use crate::support::*;
use bytes::Bytes;
use nosphere_websocket::{Close, Decoder, Item, Role};
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
