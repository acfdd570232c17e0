//! Rooms to talk in, in an axum application whose users log in.
//!
//!     cargo run --example axum -- --addr 127.0.0.1:8080
//!
//! `POST /login` with a name gives a cookie; with it, connect to `/rooms/{room}` by whatever means a browser has.

#![expect(clippy::print_stdout, clippy::wildcard_enum_match_arm, reason = "an application, not a library")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::ListenerExt as _;
use nosphere::{Client, Error, Event, Everyone, Handler, Refusal, RequestHead, Server};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Who is logged in at a time, at most.
const MAX_LOGINS: usize = 10_000;
/// The longest name, in bytes.
const MAX_NAME: usize = 64;
/// How long requests may take that are under way when the program is told to end.
const GRACE: Duration = Duration::from_secs(10);

/// Who makes a request. The middleware below puts it into the request's extensions.
#[derive(Clone)]
struct User(Arc<str>);

/// What one user sees of one room: an instance for every session, two for somebody with two tabs.
struct Room {
    user: User,
    peer: Option<SocketAddr>,
}

impl Room {
    /// Admits users and nobody else. A resumption passes here, too.
    fn admit(head: &RequestHead) -> Result<Self, Refusal> {
        let user = head.extensions().get().cloned().ok_or_else(|| Refusal::forbidden("log in first"))?;
        let peer = head.extensions().get().map(|ConnectInfo(peer)| *peer);
        Ok(Self { user, peer })
    }
}

impl Handler for Room {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        let User(name) = &self.user;
        match event {
            Event::Connected { transport } => {
                tracing::info!(%name, peer = ?self.peer, path = client.path(), %transport, "connected");
                let sink = format!("{:?}", client.sink());
                client.send(json!({ "you": &**name, "from": self.peer, "written": sink }))?;
                client.broadcast(json!({ "joined": &**name }));
            }
            Event::Text(text) => {
                client.broadcast_to(&Everyone, json!({ "from": &**name, "text": &*text }));
            }
            Event::Disconnected { .. } => {
                client.broadcast(json!({ "left": &**name }));
            }
            _ => {}
        }
        Ok(())
    }
}

/// What axum's own routes share. The server is one of them: it is cheap to clone, and broadcasts from anywhere.
#[derive(Clone)]
struct App {
    logins: Arc<Mutex<HashMap<String, User>>>,
    server: Server,
}

/// Gives out cookies. A password is what is missing here.
async fn log_in(State(app): State<App>, name: String) -> Result<impl IntoResponse, StatusCode> {
    let name = name.trim();
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(StatusCode::UNPROCESSABLE_ENTITY);
    }
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let token = format!("{:032x}", u128::from_ne_bytes(random));
    let mut logins = app.logins.lock().expect("nobody panics with it");
    if logins.len() >= MAX_LOGINS {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    let cookie = format!("login={token}; Path=/; HttpOnly; SameSite=Strict");
    logins.insert(token, User(name.into()));
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]))
}

/// Says who makes a request, to whatever answers it.
async fn authenticate(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let user = cookie(request.headers(), "login")
        .and_then(|token| app.logins.lock().expect("nobody panics with it").get(token).cloned());
    if let Some(user) = user {
        request.extensions_mut().insert(user);
    }
    next.run(request).await
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let pairs =
        headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('=')).find_map(|(key, value)| (key == name).then_some(value))
}

/// How many are in a room.
async fn count(State(app): State<App>, Path(room): Path<String>) -> String {
    app.server.sessions_on(&format!("/rooms/{room}")).to_string()
}

/// Tells a room something; answers how many were told.
async fn announce(State(app): State<App>, Path(room): Path<String>, text: String) -> String {
    let room = format!("/rooms/{room}");
    app.server.broadcaster().to(&room).send(json!({ "announced": text })).to_string()
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = Server::builder()
        .endpoint("/rooms/{room}", Room::admit)
        // Whoever opened a session is the only one who may resume it.
        .principal(|head| head.extensions().get().map(|User(name)| name.to_string()))
        .build()?;
    let state = App { logins: Arc::default(), server: server.clone() };
    let app = Router::new()
        .route("/", get(|| async { "POST /login, then connect to /rooms/{room}\n" }))
        .route("/login", post(log_in))
        .route("/rooms/{room}/count", get(count))
        .route("/rooms/{room}/announcements", post(announce))
        // Three ways to mount a server. One is enough: at one path, …
        .route_service("/rooms/lobby", server.clone())
        // … under a prefix, which endpoints and broadcasts do not see: this is /rooms/{room} again, …
        .nest_service("/live", server.clone())
        // … or wherever there is no route.
        .fallback_service(server.clone())
        // Last, so that it is around all of them.
        .layer(middleware::from_fn_with_state(state.clone(), authenticate))
        .with_state(state);

    let told_to_end = told_to_end()?;
    let listener = TcpListener::bind(address("127.0.0.1:8080")?).await?;
    println!("{}", json!({ "url": format!("http://{}", listener.local_addr()?) }));
    // Or small answers wait for the acknowledgement of others.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async { drop(stopped.await) });
    let ending = async {
        told_to_end.await;
        // Sessions first: axum does not know of WebSockets, and would wait for event streams for ever. Clients are told, and
        // answer: some by requests of their own, so axum goes on accepting connections meanwhile.
        server.shutdown().await;
        drop(stop);
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served?,
        () = ending => tracing::warn!("some requests were not answered in time"),
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
