//! The names of nosphere's own headers (SPEC §4, §15).

use http::HeaderName;

/// `Nosphere-Attachment`: the attachment that the request belongs to.
pub const ATTACHMENT: HeaderName = HeaderName::from_static("nosphere-attachment");

/// `Nosphere-Base`: the number of client messages before the first one of the body.
pub const BASE: HeaderName = HeaderName::from_static("nosphere-base");

/// `Nosphere-Count`, on plain polls' answers: the number of the message in the body.
pub const COUNT: HeaderName = HeaderName::from_static("nosphere-count");

/// `Nosphere-Error`: the name of a refusal.
pub const ERROR: HeaderName = HeaderName::from_static("nosphere-error");

/// `Last-Event-ID`, which an `EventSource` repeats.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// `Nosphere-Protocol`: the wire format, as `nosphere.v1.json`.
pub const PROTOCOL: HeaderName = HeaderName::from_static("nosphere-protocol");

/// `Nosphere-Received`: the count that the side has taken.
pub const RECEIVED: HeaderName = HeaderName::from_static("nosphere-received");

/// `Nosphere-Session`: the session's UUID.
pub const SESSION: HeaderName = HeaderName::from_static("nosphere-session");

/// `Nosphere-Token`: the session's token.
pub const TOKEN: HeaderName = HeaderName::from_static("nosphere-token");

/// `Nosphere-Transport`: `sse` or `long-polling`.
pub const TRANSPORT: HeaderName = HeaderName::from_static("nosphere-transport");

/// `Nosphere-Window`: `<messages>/<bytes>`.
pub const WINDOW: HeaderName = HeaderName::from_static("nosphere-window");

/// What clients of atmosphere.js call it (SPEC §17).
pub mod atmosphere {
    use http::HeaderName;

    /// `X-Atmosphere-error`: what is wrong, for people.
    pub const ERROR: HeaderName = HeaderName::from_static("x-atmosphere-error");

    /// `X-Atmosphere-first-request`: the id was just given.
    pub const FIRST_REQUEST: HeaderName = HeaderName::from_static("x-atmosphere-first-request");

    /// `X-Atmosphere-Framework`: the client's version.
    pub const FRAMEWORK: HeaderName = HeaderName::from_static("x-atmosphere-framework");

    /// `X-Heartbeat-Server`: how often the client wants heartbeats at most, in seconds.
    pub const HEARTBEAT_SERVER: HeaderName = HeaderName::from_static("x-heartbeat-server");

    /// `X-Atmosphere-Post-Body`: the body of a POST that is sent as a GET.
    pub const POST_BODY: HeaderName = HeaderName::from_static("x-atmosphere-post-body");

    /// `X-atmo-protocol`: the client expects a handshake.
    pub const PROTOCOL: HeaderName = HeaderName::from_static("x-atmo-protocol");

    /// `X-Atmosphere-tracking-id`: the session, and the right to it.
    pub const TRACKING_ID: HeaderName = HeaderName::from_static("x-atmosphere-tracking-id");

    /// `X-Atmosphere-TrackMessageSize`: the client wants to know how long each message is.
    pub const TRACK_MESSAGE_SIZE: HeaderName = HeaderName::from_static("x-atmosphere-trackmessagesize");

    /// `X-Atmosphere-Transport`: what the request is.
    pub const TRANSPORT: HeaderName = HeaderName::from_static("x-atmosphere-transport");

    /// What the names begin with by which such a client is known.
    pub(in crate::negotiation) const PREFIX: &str = "x-atmo";

    /// Of a request that has one of these, a client of atmosphere.js is the sender.
    pub(in crate::negotiation) const OF_DIALECT: [HeaderName; 4] = [TRANSPORT, TRACKING_ID, FRAMEWORK, PROTOCOL];

    /// The names of SPEC §17 on requests.
    pub(in crate::negotiation) const OF_REQUESTS: [HeaderName; 7] =
        [FRAMEWORK, TRACKING_ID, HEARTBEAT_SERVER, TRANSPORT, TRACK_MESSAGE_SIZE, PROTOCOL, POST_BODY];

    /// What else a page of another origin may send, as the original allows it. Others send these too.
    pub(in crate::negotiation) const OTHERS: [HeaderName; 2] =
        [HeaderName::from_static("authtoken"), HeaderName::from_static("x-requested-with")];
}

/// Whether a header's name may be one of SPEC §4 or §17 on requests, by how it begins; in whatever case.
///
/// A request without such a header, and without a query, has nothing for [`read_request`](super::read_request) to look at but the
/// method and headers of HTTP.
pub fn may_be_ours(name: &str) -> bool {
    let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    begins(PREFIX) || begins(atmosphere::PREFIX)
}

/// What the names of SPEC §4 begin with.
pub(super) const PREFIX: &str = "nosphere-";

/// The names that SPEC §4 gives to requests.
pub(super) const OF_REQUESTS: [HeaderName; 8] =
    [PROTOCOL, TRANSPORT, SESSION, TOKEN, ATTACHMENT, RECEIVED, BASE, WINDOW];
