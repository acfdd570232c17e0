//! The rules of RFC 6455 about what is received, one test for each.

use crate::support::*;
use bytes::Bytes;
use nosphere_websocket::{Close, Decoder, Item, ProtocolError, Role};

#[test]
fn messages_of_every_length_format_arrive_whole() {
    for length in [0, 1, 7, 8, 125, 126, 127, 65_535, 65_536, MAX_MESSAGE_SIZE] {
        let text = "x".repeat(length);
        let (items, result) = decode(&masked(TEXT, true, text.as_bytes()));
        assert_eq!((items, result), (vec![Item::Text(text.as_str().into())], Ok(())));
        let (items, result) = decode(&masked(BINARY, true, text.as_bytes()));
        assert_eq!((items, result), (vec![Item::Binary(text.into())], Ok(())));
    }
}

#[test]
fn the_limit_holds_for_small_messages_too() {
    for (limit, length, allowed) in [(10, 10, true), (10, 11, false), (0, 0, true), (0, 1, false)] {
        let mut decoder = Decoder::new(Role::Server, limit);
        let result = decoder.decode(&mut masked(TEXT, true, &vec![b'a'; length]), &mut Vec::new());
        assert_eq!(result.is_ok(), allowed, "{length} of {limit}");
    }
}

#[test]
fn control_frames_between_fragments_do_not_disturb_the_message() {
    let stream = [
        masked(TEXT, false, b"one "),
        masked(PING, true, b"p"),
        masked(CONTINUATION, false, b""),
        masked(PONG, true, b"q"),
        masked(CONTINUATION, true, b"two"),
        masked(BINARY, true, b"next"),
    ];
    let (items, result) = decode(&stream.concat());
    let expected = [
        Item::Ping(Bytes::from_static(b"p")),
        Item::Pong(Bytes::from_static(b"q")),
        Item::Text("one two".into()),
        Item::Binary(Bytes::from_static(b"next")),
    ];
    assert_eq!((items.as_slice(), result), (&expected[..], Ok(())));
}

#[test]
fn fragments_of_nothing_make_an_empty_message() {
    let stream = [masked(BINARY, false, b""), masked(CONTINUATION, true, b"")];
    assert_eq!(decode(&stream.concat()), (vec![Item::Binary(Bytes::new())], Ok(())));
}

#[test]
fn a_client_must_mask_and_a_server_must_not() {
    assert_eq!(decode(&unmasked(TEXT, true, b"a")), refused(ProtocolError::MaskMissing));
    let frame = masked(TEXT, true, b"a");
    assert_eq!(decode_parts(Role::Client, [&frame[..]]), refused(ProtocolError::MaskUnexpected));
    let frame = unmasked(TEXT, true, b"a");
    assert_eq!(decode_parts(Role::Client, [&frame[..]]), (vec![Item::Text("a".into())], Ok(())));
}

#[test]
fn reserved_bits_are_refused() {
    for bit in [0x10, 0x20, 0x40] {
        let mut frame = masked(TEXT, true, b"a");
        frame[0] |= bit;
        assert_eq!(decode(&frame), refused(ProtocolError::ReservedBits));
    }
}

#[test]
fn reserved_opcodes_are_refused() {
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let frame = masked(opcode, true, b"a");
        assert_eq!(decode(&frame), refused(ProtocolError::Opcode(opcode)));
    }
}

#[test]
fn control_frames_are_short_and_whole() {
    for opcode in [CLOSE, PING, PONG] {
        let frame = masked(opcode, false, b"");
        assert_eq!(decode(&frame), refused(ProtocolError::ControlFragmented));
        let frame = masked(opcode, true, &[b'a'; 126]);
        assert_eq!(decode(&frame), refused(ProtocolError::ControlTooLong));
    }
    let frame = masked(PING, true, &[b'a'; 125]);
    assert_eq!(decode(&frame), (vec![Item::Ping(vec![b'a'; 125].into())], Ok(())));
}

#[test]
fn a_length_is_written_in_its_shortest_form() {
    for length in [&[0xfe, 0, 125][..], &[0xff, 0, 0, 0, 0, 0, 0, 255, 255], &[0xff, 255, 0, 0, 0, 0, 0, 0, 0]] {
        let frame = [&[0x82], length, &[0; 4]].concat();
        assert_eq!(decode(&frame), refused(ProtocolError::Length));
    }
}

#[test]
fn fragments_follow_their_message_and_no_other() {
    let stray = masked(CONTINUATION, true, b"a");
    assert_eq!(decode(&stray), refused(ProtocolError::ContinuationUnexpected));
    for opcode in [TEXT, BINARY] {
        let stream = [masked(TEXT, false, b"a"), masked(opcode, true, b"b")].concat();
        assert_eq!(decode(&stream), refused(ProtocolError::ContinuationExpected));
    }
    let stream = [masked(TEXT, true, b"a"), stray].concat();
    let expected = (vec![Item::Text("a".into())], Err(ProtocolError::ContinuationUnexpected));
    assert_eq!(decode(&stream), expected);
}

#[test]
fn text_that_is_not_utf8_is_refused_and_what_came_before_is_kept() {
    let stream = [masked(TEXT, true, b"good"), masked(TEXT, true, b"\xc3"), masked(TEXT, true, b"\xa9")].concat();
    assert_eq!(decode(&stream), (vec![Item::Text("good".into())], Err(ProtocolError::InvalidUtf8)));
}

