use nosphere_core::{LinkId, Transport};

use crate::Dir;

/// One of the two that mean well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "two ends")]
pub enum Who {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// What may happen next. Links and POSTs are named by what they are, so that a list of steps can lose some and still run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "all that can happen in this world")]
pub enum Step {
    /// The answer to a POST arrives.
    Answer(u64),
    /// The client begins a link.
    Attach(Transport),
    /// The socket of an end takes nothing more for now.
    Block(Who),
    /// One end notices that a link is gone. What was on its way to it is lost; what it has written may still arrive.
    Break(LinkId, Who),
    /// An application closes.
    Close(Who),
    /// The next packet of a link arrives.
    Deliver(LinkId, Dir),
    /// A proxy repeats a GET: its copy's answer reaches nobody.
    Duplicate(LinkId),
    /// The client learns that a POST failed. The request, if it has not arrived, still may.
    Fail(u64),
    /// A request that nobody waits for is lost.
    Forget(u64),
    /// A POST arrives.
    Post(u64),
    /// A proxy repeats a POST.
    Repeat(u64),
    /// The server forgets everything, as if it had been started anew.
    Restart,
    /// An application sends.
    Send(Who),
    /// An application takes events, up to one message.
    Take(Who),
    /// An application takes a reply, whatever waits before it.
    TakeReply(Who),
    /// An end's clock stands at its next deadline.
    Timeout(Who),
    /// The client tries another link beside the one that it has.
    Try,
    /// An end writes what its links can take.
    Write(Who),
}
