//! JSON values that are checked but not parsed.

mod scan;

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::scan::{Fault, document};
use crate::{Kind, Text};

/// The deepest nesting of arrays and objects that any wire format accepts (SPEC JSN-3, MSP-3).
pub const MAX_DEPTH: u32 = 64;

/// A JSON value as it came or will go: checked, but not parsed.
///
/// The value is parsed where the application asks for it, [`Json::parse`], and nowhere else.
///
/// ```
/// use nosphere_core::Json;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Deserialize, PartialEq, Serialize)]
/// struct Line {
///     author: String,
///     message: String,
/// }
///
/// let line = Line { author: "joe".into(), message: "hi".into() };
/// let json = Json::new(&line)?;
/// assert_eq!(json.to_text()?.as_str(), r#"{"author":"joe","message":"hi"}"#);
/// assert_eq!(json.parse::<Line>()?, line);
/// # Ok::<(), nosphere_core::JsonError>(())
/// ```
///
/// Where there is nothing to go wrong, a `serde_json::Value` is shorter: it becomes a [`Message`](crate::Message) by itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json {
    bytes: Bytes,
    encoding: JsonEncoding,
    /// Only of a value that could not be refused where it was made: it is refused when it is sent.
    too_deep: bool,
}

/// How the bytes of a [`Json`] are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "every wire format must be able to write every encoding")]
pub enum JsonEncoding {
    /// MessagePack within the data model of RFC 8259 (SPEC MSP-2).
    MessagePack,
    /// JSON text on one line.
    Text,
}

impl Json {
    /// Serialises a value.
    ///
    /// # Errors
    ///
    /// When the value has no JSON form (a map with keys that are not strings, or a failing `Serialize`), or nests deeper
    /// than [`MAX_DEPTH`].
    pub fn new(value: &(impl Serialize + ?Sized)) -> Result<Self, JsonError> {
        let text = serde_json::to_vec(value).map_err(JsonError::serde)?;
        check(&text)?;
        Ok(Self::from_checked(text.into(), JsonEncoding::Text))
    }

    /// Takes JSON text, without a copy if it has no line breaks between its tokens.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, or nests deeper than [`MAX_DEPTH`].
    pub fn from_text(text: &Text) -> Result<Self, JsonError> {
        let bytes = if check(text.as_bytes())?.breaks { compact(text).into() } else { text.bytes().clone() };
        Ok(Self::from_checked(bytes, JsonEncoding::Text))
    }

    /// Takes bytes that a wire format has checked: one line of JSON text, or MessagePack within SPEC MSP-2.
    ///
    /// What is not checked here reaches other clients as it is.
    pub fn from_checked(bytes: Bytes, encoding: JsonEncoding) -> Self {
        Self { bytes, encoding, too_deep: false }
    }

    /// Serialises a value that may nest too deep.
    pub(crate) fn from_value(value: &serde_json::Value) -> Self {
        let too_deep = !fits(value, MAX_DEPTH);
        Self { bytes: value.to_string().into(), encoding: JsonEncoding::Text, too_deep }
    }

    pub(crate) fn is_too_deep(&self) -> bool {
        self.too_deep
    }

    /// Parses the value.
    ///
    /// # Errors
    ///
    /// When the value is not a `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, JsonError> {
        match self.encoding {
            JsonEncoding::Text => serde_json::from_slice(&self.bytes).map_err(JsonError::serde),
            JsonEncoding::MessagePack => rmp_serde::from_slice(&self.bytes).map_err(JsonError::serde),
        }
    }

    /// The value as JSON text on one line, for whoever stores it, or writes it in a format of their own.
    ///
    /// It shares its bytes if it is written as text already.
    ///
    /// # Errors
    ///
    /// When bytes that were [said to be checked](Self::from_checked) are not what they should be.
    pub fn to_text(&self) -> Result<Text, JsonError> {
        let not_utf8 = |_| JsonError::serde("not UTF-8");
        match self.encoding {
            JsonEncoding::Text => Text::from_utf8(self.bytes.clone()).map_err(not_utf8),
            JsonEncoding::MessagePack => Ok(self.parse::<serde_json::Value>()?.to_string().into()),
        }
    }

    /// The same value in memory of its own.
    pub(crate) fn detached(self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), ..self }
    }

    /// The bytes as they came, in [`Json::encoding`].
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// How [`Json::bytes`] are written.
    pub fn encoding(&self) -> JsonEncoding {
        self.encoding
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.encoding {
            JsonEncoding::Text => f.write_str(&String::from_utf8_lossy(&self.bytes)),
            JsonEncoding::MessagePack => write!(f, "MessagePack({:?})", self.bytes),
        }
    }
}

/// Why something is not JSON, or not the JSON that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{problem}")]
pub struct JsonError {
    problem: String,
    too_deep: bool,
}

impl JsonError {
    /// Whether the value nests deeper than [`MAX_DEPTH`].
    pub fn is_too_deep(&self) -> bool {
        self.too_deep
    }

