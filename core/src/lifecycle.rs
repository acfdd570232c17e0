//! The life of a session, as one table.
//!
#![doc = include_str!("lifecycle.svg")]
//!
#![doc = include_str!("lifecycle.md")]

/// Where a session is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the table below is complete")]
pub enum State {
    /// A client that has not opened its session yet.
    Connecting,
    /// Open, with a link or between two polls.
    Open,
    /// Without a link, waiting to be resumed.
    Suspended,
    /// Closed by this side: flushing, then waiting for the peer's `close`.
    Closing,
    /// Over. What is left is a tombstone.
    Closed,
}

/// What happens to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the table below is complete")]
pub enum Input {
    /// `opened` was sent, or received.
    Opened,
    /// The link is gone and the session can be resumed.
    LinkLost,
    /// A resume was accepted.
    LinkGained,
    /// The application closes.
    CloseCommand,
    /// The session is over: the peer closed, a deadline passed, the link of an unresumable session is gone.
    Ended,
}

/// What the application is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the table below is complete")]
pub enum Output {
    /// `Connected`.
    Connected,
    /// `Suspended`.
    Suspended,
    /// `Resumed`.
    Resumed,
    /// `Disconnected`.
    Disconnected,
}

/// One row of the [`LIFECYCLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "a row of the table below")]
pub struct Transition {
    /// In this state,
    pub from: State,
    /// on this input,
    pub input: Input,
    /// the session goes to this state
    pub to: State,
    /// and tells the application this.
    pub output: Option<Output>,
}

const fn row(from: State, input: Input, to: State, output: Option<Output>) -> Transition {
    Transition { from, input, to, output }
}

/// Every transition there is. An input without a row changes nothing.
pub const LIFECYCLE: [Transition; 14] = {
    use {Input::*, Output as Tell, State::*};
    [
        row(Connecting, Opened, Open, Some(Tell::Connected)),
        row(Connecting, LinkLost, Connecting, None),
        row(Connecting, CloseCommand, Closed, Some(Tell::Disconnected)),
        row(Connecting, Ended, Closed, Some(Tell::Disconnected)),
        row(Open, LinkLost, Suspended, Some(Tell::Suspended)),
        row(Open, LinkGained, Open, None),
        row(Open, CloseCommand, Closing, None),
        row(Open, Ended, Closed, Some(Tell::Disconnected)),
        row(Suspended, LinkGained, Open, Some(Tell::Resumed)),
        row(Suspended, CloseCommand, Closing, None),
        row(Suspended, Ended, Closed, Some(Tell::Disconnected)),
        row(Closing, LinkLost, Closing, None),
        row(Closing, LinkGained, Closing, None),
        row(Closing, Ended, Closed, Some(Tell::Disconnected)),
    ]
};

impl State {
    /// The row for an input in this state.
    pub fn on(self, input: Input) -> Option<&'static Transition> {
        LIFECYCLE.iter().find(|row| row.from == self && row.input == input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_state_has_two_rows_for_one_input_and_the_end_has_none() {
        for (i, a) in LIFECYCLE.iter().enumerate() {
            assert!(LIFECYCLE[..i].iter().all(|b| (a.from, a.input) != (b.from, b.input)), "{a:?}");
            assert_ne!(a.from, State::Closed);
            assert_eq!(a.to == State::Closed, a.output == Some(Output::Disconnected), "{a:?}");
        }
    }
}
