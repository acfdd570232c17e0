//! What unmodified clients of atmosphere.js read and write (SPEC §17).

use nosphere_core::{DecodeError, EncodeError, Frame, Opened, SessionId, Text, Unit, WireFormat};

use crate::PLAIN;
use crate::rules::millis;

/// What stands for a heartbeat, in both directions, and is the third field of a handshake.
pub const HEARTBEAT: &str = "X";

/// What a client sends to say that it got the handshake, if its page asks it to. It means nothing.
const ACK: &str = "...ACK...";

/// The format `atmosphere`, in one of its flavours: no envelope, but a length where the client asks for it.
///
/// Which flavour a link has is decided by the request that begins it. All write messages in the same way, but for the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AtmosphereFormat {
    greeting: Greeting,
    tracked: bool,
    beats: bool,
}

/// What an attachment of an atmosphere.js client begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "SPEC ATM-8 to ATM-10 have these")]
pub enum Greeting {
    /// The handshake: the session's tracking id, how often the client shall send heartbeats, and what they are.
    Handshake,
    /// Nothing that the client could take for a message.
    None,
    /// One space, of which a client that has opened its socket again learns that it works.
    Space,
}

impl AtmosphereFormat {
    /// The format of a link.
    ///
    /// `tracked`: the client asks for the length of every message. `beats`: the client was asked for heartbeats, so that an
    /// `X` of it is one.
    pub fn of(greeting: Greeting, tracked: bool, beats: bool) -> &'static Self {
        let greeting = match greeting {
            Greeting::Handshake => 0,
            Greeting::None => 1,
            Greeting::Space => 2,
        };
        &FLAVOURS[greeting << 2 | usize::from(tracked) << 1 | usize::from(beats)]
    }

    /// The same, with another greeting.
    #[must_use]
    pub fn greeting_by(&self, greeting: Greeting) -> &'static Self {
        Self::of(greeting, self.tracked, self.beats)
    }

    /// What an attachment begins with.
    pub fn greeting(&self) -> Greeting {
        self.greeting
    }

    fn frame_text(&self, text: &str) -> Text {
        if !self.tracked {
            return text.into();
        }
        // Clients count as JavaScript does.
        format!("{}|{text}", text.encode_utf16().count()).into()
    }
}

impl WireFormat for AtmosphereFormat {
    fn name(&self) -> &'static str {
        // Shared messages remember encodings by this name, and those differ by the length alone.
        if self.tracked { "atmosphere-tracked" } else { "atmosphere" }
    }

    fn is_text(&self) -> bool {
        true
    }

    fn is_delimited(&self) -> bool {
        self.tracked
    }

    fn encode(&self, frame: Frame) -> Result<Unit, EncodeError> {
        let inexpressible = |what| EncodeError::new(self.name(), what);
        match (frame, self.greeting) {
            (Frame::Message(payload), _) => match PLAIN.encode(Frame::Message(payload))? {
                Unit::Text(text) if is_lost(&text) => {
                    Err(inexpressible("text that is empty, white space alone, or X alone"))
                }
                Unit::Text(text) if !self.tracked => Ok(Unit::Text(text)),
                Unit::Text(text) => Ok(Unit::Text(self.frame_text(&text))),
                Unit::Binary(bytes) => Ok(Unit::Binary(bytes)),
            },
            (Frame::Ping { .. }, _) => Ok(Unit::Text(self.frame_text(HEARTBEAT))),
            (Frame::Opened(Opened { token, heartbeat, .. }), Greeting::Handshake) => {
                let id = SessionId::from(*token.as_bytes());
                let handshake = format!("{id}|{}|{HEARTBEAT}|", millis(heartbeat));
                Ok(Unit::Text(self.frame_text(&handshake)))
            }
            (Frame::Opened(_), Greeting::Space) => Ok(Unit::Text(" ".into())),
            _ => Err(inexpressible("control frames")),
        }
    }

    fn decode(&self, unit: Unit) -> Result<Frame, DecodeError> {
        match &unit {
            Unit::Text(text) if self.beats && text == HEARTBEAT => Ok(Frame::Pong { received: 0 }),
            Unit::Text(text) if text == ACK => Ok(Frame::Ack { received: 0 }),
            Unit::Binary(_) | Unit::Text(_) => PLAIN.decode(unit),
        }
    }
}

/// Whether every client drops a text, or takes it for a heartbeat.
fn is_lost(text: &str) -> bool {
    // Classic clients trim as JavaScript does.
    let trimmed = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    trimmed.is_empty() || trimmed == HEARTBEAT
}

