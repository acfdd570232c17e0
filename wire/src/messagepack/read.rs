use rmp::Marker;

/// What is wrong with MessagePack that a peer sent.
pub(crate) type Problem = &'static str;

/// One scalar, or the head of a container.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    /// This many values follow.
    Array(u32),
    Bin(&'a [u8]),
    Bool(bool),
    Ext,
    Float(f64),
    /// This many keys and values follow.
    Map(u32),
    Negative(i64),
    Nil,
    /// Not checked to be UTF-8.
    Str(&'a [u8]),
    Unsigned(u64),
}

/// Reads MessagePack from memory. Takes nothing for granted and allocates nothing.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads a scalar whole, or the head of a container.
    pub(crate) fn value(&mut self) -> Result<Value<'a>, Problem> {
        let [marker] = self.array()?;
        Ok(match Marker::from_u8(marker) {
            Marker::Null => Value::Nil,
            Marker::True => Value::Bool(true),
            Marker::False => Value::Bool(false),
            Marker::FixPos(n) => Value::Unsigned(n.into()),
            Marker::U8 => Value::Unsigned(u8::from_be_bytes(self.array()?).into()),
            Marker::U16 => Value::Unsigned(u16::from_be_bytes(self.array()?).into()),
            Marker::U32 => Value::Unsigned(u32::from_be_bytes(self.array()?).into()),
            Marker::U64 => Value::Unsigned(u64::from_be_bytes(self.array()?)),
            Marker::FixNeg(n) => integer(n.into()),
            Marker::I8 => integer(i8::from_be_bytes(self.array()?).into()),
            Marker::I16 => integer(i16::from_be_bytes(self.array()?).into()),
            Marker::I32 => integer(i32::from_be_bytes(self.array()?).into()),
            Marker::I64 => integer(i64::from_be_bytes(self.array()?)),
            Marker::F32 => Value::Float(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Value::Float(f64::from_be_bytes(self.array()?)),
            Marker::FixStr(length) => Value::Str(self.take(length.into())?),
            Marker::Str8 => Value::Str(self.sized::<1>()?),
            Marker::Str16 => Value::Str(self.sized::<2>()?),
            Marker::Str32 => Value::Str(self.sized::<4>()?),
            Marker::Bin8 => Value::Bin(self.sized::<1>()?),
            Marker::Bin16 => Value::Bin(self.sized::<2>()?),
            Marker::Bin32 => Value::Bin(self.sized::<4>()?),
            Marker::FixArray(length) => Value::Array(length.into()),
            Marker::Array16 => Value::Array(self.length::<2>()?),
            Marker::Array32 => Value::Array(self.length::<4>()?),
            Marker::FixMap(length) => Value::Map(length.into()),
            Marker::Map16 => Value::Map(self.length::<2>()?),
            Marker::Map32 => Value::Map(self.length::<4>()?),
            Marker::FixExt1 => self.ext(1)?,
            Marker::FixExt2 => self.ext(2)?,
            Marker::FixExt4 => self.ext(4)?,
            Marker::FixExt8 => self.ext(8)?,
            Marker::FixExt16 => self.ext(16)?,
            Marker::Ext8 => self.long_ext::<1>()?,
            Marker::Ext16 => self.long_ext::<2>()?,
            Marker::Ext32 => self.long_ext::<4>()?,
            Marker::Reserved => return Err("the byte c1, which MessagePack does not use"),
        })
    }

    /// Passes over one value and everything in it.
    pub(crate) fn skip(&mut self) -> Result<(), Problem> {
        let mut left = 1_u64;
        while left > 0 {
            left -= 1;
            left += match self.value()? {
                Value::Array(length) => u64::from(length),
                Value::Map(length) => 2 * u64::from(length),
                Value::Bin(_) | Value::Bool(_) | Value::Ext | Value::Float(_) | Value::Nil | Value::Str(_) => 0,
                Value::Negative(_) | Value::Unsigned(_) => 0,
            };
            // Each value takes a byte at least.
            if left > self.rest.len() as u64 {
                return Err(TRUNCATED);
            }
        }
        Ok(())
    }

    /// What was not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    fn ext(&mut self, length: usize) -> Result<Value<'a>, Problem> {
        self.take(1 + length)?;
        Ok(Value::Ext)
    }

    fn long_ext<const N: usize>(&mut self) -> Result<Value<'a>, Problem> {
        let length = self.length::<N>()?;
        self.take(1)?;
        self.take(length as usize)?;
        Ok(Value::Ext)
    }

    fn sized<const N: usize>(&mut self) -> Result<&'a [u8], Problem> {
        let length = self.length::<N>()?;
        self.take(length as usize)
    }

    fn length<const N: usize>(&mut self) -> Result<u32, Problem> {
        Ok(self.array::<N>()?.iter().fold(0, |length, &byte| length << 8 | u32::from(byte)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*head)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Problem> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(head)
    }
}

fn integer(n: i64) -> Value<'static> {
    u64::try_from(n).map_or(Value::Negative(n), Value::Unsigned)
}

const TRUNCATED: Problem = "ends too early";
