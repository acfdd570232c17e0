use std::fmt;

use base64_simd::STANDARD;
use bytes::{BufMut as _, Bytes, BytesMut};
use nosphere_core::{Encoded, ResumeToken, SessionId};

/// Writes events into a buffer.
pub struct EventWriter {
    out: BytesMut,
    style: Style,
}

/// Whom the events are for.
enum Style {
    Atmosphere,
    Native,
    /// `<session>.<token>.`, before the count in an event's `id:`.
    Plain(Box<str>),
}

impl EventWriter {
    /// For clients of the native protocol (SPEC §6).
    pub fn native() -> Self {
        Self { out: BytesMut::new(), style: Style::Native }
    }

    /// For clients of atmosphere.js (SPEC ATM-15): events hold data and nothing else.
    ///
    /// `padded`: the stream begins with 2,000 spaces, for those who wait until they have so much.
    pub fn atmosphere(padded: bool) -> Self {
        let mut out = BytesMut::new();
        if padded {
            out.put_bytes(b' ', 2000);
            out.put_u8(b'\n');
        }
        Self { out, style: Style::Atmosphere }
    }

    /// For a stock `EventSource`, which can repeat nothing but an event's id (SPEC PLN-3).
    ///
    /// `lost`: the client asked to continue a session that is not known any more (SPEC PLN-4).
    pub fn plain(session: SessionId, token: ResumeToken, count: u64, lost: bool) -> Self {
        let name = format!("{session}.{}", token.reveal());
        let mut writer = Self { out: BytesMut::new(), style: Style::Plain(format!("{name}.").into()) };
        writer.event("session", name.as_bytes(), Some(count));
        if lost {
            writer.event("reset", b"", Some(count));
        }
        writer
    }

    /// An event for a unit; `number` is the message's, if it is one.
    pub fn write(&mut self, unit: &Encoded, number: Option<u64>) {
        if let Style::Atmosphere = self.style {
            self.lines(unit.payload());
        } else if unit.is_text() {
            self.id(number);
            self.data(unit.payload());
        } else {
            if let Style::Plain(_) = self.style {
                self.out.put_slice(b"event: binary\n");
            }
            self.id(number);
            self.data(STANDARD.encode_to_string(unit.payload()).as_bytes());
        }
    }

    /// A plain client missed `messages` that are not kept any more; the stream goes on behind `count` (SPEC PLN-4).
    pub fn lost(&mut self, messages: u64, count: u64) {
        self.event("reset", messages.to_string().as_bytes(), Some(count));
    }

    /// A sign of life that no client sees.
    pub fn comment(&mut self) {
        self.out.put_slice(b":\n\n");
    }

    /// What was written since the last call.
    pub fn take(&mut self) -> Bytes {
        self.out.split().freeze()
    }

    /// How many bytes were written since the last [`take`](Self::take).
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written since the last [`take`](Self::take).
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    fn event(&mut self, name: &str, data: &[u8], count: Option<u64>) {
        self.out.put_slice(b"event: ");
        self.out.put_slice(name.as_bytes());
        self.out.put_u8(b'\n');
        self.id(count);
        self.data(data);
    }

    fn id(&mut self, count: Option<u64>) {
        let Some(count) = count else { return };
        self.out.put_slice(b"id: ");
        if let Style::Plain(prefix) = &self.style {
            self.out.put_slice(prefix.as_bytes());
        }
        self.out.put_slice(count.to_string().as_bytes());
        self.out.put_u8(b'\n');
    }

    /// The same, as the original writes it. A space after the colon would be part of the framing, so one is written where the
    /// data begin with one.
    fn lines(&mut self, data: &[u8]) {
        for line in data.split(|&byte| byte == b'\n') {
            self.out.put_slice(if line.starts_with(b" ") { b"data: " } else { b"data:" });
            self.out.put_slice(line);
            self.out.put_slice(b"\r\n");
        }
        self.out.put_slice(b"\r\n");
    }

    /// One `data:` line for each line of the data.
    fn data(&mut self, data: &[u8]) {
        for line in data.split(|&byte| byte == b'\n') {
            self.out.put_slice(b"data: ");
            self.out.put_slice(line);
            self.out.put_u8(b'\n');
        }
        self.out.put_u8(b'\n');
    }
}

impl fmt::Debug for EventWriter {
    /// Without what was written, and without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = matches!(self.style, Style::Plain(_));
        f.debug_struct("EventWriter").field("bytes", &self.out.len()).field("plain", &plain).finish()
    }
}

#[cfg(test)]
mod tests {
    use nosphere_core::Unit;

    use super::*;

    fn text(text: &str) -> Encoded {
        Encoded::new(Unit::Text(text.into()))
    }

    #[test]
    fn a_message_carries_its_number_and_a_control_frame_none() {
        // SPEC SSE-1, SSE-2
        let mut events = EventWriter::native();
        events.write(&text("{\"ping\":0}"), None);
        events.write(&text("{\"text\":\"a\"}"), Some(7));
        assert_eq!(events.take(), "data: {\"ping\":0}\n\nid: 7\ndata: {\"text\":\"a\"}\n\n");
    }

    #[test]
    fn a_shared_unit_loses_its_websocket_header() {
        let mut events = EventWriter::native();
        events.write(&Encoded::shared(&Unit::Text("{}".into())), None);
        assert_eq!(events.take(), "data: {}\n\n");
    }

    #[test]
    fn binary_units_are_base64() {
        let mut events = EventWriter::native();
        events.write(&Encoded::new(Unit::Binary(Bytes::from_static(&[1, 2, 3]))), Some(1));
        assert_eq!(events.take(), "id: 1\ndata: AQID\n\n");
    }

    #[test]
    fn a_plain_stream_says_who_it_is_and_line_breaks_survive() {
        // SPEC PLN-3, PLN-4
        let session = SessionId::from([0; 16]);
        let token = ResumeToken::from_random([0x11; 16]);
        let name = "00000000-0000-0000-0000-000000000000.11111111111111111111111111111111";
        let mut events = EventWriter::plain(session, token, 0, true);
        assert_eq!(
            events.take(),
            format!("event: session\nid: {name}.0\ndata: {name}\n\nevent: reset\nid: {name}.0\ndata: \n\n")
        );
        events.write(&text("a\nb"), Some(1));
        assert_eq!(events.take(), format!("id: {name}.1\ndata: a\ndata: b\n\n"));
        events.write(&Encoded::new(Unit::Binary(Bytes::from_static(&[1]))), Some(2));
        assert_eq!(events.take(), format!("event: binary\nid: {name}.2\ndata: AQ==\n\n"));
        events.lost(3, 9);
        assert_eq!(events.take(), format!("event: reset\nid: {name}.9\ndata: 3\n\n"));
    }

    #[test]
    fn events_of_atmosphere_hold_data_and_nothing_else() {
        // SPEC ATM-15
        let mut events = EventWriter::atmosphere(false);
        assert!(events.is_empty());
        events.write(&text("a|b"), Some(7));
        events.write(&text("\na\n\n b\n"), Some(8));
        assert_eq!(events.take(), "data:a|b\r\n\r\ndata:\r\ndata:a\r\ndata:\r\ndata:  b\r\ndata:\r\n\r\n");
        let padded = EventWriter::atmosphere(true).take();
        assert_eq!((padded.len(), padded.trim_ascii().len(), padded.last()), (2001, 0, Some(&b'\n')));
    }
}
