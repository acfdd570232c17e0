use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Method;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::http2::Http2;
use crate::program::{Program, refusal};
use crate::support::*;

/// Who is trusted: the certificate that the example has made and printed.
fn printed(program: &Program) -> CertificateDer<'static> {
    let pem = program.line["certificate"].as_str().expect("a certificate");
    CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")
}

async fn connect(
    program: &Program,
    trusted: Option<CertificateDer<'static>>,
    name: &str,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(trusted);
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(program.addr).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

fn chosen(stream: &TlsStream<TcpStream>) -> Option<&str> {
    stream.get_ref().1.alpn_protocol().map(|name| str::from_utf8(name).expect("ASCII"))
}

async fn websocket(stream: TlsStream<TcpStream>) -> Ws {
    Ws::over(Box::new(stream), "wss://localhost/echo", None, &[]).await.expect("a WebSocket")
}

async fn echoes(ws: &mut Ws) {
    for message in ["hello", &"x".repeat(100_000)] {
        ws.text(message).await;
        assert_eq!(ws.next_text().await, message);
    }
}

#[tokio::test]
async fn the_client_chooses_the_version_of_http() {
    let program = Program::start("tls").await;
    for name in ["localhost", "127.0.0.1"] {
        let stream = connect(&program, Some(printed(&program)), name, &["h2", "http/1.1"]).await.unwrap();
        assert_eq!(chosen(&stream), Some("h2"));
        let mut http2 = Http2::over(stream, "https", name).await;
        assert_eq!(http2.send(Method::GET, "/nowhere").await.refusal(), (404, ""));
        assert_eq!(http2.events("/echo").await.next().await.expect("a session").name, "session");
        echoes(&mut http2.websocket("/echo", &[]).await).await;
    }
    for alpn in [&["http/1.1"][..], &[]] {
        let stream = connect(&program, Some(printed(&program)), "localhost", alpn).await.unwrap();
        assert_eq!(chosen(&stream), alpn.first().copied());
        echoes(&mut websocket(stream).await).await;
    }
    program.end().await;
}

#[tokio::test]
async fn a_page_served_over_https_is_of_the_servers_own_origin() {
    let program = Program::start("tls").await;
    for (origin, admitted) in [("https://localhost", true), ("https://evil.example", false)] {
        let stream = connect(&program, Some(printed(&program)), "localhost", &[]).await.unwrap();
        let headers = [("origin", origin.to_owned())];
        let asked = Ws::over(Box::new(stream), "wss://localhost/echo", None, &headers).await;
        assert_eq!(asked.is_ok(), admitted, "{origin}");
    }
    program.end().await;
}

#[tokio::test]
async fn who_does_not_trust_the_certificate_or_speaks_no_tls_disturbs_nobody() {
    let program = Program::start("tls").await;
    let stream = connect(&program, Some(printed(&program)), "localhost", &[]).await.unwrap();
    let mut ws = websocket(stream).await;
    assert!(connect(&program, None, "localhost", &[]).await.is_err());
    assert!(connect(&program, Some(printed(&program)), "elsewhere.example", &[]).await.is_err());
    let mut plaintext = TcpStream::connect(program.addr).await.unwrap();
    plaintext.write_all(b"GET /echo HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // An alert of TLS, or nothing but the end.
    drop(soon(plaintext.read_to_end(&mut answer)).await);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // One that never begins its handshake holds up neither the others nor the end.
    let silent = TcpStream::connect(program.addr).await.unwrap();
    echoes(&mut ws).await;
    program.signal("TERM");
    assert_eq!(ws.closed().await, (1001, "going-away".into()));
    program.ended().await;
    drop(silent);
}

#[tokio::test]
async fn a_certificate_from_files_is_used_with_those_that_vouch_for_it() {
    let authority = |name: &str| {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params
    };
    let root = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
    let between = CertifiedIssuer::signed_by(authority("between"), KeyPair::generate().unwrap(), &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["chat.example".to_owned()]).unwrap().signed_by(&key, &between).unwrap();

    let files = Files::new();
    let chain = files.write("chain.pem", &[leaf.pem(), between.pem()].concat());
    let key = files.write("key.pem", &key.serialize_pem());
    let arguments = ["--addr", "127.0.0.1:0", "--certificate", &chain, "--key", &key];
    let program = Program::with("tls", &arguments, &[]).await;
    assert!(program.line.get("certificate").is_none(), "only its own one is printed");
    let stream = connect(&program, Some(root.der().clone()), "chat.example", &[]).await.unwrap();
    echoes(&mut websocket(stream).await).await;
    program.end().await;

    for (arguments, said) in [
        (&["--certificate", &*chain][..], "come together"),
        (&["--key", &key], "come together"),
        (&["--certificate", &chain, "--key", &chain], "NoItemsFound"),
        (&["--certificate", "/nowhere", "--key", &key], "NotFound"),
    ] {
        let (status, stdout, stderr) = refusal("tls", arguments, &[]).await;
        assert!(!status.success() && stdout.is_empty(), "{arguments:?}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
}

/// A directory of one test, removed with it.
struct Files(PathBuf);

impl Files {
    fn new() -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{}", std::process::id()));
        std::fs::create_dir_all(&directory).expect("a directory");
        Self(directory)
    }

    fn write(&self, name: &str, content: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).expect("a file");
        path.into_os_string().into_string().expect("UTF-8")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What is left is in the target directory.
        drop(std::fs::remove_dir_all(&self.0));
    }
}
