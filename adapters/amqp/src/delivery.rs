use std::collections::BTreeMap;

use bytes::Bytes;
use lapin::types::AMQPValue;
use nosphere::{Json, Message, Text};

/// What the broker delivered, as a mapping sees it.
///
/// ```
/// use nosphere::{Kind, Payload};
/// use nosphere_amqp::Delivery;
///
/// let mut delivery = Delivery::default(); // as in a test of a mapping
/// delivery.content_type = Some("application/json".into());
/// delivery.body = r#"{"author":"System"}"#.into();
/// assert_eq!(delivery.message()?.payload().kind(), Kind::Json);
/// # Ok::<(), nosphere::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// What was published.
    pub body: Bytes,
    /// What its publisher says that the body is: `application/json`.
    pub content_type: Option<String>,
    /// The exchange that it was published to; empty for the default one.
    pub exchange: String,
    /// Those of its headers that are text.
    pub headers: BTreeMap<String, String>,
    /// What its publisher names it by, if it does: with it, a client can tell a repetition.
    pub message_id: Option<String>,
    /// Whether the broker has delivered it before, to this source or to another. It may have been broadcast then.
    pub redelivered: bool,
    /// The routing key that it was published with.
    pub routing_key: String,
}

impl Delivery {
    /// The body as a message, its kind chosen by the content type.
    ///
    /// | content type | body | message |
    /// |---|---|---|
    /// | `application/json`, `…+json` | JSON | JSON |
    /// | the same | anything else | an error |
    /// | `text/…`, any with `charset=utf-8`, none | UTF-8 | text |
    /// | the same | anything else | binary |
    /// | any other | anything | binary, so that the kind does not hang on chance |
    ///
    /// # Errors
    ///
    /// When the body should be JSON and is not, or nests deeper than nosphere does.
    pub fn message(&self) -> Result<Message, nosphere::Error> {
        let body = self.body.clone();
        match form(self.content_type.as_deref()) {
            Form::Binary => Ok(body.into()),
            Form::Json => {
                let text = Text::from_utf8(body).map_err(|_| "JSON that is not UTF-8")?;
                Ok(Json::from_text(&text)?.into())
            }
            Form::Text => Ok(Text::from_utf8(body).map_or_else(Message::binary, Message::text)),
        }
    }
}

impl From<lapin::message::Delivery> for Delivery {
    fn from(delivery: lapin::message::Delivery) -> Self {
        let properties = &delivery.properties;
        let headers = properties.headers().iter().flatten();
        Self {
            content_type: properties.content_type().as_ref().map(ToString::to_string),
            headers: headers.filter_map(|(name, value)| Some((name.to_string(), text(value)?.into()))).collect(),
            message_id: properties.message_id().as_ref().map(ToString::to_string),
            redelivered: delivery.redelivered,
            body: delivery.data.into(),
            exchange: delivery.exchange.into(),
            routing_key: delivery.routing_key.into(),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Json,
    Text,
}

/// What a content type says about a body.
fn form(content_type: Option<&str>) -> Form {
    let Some(content_type) = content_type else { return Form::Text };
    let content_type = content_type.to_ascii_lowercase();
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if media_type == "application/json" || media_type.ends_with("+json") {
        Form::Json
    } else if media_type.starts_with("text/") || parts.any(|part| UTF_8.contains(&part)) {
        Form::Text
    } else {
        Form::Binary
    }
}

fn text(value: &AMQPValue) -> Option<&str> {
    if let AMQPValue::LongString(text) = value { str::from_utf8(text.as_bytes()).ok() } else { None }
}

const UTF_8: [&str; 2] = ["charset=utf-8", "charset=\"utf-8\""];

#[cfg(test)]
mod tests {
    use nosphere::{Kind, Payload};

    use super::*;

    fn kind(content_type: Option<&str>, body: &'static [u8]) -> Option<Kind> {
        let content_type = content_type.map(str::to_owned);
        let delivery = Delivery { content_type, body: Bytes::from_static(body), ..Delivery::default() };
        delivery.message().ok().map(|message| message.payload().kind())
    }

    #[test]
    fn the_content_type_decides_the_kind_and_the_body_only_where_it_must() {
        for json in ["application/json", "APPLICATION/JSON; charset=utf-8", "application/cloudevents+json"] {
            assert_eq!(kind(Some(json), b"[1]"), Some(Kind::Json), "{json}");
            for bad in [&b"[1"[..], b"", b"\"\xff\""] {
                assert_eq!(kind(Some(json), bad), None, "{json}");
            }
        }
        for text in [None, Some("text/plain"), Some("Text/CSV"), Some("application/xml; Charset=\"UTF-8\"")] {
            assert_eq!(kind(text, b"{}"), Some(Kind::Text), "{text:?}");
            assert_eq!(kind(text, b""), Some(Kind::Text), "{text:?}");
            assert_eq!(kind(text, b"\xff"), Some(Kind::Binary), "{text:?}");
        }
        for binary in ["application/octet-stream", "application/x-protobuf", "application/xml; charset=latin1", ""] {
            assert_eq!(kind(Some(binary), b"{}"), Some(Kind::Binary), "{binary}");
        }
    }

    #[test]
    fn json_that_nests_too_deep_is_an_error_and_not_a_message_that_no_client_takes() {
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        let delivery =
            Delivery { content_type: Some("application/json".into()), body: deep.into(), ..Delivery::default() };
        assert!(delivery.message().unwrap_err().to_string().contains("deep"));
    }

    #[test]
    fn json_is_put_on_one_line() {
        let delivery = Delivery {
            content_type: Some("application/json".into()),
            body: "{\n\"a\":\r\n1}".into(),
            ..Default::default()
        };
        let Payload::Json(json) = delivery.message().unwrap().into_payload() else { panic!("no JSON") };
        assert_eq!(&json.bytes()[..], br#"{"a":1}"#);
    }
}
