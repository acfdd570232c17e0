use std::fmt;

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};

/// Why a [`Source`](crate::Source) cannot be had, or has ended. It never holds the password.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    cause: Cause,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    AccessRefused,
    Invalid,
    Refused,
    Unreachable,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

impl Error {
    /// Whether the broker does not want this user: the name or the password is wrong, or a permission is missing.
    pub fn is_access_refused(&self) -> bool {
        self.kind == Kind::AccessRefused
    }

    /// Whether the source was described wrongly: its URI cannot be read, or a name is too long.
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Invalid
    }

    /// Whether the broker understood and declined: a queue, an exchange or a virtual host that is not there, a queue that
    /// was declared differently.
    pub fn is_refused(&self) -> bool {
        self.kind == Kind::Refused
    }

    /// Whether there is no connection to the broker, or no answer within
    /// [`Config::connect_timeout`](crate::Config::connect_timeout).
    pub fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    pub(crate) fn invalid(problem: impl Into<Cause>) -> Self {
        Self { kind: Kind::Invalid, cause: problem.into() }
    }

    pub(crate) fn unreachable(cause: impl Into<Cause>) -> Self {
        Self { kind: Kind::Unreachable, cause: cause.into() }
    }
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        Self { kind: kind(&error), cause: error.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::AccessRefused => "the broker refuses access: ",
            Kind::Invalid => "not a source: ",
            Kind::Refused => "the broker refuses: ",
            Kind::Unreachable => "the broker is away: ",
        })?;
        self.cause.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

fn kind(error: &lapin::Error) -> Kind {
    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not known to be a refusal is tried again")]
    match error.kind() {
        ErrorKind::ProtocolError(error) => match error.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => Kind::AccessRefused,
            // The broker goes away, or has too much to do.
            AMQPErrorKind::Hard(AMQPHardError::CONNECTIONFORCED | AMQPHardError::INTERNALERROR)
            | AMQPErrorKind::Hard(AMQPHardError::RESOURCEERROR) => Kind::Unreachable,
            AMQPErrorKind::Soft(_) | AMQPErrorKind::Hard(_) => Kind::Refused,
        },
        _ => Kind::Unreachable,
    }
}
