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

/// The names that SPEC §4 gives to requests.
pub(super) const OF_REQUESTS: [HeaderName; 8] =
    [PROTOCOL, TRANSPORT, SESSION, TOKEN, ATTACHMENT, RECEIVED, BASE, WINDOW];
