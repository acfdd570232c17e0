use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Names a group of sessions, which join and leave it: a room, a topic of interest, a user's devices.
///
/// Any text that is not empty and no longer than [`Tag::MAX_LENGTH`] bytes. Cloning copies no text.
///
/// ```
/// use nosphere_core::Tag;
///
/// let room = Tag::new("room 7")?;
/// assert_eq!(room.as_str(), "room 7");
/// assert!(Tag::new("").is_err());
/// # Ok::<(), nosphere_core::InvalidTag>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The longest that a tag may be, in bytes.
    pub const MAX_LENGTH: usize = 256;

    /// A tag of this name.
    ///
    /// # Errors
    ///
    /// When the text is empty, or longer than [`Tag::MAX_LENGTH`] bytes.
    pub fn new(text: &str) -> Result<Self, InvalidTag> {
        match text.len() {
            1..=Self::MAX_LENGTH => Ok(Self(text.into())),
            length => Err(InvalidTag { length }),
        }
    }

    /// The tag's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Tag {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

/// Maps by tag are searched by text.
impl Borrow<str> for Tag {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl From<&Self> for Tag {
    fn from(tag: &Self) -> Self {
        tag.clone()
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        Self::new(text)
    }
}

impl TryFrom<&str> for Tag {
    type Error = InvalidTag;

    fn try_from(text: &str) -> Result<Self, InvalidTag> {
        Self::new(text)
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidTag;

    fn try_from(text: String) -> Result<Self, InvalidTag> {
        Self::new(&text)
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Tag;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of 1 to {} bytes", Tag::MAX_LENGTH)
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Tag, E> {
                // What does not fit is not quoted either: it may be of any length.
                Tag::new(text).map_err(|error| E::invalid_value(Unexpected::Other(&error.to_string()), &self))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

/// A text that is empty, or longer than [`Tag::MAX_LENGTH`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("a tag has 1 to {} bytes, not {length}", Tag::MAX_LENGTH)]
#[non_exhaustive]
pub struct InvalidTag {
    /// The text's length in bytes.
    pub length: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_not_empty_and_not_long() {
        assert_eq!(Tag::new(""), Err(InvalidTag { length: 0 }));
        assert_eq!(Tag::new(&"x".repeat(256)).unwrap().as_str().len(), 256);
        // Bytes, not characters.
        assert_eq!("ä".repeat(129).parse::<Tag>(), Err(InvalidTag { length: 258 }));
        assert_eq!(Tag::try_from(String::from("a b\0")).unwrap().to_string(), "a b\0");
    }

    #[test]
    fn a_tag_from_the_wire_is_checked() {
        assert_eq!(serde_json::from_str::<Tag>(r#""news""#).unwrap(), Tag::new("news").unwrap());
        for wrong in [r#""""#.into(), format!("{:?}", "x".repeat(257)), "7".into(), "null".into()] {
            assert!(serde_json::from_str::<Tag>(&wrong).is_err(), "{wrong}");
        }
        let long = serde_json::from_str::<Tag>(&format!("{:?}", "x".repeat(10_000))).unwrap_err();
        assert!(long.to_string().len() < 200, "{long}");
    }
}
