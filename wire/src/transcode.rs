//! JSON text to MessagePack and back, where a message's encoding is not its recipient's.
//!
//! Both ways are iterative, keep the order of keys and keep duplicates of them.

use nosphere_core::{MAX_DEPTH, json};

use crate::json::push_string;
use crate::messagepack::{Problem, Reader, Sink, walk};

/// Writes MessagePack as compact JSON text.
pub(crate) fn to_text(messagepack: &[u8]) -> Result<String, Problem> {
    let mut reader = Reader::new(messagepack);
    let mut writer = TextWriter(String::with_capacity(messagepack.len() + messagepack.len() / 4));
    walk(&mut reader, &mut writer)?;
    if reader.rest().is_empty() { Ok(writer.0) } else { Err("bytes behind a JSON value") }
}

/// Writes JSON text as MessagePack, everything in its shortest form.
pub(crate) fn to_messagepack(text: &[u8]) -> Result<Vec<u8>, Problem> {
    let text = str::from_utf8(text).map_err(|_| "JSON that is not UTF-8")?;
    if u32::try_from(text.len()).is_err() {
        return Err("JSON of more than 4 GiB");
    }
    if let Err(error) = json::check(text.as_bytes()) {
        return Err(if error.is_too_deep() {
            "JSON nested deeper than 64 levels"
        } else {
            "a payload that is not JSON"
        });
    }
    let mut lengths = lengths(text).into_iter();
    let mut out = Vec::with_capacity(text.len());
    for token in (Tokens { text, at: 0 }) {
        match token {
            Token::Open { object } => {
                let length = lengths.next().unwrap_or_default();
                if object {
                    rmp::encode::write_map_len(&mut out, length / 2).ok();
                } else {
                    rmp::encode::write_array_len(&mut out, length).ok();
                }
            }
            Token::Close => {}
            Token::String(literal) => string(&mut out, literal)?,
            Token::Word("true") => out.push(rmp::Marker::True.to_u8()),
            Token::Word("false") => out.push(rmp::Marker::False.to_u8()),
            Token::Word("null") => out.push(rmp::Marker::Null.to_u8()),
            Token::Word(digits) => number(&mut out, digits)?,
        }
    }
    Ok(out)
}

/// How many values each container holds, keys included, in the order of their beginnings.
fn lengths(text: &str) -> Vec<u32> {
    let mut lengths = Vec::new();
    let mut open = Vec::with_capacity(MAX_DEPTH as usize);
    for token in (Tokens { text, at: 0 }) {
        if let Token::Close = token {
            open.pop();
            continue;
        }
        if let Some(length) = open.last().and_then(|&index: &usize| lengths.get_mut(index)) {
            *length += 1;
        }
        if let Token::Open { .. } = token {
            open.push(lengths.len());
            lengths.push(0);
        }
    }
    lengths
}

fn string(out: &mut Vec<u8>, literal: &str) -> Result<(), Problem> {
    if literal.contains('\\') {
        let text: String = serde_json::from_str(literal).map_err(|_| "a payload that is not JSON")?;
        rmp::encode::write_str(out, &text).ok();
    } else {
        rmp::encode::write_str(out, literal.trim_matches('"')).ok();
    }
    Ok(())
}

fn number(out: &mut Vec<u8>, digits: &str) -> Result<(), Problem> {
    const TOO_LARGE: Problem = "an integer beyond 64 bits";
    if digits.contains(['.', 'e', 'E']) || digits == "-0" {
        let value = digits.parse().ok().filter(|value: &f64| value.is_finite());
        rmp::encode::write_f64(out, value.ok_or("a number beyond 64-bit floats")?).ok();
    } else if digits.starts_with('-') {
        rmp::encode::write_sint(out, digits.parse().map_err(|_| TOO_LARGE)?).ok();
    } else {
        rmp::encode::write_uint(out, digits.parse().map_err(|_| TOO_LARGE)?).ok();
    }
    Ok(())
}

enum Token<'a> {
    Close,
    Open {
        object: bool,
    },
    /// With its quotes and escapes.
    String(&'a str),
    /// A number or a literal name.
    Word(&'a str),
}

/// The tokens of valid JSON text. Of other text it gives something, and ends.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let bytes = self.text.as_bytes();
        let separator = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b',' | b':');
        self.at += bytes[self.at..].iter().take_while(separator).count();
        let start = self.at;
        let (token, length) = match bytes.get(start)? {
            b'{' => (Token::Open { object: true }, 1),
            b'[' => (Token::Open { object: false }, 1),
            b'}' | b']' => (Token::Close, 1),
            b'"' => {
                let literal = self.text.get(start..start + literal_length(&bytes[start..])?)?;
                (Token::String(literal), literal.len())
            }
            _ => {
                let part = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
                let length = bytes[start..].iter().take_while(part).count();
                (Token::Word(self.text.get(start..start + length).filter(|word| !word.is_empty())?), length)
            }
        };
        self.at += length;
        Some(token)
    }
}

