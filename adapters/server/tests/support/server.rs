use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use nosphere::{Builder, Refusal, RequestHead, Scheduling, Server, ServerConfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{Log, Probe};

/// A server on a port of its own, and what its handlers see.
///
/// | path | handler |
/// |---|---|
/// | `/echo` | sends back |
/// | `/quiet` | does nothing |
/// | `/room`, `/rooms/{id}` | sends to everybody else |
/// | `/refused` | is refused |
pub(crate) struct TestServer {
    pub(crate) addr: SocketAddr,
    pub(crate) server: Server,
    pub(crate) log: Log,
    task: JoinHandle<()>,
}

/// Who serves HTTP.
#[derive(Clone)]
pub(crate) enum Serving {
    /// hyper-util's `auto`: HTTP/1.1 and HTTP/2.
    Auto,
    Axum,
    /// hyper's own HTTP/1.1.
    Http1,
    /// `auto` behind TLS.
    Tls(Arc<tokio_rustls::rustls::ServerConfig>),
}

impl TestServer {
    pub(crate) async fn start(config: ServerConfig) -> Self {
        Self::with(config, Serving::Auto, |builder| builder).await
    }

    pub(crate) async fn with(config: ServerConfig, serving: Serving, more: impl FnOnce(Builder) -> Builder) -> Self {
        let (sender, log) = Log::new();
        let endpoint = |react| {
            let sender = sender.clone();
            move |_: &RequestHead| Probe::new(&sender, &react)
        };
        let builder = Server::builder()
            .config(config)
            .endpoint("/echo", endpoint(Probe::echo()))
            .endpoint("/quiet", endpoint(Probe::quiet()))
            .endpoint("/room", endpoint(Probe::room()))
            .endpoint("/rooms/{id}", endpoint(Probe::room()))
            .endpoint("/refused", |_| Err::<Probe, _>(Refusal::forbidden("not you")));
        let builder = match std::env::var("NOSPHERE_SCHEDULING").as_deref() {
            Ok("tasks") => builder.scheduling(Scheduling::Tasks),
            Ok(other) => panic!("NOSPHERE_SCHEDULING={other}: only `tasks` is known"),
            Err(_) => builder,
        };
        let server = more(builder).build().expect("a server that can be built");
        let listener = listen().await;
        let addr = listener.local_addr().expect("it is bound");
        let task = tokio::spawn(serve(listener, server.clone(), serving));
        Self { addr, server, log, task }
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}

pub(crate) async fn serve(listener: TcpListener, server: Server, serving: Serving) {
    if let Serving::Axum = serving {
        let app = axum::Router::new().route("/", axum::routing::get(|| async { "page" })).fallback_service(server);
        return axum::serve(listener, app).await.expect("axum serves");
    }
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        let service = TowerToHyperService::new(server.clone());
        let serving = serving.clone();
        tokio::spawn(async move {
            let mut auto = auto::Builder::new(TokioExecutor::new());
            auto.http2().enable_connect_protocol();
            // Clients that go away are none of the server's errors.
            match serving {
                Serving::Http1 => {
                    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await);
                }
                Serving::Tls(config) => {
                    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
                    drop(auto.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
                }
                Serving::Auto | Serving::Axum => {
                    drop(auto.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
                }
            }
        });
    }
}

/// The error type that a service must have to be mounted anywhere.
const _: fn() = || {
    fn infallible<S: tower::Service<http::Request<hyper::body::Incoming>, Error = Infallible>>() {}
    infallible::<Server>();
};
