//! What the examples share: the command line of DESIGN §8, and a plain hyper server.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Extensions, Request};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use nosphere::Server;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tower::Service;

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// Listens where `--addr` says, or on `PORT` of the environment, or at `default`; says so on standard output.
pub(crate) async fn listen(default: &str) -> Result<TcpListener, Error> {
    use lexopt::ValueExt as _;
    let mut addr: SocketAddr = default.parse()?;
    if let Some(port) = std::env::var("PORT").ok().filter(|port| !port.is_empty()) {
        addr.set_port(port.parse()?);
    }
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            lexopt::Arg::Long("addr") => addr = arguments.value()?.parse()?,
            argument => return Err(argument.unexpected().into()),
        }
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::INFO).init();
    let socket = if addr.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    let listener = socket.listen(4096)?;
    let url = format!("http://{}", listener.local_addr()?);
    #[expect(clippy::print_stdout, reason = "the line that whoever started this waits for")]
    {
        println!("{}", serde_json::json!({ "url": url }));
    }
    Ok(listener)
}

/// Serves HTTP/1.1 and HTTP/2 until the process is told to end and the sessions are ended.
pub(crate) async fn serve<S, B>(listener: TcpListener, service: S, server: &Server) -> Result<(), Error>
where
    S: Service<Request<Incoming>, Response = http::Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Error>,
{
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let ending = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        // Clients answer, some by requests of their own: this goes on accepting connections meanwhile.
        server.shutdown().await;
    };
    tokio::pin!(ending);
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new());
    http.http2().timer(TokioTimer::new()).enable_connect_protocol();
    let http = Arc::new(http);
    loop {
        let stream = tokio::select! {
            // Signals are looked at when nobody comes, or when so many have come that tokio wants others to have their turn.
            biased;
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: those who are here go first.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
            () = &mut ending => return Ok(()),
        };
        let (server, service, http) = (server.clone(), service.clone(), Arc::clone(&http));
        tokio::spawn(async move {
            // Handshakes of WebSockets need no HTTP server.
            let Some(stream) = server.accept(stream, Extensions::new()).await else { return };
            // Only latency depends on it.
            drop(stream.set_nodelay(true));
            let service = TowerToHyperService::new(service);
            let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service);
            // In a box, or every task is as large as this.
            if let Err(error) = Box::pin(connection).await {
                tracing::debug!(error, "a connection ended");
            }
        });
    }
}
