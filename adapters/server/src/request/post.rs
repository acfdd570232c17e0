//! What clients send over HTTP.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use nosphere_core::{Batch, DecodeError, EncodeError, Frame, Kind, Text, Unit, WireFormat};
use nosphere_long_polling::{BodyError, read_body};
use nosphere_wire::PLAIN;
use nosphere_wire::batch::decode_batch;
use nosphere_wire::negotiation::{Dialect, Post, Refusal, headers};

use super::{Route, find, no_content, refusal};
use crate::Body;
use crate::patient::{Patient, Stalled};
use crate::shared::Shared;

pub(super) async fn post<B>(shared: &Arc<Shared>, route: &Route, post: Post, body: B) -> Result<Response<Body>, Refusal>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let Post { protocol, session, token, attachment, base, received, kind, .. } = post;
    let cell = find(shared, &route.head, session, &token)?;
    let refused = |refusal: Refusal| refusal.with_received(cell.report_received());
    if !cell.speaks(protocol.into(), protocol.format(), true) {
        return Err(refused(Refusal::bad_request("the session talks in another protocol")));
    }
    let place = cell.body(shared.config.max_bodies_per_session).ok_or_else(|| refused(Refusal::unavailable()))?;
    // The client's pong has to wait for this body: what comes of it is the sign of life (SPEC HB-3).
    let body = Patient::new(body, shared.config.session.timeout, || cell.hear(attachment));
    let body = read_body(body, shared.config.body_limit()).await.map_err(|error| {
        refused(match &error {
            BodyError::TooLarge(_) => Refusal::too_large(error.to_string()),
            BodyError::Broken(cause) if cause.is::<Stalled>() => Refusal::timeout(),
            BodyError::Broken(_) | _ => Refusal::bad_request("the body ended early"),
        })
    })?;
    drop(place);
    let answer = match protocol {
        Dialect::Native(format) => {
            let units = decode_batch(format, &body, format.is_text(), shared.config.max_units_per_body);
            let units = units.map_err(|error| refused(error.into()))?;
            // A unit that is kept must not keep the whole body.
            let units = units.into_iter().map(|unit| unit.detached(body.len())).collect();
            cell.handle_batch(Batch { attachment, base, received, units }, format)
        }
        Dialect::Plain | _ => {
            let format = PlainBody(kind.unwrap_or(Kind::Text));
            let unit = format.unit(body).map_err(refused)?;
            cell.handle_batch(Batch { attachment, base, received, units: vec![unit] }, &format)
        }
    };
    if let Err(fault) = answer.outcome {
        return Err(refusal(fault, answer.received));
    }
    let mut response = no_content();
    response.headers_mut().insert(headers::RECEIVED, answer.received.into());
    Ok(response)
}

/// A plain message whose kind its content type tells (SPEC PLN-7).
#[derive(Debug)]
struct PlainBody(Kind);

impl PlainBody {
    fn unit(&self, body: Bytes) -> Result<Unit, Refusal> {
        match self.0 {
            Kind::Binary => Ok(Unit::Binary(body)),
            Kind::Json | Kind::Text => match Text::from_utf8(body) {
                Ok(text) => Ok(Unit::Text(text)),
                Err(_) => Err(Refusal::malformed("the body is not UTF-8")),
            },
        }
    }
}

impl WireFormat for PlainBody {
    fn name(&self) -> &'static str {
        PLAIN.name()
    }

    fn encode(&self, frame: Frame) -> Result<Unit, EncodeError> {
        PLAIN.encode(frame)
    }

    fn decode(&self, unit: Unit) -> Result<Frame, DecodeError> {
        let bytes = match unit {
            Unit::Binary(bytes) => bytes,
            Unit::Text(text) => text.into_bytes(),
        };
        // A body that is not what it says is refused as a whole, not counted.
        let payload = PLAIN.read_body(self.0, bytes).map_err(|_| DecodeError::Malformed("the body is not JSON"))?;
        Ok(Frame::Message(payload))
    }
}
