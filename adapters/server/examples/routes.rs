//! Endpoints in front of a service that was there before, on paths of their own and on one of its paths.
//!
//!     cargo run --example routes -- --addr 127.0.0.1:8080
//!
//! `/echo` is a page to whoever asks for a page, and an endpoint to whoever asks for a WebSocket, an event stream or a poll.

#![expect(clippy::print_stdout, reason = "an application, not a library")]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use nosphere::{Client, Error, Event, Handler, Server};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tower::service_fn;

/// The longest body that the application reads, in bytes.
const MAX_BODY: usize = 64 << 10;
/// How long to wait when there are no descriptors for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// The service that was there before.
async fn application(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let answer = |status: StatusCode, text: &[u8]| {
        let mut response = Response::new(Full::new(Bytes::copy_from_slice(text)));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=utf-8"));
        response
    };
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/") => answer(StatusCode::OK, b"home"),
        (&Method::GET | &Method::HEAD, "/echo") => answer(StatusCode::OK, b"echo ok"),
        (&Method::POST, "/echo") => match Limited::new(request.into_body(), MAX_BODY).collect().await {
            Ok(body) => answer(StatusCode::OK, &body.to_bytes()),
            Err(_) => answer(StatusCode::PAYLOAD_TOO_LARGE, b"too much to echo"),
        },
        (_, "/" | "/echo") => answer(StatusCode::METHOD_NOT_ALLOWED, b"not like that"),
        _ => answer(StatusCode::NOT_FOUND, b"no such page"),
    }
}

struct Echo;

impl Handler for Echo {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Text(text) = event {
            client.send(json!({ "seen": text }))?;
        }
        Ok(())
    }
}

struct News;

impl Handler for News {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Connected { .. } = event {
            client.send(json!({ "news": client.path() }))?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = Server::builder().endpoint("/echo", |_head| Echo).endpoint("/news/{topic}", |_head| News).build()?;

    // The application gets, whole, whatever is not for an endpoint.
    let application = service_fn(async |request| Ok::<_, Infallible>(application(request).await));
    let service = TowerToHyperService::new(server.clone().in_front_of(application));

    let told_to_end = told_to_end()?;
    let ending = async {
        told_to_end.await;
        // Clients are told, and answer: some by requests of their own, so this goes on accepting connections meanwhile.
        server.shutdown().await;
    };
    tokio::pin!(ending);
    let listener = TcpListener::bind(address("127.0.0.1:8080")?).await?;
    println!("{}", json!({ "url": format!("http://{}", listener.local_addr()?) }));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut ending => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        drop(stream.set_nodelay(true));
        let service = service.clone();
        tokio::spawn(async move {
            let mut http = auto::Builder::new(TokioExecutor::new());
            http.http1().timer(TokioTimer::new());
            http.http2().timer(TokioTimer::new()).enable_connect_protocol();
            if let Err(error) = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await {
                tracing::debug!(error, "a connection ended");
            }
        });
    }
    // The example `hyper` also waits for requests that are under way.
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
