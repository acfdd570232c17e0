//! Frames to units and back.

use std::hint::black_box;

use nosphere_core::{Frame, Json, Payload, Unit, WireFormat};

use crate::text;

pub(crate) const JSON: usize = 0;
pub(crate) const MESSAGEPACK: usize = 1;

const FORMATS: [&dyn WireFormat; 2] = [&nosphere_wire::JSON, &nosphere_wire::MESSAGEPACK];

pub(crate) fn encode_text<const FORMAT: usize>(count: usize) {
    encode(FORMATS[FORMAT], &a_text(), count);
}

pub(crate) fn decode_text<const FORMAT: usize>(count: usize) {
    decode(FORMATS[FORMAT], a_text(), count);
}

pub(crate) fn encode_json<const FORMAT: usize>(count: usize) {
    encode(FORMATS[FORMAT], &a_line(), count);
}

pub(crate) fn decode_json<const FORMAT: usize>(count: usize) {
    decode(FORMATS[FORMAT], a_line(), count);
}

fn encode(format: &dyn WireFormat, frame: &Frame, count: usize) {
    for _ in 0..count {
        black_box(format.encode(black_box(frame.clone())).expect("a form"));
    }
}

fn decode(format: &dyn WireFormat, frame: Frame, count: usize) {
    let unit: Unit = format.encode(frame).expect("a form");
    for _ in 0..count {
        black_box(format.decode(black_box(unit.clone())).expect("a frame"));
    }
}

fn a_text() -> Frame {
    Frame::Message(Payload::Text(text(100).into()))
}

/// A line of a chat.
fn a_line() -> Frame {
    let line = format!(r#"{{"author":"joe","message":"{}","time":1764236543210}}"#, text(100));
    Frame::Message(Payload::Json(Json::from_text(&line.into()).expect("JSON")))
}
