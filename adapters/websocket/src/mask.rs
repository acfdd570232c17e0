use pulp::Arch;

/// Applies a masking key (RFC 6455 §5.3); doing it twice undoes it.
pub(crate) fn apply(bytes: &mut [u8], key: [u8; 4]) {
    let word = repeat(key);
    let length = bytes.len();
    let Some(last) = bytes.last_chunk().copied().map(u64::from_le_bytes) else {
        for (byte, key) in bytes.iter_mut().zip(word.to_le_bytes()) {
            *byte ^= key;
        }
        return;
    };
    let rest = if length >= LONG {
        let (blocks, rest) = bytes.split_at_mut(length - length % 128);
        // Compiled once for each kind of processor, and chosen by the one that this is.
        Arch::new().dispatch(|| apply_blocks::<128>(blocks, word));
        rest
    } else {
        let (blocks, rest) = bytes.split_at_mut(length - length % 32);
        apply_blocks::<32>(blocks, word);
        rest
    };
    for part in rest.as_chunks_mut::<8>().0 {
        *part = (u64::from_le_bytes(*part) ^ word).to_le_bytes();
    }
    // The last eight bytes, some of which are done, from what they were: no loop over single bytes.
    if let Some(end) = bytes.last_chunk_mut() {
        *end = (last ^ repeat(advance(key, length))).to_le_bytes();
    }
}

/// Copies bytes and applies a masking key, both at once. Nothing is left over of the vector's memory.
pub(crate) fn copy(bytes: &[u8], key: [u8; 4]) -> Vec<u8> {
    let mut copy = Vec::with_capacity(bytes.len());
    let mut pattern = [0; COPIED];
    pattern.as_chunks_mut().0.fill(key);
    Arch::new().dispatch(
        #[inline(always)]
        || copy_blocks(&mut copy, bytes, &pattern),
    );
    let rest = &bytes[copy.len()..];
    copy.extend(rest.iter().zip(&pattern).map(|(byte, key)| byte ^ key));
    copy
}

/// Copies whole blocks. Their length is constant, and so is how often the vector is asked for room.
#[inline(always)]
fn copy_blocks(copy: &mut Vec<u8>, bytes: &[u8], pattern: &[u8; COPIED]) {
    for block in bytes.as_chunks::<COPIED>().0 {
        copy.extend(block.iter().zip(pattern).map(|(byte, key)| byte ^ key));
    }
}

/// How much is copied at a time.
const COPIED: usize = 1024;

/// Masks whole blocks. A block's length is constant, so that it compiles to the widest registers.
#[inline(always)]
fn apply_blocks<const N: usize>(bytes: &mut [u8], word: u64) {
    for block in bytes.as_chunks_mut::<N>().0 {
        for part in block.as_chunks_mut::<8>().0 {
            *part = (u64::from_le_bytes(*part) ^ word).to_le_bytes();
        }
    }
}

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
    fn what_is_copied_is_masked_and_holds_no_spare_memory() {
        let key = [1, 2, 4, 8];
        for length in [0, 1, 5, 1023, 1024, 1025, 4099, 16 << 10] {
            let bytes: Vec<u8> = (0..length).map(|i| i as u8).collect();
            let copied = copy(&bytes, key);
            let mut expected = bytes;
            apply(&mut expected, key);
            assert_eq!(copied, expected, "{length} bytes");
            assert_eq!(copied.capacity(), length);
        }
    }
}
