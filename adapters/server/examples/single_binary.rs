//! An application in one file to copy to a server: page, endpoint, configuration, logs and an orderly end.
//!
//!     cargo build --release --example single_binary
//!     target/release/examples/single_binary --help

#![expect(clippy::print_stdout, clippy::wildcard_enum_match_arm, reason = "an application, not a library")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use nosphere::{Client, Error, Event, Everyone, Handler, OriginPolicy, Server, ServerConfig};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

const HELP: &str = "\
A board that everybody can pin notes to.

Usage: single_binary [OPTIONS]

  --addr ADDRESS        where to listen            BOARD_ADDR           127.0.0.1:8080
  --max-sessions N      the most clients           BOARD_MAX_SESSIONS   1000
  --max-notes N         the most notes kept        BOARD_MAX_NOTES      100
  --origin ORIGIN       whose pages may connect    BOARD_ORIGIN         its own only
  --log FILTER          what to log                BOARD_LOG            info
  --help                this

Options come before the environment. PORT sets the port alone, where no address is given.
";

/// The longest note, in bytes. All of them together fit a session's queue, however they are escaped.
const MAX_NOTE: usize = 500;
/// The most that `--max-notes` may say.
const MAX_NOTES: usize = 1000;
/// How long requests may take that are under way when the program is told to end.
const GRACE: Duration = Duration::from_secs(10);

/// What can be configured.
struct Options {
    address: SocketAddr,
    max_sessions: usize,
    max_notes: usize,
    origins: OriginPolicy,
    log: EnvFilter,
}

impl Options {
    /// Reads the command line, then the environment. `None`: help is wanted.
    fn read() -> Result<Option<Self>, Error> {
        use lexopt::{Arg, ValueExt as _};
        let [mut address, mut max_sessions, mut max_notes, mut origin, mut log] = [const { None::<String> }; 5];
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            let option = match argument {
                Arg::Long("addr") => &mut address,
                Arg::Long("max-sessions") => &mut max_sessions,
                Arg::Long("max-notes") => &mut max_notes,
                Arg::Long("origin") => &mut origin,
                Arg::Long("log") => &mut log,
                Arg::Long("help") => return Ok(None),
                other => return Err(other.unexpected().into()),
            };
            *option = Some(arguments.value()?.string()?);
        }
        let port = variable("PORT").map(|port| format!("127.0.0.1:{port}"));
        let address = address.or_else(|| variable("BOARD_ADDR")).or(port);
        let origins = match origin.or_else(|| variable("BOARD_ORIGIN")) {
            Some(origin) => OriginPolicy::same_origin().allow(&origin)?,
            None => OriginPolicy::same_origin(),
        };
        let max_notes = max_notes.or_else(|| variable("BOARD_MAX_NOTES")).as_deref().unwrap_or("100").parse()?;
        if max_notes > MAX_NOTES {
            return Err(format!("no more than {MAX_NOTES} notes can be kept").into());
        }
        Ok(Some(Self {
            address: address.as_deref().unwrap_or("127.0.0.1:8080").parse()?,
            max_sessions: max_sessions
                .or_else(|| variable("BOARD_MAX_SESSIONS"))
                .as_deref()
                .unwrap_or("1000")
                .parse()?,
            max_notes,
            origins,
            log: EnvFilter::try_new(log.or_else(|| variable("BOARD_LOG")).as_deref().unwrap_or("info"))?,
        }))
    }
}

/// A variable of the environment; an empty one is none.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What all clients share.
struct Board {
    /// The oldest first.
    notes: Mutex<VecDeque<String>>,
    max_notes: usize,
}

impl Board {
    /// Tells a client what is there. It is a member of the path already, and may have heard of some of these: it begins anew.
    fn show(&self, client: &Client) -> Result<(), Error> {
        let notes = self.notes.lock().expect("nobody panics with it");
        client.send(json!({ "notes": notes.len() }))?;
        for note in &*notes {
            client.send(json!({ "note": note }))?;
        }
        Ok(())
    }

    /// Keeps a note and tells everybody, in one go: whoever comes meanwhile sees it once.
    fn pin(&self, client: &Client, note: &str) {
        let mut notes = self.notes.lock().expect("nobody panics with it");
        notes.push_back(note.to_owned());
        let surplus = notes.len().saturating_sub(self.max_notes);
        notes.drain(..surplus);
        client.broadcast_to(&Everyone, json!({ "note": note }));
    }
}

/// One client.
struct Visitor(Arc<Board>);

impl Handler for Visitor {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        let Self(board) = self;
        match event {
            Event::Connected { .. } => board.show(client)?,
            Event::Text(note) if note.len() <= MAX_NOTE => board.pin(client, &note),
            Event::Text(_) => client.send(json!({ "error": format!("a note has {MAX_NOTE} bytes at most") }))?,
            _ => {}
        }
        Ok(())
    }
}

/// A file of the page, which is part of the program.
async fn file(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, "default-src 'self'; img-src data:; frame-ancestors 'none'"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, content)
}

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}; --help says what there is");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error, "it ends");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(options: Options) -> Result<(), Error> {
    let Options { address, max_sessions, max_notes, origins, log } = options;
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(log).init();
    let mut config = ServerConfig::default();
    config.max_sessions = max_sessions;
    let board = Arc::new(Board { notes: Mutex::default(), max_notes });
    let server = Server::builder()
        .config(config)
        .origins(origins)
        .endpoint("/board", move |_head| Visitor(Arc::clone(&board)))
        .build()?;
    let health = server.clone();
    let app = Router::new()
        .route("/", get(|| file("text/html;charset=utf-8", include_str!("single_binary/index.html"))))
        .route("/board.js", get(|| file("text/javascript;charset=utf-8", include_str!("single_binary/board.js"))))
        .route("/health", get(|| async move { json!({ "sessions": health.sessions() }).to_string() }))
        .fallback_service(server.clone());

    let told_to_end = told_to_end()?;
    let listener = TcpListener::bind(address).await?;
    println!("{}", json!({ "url": format!("http://{}", listener.local_addr()?) }));
    // Or small answers wait for the acknowledgement of others.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
    let ending = async {
        told_to_end.await;
        tracing::info!(sessions = server.sessions(), "told to end");
        // Sessions first: axum does not know of WebSockets, and would wait for event streams for ever. Clients are told, and
        // answer: some by requests of their own, so axum goes on accepting connections meanwhile.
        server.shutdown().await;
        drop(stop);
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving.into_future() => served?,
        () = ending => tracing::warn!("some requests were not answered in time"),
    }
    Ok(())
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
