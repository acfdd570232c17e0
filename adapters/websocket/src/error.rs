/// A rule of RFC 6455 that the peer broke.
///
/// The connection is to be closed with [`close_code`](Self::close_code); nothing that the peer sent after it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A close frame with a code that must not be sent.
    #[error("close code {0} must not be sent")]
    CloseCode(u16),
    /// A close frame with a payload of one byte.
    #[error("a close frame holds half a code")]
    CloseLength,
    /// A new message before the last fragment of the one that was begun.
    #[error("a message begins before the last one ended")]
    ContinuationExpected,
    /// A continuation frame where no message was begun.
    #[error("a continuation frame continues nothing")]
    ContinuationUnexpected,
    /// A control frame without the final bit.
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// A control frame of more than 125 bytes.
    #[error("a control frame is longer than 125 bytes")]
    ControlTooLong,
    /// Text or a close reason that is not UTF-8.
    #[error("text is not UTF-8")]
    InvalidUtf8,
    /// A length that is negative, or not written in the fewest bytes.
    #[error("the length is not written in its shortest form")]
    Length,
    /// A frame from a client that is not masked.
    #[error("a frame from a client is not masked")]
    MaskMissing,
    /// A frame from a server that is masked.
    #[error("a frame from a server is masked")]
    MaskUnexpected,
    /// A message larger than the limit, by its header's own claim or by the sum of its fragments.
    #[error("a message is larger than {limit} bytes")]
    MessageTooLarge {
        /// The limit, in bytes of payload.
        limit: usize,
    },
    /// An opcode that has no meaning.
    #[error("opcode {0:#x} is reserved")]
    Opcode(u8),
    /// A reserved bit is set, though no extension was negotiated.
    #[error("a reserved bit is set")]
    ReservedBits,
}

impl ProtocolError {
    /// The code to close with: 1002, 1007 or 1009.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::CloseCode(_)
            | Self::CloseLength
            | Self::ContinuationExpected
            | Self::ContinuationUnexpected
            | Self::ControlFragmented
            | Self::ControlTooLong
            | Self::Length
            | Self::MaskMissing
            | Self::MaskUnexpected
            | Self::Opcode(_)
            | Self::ReservedBits => 1002,
            Self::InvalidUtf8 => 1007,
            Self::MessageTooLarge { .. } => 1009,
        }
    }
}
