use bytes::{Buf as _, Bytes};
use pulp::Arch;

/// Applies a masking key (RFC 6455 §5.3); doing it twice undoes it.
pub(crate) fn apply(bytes: &mut [u8], key: [u8; 4]) {
    let length = bytes.len();
    let Some(last) = bytes.last_chunk().copied().map(u64::from_le_bytes) else {
        for (byte, key) in bytes.iter_mut().zip(repeat(key).to_le_bytes()) {
            *byte ^= key;
        }
        return;
    };
    let (blocks, rest) = bytes.split_at_mut(length - length % if length >= LONG { BLOCK } else { 32 });
    if length >= LONG {
        apply_many(blocks, key)
    } else {
        apply_each::<32>(blocks, repeat(key))
    }
    for part in rest.as_chunks_mut::<8>().0 {
        *part = (u64::from_le_bytes(*part) ^ repeat(key)).to_le_bytes();
    }
    // The last eight bytes, some of which are done, from what they were: no loop over single bytes.
    if let Some(end) = bytes.last_chunk_mut() {
        *end = (last ^ repeat(advance(key, length))).to_le_bytes();
    }
}

/// Compiled once for each kind of processor; the one that this is has its own chosen.
#[inline(never)]
fn apply_many(bytes: &mut [u8], key: [u8; 4]) {
    Arch::new().dispatch(|| apply_each::<BLOCK>(bytes, repeat(key)));
}

/// Copies whole blocks to where there is as much room, and applies a masking key.
#[inline(always)]
pub(crate) fn copy_blocks(from: &[u8], to: &mut [u8], key: [u8; 4]) {
    if from.len() >= LONG { copy_many(from, to, key) } else { copy_each::<BLOCK>(from, to, repeat(key)) }
}

/// As [`apply_many`].
#[inline(never)]
fn copy_many(from: &[u8], to: &mut [u8], key: [u8; 4]) {
    Arch::new().dispatch(|| copy_each::<BLOCK>(from, to, repeat(key)));
}

/// Copies bytes and applies a masking key, both at once. The memory is that of the copy, and up to seven bytes before it.
pub(crate) fn copy(bytes: &[u8], key: [u8; 4]) -> Bytes {
    let (odd, words) = bytes.split_at(bytes.len() % 8);
    let mut copy = Vec::with_capacity(bytes.len().div_ceil(8));
    if !odd.is_empty() {
        let mut first = [0; 8];
        let (_, end) = first.split_at_mut(8 - odd.len());
        end.copy_from_slice(odd);
        apply(end, key);
        copy.push(first);
    }
    let word = repeat(advance(key, odd.len()));
    Arch::new().dispatch(
        #[inline(always)]
        || copy.extend(words.as_chunks().0.iter().map(|&part| (u64::from_le_bytes(part) ^ word).to_le_bytes())),
    );
    // Bytes whose vector is full share its memory without an allocation for that.
    let mut copy = Bytes::from(copy.into_flattened());
    copy.advance(copy.len() - bytes.len());
    copy
}

/// Masks whole blocks. A block's length is constant, so that it compiles to the widest registers.
#[inline(always)]
fn apply_each<const N: usize>(bytes: &mut [u8], word: u64) {
    for block in bytes.as_chunks_mut::<N>().0 {
        for part in block.as_chunks_mut::<8>().0 {
            *part = (u64::from_le_bytes(*part) ^ word).to_le_bytes();
        }
    }
}

#[inline(always)]
fn copy_each<const N: usize>(from: &[u8], to: &mut [u8], word: u64) {
    for (from, to) in from.as_chunks::<N>().0.iter().zip(to.as_chunks_mut::<N>().0) {
        // A block of one's own, which the other cannot overlap, goes through registers.
        let mut block = *from;
        apply_each::<N>(&mut block, word);
        *to = block;
    }
}

/// What is masked, and checked, at a time.
pub(crate) const BLOCK: usize = 64;

/// From this length on it is worth finding out which processor this is.
const LONG: usize = 512;

/// The key as it applies to what follows the first `length` bytes.
pub(crate) fn advance(key: [u8; 4], length: usize) -> [u8; 4] {
    u32::from_le_bytes(key).rotate_right(8 * (length % 4) as u32).to_le_bytes()
}

fn repeat(key: [u8; 4]) -> u64 {
    let key = u64::from(u32::from_le_bytes(key));
    key << 32 | key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_and_cut_is_masked_byte_by_byte() {
        let key = [1, 2, 4, 8];
        for length in 0..80 {
            for cut in 0..=length {
                let mut bytes = vec![0x55; length];
                apply(&mut bytes[..cut], key);
                apply(&mut bytes[cut..], advance(key, cut));
                let expected: Vec<u8> = (0..length).map(|i| 0x55 ^ key[i % 4]).collect();
                assert_eq!(bytes, expected, "{length} bytes cut at {cut}");
            }
        }
        for length in [511, 512, 513, 1000, 4096, 4099] {
            let mut bytes = vec![0x55; length];
            apply(&mut bytes, key);
            let expected: Vec<u8> = (0..length).map(|i| 0x55 ^ key[i % 4]).collect();
            assert_eq!(bytes, expected, "{length} bytes");
        }
    }

    #[test]
    fn what_is_copied_is_masked() {
        let key = [1, 2, 4, 8];
        for length in (0..50).chain([1023, 1024, 1025, 4099, 16 << 10]) {
            let bytes: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let copied = copy(&bytes, key);
            let mut expected = bytes;
            apply(&mut expected, key);
            assert_eq!(copied, expected, "{length} bytes");
        }
    }
}
