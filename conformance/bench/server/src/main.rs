//! What the echo example lacks and the benchmarks need: rooms by path, audiences by tag and by predicate, TLS, heartbeats that
//! can be set. All of it by nosphere's public API.
//!
//!     bench-server [--addr 127.0.0.1:0] [tls] [heartbeat=SECONDS] [resume=SECONDS]
//!
//! `/echo` and `/broadcast` as in the example; `/rooms/{room}` sends to all in the room; `/tagged?group=…` to all who joined
//! the tag, `/matching?group=…` to all whom a function finds to be in the group.

use std::sync::Arc;
use std::time::Duration;

use common::Options;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use nosphere::{Client, Error, Event, Everyone, Handler, LocalAudience, Message, Server, ServerConfig, Tag};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig as TlsConfig;

struct Echo;

impl Handler for Echo {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Some(message) = message(event) {
            client.send(message)?;
        }
        Ok(())
    }
}

struct Broadcast;

impl Handler for Broadcast {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Some(message) = message(event) {
            client.broadcast_to(Everyone, message);
        }
        Ok(())
    }
}

/// Joins a tag, and sends to it.
struct Tagged(Tag);

impl Handler for Tagged {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Connected { .. } = event {
            client.join(self.0.clone())?;
        } else if let Some(message) = message(event) {
            client.broadcast_to(self.0.clone(), message);
        }
        Ok(())
    }
}

/// Says which group it is in, and sends to those who say the same.
struct Matching(Group);

#[derive(Clone, Copy, PartialEq)]
struct Group(u32);

impl Handler for Matching {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        let Self(group) = *self;
        if let Event::Connected { .. } = event {
            client.set_data(group);
        } else if let Some(message) = message(event) {
            let same =
                LocalAudience::matching(move |member| member.data::<Group>().is_some_and(|other| *other == group));
            client.broadcast_to(same, message);
        }
        Ok(())
    }
}

fn message(event: Event) -> Option<Message> {
    match event {
        Event::Text(text) => Some(text.into()),
        Event::Json(json) => Some(json.into()),
        Event::Binary(bytes) => Some(bytes.into()),
        _ => None,
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let Options { addr, words } = Options::read();
    let mut config = ServerConfig::default();
    let mut acceptor = None;
    for word in &words {
        match word.split_once('=') {
            None if word == "tls" => acceptor = Some(tls()?),
            Some(("heartbeat", seconds)) => config.session.heartbeat = Duration::from_secs(seconds.parse()?),
            Some(("resume", seconds)) => config.session.resume = Duration::from_secs(seconds.parse()?),
            _ => return Err(format!("what is {word}?").into()),
        }
    }
    let server = Server::builder()
        .config(config)
        .endpoint("/echo", |_head| Echo)
        .endpoint("/broadcast", |_head| Broadcast)
        .endpoint("/rooms/{room}", |_head| Broadcast)
        .endpoint("/tagged", |head| Tagged(head.query("group").and_then(|tag| Tag::new(&tag).ok()).expect("a group")))
        .endpoint("/matching", |head| {
            Matching(Group(head.query("group").and_then(|group| group.parse().ok()).expect("a group")))
        })
        .build()?;
    let listener = tokio::net::TcpListener::from_std(common::listen(addr)?)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        stream.set_nodelay(true)?;
        let server = server.clone();
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            match acceptor {
                None => serve(stream, server).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, server).await;
                    }
                }
            }
        });
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, server: Server) {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new());
    http.http2().timer(TokioTimer::new()).enable_connect_protocol();
    let _ = http.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(server)).await;
}

/// With a certificate of its own making.
fn tls() -> Result<TlsAcceptor, Error> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let config = TlsConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![made.cert.into()], made.signing_key.into())?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
