//! Writes frames from where they lie.

use std::cell::RefCell;
use std::io::{self, IoSlice};

use arrayvec::ArrayVec;
use nosphere_core::{FrameHead, FrameParts, MessageRef, Run, WireFormat, frame_header};

use crate::socket::WriteHalf;

/// What one write took.
pub(super) struct Written {
    /// As many frames whole,
    pub(super) count: usize,
    /// and so many bytes of the next one.
    pub(super) rest: usize,
    /// There may be more frames than were looked at.
    pub(super) full: bool,
}

/// The lengths of the units of those frames that were looked at.
pub(super) type Units = ArrayVec<u32, { Run::MAX_FRAMES }>;

/// What a write took of one frame.
pub(super) enum One {
    /// It has to be put together elsewhere.
    Elsewhere,
    Nothing,
    /// So many bytes.
    Part(usize),
    /// All of it, with a unit of this length.
    Whole {
        unit: usize,
    },
}

/// Writes one message from where it lies.
///
/// Compiled into its one caller as far as it is for a frame that is prepared.
#[inline(always)]
pub(super) fn write_one(
    half: &WriteHalf,
    message: MessageRef<'_>,
    format: &dyn WireFormat,
    takable: impl Fn(usize) -> bool,
) -> One {
    let Some(frame) = message.frame_parts(format) else { return One::Elsewhere };
    if !takable(frame.unit_len()) {
        return One::Nothing;
    }
    let mut head = FrameHead::default();
    let written = match frame.whole() {
        Some(frame) => half.try_write(frame),
        None => match frame.parts(&mut head) {
            [head, payload, []] => half.try_write_vectored(&[head, payload].map(IoSlice::new)),
            parts => half.try_write_vectored(&parts.map(IoSlice::new)),
        },
    };
    match written {
        Ok(written) if written == frame.len() => One::Whole { unit: frame.unit_len() },
        Ok(written) if written > 0 => One::Part(written),
        Ok(_) | Err(_) => One::Nothing,
    }
}

/// The same, out of the way of what is shared.
#[inline(never)]
pub(super) fn write_own(
    half: &WriteHalf,
    message: MessageRef<'_>,
    format: &dyn WireFormat,
    takable: impl Fn(usize) -> bool,
) -> One {
    write_one(half, message, format, takable)
}

/// Writes what waits of messages that others get, too, behind what comes `before`, as it was put together for all of them. `None` if
/// nothing of the kind comes next; else as [`write_some`].
#[inline]
pub(super) fn write_run(
    half: &WriteHalf,
    before: Option<&[u8]>,
    gather: impl FnOnce(&mut Run) -> usize,
    units: &mut Units,
) -> Option<Option<Written>> {
    RUN.with_borrow_mut(|run| {
        let count = gather(run);
        if count == 0 {
            return None;
        }
        let frames = run.frames(count);
        units.try_extend_from_slice(run.units(count)).ok()?;
        let (length, taken) = match before {
            None => (frames.len(), half.try_write(frames)),
            Some(before) => (before.len() + frames.len(), half.try_write_vectored(&[before, frames].map(IoSlice::new))),
        };
        Some(written_short(taken, length, before, units, true))
    })
}

/// Writes as many frames as one write takes, behind one that comes `before`; `None` if it took nothing. `units` becomes the
/// lengths of the units of those frames that were looked at, but for the one before.
#[inline]
pub(super) fn write_some<'a>(
    half: &WriteHalf,
    before: Option<&'a [u8]>,
    mut frames: impl Iterator<Item = FrameParts<'a>>,
    units: &mut Units,
) -> Option<Written> {
    let Some(first) = frames.next() else {
        let before = before?;
        return written(half.try_write(before), std::iter::once(before.len()), false);
    };
    if first.whole().is_some() {
        write_whole(half, before, first, frames, units)
    } else if first.unit_len() <= SHORT {
        write_joined(half, before, first, frames, units)
    } else {
        write_vectored(half, before, first, frames, units)
    }
}

