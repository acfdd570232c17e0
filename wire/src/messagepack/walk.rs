use nosphere_core::MAX_DEPTH;

use super::read::{Problem, Reader, Value};

/// Takes the parts of a JSON value in their order. `()` takes them to check them.
pub(crate) trait Sink {
    fn null(&mut self) {}
    fn boolean(&mut self, _: bool) {}
    fn unsigned(&mut self, _: u64) {}
    fn negative(&mut self, _: i64) {}
    /// A finite number.
    fn float(&mut self, _: f64) {}
    fn string(&mut self, _: &str) {}
    /// The key of the value that comes next.
    fn key(&mut self, _: &str) {}
    fn open(&mut self, _object: bool) {}
    fn close(&mut self, _object: bool) {}
}

impl Sink for () {}

/// Reads one value, which must be within the data model of JSON (SPEC MSP-2, MSP-3), in constant memory of its own.
pub(crate) fn walk(reader: &mut Reader<'_>, sink: &mut impl Sink) -> Result<(), Problem> {
    let mut levels = Levels { left: [0; MAX_DEPTH as usize], objects: 0, depth: 0 };
    loop {
        if levels.wants_key() {
            let Value::Str(key) = reader.value()? else { return Err("a map with a key that is no string") };
            sink.key(utf8(key)?);
        }
        match reader.value()? {
            Value::Nil => sink.null(),
            Value::Bool(value) => sink.boolean(value),
            Value::Unsigned(value) => sink.unsigned(value),
            Value::Negative(value) => sink.negative(value),
            Value::Float(value) if value.is_finite() => sink.float(value),
            Value::Float(_) => return Err("NaN or an infinity, which JSON does not have"),
            Value::Str(value) => sink.string(utf8(value)?),
            Value::Bin(_) => return Err("bin, which JSON does not have"),
            Value::Ext => return Err("an extension type, which JSON does not have"),
            Value::Array(length) => levels.open(false, length, sink)?,
            Value::Map(length) => levels.open(true, length, sink)?,
        }
        if !levels.next(sink) {
            return Ok(());
        }
    }
}

/// The containers that are open.
struct Levels {
    /// How many values each still misses.
    left: [u32; MAX_DEPTH as usize],
    /// One bit each, the innermost lowest: 1 is an object.
    objects: u64,
    depth: usize,
}

impl Levels {
    fn open(&mut self, object: bool, length: u32, sink: &mut impl Sink) -> Result<(), Problem> {
        // One more than it misses: `next` takes the container's own head for one of its values.
        *self.left.get_mut(self.depth).ok_or("nested deeper than 64 levels")? =
            length.checked_add(1).ok_or("ends too early")?;
        self.objects = self.objects << 1 | u64::from(object);
        self.depth += 1;
        sink.open(object);
        Ok(())
    }

    /// Goes on after a value or a head. False at the end of the outermost value.
    fn next(&mut self, sink: &mut impl Sink) -> bool {
        while self.depth > 0 {
            let left = &mut self.left[self.depth - 1];
            *left -= 1;
            if *left > 0 {
                return true;
            }
            sink.close(self.objects & 1 == 1);
            self.objects >>= 1;
            self.depth -= 1;
        }
        false
    }

    fn wants_key(&self) -> bool {
        self.depth > 0 && self.objects & 1 == 1
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, Problem> {
    str::from_utf8(bytes).map_err(|_| "a string that is not UTF-8")
}
