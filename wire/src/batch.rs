//! Several units in one HTTP body (SPEC §3.3).
//!
//! Units are separated by the byte that their format never writes, or else preceded by their lengths.
//!
//! ```
//! use nosphere_core::Unit;
//! use nosphere_wire::{JSON, batch};
//!
//! let body = batch::encode_batch(&JSON, [br#"{"text":"a"}"#.as_slice(), br#"{"text":"b"}"#]);
//! let units = batch::decode_batch(&JSON, &body, true, 1024)?;
//! assert_eq!(units[1], Unit::Text(r#"{"text":"b"}"#.into()));
//! # Ok::<(), batch::BatchError>(())
//! ```

use bytes::{BufMut as _, Bytes, BytesMut};
use nosphere_core::{Text, Unit, WireFormat};

/// Writes units into one body, one after the other.
#[derive(Debug)]
pub struct BatchWriter {
    separator: Option<u8>,
    body: BytesMut,
    units: usize,
}

impl BatchWriter {
    /// An empty batch of units of `format`.
    pub fn new(format: &dyn WireFormat) -> Self {
        Self { separator: format.separator(), body: BytesMut::new(), units: 0 }
    }

    /// Appends a unit's content.
    ///
    /// # Panics
    ///
    /// If the format has no separator and the unit has 4 GiB or more, which no window allows.
    pub fn push(&mut self, unit: &[u8]) {
        match self.separator {
            Some(separator) if self.units > 0 => {
                self.body.reserve(1 + unit.len());
                self.body.put_u8(separator);
            }
            Some(_) => {}
            None => {
                self.body.reserve(4 + unit.len());
                self.body.put_u32(u32::try_from(unit.len()).expect("a unit within a window"));
            }
        }
        self.body.put_slice(unit);
        self.units += 1;
    }

    /// The length of the body so far.
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether no unit was appended.
    pub fn is_empty(&self) -> bool {
        self.units == 0
    }

    /// How many units were appended.
    pub fn units(&self) -> usize {
        self.units
    }

    /// The body.
    pub fn finish(self) -> Bytes {
        self.body.freeze()
    }
}

/// Writes units into one body.
///
/// # Panics
///
/// As [`BatchWriter::push`].
pub fn encode_batch<'a>(format: &dyn WireFormat, units: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut writer = BatchWriter::new(format);
    for unit in units {
        writer.push(unit);
    }
    writer.finish()
}

/// Takes the units out of a body, all or none. They share the body's memory.
///
/// `text` says which kind of unit the format has; `limit` is the most units that a body may hold.
///
/// # Errors
///
/// When there are more units than `limit`, or the body is not a batch.
pub fn decode_batch(format: &dyn WireFormat, body: &Bytes, text: bool, limit: usize) -> Result<Vec<Unit>, BatchError> {
    let units = match format.separator() {
        Some(separator) => split(body, separator, limit)?,
        None => cut(body, limit)?,
    };
    if !text {
        return Ok(units.into_iter().map(|unit| Unit::Binary(body.slice_ref(unit))).collect());
    }
    let units = units.into_iter().map(|unit| Text::from_utf8(body.slice_ref(unit)).map(Unit::Text));
    units.collect::<Result<_, _>>().map_err(|_| BatchError::NotUtf8)
}

/// SPEC BAT-1.
fn split(body: &[u8], separator: u8, limit: usize) -> Result<Vec<&[u8]>, BatchError> {
    let body = body.strip_suffix(&[separator]).unwrap_or(body);
    let mut units = Vec::new();
    if body.is_empty() {
        return Ok(units);
    }
    let mut start = 0;
    for end in memchr::memchr_iter(separator, body).chain([body.len()]) {
        push(&mut units, &body[start..end], limit)?;
        start = end + 1;
    }
    Ok(units)
}

/// SPEC BAT-2.
fn cut(mut body: &[u8], limit: usize) -> Result<Vec<&[u8]>, BatchError> {
    let mut units = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk().ok_or(BatchError::Truncated)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (unit, rest) = rest.split_at_checked(length).ok_or(BatchError::Truncated)?;
        push(&mut units, unit, limit)?;
        body = rest;
    }
    Ok(units)
}

fn push<'a>(units: &mut Vec<&'a [u8]>, unit: &'a [u8], limit: usize) -> Result<(), BatchError> {
    if units.len() == limit {
        return Err(BatchError::TooManyUnits { limit });
    }
    units.push(unit);
    Ok(())
}

