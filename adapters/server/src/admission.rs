//! What the application says of a request before there is a session.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;

use nosphere_wire::negotiation::Refusal;

use crate::RequestHead;
use crate::contain::contain;

/// What an application may ask of every request.
#[derive(Default)]
pub(crate) struct Admission {
    pub(crate) peer: Option<Box<Read<SocketAddr>>>,
    pub(crate) principal: Option<Box<Read<String>>>,
    pub(crate) gate: Option<Box<Gate>>,
}

/// Reads something off a request, if it is there.
type Read<T> = dyn Fn(&RequestHead) -> Option<T> + Send + Sync;
pub(crate) type Gate = dyn Fn(RequestHead) -> Admitted + Send + Sync;
pub(crate) type Admitted = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

impl Admission {
    /// Completes a head by who makes the request.
    pub(crate) fn identify(&self, head: &mut RequestHead) {
        if let Some(peer) = self.peer.as_ref().and_then(|peer| peer(head)) {
            head.set_peer(peer);
        }
        if let Some(principal) = self.principal.as_ref().and_then(|principal| principal(head)) {
            head.set_principal(principal);
        }
    }

    /// Whether a request may open or resume a session.
    pub(crate) async fn admit(&self, head: &RequestHead) -> Result<(), Refusal> {
        let Some(gate) = &self.gate else { return Ok(()) };
        // A panic would take the whole HTTP connection along, with what others have on it.
        contain(async { gate(head.clone()).await }).await.unwrap_or_else(|_| {
            tracing::error!(path = head.path(), "the admission panicked");
            Err(Refusal::internal())
        })
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admission")
    }
}
