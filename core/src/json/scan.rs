//! A scanner that builds nothing: linear time, constant memory, no recursion.

use super::MAX_DEPTH;

/// What a scanner stumbles over: a [`JsonError`] that costs nothing to pass on.
pub(super) enum Fault {
    /// This is what was left, about.
    Syntax(usize),
    TooDeep,
}

/// Reads one value and nothing else. Says whether there are line breaks between its tokens.
///
/// What was not read yet is passed from function to function, so that it stays in registers.
pub(super) fn document(text: &[u8]) -> Result<bool, Fault> {
    // One bit a level: 1 is an object, 0 an array.
    let (mut kinds, mut depth) = (0_u64, 0_u32);
    let mut breaks = false;
    let mut rest = text;
    loop {
        rest = space(rest, &mut breaks);
        let fault = Fault::Syntax(rest.len());
        let read = match rest {
            [b'"', rest @ ..] => string(rest),
            [open @ (b'{' | b'['), inner @ ..] => {
                if depth == MAX_DEPTH {
                    return Err(Fault::TooDeep);
                }
                let object = *open == b'{';
                let inner = space(inner, &mut breaks);
                match inner {
                    [close, behind @ ..] if *close == open + 2 => Some(behind),
                    _ => {
                        kinds = kinds << 1 | u64::from(object);
                        depth += 1;
                        rest = if object { key(inner, &mut breaks).ok_or(fault)? } else { inner };
                        continue;
                    }
                }
            }
            [b'-' | b'0'..=b'9', ..] => number(rest),
            [b't', ..] => rest.strip_prefix(b"true"),
            [b'f', ..] => rest.strip_prefix(b"false"),
            [b'n', ..] => rest.strip_prefix(b"null"),
            _ => None,
        };
        rest = read.ok_or(fault)?;
        loop {
            rest = space(rest, &mut breaks);
            let fault = Fault::Syntax(rest.len());
            if depth == 0 {
                return if rest.is_empty() { Ok(breaks) } else { Err(fault) };
            }
            let object = kinds & 1 == 1;
            match rest {
                [b',', behind @ ..] => {
                    rest = if object { key(behind, &mut breaks).ok_or(fault)? } else { behind };
                    break;
                }
                [b'}', behind @ ..] if object => rest = behind,
                [b']', behind @ ..] if !object => rest = behind,
                _ => return Err(fault),
            }
            kinds >>= 1;
            depth -= 1;
        }
    }
}

/// Reads the name of a member and its colon.
fn key<'a>(text: &'a [u8], breaks: &mut bool) -> Option<&'a [u8]> {
    let [b'"', rest @ ..] = space(text, breaks) else { return None };
    match space(string(rest)?, breaks) {
        [b':', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// Reads what follows the quote that begins a string.
#[inline]
fn string(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        match skip_plain(text) {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', rest @ ..] => text = escape(rest)?,
            _ => return None,
        }
    }
}

/// Reads what follows a backslash.
#[cold]
fn escape(text: &[u8]) -> Option<&[u8]> {
    let [kind, rest @ ..] = text else { return None };
    match kind {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(rest),
        b'u' => match code_unit(rest)? {
            // A lone surrogate is not a character: no receiver could make a string of it.
            (0xD800..0xDC00, rest) => {
                let (low, rest) = code_unit(rest.strip_prefix(b"\\u")?)?;
                (0xDC00..0xE000).contains(&low).then_some(rest)
            }
            (0xDC00..0xE000, _) => None,
            (_, rest) => Some(rest),
        },
        _ => None,
    }
}

fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<4>()?;
    let unit = digits.iter().try_fold(0, |unit, &d| Some(unit << 4 | char::from(d).to_digit(16)?))?;
    Some((unit, rest))
}

fn number(text: &[u8]) -> Option<&[u8]> {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let mut rest = if let [b'0', rest @ ..] = text { rest } else { digits(text)? };
    if let [b'.', fraction @ ..] = rest {
        rest = digits(fraction)?;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        rest = digits(if let [b'+' | b'-', unsigned @ ..] = exponent { unsigned } else { exponent })?;
    }
    Some(rest)
}

/// Reads one digit or more.
fn digits(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    while let [b'0'..=b'9', behind @ ..] = rest {
        rest = behind;
    }
    (rest.len() < text.len()).then_some(rest)
}

/// Passes over white space. Most text has none between most tokens.
#[inline]
fn space<'a>(text: &'a [u8], breaks: &mut bool) -> &'a [u8] {
    match text {
        [0..=b' ', ..] => long_space(text, breaks),
        _ => text,
    }
}

#[cold]
fn long_space<'a>(mut text: &'a [u8], breaks: &mut bool) -> &'a [u8] {
    while let [byte @ (b' ' | b'\t' | b'\n' | b'\r'), rest @ ..] = text {
        *breaks |= matches!(byte, b'\n' | b'\r');
        text = rest;
    }
    text
}

/// The text from the first byte on that is not an ordinary character of a JSON string.
#[inline]
fn skip_plain(text: &[u8]) -> &[u8] {
    let Some((word, mut rest)) = text.split_first_chunk() else { return skip_plain_bytes(text) };
    let stop = stops(*word);
    if stop != 0 {
        return &text[(stop.trailing_zeros() / 8) as usize..];
    }
    // Long strings are passed over 16 bytes at once: without an early exit in a chunk, the compiler compares them all.
    while let Some((chunk, behind)) = rest.split_first_chunk::<16>() {
        if chunk.iter().fold(false, |stop, &byte| stop | (byte < b' ') | (byte == b'"') | (byte == b'\\')) {
            break;
        }
        rest = behind;
    }
    while let Some((word, behind)) = rest.split_first_chunk() {
        let stop = stops(*word);
        if stop != 0 {
            return &rest[(stop.trailing_zeros() / 8) as usize..];
        }
        rest = behind;
    }
    skip_plain_bytes(rest)
}

fn skip_plain_bytes(mut text: &[u8]) -> &[u8] {
    while let [byte, rest @ ..] = text
        && *byte >= b' '
        && !matches!(byte, b'"' | b'\\')
    {
        text = rest;
    }
    text
}

/// Finds the bytes that are not ordinary characters: the lowest bit that is set is the highest of the first such byte.
#[inline]
fn stops(word: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // A byte's high bit is set where the byte is below `n` (exact for the lowest such byte, which is all that counts).
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word;
    let word = u64::from_le_bytes(word);
    let quote = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
    (below(word, 0x20) | quote | backslash) & HIGH
}