/// Writes frames that are prepared, by their slices.
#[inline]
fn write_whole<'a>(
    half: &WriteHalf,
    before: Option<&'a [u8]>,
    first: FrameParts<'a>,
    mut frames: impl Iterator<Item = FrameParts<'a>>,
    units: &mut Units,
) -> Option<Written> {
    let mut slices = ArrayVec::<IoSlice<'_>, { 1 + MAX_FRAMES }>::new();
    slices.extend(before.map(IoSlice::new));
    let (mut full, mut next) = (false, Some(first));
    // A chain of iterators would be a call for each frame.
    while let Some(frame) = next {
        let Some(whole) = frame.whole().filter(|_| units.len() < MAX_FRAMES) else {
            full = true;
            break;
        };
        slices.push(IoSlice::new(whole));
        units.push(frame.unit_len() as u32);
        next = frames.next();
    }
    let taken = match &slices[..] {
        [one] => half.try_write(one),
        many => half.try_write_vectored(many),
    };
    written(taken, slices.iter().map(|slice| slice.len()), full)
}

/// Writes short frames, copied together: the kernel has more to do with a slice than that.
fn write_joined<'a>(
    half: &WriteHalf,
    before: Option<&'a [u8]>,
    first: FrameParts<'a>,
    mut frames: impl Iterator<Item = FrameParts<'a>>,
    units: &mut Units,
) -> Option<Written> {
    JOINED.with_borrow_mut(|joined| {
        joined.resize(MAX_JOINED + FrameParts::SPARE, 0);
        let mut end = 0;
        if let Some(before) = before {
            joined[..before.len()].copy_from_slice(before);
            end = before.len();
        }
        let mut next = Some(first);
        let full = loop {
            let Some(frame) = next else { break false };
            let fits = frame.unit_len() <= SHORT && end < MAX_JOINED && !units.is_full();
            let Some(length) = fits.then(|| frame.copy_to(&mut joined[end..])).flatten() else { break true };
            end += length;
            units.push(frame.unit_len() as u32);
            next = frames.next();
        };
        written_short(half.try_write(&joined[..end]), end, before, units, full)
    })
}

/// Writes long frames, in parts.
fn write_vectored<'a>(
    half: &WriteHalf,
    before: Option<&'a [u8]>,
    first: FrameParts<'a>,
    frames: impl Iterator<Item = FrameParts<'a>>,
    units: &mut Units,
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
    let mut heads = [FrameHead::default(); MAX_VECTORED];
    let mut slices = ArrayVec::<IoSlice<'_>, { 1 + 3 * MAX_VECTORED }>::new();
    slices.extend(before.map(IoSlice::new));
    for (frame, head) in long.iter().zip(&mut heads) {
        slices.extend(frame.parts(head).map(IoSlice::new));
    }
    let lengths = before.map(<[u8]>::len).into_iter().chain(long.iter().map(FrameParts::len));
    written(half.try_write_vectored(&slices), lengths, full)
}

/// What a write took of short frames, which have so many bytes with what comes before.
#[inline(always)]
fn written_short(
    taken: io::Result<usize>,
    length: usize,
    before: Option<&[u8]>,
    units: &Units,
    full: bool,
) -> Option<Written> {
    match taken {
        // Nearly always.
        Ok(taken) if taken == length => {
            Some(Written { count: usize::from(before.is_some()) + units.len(), rest: 0, full })
        }
        taken => written(taken, before.map(<[u8]>::len).into_iter().chain(units.iter().map(frame_len)), full),
    }
}

/// The length of a frame with a unit of this length.
fn frame_len(unit: &u32) -> usize {
    let unit = *unit as usize;
    usize::from(frame_header(true, unit).1) + unit
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

/// The most frames that are written by their slices.
const MAX_FRAMES: usize = 64;

/// The most of them that are written in parts.
const MAX_VECTORED: usize = 16;

/// Up to this length frames are copied together.
const SHORT: usize = 1024;

/// The most bytes that are copied together.
const MAX_JOINED: usize = 8 * 1024;

thread_local! {
    /// Where short frames are copied together; what it allocated serves all writes of a thread.
    static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };

    /// What was last written to several sessions of a thread.
    static RUN: RefCell<Run> = const { RefCell::new(Run::new()) };
}
