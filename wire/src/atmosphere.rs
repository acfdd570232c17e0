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
#[expect(clippy::exhaustive_enums, reason = "SPEC ATM-7 to ATM-9 have these")]
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
