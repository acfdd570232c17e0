use nosphere_core::Text;

use crate::ProtocolError;
use crate::header::MAX_CONTROL;

/// What a close frame says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "RFC 6455 §5.5.1 has these two and no more")]
pub struct Close {
    /// Why, as a number; absent in an empty close frame.
    pub code: Option<u16>,
    /// Why, in words.
    pub reason: Text,
}

impl Close {
    /// A close with a code and a reason.
    ///
    /// A code that must not be sent is left out when the frame is written, and so is what exceeds 123 bytes of reason.
    pub fn new(code: u16, reason: impl Into<Text>) -> Self {
        Self { code: Some(code), reason: reason.into() }
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, ProtocolError> {
        let Some((code, reason)) = payload.split_first_chunk() else {
            return match payload {
                [] => Ok(Self::default()),
                _ => Err(ProtocolError::CloseLength),
            };
        };
        let code = u16::from_be_bytes(*code);
        if !may_be_sent(code) {
            return Err(ProtocolError::CloseCode(code));
        }
        let reason = str::from_utf8(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
        Ok(Self { code: Some(code), reason: reason.into() })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let Some(code) = self.code.filter(|code| may_be_sent(*code)) else {
            return Vec::new();
        };
        let mut end = self.reason.len().min(MAX_CONTROL - 2);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        [&code.to_be_bytes(), &self.reason.as_bytes()[..end]].concat()
    }
}

impl From<ProtocolError> for Close {
    fn from(error: ProtocolError) -> Self {
        Self::new(error.close_code(), error.to_string())
    }
}

/// The closing handshake (RFC 6455 §7), as a state machine.
///
/// Each input answers with the close frame to send, if one is due; at most one ever is.
///
/// | state | we close | the peer closes | the peer breaks a rule | the network ends |
/// |---|---|---|---|---|
/// | `Open` | send; `Waiting` | send the same code; `Closed` | send the error's code; `Closed` | `Closed` |
/// | `Waiting` | – | `Closed` | `Closed` | `Closed` |
/// | `Closed` | – | – | – | – |
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Closing {
    state: CloseState,
}

/// Where the closing handshake stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the table of `Closing` is complete")]
pub enum CloseState {
    /// Neither side has closed.
    #[default]
    Open,
    /// This side has closed and waits for the peer's close.
    Waiting,
    /// Nothing more is to be read; once what is queued is written, the transport ends.
    Closed,
}

impl Closing {
    /// A handshake that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// This side wants to close.
    pub fn close(&mut self, close: Close) -> Option<Close> {
        match self.state {
            CloseState::Open => {
                self.state = CloseState::Waiting;
                Some(close)
            }
            CloseState::Waiting | CloseState::Closed => None,
        }
    }

    /// The peer's close frame came.
    pub fn handle_close(&mut self, close: &Close) -> Option<Close> {
        self.end(Close { code: close.code, reason: Text::new() })
    }

    /// The peer broke a rule.
    pub fn handle_error(&mut self, error: ProtocolError) -> Option<Close> {
        self.end(error.into())
    }

    /// The stream ended, or failed.
    pub fn handle_end(&mut self) {
        self.state = CloseState::Closed;
    }

    /// Where the handshake stands.
    pub fn state(&self) -> CloseState {
        self.state
    }

    fn end(&mut self, close: Close) -> Option<Close> {
        match std::mem::replace(&mut self.state, CloseState::Closed) {
            CloseState::Open => Some(close),
            CloseState::Waiting | CloseState::Closed => None,
        }
    }
}

/// RFC 6455 §7.4, and the codes that IANA registered since.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(state: CloseState) -> Closing {
        Closing { state }
    }

    #[test]
    fn a_peers_close_is_answered_once_with_its_code_and_no_reason() {
        let mut closing = Closing::new();
        let reply = closing.handle_close(&Close::new(3000, "bye"));
        assert_eq!(reply, Some(Close::new(3000, "")));
        assert_eq!(closing.state(), CloseState::Closed);
        assert_eq!(closing.handle_close(&Close::new(3000, "bye")), None);
        assert_eq!(Closing::new().handle_close(&Close::default()), Some(Close::default()));
    }

    #[test]
    fn a_local_close_is_sent_once_and_waits_for_the_peers() {
        let mut closing = Closing::new();
        assert_eq!(closing.close(Close::new(1001, "")), Some(Close::new(1001, "")));
        assert_eq!(closing.state(), CloseState::Waiting);
        assert_eq!(closing.close(Close::new(1000, "")), None);
        assert_eq!(closing.handle_close(&Close::new(1001, "")), None);
        assert_eq!(closing.state(), CloseState::Closed);
    }

    #[test]
    fn an_error_sends_its_code_unless_a_close_was_sent_and_ends_either_way() {
        let mut closing = Closing::new();
        let close = closing.handle_error(ProtocolError::InvalidUtf8);
        assert_eq!(close.and_then(|close| close.code), Some(1007));
        assert_eq!(closing.state(), CloseState::Closed);

        let mut closing = closed(CloseState::Waiting);
        assert_eq!(closing.handle_error(ProtocolError::Length), None);
        assert_eq!(closing.state(), CloseState::Closed);
    }

    #[test]
    fn nothing_is_sent_after_the_end_of_the_stream() {
        let mut closing = Closing::new();
        closing.handle_end();
        assert_eq!(closing.close(Close::new(1000, "")), None);
        assert_eq!(closing.handle_close(&Close::default()), None);
        assert_eq!(closing.handle_error(ProtocolError::Length), None);
        assert_eq!(closing.state(), CloseState::Closed);
    }

    #[test]
    fn codes_that_must_not_be_sent_are_refused_and_never_written() {
        for code in [0u16, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            let error = Close::decode(&code.to_be_bytes());
            assert_eq!(error, Err(ProtocolError::CloseCode(code)));
            assert!(Close::new(code, "x").encode().is_empty());
        }
        for code in [1000u16, 1003, 1007, 1011, 1014, 3000, 4999] {
            assert_eq!(Close::decode(&code.to_be_bytes()), Ok(Close::new(code, "")));
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character_so_that_the_frame_stays_valid() {
        let close = Close::new(1000, "é".repeat(100));
        let payload = close.encode();
        assert_eq!(payload.len(), 2 + 122);
        assert_eq!(Close::decode(&payload), Ok(Close::new(1000, "é".repeat(61))));
    }

    #[test]
    fn half_a_code_and_a_broken_reason_are_refused() {
        assert_eq!(Close::decode(&[3]), Err(ProtocolError::CloseLength));
        assert_eq!(Close::decode(&[3, 232, 0xff]), Err(ProtocolError::InvalidUtf8));
        assert_eq!(Close::decode(&[]), Ok(Close::default()));
    }
}