/// The length of the string literal at the start, quotes included.
pub(crate) fn literal_length(literal: &[u8]) -> Option<usize> {
    if literal.first() != Some(&b'"') {
        return None;
    }
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', literal.get(at..)?)?;
        if literal[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Commas are told by what was written last: after a value it is never `[`, `{` or `:`.
struct TextWriter(String);

impl TextWriter {
    fn value(&mut self) -> &mut String {
        if !matches!(self.0.as_bytes().last(), None | Some(b'[' | b'{' | b':')) {
            self.0.push(',');
        }
        &mut self.0
    }

    fn number(&mut self, value: impl Into<serde_json::Number>) {
        let value = value.into().to_string();
        self.value().push_str(&value);
    }
}

impl Sink for TextWriter {
    fn null(&mut self) {
        self.value().push_str("null");
    }

    fn boolean(&mut self, value: bool) {
        self.value().push_str(if value { "true" } else { "false" });
    }

    fn unsigned(&mut self, value: u64) {
        self.number(value);
    }

    fn negative(&mut self, value: i64) {
        self.number(value);
    }

    fn float(&mut self, value: f64) {
        if let Some(value) = serde_json::Number::from_f64(value) {
            self.number(value);
        }
    }

    fn string(&mut self, value: &str) {
        push_string(self.value(), value);
    }

    fn key(&mut self, key: &str) {
        push_string(self.value(), key);
        self.0.push(':');
    }

    fn open(&mut self, object: bool) {
        self.value().push(if object { '{' } else { '[' });
    }

    fn close(&mut self, object: bool) {
        self.0.push(if object { '}' } else { ']' });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC §3: integers from -2^63 to 2^64-1 pass unchanged; SPEC §3.2: others cannot be written.
    #[test]
    fn integers_are_exact_up_to_64_bits_and_refused_beyond() {
        for (text, messagepack) in [
            ("0", &b"\x00"[..]),
            ("127", b"\x7f"),
            ("128", b"\xcc\x80"),
            ("255", b"\xcc\xff"),
            ("256", b"\xcd\x01\x00"),
            ("65536", b"\xce\x00\x01\x00\x00"),
            ("4294967296", b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
            ("9007199254740993", b"\xcf\x00\x20\x00\x00\x00\x00\x00\x01"),
            ("18446744073709551615", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
            ("-1", b"\xff"),
            ("-32", b"\xe0"),
            ("-33", b"\xd0\xdf"),
            ("-129", b"\xd1\xff\x7f"),
            ("-32769", b"\xd2\xff\xff\x7f\xff"),
            ("-9223372036854775808", b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00"),
        ] {
            assert_eq!(to_messagepack(text.as_bytes()).as_deref(), Ok(messagepack), "{text}");
            assert_eq!(to_text(messagepack).as_deref(), Ok(text));
        }
        for text in ["18446744073709551616", "-9223372036854775809", "[1,123456789012345678901234567890]"] {
            assert_eq!(to_messagepack(text.as_bytes()), Err("an integer beyond 64 bits"));
        }
    }

    #[test]
    fn floats_keep_their_value_and_stay_floats() {
        for (text, value) in [
            ("0.1", 0.1),
            ("-0.0", -0.0),
            ("1.0", 1.0),
            ("5e-324", 5e-324),
            ("1.7976931348623157e308", f64::MAX),
            ("0.10000000149011612", f64::from(0.1_f32)),
        ] {
            let messagepack = [&[0xcb], &f64::to_be_bytes(value)[..]].concat();
            assert_eq!(to_messagepack(text.as_bytes()).as_deref(), Ok(&messagepack[..]), "{text}");
            let written = to_text(&messagepack).unwrap();
            assert_eq!(written.parse::<f64>().unwrap().to_bits(), value.to_bits());
            assert!(written.contains(['.', 'e']), "{written}");
        }
        assert_eq!(to_messagepack(b"-0"), to_messagepack(b"-0.0"), "the integer 0 would lose the sign");
        assert_eq!(to_messagepack(b"1e2"), to_messagepack(b"100.0"));
        assert_eq!(to_messagepack(b"[1e400]"), Err("a number beyond 64-bit floats"));
        assert_eq!(to_text(b"\xca\x3d\xcc\xcc\xcd").as_deref(), Ok("0.10000000149011612"), "32 bits");
    }

    #[test]
    fn keys_keep_their_order_and_their_duplicates() {
        let text = r#"{"b":1,"a":{"z":[],"a":{}},"b":[[2],"x",null,true,false],"":"\"\\\n\u0001é😀"}"#;
        let messagepack = to_messagepack(text.as_bytes()).unwrap();
        assert_eq!(to_text(&messagepack).as_deref(), Ok(text));
        let loose = text.replace(',', " ,\n").replace(':', "\t: ").replace('[', "[ ");
        assert_eq!(to_messagepack(loose.as_bytes()).as_deref(), Ok(&messagepack[..]));
    }

    #[test]
    fn lengths_choose_the_shortest_head() {
        for (length, head) in [(15, &b"\x9f"[..]), (16, b"\xdc\x00\x10"), (65_536, b"\xdd\x00\x01\x00\x00")] {
            let text = format!("[{}0]", "0,".repeat(length - 1));
            assert!(to_messagepack(text.as_bytes()).unwrap().starts_with(head));
        }
        for (length, head) in [(15, &b"\x8f"[..]), (16, b"\xde\x00\x10")] {
            let text = format!("{{{}\"\":[1,2]}}", "\"\":0,".repeat(length - 1));
            assert!(to_messagepack(text.as_bytes()).unwrap().starts_with(head));
        }
        for (length, head) in [(31, &b"\xbf"[..]), (32, b"\xd9\x20"), (256, b"\xda\x01\x00")] {
            assert!(to_messagepack(format!("{:?}", "x".repeat(length)).as_bytes()).unwrap().starts_with(head));
        }
    }

    #[test]
    fn what_was_never_checked_is_an_error() {
        for text in [&b""[..], b"[", b"nul", b"\"\\\"", b"{\"a\"}", b"\"\xff\"", b"1 2"] {
            assert!(to_messagepack(text).is_err());
        }
        assert_eq!(to_messagepack("[".repeat(65).as_bytes()), Err("JSON nested deeper than 64 levels"));
        for messagepack in [&b""[..], b"\x91", b"\xc0\xc0", b"\xc4\x00", b"\x81\x01\x01"] {
            assert!(to_text(messagepack).is_err());
        }
    }
}