static FLAVOURS: [AtmosphereFormat; 12] = {
    let greetings = [Greeting::Handshake, Greeting::None, Greeting::Space];
    let mut flavours = [AtmosphereFormat { greeting: Greeting::None, tracked: false, beats: false }; 12];
    let mut i = 0;
    while i < flavours.len() {
        flavours[i] = AtmosphereFormat { greeting: greetings[i >> 2], tracked: i & 2 != 0, beats: i & 1 != 0 };
        i += 1;
    }
    flavours
};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nosphere_core::{Message, Payload, ResumeToken, Window};

    use super::*;

    fn opened(client_heartbeat: Duration) -> Frame {
        let token: ResumeToken = "24f98d6bc27141698f9c217343b62aa7".parse().unwrap();
        Frame::Opened(Opened {
            session: token.session(),
            token,
            heartbeat: client_heartbeat,
            timeout: Duration::ZERO,
            proof: Duration::ZERO,
            resume: Duration::ZERO,
            window: Window::default(),
        })
    }

    fn text(format: &AtmosphereFormat, frame: Frame) -> String {
        match format.encode(frame) {
            Ok(Unit::Text(text)) => text.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// SPEC §17.2, ATM-11.
    #[test]
    fn the_handshake_is_what_the_original_wrote() {
        let plain = AtmosphereFormat::of(Greeting::Handshake, false, false);
        assert_eq!(text(plain, opened(Duration::ZERO)), "24f98d6b-c271-4169-8f9c-217343b62aa7|0|X|");
        let tracked = AtmosphereFormat::of(Greeting::Handshake, true, false);
        assert_eq!(text(tracked, opened(Duration::ZERO)), "41|24f98d6b-c271-4169-8f9c-217343b62aa7|0|X|");
        let minute = opened(Duration::from_secs(60));
        assert_eq!(text(tracked, minute), "45|24f98d6b-c271-4169-8f9c-217343b62aa7|60000|X|");
    }

    /// SPEC ATM-2: what is shown tells nothing of the secret.
    #[test]
    fn the_id_of_a_session_is_made_from_its_tracking_id_and_is_another() {
        let Frame::Opened(opened) = opened(Duration::ZERO) else { panic!() };
        assert_eq!(opened.session.to_string(), "3926b059-6c90-5856-98ea-02737d94d9ae");
    }

    /// SPEC ATM-9.
    #[test]
    fn who_comes_back_gets_a_space_without_a_length_or_nothing() {
        for tracked in [false, true] {
            let space = AtmosphereFormat::of(Greeting::Space, tracked, false);
            assert_eq!(text(space, opened(Duration::ZERO)), " ");
            let none = space.greeting_by(Greeting::None);
            assert!(none.encode(opened(Duration::ZERO)).is_err());
            assert_eq!((none.is_delimited(), none.greeting()), (tracked, Greeting::None));
        }
    }

    /// SPEC ATM-11: 😀 is two of JavaScript's units, and four bytes.
    #[test]
    fn lengths_are_those_of_javascript() {
        let tracked = AtmosphereFormat::of(Greeting::None, true, false);
        for (message, unit) in [("a😀b", "4|a😀b"), ("ä", "1|ä"), ("5|x", "3|5|x"), ("\u{10ffff}", "2|\u{10ffff}")]
        {
            assert_eq!(text(tracked, Frame::Message(Payload::Text(message.into()))), unit);
        }
        assert_eq!(text(tracked, Frame::Ping { received: 7 }), "1|X");
        let bytes = Payload::Binary(bytes::Bytes::from_static(b"|"));
        assert_eq!(tracked.encode(Frame::Message(bytes)), Ok(Unit::Binary(bytes::Bytes::from_static(b"|"))));
    }

    /// SPEC ATM-12.
    #[test]
    fn what_no_client_shows_is_an_error() {
        for format in FLAVOURS.iter() {
            for lost in ["", " ", "\t\r\n\u{a0}\u{feff}", "X", " X\n"] {
                assert!(format.encode(Frame::Message(Payload::Text(lost.into()))).is_err(), "{lost:?}");
            }
            for kept in ["x", "XX", "X|", "0", "\0", "|"] {
                assert!(format.encode(Frame::Message(Payload::Text(kept.into()))).is_ok(), "{kept:?}");
            }
            assert!(format.encode(Frame::Ack { received: 0 }).is_err());
            assert!(format.is_text() && format.separator().is_none());
        }
    }

    /// SPEC ATM-24.
    #[test]
    fn an_x_is_a_heartbeat_where_one_was_asked_for() {
        for format in FLAVOURS.iter() {
            let read = |text: &str| format.decode(Unit::Text(text.into()));
            let heartbeat = Ok(Frame::Pong { received: 0 });
            let x = Ok(Frame::Message(Payload::Text("X".into())));
            assert_eq!(read("X"), if format.beats { heartbeat } else { x });
            assert_eq!(read("...ACK..."), Ok(Frame::Ack { received: 0 }));
            assert_eq!(read("1|X"), Ok(Frame::Message(Payload::Text("1|X".into()))), "clients write no lengths");
        }
    }

    /// A broadcast is encoded once for all flavours that write it in the same way.
    #[test]
    fn flavours_share_their_encodings_if_they_are_the_same() {
        let message = Message::text("hello").shared();
        let mut units: Vec<_> = FLAVOURS.iter().map(|format| message.encode(format).unwrap().payload_bytes()).collect();
        units.sort_by_key(|unit| (unit.len(), unit.as_ptr()));
        units.dedup_by_key(|unit| unit.as_ptr());
        assert_eq!(units, ["hello", "5|hello"]);
    }
}
