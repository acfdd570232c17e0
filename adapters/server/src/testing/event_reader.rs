use nosphere_core::{Frame, Payload, Text, Unit, WireFormat};
use nosphere_wire::JSON;

/// Reads the events of a stream from the pieces in which it comes.
#[derive(Debug, Default)]
pub(super) struct EventReader {
    /// What came and is no whole line yet.
    rest: Vec<u8>,
    id: Option<u64>,
    data: Option<String>,
}

/// The parts of an event that the protocol has a use for (SPEC §6).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StreamEvent {
    pub(super) id: Option<u64>,
    data: String,
}

/// A stream that no server of the protocol writes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAnEvent;

impl EventReader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// The next event that is whole. Lines of other fields, and comments, are passed over.
    pub(super) fn next(&mut self) -> Result<Option<StreamEvent>, NotAnEvent> {
        let mut start = 0;
        let mut event = None;
        while event.is_none()
            && let Some(length) = self.rest[start..].iter().position(|byte| *byte == b'\n')
        {
            let line = str::from_utf8(&self.rest[start..start + length]).map_err(|_| NotAnEvent)?;
            start += length + 1;
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "" if line.is_empty() => {
                    let id = self.id.take();
                    event = self.data.take().map(|data| StreamEvent { id, data });
                }
                "data" => match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                },
                "id" => self.id = Some(value.parse().map_err(|_| NotAnEvent)?),
                _ => {}
            }
        }
        self.rest.drain(..start);
        Ok(event)
    }
}

impl StreamEvent {
    /// The unit that the event carries (SPEC SSE-1).
    pub(super) fn into_unit(self, format: &dyn WireFormat) -> Result<Unit, NotAnEvent> {
        if format.is_text() {
            return Ok(Unit::Text(Text::from(self.data)));
        }
        // The base64 of an event is that of a binary message in `json` (SPEC JSN-2), which has a reader already.
        let message = Unit::Text(Text::from(format!(r#"{{"binary":"{}"}}"#, self.data)));
        let Ok(Frame::Message(Payload::Binary(bytes))) = JSON.decode(message) else { return Err(NotAnEvent) };
        Ok(Unit::Binary(bytes))
    }
}

#[cfg(test)]
mod tests {
    use nosphere_wire::MESSAGEPACK;

    use super::*;

    fn event(id: Option<u64>, data: &str) -> StreamEvent {
        StreamEvent { id, data: data.into() }
    }

    #[test]
    fn an_event_may_come_in_pieces_and_several_at_once() {
        let stream = ":\n\nid: 1\ndata: {\"text\":\"é\"}\n\ndata: {\"ping\":1}\n\nevent: other\ndata: a\ndata:  b\n\n";
        let expected = [event(Some(1), "{\"text\":\"é\"}"), event(None, "{\"ping\":1}"), event(None, "a\n b")];
        for size in 1..=stream.len() {
            let mut reader = EventReader::default();
            let mut events = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                reader.push(piece);
                while let Some(event) = reader.next().unwrap() {
                    events.push(event);
                }
            }
            assert_eq!(events, expected, "in pieces of {size}");
            assert_eq!(reader.rest, b"");
        }
    }

    #[test]
    fn what_no_server_writes_is_noticed() {
        for stream in [&b"data: \xff\n"[..], b"id: one\n"] {
            let mut reader = EventReader::default();
            reader.push(stream);
            assert_eq!(reader.next(), Err(NotAnEvent), "{stream:?}");
        }
    }

    #[test]
    fn binary_units_are_base64_and_nothing_else() {
        // SPEC SSE-1
        let unit = Unit::Binary(vec![1, 2].into());
        assert_eq!(event(None, "AQI=").into_unit(&MESSAGEPACK), Ok(unit));
        for data in ["AQI", "\"}", "AQI=\",\"x\":\""] {
            assert_eq!(event(None, data).into_unit(&MESSAGEPACK), Err(NotAnEvent), "{data}");
        }
    }
}
