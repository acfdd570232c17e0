use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use nosphere_core::{Event, Reason, SendError, Side, Transport};
use nosphere_wire::negotiation::headers;

use super::Received;

/// Why a test client has no session.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The server has no such wire format.
    #[error("the server has no wire format {name:?}")]
    Format {
        /// The name that was asked for.
        name: String,
    },
    /// The server refused.
    #[error("refused: {0}")]
    Refused(#[from] Refused),
    /// The request cannot be made.
    #[error("not a request: {problem}")]
    Request {
        /// What is wrong with it.
        problem: String,
    },
    /// The transport needs a connection that can be upgraded.
    #[error("a test client has no {transport}; handlers see the same over {}", Transport::ServerSentEvents)]
    Transport {
        /// The transport that was asked for.
        transport: Transport,
    },
    /// The session ended at once, or nothing came in time.
    #[error(transparent)]
    Wait(#[from] WaitError),
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The session was over.
    #[error("the session was ended by {by:?} with {reason}; the test waited for {awaited}")]
    Ended {
        /// What was waited for.
        awaited: String,
        /// Who ended the session.
        by: Side,
        /// Why.
        reason: Reason,
    },
    /// There should have been silence, and there was not.
    #[error("silence was expected, and there came {messages:?}")]
    Noise {
        /// The messages that came. They can still be received.
        messages: Vec<Received>,
    },
    /// The request could not be sent.
    #[error("the request was not sent: {0}")]
    NotSent(#[from] SendError),
    /// The server does not let the session be resumed.
    #[error("refused: {0}")]
    Refused(#[from] Refused),
    /// It took too long.
    #[error("waited {limit:?} for {awaited}; {}", Instead(.instead))]
    TimedOut {
        /// What was waited for.
        awaited: String,
        /// What came and was not taken. It still can be.
        instead: Vec<Event>,
        /// How long the test waited.
        limit: Duration,
    },
}

struct Instead<'a>(&'a [Event]);

impl fmt::Display for Instead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("nothing came instead"),
            events => write!(f, "there came instead {events:?}"),
        }
    }
}

/// An answer that refuses.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}, {}: {}", self.status(), self.name().unwrap_or("no name"), self.text())]
pub struct Refused(Box<Response<Bytes>>);

impl Refused {
    pub(super) fn new(head: http::response::Parts, body: Bytes) -> Self {
        Self(Box::new(Response::from_parts(head, body)))
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        self.0.body()
    }

    /// The body as text. What is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body()).into_owned()
    }

    /// What `Nosphere-Error` says (SPEC §13).
    pub fn name(&self) -> Option<&str> {
        self.headers().get(headers::ERROR)?.to_str().ok()
    }

    /// The reason that the core is told.
    pub(super) fn reason(&self) -> Reason {
        self.name().and_then(Reason::from_name).unwrap_or(Reason::Unexpected)
    }
}
