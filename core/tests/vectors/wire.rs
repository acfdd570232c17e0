//! Units and frames, bodies and units.

use nosphere_core::{Config, DecodeError, Unit, WireFormat};
use nosphere_wire::atmosphere::{AtmosphereFormat, Greeting};
use nosphere_wire::batch::{decode_batch, encode_batch};
use nosphere_wire::{JSON, MESSAGEPACK, PLAIN};
use serde_json::Value;

use super::notation::{bytes, frame, list, of_frame, one_or_more, string, unit};

pub(super) fn format(name: &str) -> &'static dyn WireFormat {
    match name {
        "json" => &JSON,
        "messagepack" => &MESSAGEPACK,
        "plain" => &PLAIN,
        "atmosphere" => super::atmosphere::any_format(),
        "atmosphere-beating" => AtmosphereFormat::of(Greeting::None, false, true),
        _ => panic!("no format: {name}"),
    }
}

/// A frame and its unit, in one format or in several.
pub(super) fn unit_case(case: &Value) -> Result<(), String> {
    let mut formats = case["units"].as_object().into_iter().flatten();
    formats.try_for_each(|(name, value)| {
        let mut units = one_or_more(value).iter();
        units.try_for_each(|value| one(case, format(name), &unit(value)).map_err(|it| format!("{name} {value}: {it}")))
    })
}

fn one(case: &Value, format: &dyn WireFormat, unit: &Unit) -> Result<(), String> {
    let decoded = format.decode(unit.clone());
    match (string(&case["verdict"]), decoded) {
        ("valid", Ok(decoded)) => {
            let expected = frame(&case["frame"], &Config::default());
            let (is, should) = (of_frame(&decoded), of_frame(&expected));
            if is != should {
                return Err(format!("decoded as {is}, should be {should}"));
            }
            if case["canonical"] == true {
                let encoded = format.encode(expected).map_err(|error| error.to_string())?;
                if encoded != *unit {
                    return Err(format!("encoded as {encoded:02x?}, should be {unit:02x?}"));
                }
            }
            Ok(())
        }
        ("invalid", Err(error)) => {
            let class = match error {
                DecodeError::Malformed(_) => "malformed",
                DecodeError::Payload(_) => "payload",
                other => panic!("no class: {other}"),
            };
            if case["error"] == class { Ok(()) } else { Err(format!("{class}: {error}, should be {}", case["error"])) }
        }
        ("either", _) => Ok(()),
        (verdict, decoded) => Err(format!("{decoded:?}, should be {verdict}")),
    }
}

pub(super) fn batch_case(case: &Value) -> Result<(), String> {
    let format = format(string(&case["format"]));
    let body = match unit(&case["body"]) {
        Unit::Text(text) => text.into_bytes(),
        Unit::Binary(bytes) => bytes,
    };
    let limit = case["limit"].as_u64().map_or(1024, |limit| limit as usize);
    let decoded = decode_batch(format, &body, format.is_text(), limit);
    if case["verdict"] == "invalid" {
        return decoded.map_or(Ok(()), |units| Err(format!("taken as {units:?}")));
    }
    let expected: Vec<_> = list(&case["units"]).iter().map(unit).collect();
    if decoded.as_ref() != Ok(&expected) {
        return Err(format!("{decoded:?}, should be {expected:?}"));
    }
    if case["canonical"] == true && encode_batch(format, expected.iter().map(Unit::as_bytes)) != body {
        return Err("written otherwise".into());
    }
    Ok(())
}

/// A body of `text/plain`, `application/json` or `application/octet-stream` (SPEC PLN-7).
pub(super) fn body_case(case: &Value) -> Result<(), String> {
    let kind = match string(&case["kind"]) {
        "text" => nosphere_core::Kind::Text,
        "json" => nosphere_core::Kind::Json,
        _ => nosphere_core::Kind::Binary,
    };
    let body = match unit(&case["body"]) {
        Unit::Text(text) => text.into_bytes(),
        Unit::Binary(_) => bytes(&case["body"]),
    };
    match (PLAIN.read_body(kind, body), &case["frame"]) {
        (Err(_), Value::Null) => Ok(()),
        (Ok(payload), expected) if !expected.is_null() => {
            let (is, should) = (of_frame(&nosphere_core::Frame::Message(payload)), expected);
            let should = &of_frame(&frame(should, &Config::default()));
            if is == *should { Ok(()) } else { Err(format!("read as {is}, should be {should}")) }
        }
        (read, expected) => Err(format!("{read:?}, should be {expected}")),
    }
}
