//! Memory that short messages share.

use bytes::Bytes;
use nosphere_core::{Arena, Text, Unit};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn nothing_that_is_kept_is_overwritten_however_much_of_the_rest_is_dropped(
        steps in vec((0..600_usize, any::<bool>(), any::<u8>()), 0..400),
    ) {
        let mut arena = Arena::default();
        let mut texts = Vec::<(Text, String)>::new();
        let mut bytes = Vec::<(Bytes, Vec<u8>)>::new();
        for (length, is_text, byte) in steps {
            // Mostly short ones.
            let length = if byte & 3 > 0 { length / 20 } else { length };
            if is_text {
                let text = char::from(byte & 0x7f).to_string().repeat(length);
                texts.push((arena.text(&text), text));
            } else {
                let content = vec![byte; length];
                bytes.push((arena.bytes(&content), content));
            }
            if byte % 5 == 0 {
                texts.retain(|(text, _)| text.len() % 3 == usize::from(byte) % 3);
                bytes.retain(|(bytes, _)| bytes.len() % 3 == usize::from(byte) % 3);
            }
            for (text, expected) in &texts {
                prop_assert_eq!(text.as_str(), expected);
            }
            for (bytes, expected) in &bytes {
                prop_assert_eq!(bytes, expected);
            }
        }
    }

    #[test]
    fn a_short_message_never_holds_a_long_allocation(lengths in vec(0..600_usize, 0..300)) {
        let content = "x".repeat(600);
        let mut arena = Arena::default();
        // All are kept, so what lies side by side shares an allocation: separate ones never do.
        let texts: Vec<Text> = lengths.iter().map(|length| arena.text(&content[..*length])).collect();
        let mut texts: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        texts.sort_by_key(|text| text.as_ptr_range().end);
        for run in texts.chunk_by(|one, next| one.as_ptr_range().end == next.as_ptr()) {
            let shortest = run.iter().map(|text| text.len()).filter(|length| *length > 0).min().unwrap_or(0);
            let total: usize = run.iter().map(|text| text.len()).sum();
            prop_assert!(run.len() == 1 || total <= (16 * shortest + 256).min(1000), "{} of {}", shortest, total);
        }
    }
}

#[test]
fn memory_of_which_nothing_is_kept_is_used_again() {
    for length in [1, 16, 17, 33, 64, 100, 512] {
        let mut arena = Arena::default();
        let text = "x".repeat(length);
        let mut places: Vec<_> = (0..1000).map(|_| arena.text(&text).as_ptr()).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() <= 256, "{length} bytes at {} places", places.len());
    }
}

#[test]
fn what_is_shared_is_kept_by_slices_for_as_long_as_that_is_said_and_nothing_else_is() {
    let unit = Text::from("x".repeat(600));
    let bytes = unit.bytes().clone();
    let mut arena = Arena::default();
    arena.share(Some(Unit::Text(unit.clone())));
    let within = |text: &str| bytes.as_ptr_range().contains(&text.as_ptr());
    assert!(within(&arena.text(&unit[100..200])));
    // Too short for as much, of another kind, and of somebody else.
    assert!(!within(&arena.text(&unit[..10])));
    assert!(!bytes.as_ptr_range().contains(&arena.bytes(&bytes[100..200]).as_ptr()));
    assert!(!within(&arena.text(&"x".repeat(100))));
    arena.share(Some(Unit::Binary(bytes.clone())));
    assert!(bytes.as_ptr_range().contains(&arena.bytes(&bytes[100..200]).as_ptr()));
    arena.share(None);
    assert!(!within(&arena.text(&unit[100..200])));
    assert_eq!(arena.text("y"), "y");
}
