//! Messages that tell who they are: any change to one on its way is seen.

use nosphere_core::{Json, Kind, Message, Payload, RequestId, Text};

/// What may become of a message, and what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "data of a plan")]
pub enum Sort {
    /// A newer one that the same application sends in the session may take its place.
    Keyed,
    /// It arrives, or comes back.
    Plain,
    /// The same, and may be taken before its turn.
    Reply,
    /// The same as a plain one.
    Request,
    /// It may be dropped.
    Volatile,
}

/// What a message is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "data of a plan")]
pub struct Content {
    /// Text, JSON or binary.
    pub kind: Kind,
    /// How many characters of padding it has.
    pub size: u32,
    /// What may become of it.
    pub sort: Sort,
}

impl Content {
    /// The message with a number, as an application sends it.
    pub fn message(self, id: u32) -> Message {
        let message = Message::from(self.payload(id));
        match self.sort {
            Sort::Keyed => message.keyed("the one key"),
            Sort::Plain => message,
            Sort::Reply => Message::reply(RequestId(id.into()), message),
            Sort::Request => Message::request(RequestId(id.into()), message),
            Sort::Volatile => message.volatile(),
        }
    }

    /// The message with a number.
    pub fn payload(self, id: u32) -> Payload {
        match self.kind {
            Kind::Binary => {
                let mut bytes = id.to_be_bytes().to_vec();
                bytes.extend((0..self.size).map(|n| (n.wrapping_mul(31).wrapping_add(id)) as u8));
                Payload::Binary(bytes.into())
            }
            Kind::Json => {
                let pad = serde_json::Value::from(self.pad(id));
                // Numbers at the ends of what both formats can say.
                let json = format!(
                    r#"{{"id":{id},"pad":{pad},"n":[-9223372036854775808,18446744073709551615,0.5,null,[{{}}]]}}"#
                );
                Payload::Json(Json::from_text(&json.into()).expect("it was made by a library"))
            }
            Kind::Text => Payload::Text(Text::from(format!("{id:08x}{}", self.pad(id)))),
        }
    }

    /// The same, but nobody may drop or replace it.
    #[must_use]
    pub fn firm(self) -> Self {
        let sort = if matches!(self.sort, Sort::Keyed | Sort::Volatile) { Sort::Plain } else { self.sort };
        Self { sort, ..self }
    }

    /// Whether a payload that arrived is the message with this number.
    pub fn is(self, id: u32, payload: &Payload) -> bool {
        match (self.payload(id), payload) {
            (Payload::Json(expected), Payload::Json(found)) => {
                let value = |json: &Json| json.parse::<serde_json::Value>().ok();
                expected.bytes() == found.bytes() || value(&expected) == value(found)
            }
            (Payload::Text(expected), Payload::Text(found)) => expected == *found,
            (Payload::Binary(expected), Payload::Binary(found)) => expected == *found,
            (Payload::Binary(_) | Payload::Json(_) | Payload::Text(_), _) => false,
        }
    }

    fn pad(self, id: u32) -> String {
        const ALPHABET: [char; 16] =
            ['a', ' ', '"', '\\', '\n', '\r', '{', '}', ':', 'ß', '\u{2028}', '😀', '\u{0}', '\u{7f}', '<', '1'];
        (0..self.size).map(|n| ALPHABET[(n.wrapping_mul(7).wrapping_add(id) % 16) as usize]).collect()
    }
}

/// The number that a payload claims to have.
pub fn id_of(payload: &Payload) -> Option<u32> {
    match payload {
        Payload::Binary(bytes) => bytes.first_chunk().map(|first| u32::from_be_bytes(*first)),
        Payload::Json(json) => {
            let value: serde_json::Value = json.parse().ok()?;
            u32::try_from(value.get("id")?.as_u64()?).ok()
        }
        Payload::Text(text) => u32::from_str_radix(text.get(..8)?, 16).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_itself_and_no_other() {
        for kind in [Kind::Binary, Kind::Json, Kind::Text] {
            let content = Content { kind, size: 40, sort: Sort::Plain };
            let payload = content.payload(7);
            assert_eq!(id_of(&payload), Some(7));
            assert!(content.is(7, &payload));
            assert!(!content.is(7, &content.payload(8)));
            assert!(!content.is(7, &Content { size: 39, ..content }.payload(7)));
        }
    }
}