#[test]
fn text_that_can_no_longer_be_utf8_fails_before_its_frame_is_whole() {
    let head = header(TEXT, true, Some([0; 4]), 1000);
    let stream = [&head[..], b"ok \xf4\x90"].concat();
    assert_eq!(decode(&stream), refused(ProtocolError::InvalidUtf8));
    let stream = [masked(TEXT, false, b"ok \xf4"), masked(CONTINUATION, false, b"\x90")].concat();
    assert_eq!(decode(&stream), refused(ProtocolError::InvalidUtf8));
}

#[test]
fn a_character_may_be_cut_by_fragments_but_not_by_the_end() {
    let stream = [masked(TEXT, false, b"\xc3"), masked(CONTINUATION, true, b"\xa9")].concat();
    assert_eq!(decode(&stream), (vec![Item::Text("é".into())], Ok(())));
    let stream = [masked(TEXT, false, b"a"), masked(CONTINUATION, true, b"\xc3")].concat();
    assert_eq!(decode(&stream), refused(ProtocolError::InvalidUtf8));
}

#[test]
fn a_claim_beyond_the_limit_is_refused_before_anything_is_held() {
    let mut decoder = Decoder::new(Role::Server, 1000);
    let mut items = Vec::new();
    let mut head = header(BINARY, true, Some([0; 4]), 1001);
    let error = ProtocolError::MessageTooLarge { limit: 1000 };
    assert_eq!(decoder.decode(&mut head, &mut items), Err(error));
    assert_eq!(error.close_code(), 1009);
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn the_limit_counts_all_fragments_of_a_message() {
    let fragment = vec![b'a'; MAX_MESSAGE_SIZE / 2];
    let mut stream = [masked(TEXT, false, &fragment), masked(CONTINUATION, false, &fragment)].concat();
    let whole = [&stream[..], &masked(CONTINUATION, true, b"")].concat();
    assert_eq!(decode(&whole).1, Ok(()));
    stream.extend(masked(CONTINUATION, true, b"a"));
    assert_eq!(decode(&stream), refused(ProtocolError::MessageTooLarge { limit: MAX_MESSAGE_SIZE }));
}

#[test]
fn a_control_frame_between_fragments_does_not_count_as_the_message() {
    let stream = [
        masked(BINARY, false, &vec![0; MAX_MESSAGE_SIZE]),
        masked(PING, true, b"still here"),
        masked(CONTINUATION, true, b""),
    ];
    let (items, result) = decode(&stream.concat());
    assert_eq!((items.len(), result), (2, Ok(())));
}

#[test]
fn what_is_claimed_but_did_not_come_takes_no_memory() {
    let mut decoder = Decoder::new(Role::Server, 1 << 30);
    let mut items = Vec::new();
    let mut head = header(BINARY, true, Some([0; 4]), 1 << 30);
    head.extend([0; 100]);
    decoder.decode(&mut head, &mut items).unwrap();
    assert!(decoder.buffered() < 1000, "{}", decoder.buffered());
}

#[test]
fn an_idle_decoder_holds_no_buffer() {
    let mut decoder = Decoder::new(Role::Server, MAX_MESSAGE_SIZE);
    let mut items = Vec::new();
    let frame = masked(TEXT, true, &[b'a'; 5000]);
    for cut in [1, 7, 8, 3000] {
        let (head, tail) = frame.split_at(cut);
        decoder.decode(&mut head.to_vec(), &mut items).unwrap();
        assert_ne!(decoder.buffered(), 0);
        decoder.decode(&mut tail.to_vec(), &mut items).unwrap();
        assert_eq!(decoder.buffered(), 0);
    }
    assert_eq!(items.len(), 4);
}

#[test]
fn nothing_comes_out_after_a_close_or_an_error() {
    let stream = [masked(CLOSE, true, b"\x03\xe8bye"), masked(TEXT, true, b"late")].concat();
    let close = Item::Close(Close::new(1000, "bye"));
    assert_eq!(decode(&stream), (vec![close.clone()], Ok(())));
    let late = masked(TEXT, true, b"late");
    assert_eq!(decode_parts(Role::Server, [&stream[..], &late]), (vec![close], Ok(())));

    let stray = masked(CONTINUATION, true, b"a");
    let stream = [&stray[..], &late];
    assert_eq!(decode_parts(Role::Server, stream), refused(ProtocolError::ContinuationUnexpected));
}

#[test]
fn a_close_is_read_with_all_that_it_may_hold_and_nothing_else() {
    assert_eq!(decode(&masked(CLOSE, true, b"")), (vec![Item::Close(Close::default())], Ok(())));
    assert_eq!(decode(&masked(CLOSE, true, b"\x03")), refused(ProtocolError::CloseLength));
    assert_eq!(decode(&masked(CLOSE, true, b"\x03\xed")), refused(ProtocolError::CloseCode(1005)));
    assert_eq!(decode(&masked(CLOSE, true, b"\x03\xe8\xff")), refused(ProtocolError::InvalidUtf8));
}

#[test]
fn a_close_amid_a_fragmented_message_ends_it() {
    let stream = [masked(TEXT, false, b"never"), masked(CLOSE, true, b"\x03\xe9")].concat();
    assert_eq!(decode(&stream), (vec![Item::Close(Close::new(1001, ""))], Ok(())));
}

fn refused(error: ProtocolError) -> (Vec<Item>, Result<(), ProtocolError>) {
    (Vec::new(), Err(error))
}
