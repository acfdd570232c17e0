//! Writes frames from where they lie.

use std::io::{self, IoSlice};

use arrayvec::ArrayVec;
use nosphere_core::FrameParts;
use tokio::net::tcp::OwnedWriteHalf;

/// What one write took.
pub(super) struct Written {
    /// As many frames whole,
    pub(super) count: usize,
    /// and so many bytes of the next one.
    pub(super) rest: usize,
    /// There may be more frames than were looked at.
    pub(super) full: bool,
}

/// Writes one frame.
#[inline]
pub(super) fn write_one(half: &OwnedWriteHalf, frame: &FrameParts<'_>) -> io::Result<usize> {
    match frame.whole() {
        Some(frame) => half.try_write(frame),
        None => half.try_write_vectored(&frame.parts().map(IoSlice::new)),
    }
}

/// Writes as many frames as one write takes; `None` if it took nothing. `units` becomes the lengths of the units of those
/// that were looked at.
#[inline]
pub(super) fn write_some<'a>(
    half: &OwnedWriteHalf,
    mut frames: impl Iterator<Item = FrameParts<'a>>,
    units: &mut ArrayVec<u32, MAX_FRAMES>,
) -> Option<Written> {
    let first = frames.next()?;
    if first.whole().is_some() {
        write_whole(half, first, frames, units)
    } else if first.len() <= SHORT {
        write_joined(half, first, frames, units)
    } else {
        write_vectored(half, first, frames, units)
    }
}

/// Writes frames that are prepared, by their slices.
#[inline]
fn write_whole<'a>(
    half: &OwnedWriteHalf,
    first: FrameParts<'a>,
    frames: impl Iterator<Item = FrameParts<'a>>,
    units: &mut ArrayVec<u32, MAX_FRAMES>,
) -> Option<Written> {
    let mut slices = ArrayVec::<IoSlice<'_>, MAX_FRAMES>::new();
    let mut full = false;
    for frame in std::iter::once(first).chain(frames) {
        let Some(whole) = frame.whole().filter(|_| !slices.is_full()) else {
            full = true;
            break;
        };
        slices.push(IoSlice::new(whole));
        units.push(frame.unit_len() as u32);
    }
    let taken = match &slices[..] {
        [one] => half.try_write(one),
        many => half.try_write_vectored(many),
    };
    written(taken, slices.iter().map(|slice| slice.len()), full)
}

/// Writes short frames, copied together: the kernel has more to do with a slice than that.
fn write_joined<'a>(
    half: &OwnedWriteHalf,
    first: FrameParts<'a>,
    frames: impl Iterator<Item = FrameParts<'a>>,
    units: &mut ArrayVec<u32, MAX_FRAMES>,
) -> Option<Written> {
    let mut joined = ArrayVec::<u8, MAX_JOINED>::new();
    let mut lengths = ArrayVec::<usize, MAX_FRAMES>::new();
    let mut full = false;
    for frame in std::iter::once(first).chain(frames) {
        if frame.len() > SHORT.min(joined.remaining_capacity()) || lengths.is_full() {
            full = true;
            break;
        }
        for part in frame.parts() {
            // It fits.
            let _ = joined.try_extend_from_slice(part);
        }
        lengths.push(frame.len());
        units.push(frame.unit_len() as u32);
    }
    written(half.try_write(&joined), lengths.iter().copied(), full)
}

/// Writes long frames, in parts.
fn write_vectored<'a>(
    half: &OwnedWriteHalf,
    first: FrameParts<'a>,
    frames: impl Iterator<Item = FrameParts<'a>>,
    units: &mut ArrayVec<u32, MAX_FRAMES>,
) -> Option<Written> {
    let mut long = ArrayVec::<FrameParts<'_>, MAX_VECTORED>::new();
    let mut full = false;
    for frame in std::iter::once(first).chain(frames) {
        if long.is_full() {
            full = true;
            break;
        }
        units.push(frame.unit_len() as u32);
        long.push(frame);
    }
    let mut slices = ArrayVec::<IoSlice<'_>, { 3 * MAX_VECTORED }>::new();
    slices.extend(long.iter().flat_map(FrameParts::parts).map(IoSlice::new));
    written(half.try_write_vectored(&slices), long.iter().map(FrameParts::len), full)
}

/// What a write took of frames of these lengths.
#[inline]
fn written(taken: io::Result<usize>, mut lengths: impl Iterator<Item = usize>, full: bool) -> Option<Written> {
    let mut rest = taken.ok().filter(|taken| *taken > 0)?;
    let mut count = 0;
    while let Some(left) = lengths.next().and_then(|length| rest.checked_sub(length)) {
        (count, rest) = (count + 1, left);
    }
    Some(Written { count, rest, full })
}

/// The most frames of one write.
pub(super) const MAX_FRAMES: usize = 64;

/// The most of them that are written in parts.
const MAX_VECTORED: usize = 16;

/// Up to this length frames are copied together.
const SHORT: usize = 1024;

/// The most bytes that are copied together.
const MAX_JOINED: usize = 8 * 1024;
