use std::fmt;

use nosphere_core::WireFormat;

use crate::atmosphere::AtmosphereFormat;
use crate::{JSON, MESSAGEPACK, PLAIN};

/// The formats of other dialects.
const FOREIGN: [&str; 3] = ["plain", "atmosphere", "atmosphere-tracked"];

/// What SPEC §4 puts before a format's name to make a subprotocol.
pub(super) const SUBPROTOCOL_PREFIX: &str = "nosphere.v1.";

/// What SPEC §4 puts before a format's name to make a media type.
pub(super) const MEDIA_TYPE_PREFIX: &str = "application/vnd.nosphere.v1.";

/// The wire formats of the native protocol, in the order of their registration.
///
/// ```
/// # use nosphere_wire::negotiation::Formats;
/// let formats = Formats::default();
/// assert_eq!(formats.iter().map(|format| format.name()).collect::<Vec<_>>(), ["json", "messagepack"]);
/// ```
#[derive(Clone)]
pub struct Formats {
    native: Vec<&'static dyn WireFormat>,
    atmosphere: bool,
    atmosphere_beats: bool,
}

impl Formats {
    /// No native formats at all: only plain clients and those of atmosphere.js are served.
    pub fn none() -> Self {
        Self { native: Vec::new(), atmosphere: true, atmosphere_beats: false }
    }

    /// Whether clients of atmosphere.js are served (SPEC §17); they are unless this is called. Otherwise their requests are
    /// what they would be without the names of that dialect.
    pub fn serve_atmosphere(&mut self, served: bool) {
        self.atmosphere = served;
    }

    /// Says whether clients of atmosphere.js are asked for heartbeats, so that an `X` of theirs is one. By default it is a
    /// text.
    pub fn expect_atmosphere_heartbeats(&mut self, expected: bool) {
        self.atmosphere_beats = expected;
    }

    pub(super) fn has_atmosphere(&self) -> bool {
        self.atmosphere
    }

    pub(super) fn atmosphere_beats(&self) -> bool {
        self.atmosphere_beats
    }

    /// Adds a format of your own.
    ///
    /// # Errors
    ///
    /// When there is one of this name, `plain` and `atmosphere` included, or when the name does not suit a subprotocol and a media type.
    pub fn register(&mut self, format: &'static dyn WireFormat) -> Result<(), RegisterError> {
        let name = format.name();
        let suits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(suits) {
            return Err(RegisterError::Name(name));
        }
        // Messages remember their encodings by the format's name, so those of other dialects count as well.
        if self.get(name).is_some() || FOREIGN.contains(&name) {
            return Err(RegisterError::Duplicate(name));
        }
        self.native.push(format);
        Ok(())
    }

    /// The format of this name.
    pub fn get(&self, name: &str) -> Option<&'static dyn WireFormat> {
        self.iter().find(|format| format.name() == name)
    }

    /// All formats.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn WireFormat> + '_ {
        self.native.iter().copied()
    }

    /// The format of a subprotocol such as `nosphere.v1.json`.
    ///
    /// ```
    /// # use nosphere_wire::negotiation::Formats;
    /// let formats = Formats::default();
    /// assert!(formats.by_subprotocol("nosphere.v1.json").is_some());
    /// assert!(formats.by_subprotocol("nosphere.v1.json, chat").is_none());
    /// ```
    pub fn by_subprotocol(&self, subprotocol: &str) -> Option<&'static dyn WireFormat> {
        self.get(subprotocol.strip_prefix(SUBPROTOCOL_PREFIX)?)
    }
}

impl Default for Formats {
    /// `json` and `messagepack`.
    fn default() -> Self {
        Self { native: vec![&JSON, &MESSAGEPACK], ..Self::none() }
    }
}

impl fmt::Debug for Formats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|format| format.name())).finish()
    }
}

/// Why a format was not registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// There is a format of this name.
    #[error("there is a wire format {0:?} already")]
    Duplicate(&'static str),
    /// The name is empty, longer than 64 bytes, or holds anything but `a` to `z`, digits, `-`, `_` and `.`.
    #[error("{0:?} does not suit the name of a subprotocol and a media type")]
    Name(&'static str),
}

/// The WebSocket subprotocol, and value of `Nosphere-Protocol`, of a format: `nosphere.v1.json`.
pub fn subprotocol(format: &dyn WireFormat) -> String {
    [SUBPROTOCOL_PREFIX, format.name()].concat()
}

/// The media type of a format's batches: `application/vnd.nosphere.v1.json`.
pub fn media_type(format: &dyn WireFormat) -> String {
    [MEDIA_TYPE_PREFIX, format.name()].concat()
}

/// How a client talks.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Dialect {
    /// As clients of atmosphere.js do (SPEC §17).
    Atmosphere(&'static AtmosphereFormat),
    /// In frames of a wire format.
    Native(&'static dyn WireFormat),
    /// Without envelopes (SPEC §15).
    Plain,
}

impl Dialect {
    /// The format of the units.
    pub fn format(self) -> &'static dyn WireFormat {
        match self {
            Self::Atmosphere(format) => format,
            Self::Native(format) => format,
            Self::Plain => &PLAIN,
        }
    }

    /// Whether there are no envelopes.
    pub fn is_plain(self) -> bool {
        matches!(self, Self::Plain)
    }
}

impl From<Dialect> for nosphere_core::Protocol {
    fn from(protocol: Dialect) -> Self {
        match protocol {
            Dialect::Atmosphere(_) => Self::Atmosphere,
            Dialect::Native(_) => Self::Native,
            Dialect::Plain => Self::Plain,
        }
    }
}

impl PartialEq for Dialect {
    /// Formats are the same if their names are.
    fn eq(&self, other: &Self) -> bool {
        nosphere_core::Protocol::from(*self) == (*other).into() && self.format().name() == other.format().name()
    }
}

impl Eq for Dialect {}

#[cfg(test)]
mod tests {
    use nosphere_core::Protocol;

    use super::*;

    const DIALECTS: [Dialect; 3] = [Dialect::Native(&JSON), Dialect::Native(&MESSAGEPACK), Dialect::Plain];

    #[test]
    fn the_dialect_of_atmosphere_is_one_whatever_its_flavour_but_for_lengths() {
        use crate::atmosphere::Greeting;
        let of = |tracked| Dialect::Atmosphere(AtmosphereFormat::of(Greeting::None, tracked, false));
        assert_eq!((Protocol::from(of(false)), of(false).is_plain()), (Protocol::Atmosphere, false));
        assert_ne!(of(false), of(true));
        assert!(DIALECTS.iter().all(|other| *other != of(false)));
        let mut formats = Formats::default();
        assert!(formats.register(of(true).format()).is_err(), "messages remember encodings by this name");
    }

    #[test]
    fn dialects_are_told_apart_by_their_formats_and_plain_is_none_of_them() {
        for (i, a) in DIALECTS.iter().enumerate() {
            for (j, b) in DIALECTS.iter().enumerate() {
                assert_eq!(a == b, i == j, "{a:?}, {b:?}");
            }
        }
        assert_ne!(Dialect::Native(&PLAIN), Dialect::Plain, "an envelope around it would be another thing");
        assert_eq!(DIALECTS.map(Dialect::is_plain), [false, false, true]);
        assert_eq!(DIALECTS.map(Protocol::from), [Protocol::Native, Protocol::Native, Protocol::Plain]);
    }
}