    fn serde(error: impl fmt::Display) -> Self {
        Self { problem: error.to_string(), too_deep: false }
    }

    /// A message of another kind.
    pub(crate) fn other(kind: Kind) -> Self {
        Self { problem: format!("not JSON but {kind}"), too_deep: false }
    }

    fn at(position: usize) -> Self {
        Self { problem: format!("not JSON at byte {position}"), too_deep: false }
    }

    fn too_deep() -> Self {
        Self { problem: format!("nested deeper than {MAX_DEPTH} levels"), too_deep: true }
    }
}

/// What [`check`] found beside validity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checked {
    /// There are line breaks between tokens, so the text does not fit one line (SPEC JSN-1).
    pub breaks: bool,
}

/// Checks that UTF-8 text is one JSON value, without building it: linear time, constant memory, no recursion.
///
/// # Errors
///
/// When the text is not JSON as RFC 8259 has it, or nests deeper than [`MAX_DEPTH`].
pub fn check(text: &[u8]) -> Result<Checked, JsonError> {
    match document(text) {
        Ok(breaks) => Ok(Checked { breaks }),
        Err(Fault::Syntax(left)) => Err(JsonError::at(text.len() - left)),
        Err(Fault::TooDeep) => Err(JsonError::too_deep()),
    }
}

/// Whether arrays and objects nest within `depth` levels.
fn fits(value: &serde_json::Value, depth: u32) -> bool {
    use serde_json::Value;
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| fits(item, depth - 1)),
        Value::Object(members) => depth > 0 && members.values().all(|member| fits(member, depth - 1)),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => true,
    }
}

/// Removes white space between tokens of JSON text that is known to be valid.
pub fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    out.extend(text.chars().filter(|&c| {
        let keep = quoted || !matches!(c, ' ' | '\t' | '\n' | '\r');
        if escaped {
            escaped = false;
        } else if c == '"' {
            quoted = !quoted;
        } else {
            escaped = quoted && c == '\\';
        }
        keep
    }));
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Text that is likely to be nearly JSON.
    fn nearly_json() -> impl Strategy<Value = String> {
        let token = prop_oneof![
            Just("{"),
            Just("}"),
            Just("["),
            Just("]"),
            Just(","),
            Just(":"),
            Just("\""),
            Just("\\"),
            Just("\\u"),
            Just("12"),
            Just("-"),
            Just("0"),
            Just("."),
            Just("e+1"),
            Just("true"),
            Just("null"),
            Just("\"a\":"),
            Just("\"long enough for a word\""),
            Just(" "),
            Just("\n"),
            Just("d83d"),
            Just("\\ude00"),
            Just("é"),
            Just("\u{1}")
        ];
        prop::collection::vec(token, 0..24).prop_map(|tokens| tokens.concat())
    }

    proptest! {
        #[test]
        fn check_accepts_what_serde_json_accepts(text in nearly_json()) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            let ours = check(text.as_bytes());
            // A number too large for f64 is JSON, though serde_json has no place for it.
            let range = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert!(range || theirs.is_ok() == ours.is_ok(), "{text:?}: {theirs:?} {ours:?}");
        }

        #[test]
        fn compact_keeps_the_value(value in nearly_json()) {
            if let Ok(parsed) = serde_json::from_str::<serde_json::Value>(&value) {
                let compacted = compact(&value);
                prop_assert!(!check(compacted.as_bytes()).unwrap().breaks);
                prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&compacted).unwrap(), parsed);
            }
        }
    }

    #[test]
    fn the_depth_limit_is_exact_and_does_not_recurse() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(check(nested(64).as_bytes()).is_ok());
        assert!(check(nested(65).as_bytes()).unwrap_err().is_too_deep());
        assert!(check("[".repeat(1_000_000).as_bytes()).unwrap_err().is_too_deep());
    }

    #[test]
    fn a_character_that_needs_an_escape_is_found_wherever_it_is() {
        for length in 0..50 {
            let plain = "\u{7f}é !#[]z😀".repeat(5);
            let plain: String = plain.chars().take(length).collect();
            assert!(check(format!("\"{plain}\"").as_bytes()).is_ok());
            for (at, _) in plain.char_indices() {
                for special in ['"', '\\', '\0', '\n', '\u{1f}'] {
                    let mut text = format!("\"{plain}\"");
                    text.insert(1 + at, special);
                    // A backslash before `z` or a multi-byte character is no escape either.
                    assert!(check(text.as_bytes()).is_err(), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_payload_cannot_end_its_envelope() {
        assert!(check(br#"1},"x":{"y":2"#).is_err());
        assert!(check(br#"{}{}"#).is_err());
    }

    #[test]
    fn line_breaks_between_tokens_are_removed_and_those_in_strings_are_refused() {
        let json = Json::from_text(&"{\"a\":\n [1,\r\n 2]}".into()).unwrap();
        assert_eq!(json.bytes(), &br#"{"a":[1,2]}"#[..]);
        assert!(Json::from_text(&"[\"a\nb\"]".into()).is_err());
    }
}
