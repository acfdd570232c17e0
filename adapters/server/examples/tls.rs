//! nosphere behind TLS by rustls: HTTP/2 or HTTP/1.1, whichever the client prefers.
//!
//!     cargo run --example tls -- --addr 127.0.0.1:8443 --certificate chain.pem --key key.pem
//!
//! Without files it makes itself a certificate for `localhost`, and prints it: no browser trusts that one.

#![expect(clippy::print_stdout, reason = "an application, not a library")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use nosphere::{Client, Error, Event, Handler, Server};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig as TlsConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long requests may take that are under way when the program is told to end.
const GRACE: Duration = Duration::from_secs(10);
/// How long to wait when there are no descriptors for another connection.
const PAUSE: Duration = Duration::from_millis(50);

/// A certificate with those that vouch for it, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Yours, from files.
fn identity(certificate: &Path, key: &Path) -> Result<Identity, Error> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    Ok((chain, PrivateKeyDer::from_pem_file(key)?))
}

/// One to try things out with, which lasts as long as the program; and the certificate as PEM, for clients to trust.
fn own_identity() -> Result<(Identity, String), Error> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    let pem = made.cert.pem();
    Ok(((vec![made.cert.into()], made.signing_key.into()), pem))
}

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
    let options = Options::read()?;
    let ((chain, key), to_trust) = match (options.certificate, options.key) {
        (Some(certificate), Some(key)) => (identity(&certificate, &key)?, None),
        (None, None) => own_identity().map(|(identity, pem)| (identity, Some(pem)))?,
        _ => return Err("--certificate and --key come together".into()),
    };
    let mut tls = TlsConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    // Without this every client speaks HTTP/1.1.
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(tls));

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
    let listener = TcpListener::bind(options.address).await?;
    let mut line = json!({ "url": format!("https://{}", listener.local_addr()?) });
    if let Some(pem) = to_trust {
        line["certificate"] = pem.into();
    }
    println!("{line}");
    let connections = GracefulShutdown::new();
    // A handshake takes as long as the peer likes, so others do not wait for it; nor does the end of the program.
    let mut handshakes = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                };
                // Or small answers wait for the acknowledgement of others.
                drop(stream.set_nodelay(true));
                handshakes.spawn(tokio::time::timeout(HANDSHAKE, tls.accept(stream)));
            }
            Some(shaken) = handshakes.join_next() => {
                let stream = match shaken {
                    Ok(Ok(Ok(stream))) => stream,
                    failed => {
                        tracing::debug!(?failed, "no TLS");
                        continue;
                    }
                };
                // "With upgrades", or there are no WebSockets.
                let connection = http.serve_connection_with_upgrades(TokioIo::new(stream), service.clone());
                let connection = connections.watch(connection.into_owned());
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(error, "a connection ended");
                    }
                });
            }
            () = &mut ending => break,
        }
    }

    drop(listener);
    if tokio::time::timeout(GRACE, connections.shutdown()).await.is_err() {
        tracing::warn!("some requests were not answered in time");
    }
    Ok(())
}

/// The command line.
struct Options {
    address: SocketAddr,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Options {
    fn read() -> Result<Self, Error> {
        use lexopt::{Arg, ValueExt as _};
        let mut options = Self { address: ([127, 0, 0, 1], 8443).into(), certificate: None, key: None };
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("addr") => options.address = arguments.value()?.parse()?,
                Arg::Long("certificate") => options.certificate = Some(arguments.value()?.into()),
                Arg::Long("key") => options.key = Some(arguments.value()?.into()),
                Arg::Short(_) | Arg::Long(_) | Arg::Value(_) => return Err(argument.unexpected().into()),
            }
        }
        Ok(options)
    }
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
