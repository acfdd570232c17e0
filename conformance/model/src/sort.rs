use std::fmt;

use nosphere_core::{Event, Message, Payload, Reply, Request, RequestId};

/// A sort of message, and what may become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "what applications send")]
pub enum Sort {
    /// A newer one may take its place while it has no number.
    Keyed,
    /// It arrives, or is handed back.
    Plain,
    /// The same, and may be taken before its turn.
    Reply,
    /// The same as what is plain.
    Request,
    /// It may be left out while it has no number.
    Volatile,
}

/// The n-th messages of an application, from 0, as a set.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Numbers(u64);

impl Numbers {
    /// As many as there can be: no application of a model has more to say.
    pub(crate) const ALL: Self = Self(u64::MAX);

    /// The messages before one.
    pub(crate) fn below(number: u64) -> Self {
        Self(Self::bit(number).wrapping_sub(1))
    }

    pub(crate) fn insert(&mut self, number: u64) {
        self.0 |= Self::bit(number);
    }

    pub(crate) fn contains(self, number: u64) -> bool {
        self.0 & Self::bit(number) != 0
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn len(self) -> u64 {
        u64::from(self.0.count_ones())
    }

    pub(crate) fn filter(self, keep: impl Fn(u64) -> bool) -> Self {
        let mut kept = Self::default();
        self.iter().filter(|&number| keep(number)).for_each(|number| kept.insert(number));
        kept
    }

    fn iter(self) -> impl Iterator<Item = u64> {
        (0..u64::from(u64::BITS)).filter(move |&number| self.contains(number))
    }

    fn bit(number: u64) -> u64 {
        1_u64.checked_shl(number as u32).unwrap_or(0)
    }
}

impl fmt::Debug for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Sort {
    /// The n-th message of an application, from 0: from 11 to 53 bytes with its envelope.
    pub(crate) fn message(self, number: u64) -> Message {
        let filler = "·".repeat((number * 7 % 14) as usize);
        let message = Message::text(format!("{number}{filler}"));
        match self {
            Self::Keyed => message.keyed("key"),
            Self::Plain => message,
            Self::Reply => Message::reply(RequestId(number), message),
            Self::Request => Message::request(RequestId(number), message),
            Self::Volatile => message.volatile(),
        }
    }

    /// Which message of its peer an application got, going by what it says.
    pub(crate) fn number(payload: &Payload) -> Option<u64> {
        let Payload::Text(text) = payload else { return None };
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text.as_str()[..digits].parse().ok()
    }
}

/// What a message is on the other side: nothing tells there that it could have been dropped.
pub(crate) fn arrived(message: &Message) -> Message {
    if message.is_volatile() || message.key().is_some() { message.payload().clone().into() } else { message.clone() }
}

/// The message that an event is.
pub(crate) fn message_of(event: &Event) -> Option<Message> {
    Some(match event {
        Event::Text(text) => Message::text(text.clone()),
        Event::Request(Request { id, payload }) => Message::request(*id, payload.clone()),
        Event::Reply(Reply { id, payload }) => Message::reply(*id, payload.clone()),
        _ => return None,
    })
}
