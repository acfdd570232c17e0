//! Bytes and their count of references in one allocation.

use bytes::Bytes;

/// A copy of a short payload, of which clones and slices need no memory of their own: `Bytes` allocates the count of its
/// references when it is first cloned, and nearly every message is.
///
/// `None` for a long one, beside which that count is nothing.
#[inline]
pub(crate) fn copy(payload: &[u8]) -> Option<Bytes> {
    // With the two words of `Bytes` before it, a block fills what an allocator gives for it.
    Some(match payload.len() {
        0 => Bytes::new(),
        ..=54 => Block::<54>::copy(payload),
        ..=118 => Block::<118>::copy(payload),
        ..=246 => Block::<246>::copy(payload),
        ..=502 => Block::<502>::copy(payload),
        _ => return None,
    })
}

struct Block<const N: usize> {
    length: u16,
    bytes: [u8; N],
}

impl<const N: usize> Block<N> {
    #[inline]
    fn copy(payload: &[u8]) -> Bytes {
        let mut bytes = [0; N];
        bytes[..payload.len()].copy_from_slice(payload);
        Bytes::from_owner(Self { length: payload.len() as u16, bytes })
    }
}

impl<const N: usize> AsRef<[u8]> for Block<N> {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length.into()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_length_is_copied_whole() {
        let bytes: Vec<u8> = (0..503).map(|i| i as u8).collect();
        for length in 0..=502 {
            assert_eq!(copy(&bytes[..length]).as_deref(), Some(&bytes[..length]));
        }
        assert_eq!(copy(&bytes), None);
    }
}
