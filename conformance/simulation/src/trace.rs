//! What happened in a run, as the applications on both ends saw it.

use std::fmt;
use std::hash::{Hash, Hasher};

use nosphere_core::{Event, Payload, Reason, RequestId, SessionError, SessionId, Side, Transport};

use crate::payload::{self, Content, Sort};
use crate::plan::Op;

/// Everything that the oracle judges by.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Trace {
    /// What happened, in order.
    pub entries: Vec<Entry>,
    /// Every message that an application made, by its number.
    pub messages: Vec<Message>,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "tests write entries")]
pub struct Entry {
    /// When, in milliseconds of virtual time.
    pub at: u64,
    /// To whom.
    pub who: Who,
    /// What.
    pub what: What,
}

/// Who saw or did something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "tests write entries")]
pub enum Who {
    /// The application of a client: its number, and which of its sessions.
    Client(u32, u32),
    /// The handler of a session.
    Session(SessionId),
    /// The server, or the network.
    World,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "tests write entries")]
pub enum What {
    /// A broadcast was queued for this many sessions at a path and beneath it.
    Broadcast {
        /// The message.
        id: u32,
        /// The path.
        path: String,
        /// Whether it reaches what is beneath the path, too.
        beneath: bool,
        /// Who does not get it.
        except: Option<SessionId>,
        /// The only one who gets it.
        only: Option<SessionId>,
        /// For how many sessions the server says that it was queued.
        count: usize,
    },
    /// The handler will not look at the next event for so long.
    Busy(u64),
    /// The application closed the session.
    Closing,
    /// The server process died. Its sessions see nothing more.
    Crash,
    /// `DropOldest` has dropped so many messages.
    Dropped(u64),
    /// The application took a reply before its turn.
    Early(u32),
    /// The application was told of an event that is no message.
    Event(Seen),
    /// Something that only readers of the trace want to know.
    Note(String),
    /// A client learned which session it has.
    Opened(SessionId),
    /// A handler learned which path its session is on.
    Path(String),
    /// The application got a message.
    Received(u32),
    /// The application sent a message, and the session accepted it.
    Sent(u32),
    /// The session is over, and these messages came back.
    Undelivered {
        /// Sent, but not acknowledged.
        unknown: Vec<u32>,
        /// Never sent.
        unsent: Vec<u32>,
    },
    /// An accepted message came back, because no link can carry it.
    Undeliverable(u32),
    /// The client process is gone, without a word.
    Vanished,
    /// Something that must not happen, found on the spot.
    Wrong(String),
}

/// An event that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "tests write entries")]
pub enum Seen {
    /// See [`Event::Connected`].
    Connected(Transport),
    /// See [`Event::Disconnected`].
    Disconnected(Side, Reason),
    /// The handler's own failure: see [`SessionError::Handler`].
    Failed,
    /// See [`Event::Heartbeat`].
    Heartbeat,
    /// See [`Event::Resumed`].
    Resumed(Transport),
    /// See [`Event::Suspended`].
    Suspended,
    /// See [`Event::Writable`].
    Writable,
}

/// What a handler fails with that is told to.
pub(crate) const FAILURE: &str = "the handler fails, as it was told to";

/// A message that an application made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "tests write messages")]
pub struct Message {
    /// What is in it.
    pub content: Content,
    /// What the server's handler does when it gets it.
    pub op: Op,
}

/// What a message that arrived says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Answers(RequestId),
    Nothing,
    Something(RequestId),
}

impl Trace {
    /// A number that equal traces share.
    pub fn hash(&self) -> u64 {
        let mut hasher = Fnv::default();
        self.entries.hash(&mut hasher);
        self.messages.hash(&mut hasher);
        hasher.finish()
    }

    /// What an event of an application is in the trace. Whatever no correct peer causes is wrong.
    pub fn read(&self, event: &Event) -> What {
        let mut asks = Asks::Nothing;
        let payload = match event {
            Event::Binary(bytes) => Payload::Binary(bytes.clone()),
            Event::Json(json) => Payload::Json(json.clone()),
            Event::Text(text) => Payload::Text(text.clone()),
            Event::Request(request) => {
                asks = Asks::Something(request.id);
                request.payload.clone()
            }
            Event::Reply(reply) => {
                asks = Asks::Answers(reply.id);
                reply.payload.clone()
            }
            Event::Connected { transport } => return What::Event(Seen::Connected(*transport)),
            Event::Disconnected { by, reason } => return What::Event(Seen::Disconnected(*by, *reason)),
            Event::Heartbeat => return What::Event(Seen::Heartbeat),
            Event::Resumed { transport } => return What::Event(Seen::Resumed(*transport)),
            Event::Suspended => return What::Event(Seen::Suspended),
            Event::Writable => return What::Event(Seen::Writable),
            Event::Error(SessionError::Undeliverable { message, .. }) => {
                return match self.identify(message.payload()) {
                    Ok(id) => What::Undeliverable(id),
                    Err(wrong) => What::Wrong(wrong),
                };
            }
            Event::Error(SessionError::Handler(cause)) if cause.to_string() == FAILURE => {
                return What::Event(Seen::Failed);
            }
            // No application of a plan watches a tag.
            Event::Error(_) | Event::Joined { .. } | Event::Left { .. } | _ => {
                return What::Wrong(format!("the application was told {event:?}"));
            }
        };
        match self.identify(&payload) {
            Ok(id) if self.asks(id) == asks => What::Received(id),
            Ok(id) => What::Wrong(format!("message {id} arrived as {event:?}")),
            Err(wrong) => What::Wrong(wrong),
        }
    }

    fn asks(&self, id: u32) -> Asks {
        let number = RequestId(id.into());
        match self.sort(id) {
            Sort::Request => Asks::Something(number),
            Sort::Reply => Asks::Answers(number),
            Sort::Keyed | Sort::Plain | Sort::Volatile => Asks::Nothing,
        }
    }

    /// Of what sort a message is.
    pub(crate) fn sort(&self, id: u32) -> Sort {
        self.messages.get(id as usize).map_or(Sort::Plain, |message| message.content.sort)
    }

    /// Which message a payload is.
    pub fn identify(&self, payload: &Payload) -> Result<u32, String> {
        let id = payload::id_of(payload).ok_or_else(|| format!("a message that nobody sent: {payload:?}"))?;
        match self.messages.get(id as usize) {
            Some(message) if message.content.is(id, payload) => Ok(id),
            Some(message) => Err(format!("message {id} was {:?} and arrived as {payload:?}", message.content)),
            None => Err(format!("message {id} was never sent")),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, who, what } = self;
        write!(f, "{at:>9} ms  {:<14} ", who.to_string())?;
        if let What::Note(text) = what {
            return write!(f, "· {text}");
        }
        if let What::Event(seen) = what { write!(f, "{seen:?}") } else { write!(f, "{what:?}") }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(client, session) => write!(f, "client {client}.{session}"),
            Self::Session(id) => write!(f, "on {}", &id.to_string()[..8]),
            Self::World => f.write_str("world"),
        }
    }
}

/// FNV-1a: the same on every machine and in every version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
