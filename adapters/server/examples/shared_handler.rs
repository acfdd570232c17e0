//! Code that several endpoints share: `Secure` wraps any handler, lets nobody in who is not known, and looks at every event
//! first; `Member` is what the handlers inside have in common, as a field.
//!
//!     cargo run --example shared_handler -- --addr 127.0.0.1:8080
//!
//! `Authorization: Bearer alice-token` may write; `bob-token` may read.

#![expect(clippy::print_stdout, clippy::wildcard_enum_match_arm, reason = "an application, not a library")]

use std::net::SocketAddr;

use axum::Router;
use nosphere::{Client, Error, Event, Everyone, Handler, Json, Refusal, RequestHead, SendError, Server};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Somebody who may come in.
#[derive(Clone, Copy)]
struct User {
    name: &'static str,
    may_write: bool,
}

/// Who is known, by token. A database, in other programs.
const USERS: [(&str, User); 2] =
    [("alice-token", User { name: "alice", may_write: true }), ("bob-token", User { name: "bob", may_write: false })];

impl User {
    /// Who makes a request.
    fn of(head: &RequestHead) -> Option<Self> {
        let token = head.headers().get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
        USERS.iter().find_map(|(known, user)| (*known == token).then_some(*user))
    }
}

/// A handler for known users around another handler: what comes in passes here first.
struct Secure<H> {
    user: User,
    inner: H,
}

impl<H: Handler> Secure<H> {
    /// The factory of an endpoint. `make` is asked for users only.
    fn endpoint(make: fn(Member) -> H) -> impl Fn(&RequestHead) -> Result<Self, Refusal> {
        move |head| {
            let user = User::of(head).ok_or_else(|| Refusal::forbidden("a known token is needed"))?;
            Ok(Self { user, inner: make(Member { user }) })
        }
    }
}

impl<H: Handler> Handler for Secure<H> {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        let User { name, may_write } = self.user;
        let event = match event {
            // Stops messages, …
            Event::Text(_) | Event::Json(_) | Event::Binary(_) if !may_write => {
                return Ok(client.send(json!({ "error": "you may only read" }))?);
            }
            // … changes them: whoever reads `author` can rely on it, …
            Event::Json(line) => match line.parse::<Value>()? {
                Value::Object(mut line) => {
                    line.insert("author".into(), name.into());
                    Event::Json(Json::new(&line)?)
                }
                _ => return Ok(client.send(json!({ "error": "an object is needed" }))?),
            },
            // … and sees everything else go by.
            other => {
                tracing::info!(name, session = %client.id(), event = ?other);
                other
            }
        };
        self.inner.receive(client, event).await
    }
}

/// What every handler in here has.
struct Member {
    user: User,
}

impl Member {
    fn greet(&self, client: &Client) -> Result<(), SendError> {
        client.send(json!({ "hello": self.user.name, "path": client.path() }))
    }

    fn leave(&self, client: &Client) {
        client.broadcast(json!({ "left": self.user.name }));
    }
}

/// Passes lines on, to their author, too.
struct Chat(Member);

impl Handler for Chat {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        let Self(member) = self;
        match event {
            Event::Connected { .. } => member.greet(client)?,
            Event::Json(line) => {
                client.broadcast_to(&Everyone, line);
            }
            Event::Disconnected { .. } => member.leave(client),
            _ => {}
        }
        Ok(())
    }
}

/// Counts what its client writes.
struct Counter {
    member: Member,
    lines: u64,
}

impl Handler for Counter {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        match event {
            Event::Connected { .. } => self.member.greet(client)?,
            Event::Json(_) | Event::Text(_) | Event::Binary(_) => {
                self.lines += 1;
                client.send(json!({ "lines": self.lines }))?;
            }
            _ => {}
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = Server::builder()
        .endpoint("/chat", Secure::endpoint(Chat))
        .endpoint("/counter", Secure::endpoint(|member| Counter { member, lines: 0 }))
        .principal(|head| User::of(head).map(|user| user.name.to_owned()))
        .build()?;
    let app = Router::new().fallback_service(server.clone());

    let told_to_end = told_to_end()?;
    let listener = TcpListener::bind(address("127.0.0.1:8080")?).await?;
    println!("{}", json!({ "url": format!("http://{}", listener.local_addr()?) }));
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
