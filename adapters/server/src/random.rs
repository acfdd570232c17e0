use std::fmt;

use nosphere_core::{ResumeToken, SessionId};

/// Where session ids and tokens come from.
#[derive(Default)]
pub(crate) enum Random {
    /// The operating system.
    #[default]
    System,
    Custom(Box<Fill>),
}

type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Random {
    /// A new session's id and token; `None` if the operating system has no random bytes.
    pub(crate) fn key(&self) -> Option<(SessionId, ResumeToken)> {
        let mut bytes = [0; 32];
        self.fill(&mut bytes)?;
        let (mut id, mut token) = ([0; 16], [0; 16]);
        id.copy_from_slice(&bytes[..16]);
        token.copy_from_slice(&bytes[16..]);
        Some((SessionId::from_random(id), ResumeToken::from_random(token)))
    }

    /// Any number, for what need not be a secret.
    pub(crate) fn number(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes).map_or(0, |()| u64::from_le_bytes(bytes))
    }

    fn fill(&self, bytes: &mut [u8]) -> Option<()> {
        match self {
            Self::System => getrandom::fill(bytes).ok(),
            Self::Custom(fill) => {
                fill(bytes);
                Some(())
            }
        }
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}
