//! nosphere on bare hyper: HTTP/1.1 and HTTP/2 without TLS on one port, and an orderly end.
//!
//!     cargo run --example hyper -- --addr 127.0.0.1:8080

#![expect(clippy::print_stdout, reason = "an application, not a library")]

use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use nosphere::{Client, Error, Event, Handler, Server};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// How long requests may take that are under way when the program is told to end.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait when there are no descriptors for another connection.
const PAUSE: Duration = Duration::from_millis(50);

struct Echo;

impl Handler for Echo {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        if let Event::Text(text) = event {
            client.send(text)?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let server = Server::builder().endpoint("/echo", |_head| Echo).build()?;
    let service = TowerToHyperService::new(server.clone());

    let mut http = auto::Builder::new(TokioExecutor::new());
    // Without a timer hyper waits for a request's head as long as the client likes.
    http.http1().timer(TokioTimer::new());
    // WebSockets over HTTP/2 are extended CONNECTs (RFC 8441).
    http.http2().timer(TokioTimer::new()).enable_connect_protocol();

    let told_to_end = told_to_end()?;
    let ending = async {
        told_to_end.await;
        // Clients are told, and answer: some by requests of their own, so this goes on accepting connections meanwhile.
        server.shutdown().await;
    };
    tokio::pin!(ending);
    let listener = TcpListener::bind(address("127.0.0.1:8080")?).await?;
    println!("{}", serde_json::json!({ "url": format!("http://{}", listener.local_addr()?) }));
    let connections = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut ending => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Or small answers wait for the acknowledgement of others.
        drop(stream.set_nodelay(true));
        // "With upgrades", or there are no WebSockets.
        let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service.clone()).into_owned();
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, error, "a connection ended");
            }
        });
    }

    drop(listener);
    if tokio::time::timeout(GRACE, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests were not answered in time");
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
