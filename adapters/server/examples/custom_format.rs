//! A wire format of one's own, negotiated as `nosphere.v1.bare`: text and binary messages go as they are behind one
//! letter, everything else as in `json`. Small devices like it: nothing is quoted, escaped or in base64.
//!
//!     cargo run --example custom_format -- --addr 127.0.0.1:8080

#![expect(clippy::print_stdout, clippy::wildcard_enum_match_arm, reason = "an application, not a library")]

use std::net::SocketAddr;

use axum::Router;
use nosphere::{
    Client, DecodeError, EncodeError, Error, Event, Frame, Handler, Kind, Message, Payload, PayloadError, Server, Text,
    Unit, WireFormat,
};
use nosphere_wire::JSON;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The format. All units are binary, so there is no separator: batches write lengths, event streams base64.
#[derive(Debug)]
struct Bare;

impl WireFormat for Bare {
    fn name(&self) -> &'static str {
        "bare"
    }

    fn encode(&self, frame: Frame) -> Result<Unit, EncodeError> {
        let unit = match frame {
            Frame::Message(Payload::Text(text)) => [b"t", text.as_bytes()].concat(),
            Frame::Message(Payload::Binary(bytes)) => [b"b", &*bytes].concat(),
            other => JSON.encode(other)?.as_bytes().to_vec(),
        };
        Ok(Unit::Binary(unit.into()))
    }

    // Any bytes give a frame or an error. One that is a message, but cannot be read, costs the peer that message; what is
    // no frame at all costs it the link. Slices share the unit's memory: nothing is copied.
    fn decode(&self, unit: Unit) -> Result<Frame, DecodeError> {
        let Unit::Binary(bytes) = unit else { return Err(DecodeError::Malformed("text, where the format is binary")) };
        let payload = match bytes.first() {
            Some(b't') => {
                let text = Text::from_utf8(bytes.slice(1..));
                Payload::Text(text.map_err(|_| PayloadError::new(Kind::Text, "not UTF-8"))?)
            }
            Some(b'b') => Payload::Binary(bytes.slice(1..)),
            _ => {
                let json = Text::from_utf8(bytes).map_err(|_| DecodeError::Malformed("not UTF-8"))?;
                return JSON.decode(Unit::Text(json));
            }
        };
        Ok(Frame::Message(payload))
    }
}

/// Handlers need not know which format their client chose.
struct Echo;

impl Handler for Echo {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        let message: Message = match event {
            Event::Text(text) => text.into(),
            Event::Json(json) => json.into(),
            Event::Binary(bytes) => bytes.into(),
            Event::Error(error) => format!("not understood: {error}").into(),
            _ => return Ok(()),
        };
        Ok(client.send(message)?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = Server::builder().format(&Bare).endpoint("/echo", |_head| Echo).build()?;
    let app = Router::new().fallback_service(server.clone());

    let told_to_end = told_to_end()?;
    let listener = TcpListener::bind(address("127.0.0.1:8080")?).await?;
    println!("{}", serde_json::json!({ "url": format!("http://{}", listener.local_addr()?) }));
    let ending = async {
        told_to_end.await;
        // Clients are told, and answer: some by requests of their own, so this goes on accepting connections meanwhile.
        server.shutdown().await;
    };
    tokio::select! {
        served = axum::serve(listener, app).into_future() => served?,
        () = ending => {}
    }
    Ok(())
}

/// What `--addr` says.
fn address(default: &str) -> Result<SocketAddr, Error> {
    use lexopt::{Arg, ValueExt as _};
    let (mut address, mut arguments) = (default.parse()?, lexopt::Parser::from_env());
    while let Some(argument) = arguments.next()? {
        let Arg::Long("addr") = argument else { return Err(argument.unexpected().into()) };
        address = arguments.value()?.parse()?;
    }
    Ok(address)
}

/// Is done at the first SIGINT or SIGTERM after the call.
fn told_to_end() -> Result<impl Future<Output = ()>, Error> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
