//! What SPEC §2 demands of the fields of control frames, whichever format writes them.

use std::time::Duration;

use nosphere_core::{Close, DecodeError, Frame, MAX_COUNT, Open, Opened, Reply, Request, RequestId, Window};

/// What is wrong with the fields of a frame, if anything.
pub(crate) fn fault(frame: &Frame) -> Option<&'static str> {
    match frame {
        Frame::Open(Open { attachment, window }) => attachment_fault(*attachment).or_else(|| window_fault(*window)),
        Frame::Opened(Opened { window, .. }) => window_fault(*window),
        Frame::Resume(offer) => attachment_fault(offer.attachment).or_else(|| count_fault(offer.received)),
        Frame::Close(Close { reason, received, .. }) => {
            if reason.len() > Close::MAX_REASON {
                return Some("a reason of more than 123 bytes");
            }
            count_fault(*received)
        }
        Frame::Resumed { received } | Frame::Ack { received } | Frame::Ping { received } | Frame::Pong { received } => {
            count_fault(*received)
        }
        Frame::Request(Request { id, .. }) | Frame::Reply(Reply { id, .. }) => request_fault(id.0),
        Frame::Message(_) | Frame::Reset { .. } | _ => None,
    }
}

/// A duration as SPEC §2 writes it. Only zero means "off", so what is shorter than a millisecond becomes one.
pub(crate) fn millis(duration: Duration) -> u64 {
    let rest = u64::from(duration.subsec_nanos().div_ceil(1_000_000));
    duration.as_secs().saturating_mul(1000).saturating_add(rest).min(MAX_COUNT)
}

/// The duration that a peer wrote.
pub(crate) fn duration(millis: u64) -> Option<Duration> {
    (millis <= MAX_COUNT).then(|| Duration::from_millis(millis))
}

/// The window that a peer wrote. It is a permission, so one too large for us is used as far as we can.
pub(crate) fn window(messages: u64, bytes: u64) -> Option<Window> {
    let clamp = |n| u32::try_from(n).unwrap_or(u32::MAX);
    let possible = messages <= MAX_COUNT && bytes <= MAX_COUNT;
    possible.then(|| Window { messages: clamp(messages), bytes: clamp(bytes) })
}

/// The number of a request that a peer wrote.
pub(crate) fn request(id: u64) -> Result<RequestId, DecodeError> {
    request_fault(id).map_or(Ok(RequestId(id)), |fault| Err(DecodeError::Malformed(fault)))
}

fn request_fault(id: u64) -> Option<&'static str> {
    (id > MAX_COUNT).then_some("the number of a request beyond 2^53-1")
}

fn attachment_fault(attachment: u64) -> Option<&'static str> {
    (!(1..=MAX_COUNT).contains(&attachment)).then_some("an attachment number outside of 1 to 2^53-1")
}

fn count_fault(count: u64) -> Option<&'static str> {
    (count > MAX_COUNT).then_some("a count beyond 2^53-1")
}

fn window_fault(window: Window) -> Option<&'static str> {
    (window.messages == 0 || window.bytes == 0).then_some("a window of nothing")
}