/// Why a body is not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// A unit of text is not UTF-8.
    #[error("a unit is not UTF-8")]
    NotUtf8,
    /// There are more units than the server takes at once (SPEC §14).
    #[error("more than {limit} units in a body")]
    TooManyUnits {
        /// The most that it takes.
        limit: usize,
    },
    /// A length reaches beyond the end of the body.
    #[error("the body ends within a unit")]
    Truncated,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JSON, MESSAGEPACK};

    const LIMIT: usize = 4;

    /// SPEC BAT-1.
    #[test]
    fn json_units_are_lines_and_one_break_may_follow_the_last() {
        assert_eq!(encode_batch(&JSON, [&b"a"[..], b"b", b"c"]), "a\nb\nc");
        for (body, units) in [
            ("a\nb", &["a", "b"][..]),
            ("a\nb\n", &["a", "b"]),
            ("a\n\n", &["a", ""]),
            ("a\n\nb", &["a", "", "b"]),
            ("\na", &["", "a"]),
            ("é\né", &["é", "é"]),
        ] {
            let units: Vec<_> = units.iter().map(|&unit| Unit::Text(unit.into())).collect();
            assert_eq!(lines(body.as_bytes()), Ok(units), "{body:?}");
        }
    }

    /// SPEC BAT-2.
    #[test]
    fn messagepack_units_are_preceded_by_their_lengths() {
        let body = encode_batch(&MESSAGEPACK, [&b"a\n"[..], b"", b"b"]);
        assert_eq!(body, &b"\0\0\0\x02a\n\0\0\0\0\0\0\0\x01b"[..]);
        let units = [&b"a\n"[..], b"", b"b"].map(|unit| Unit::Binary(Bytes::from_static(unit)));
        assert_eq!(lengths(&body), Ok(units.to_vec()));
        for cut in [1, 3, 5, 7, 9, body.len() - 1] {
            assert_eq!(lengths(&body[..cut]), Err(BatchError::Truncated), "{cut}");
        }
        assert_eq!(lengths(b"\xff\xff\xff\xff"), Err(BatchError::Truncated), "nothing is allocated for a claim");
    }

    /// SPEC §3.3.
    #[test]
    fn an_empty_body_is_a_batch_of_no_units() {
        assert_eq!(lines(b""), Ok(vec![]));
        assert_eq!(lines(b"\n"), Ok(vec![]));
        assert_eq!(lengths(b""), Ok(vec![]));
        assert!(encode_batch(&JSON, []).is_empty());
        assert!(encode_batch(&MESSAGEPACK, []).is_empty());
    }

    /// SPEC §14: units in a body.
    #[test]
    fn a_body_of_too_many_units_is_refused_before_they_are_kept() {
        assert_eq!(lines(b"a\nb\nc\nd\n").map(|units| units.len()), Ok(LIMIT));
        assert_eq!(lines(b"a\nb\nc\nd\ne"), Err(BatchError::TooManyUnits { limit: LIMIT }));
        assert_eq!(lines(&b"\n".repeat(1 << 20)), Err(BatchError::TooManyUnits { limit: LIMIT }));
        assert_eq!(lengths(&[0; 4 * LIMIT]).map(|units| units.len()), Ok(LIMIT));
        assert_eq!(lengths(&[0; 4 * LIMIT + 4]), Err(BatchError::TooManyUnits { limit: LIMIT }));
    }

    /// SPEC PST-1.
    #[test]
    fn a_body_is_taken_whole_or_not_at_all() {
        assert_eq!(lines(b"{\"ack\":1}\n\xff"), Err(BatchError::NotUtf8));
        assert_eq!(lengths(b"\0\0\0\x01a\0\0\0\x02b"), Err(BatchError::Truncated));
    }

    #[test]
    fn units_share_the_memory_of_the_body() {
        let body = Bytes::from(b"{\"ack\":1}\n{\"ack\":2}".to_vec());
        for unit in decode_batch(&JSON, &body, true, LIMIT).unwrap() {
            assert!(body.as_ptr_range().contains(&unit.as_bytes().as_ptr()));
        }
    }

    #[test]
    fn the_writer_tells_what_it_holds() {
        let mut writer = BatchWriter::new(&JSON);
        assert!(writer.is_empty());
        writer.push(b"");
        writer.push(b"ab");
        assert_eq!((writer.len(), writer.units(), writer.is_empty()), (3, 2, false));
        assert_eq!(writer.finish(), "\nab");
    }

    fn lines(body: &[u8]) -> Result<Vec<Unit>, BatchError> {
        decode_batch(&JSON, &Bytes::copy_from_slice(body), true, LIMIT)
    }

    fn lengths(body: &[u8]) -> Result<Vec<Unit>, BatchError> {
        decode_batch(&MESSAGEPACK, &Bytes::copy_from_slice(body), false, LIMIT)
    }
}
