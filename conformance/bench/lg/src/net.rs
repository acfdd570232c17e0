//! Sockets that do not block, and epoll.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use socket2::{Domain, Socket, Type};

use crate::options::{Error, Options};

pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
}

impl Poller {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, events: Vec::with_capacity(4096) })
    }

    /// Tells of both directions, once for each change.
    pub(crate) fn add(&self, link: &Link, id: usize) -> Result<(), Error> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, link.tcp(), EventData::new_u64(id as u64), flags)?)
    }

    /// The ids of the sockets to which something happened.
    pub(crate) fn wait(&mut self, limit: Duration, ids: &mut Vec<usize>) -> Result<(), Error> {
        ids.clear();
        let limit = limit.try_into()?;
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut self.events), Some(&limit)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        ids.extend(self.events.drain(..).map(|event| event.data.u64() as usize));
        Ok(())
    }
}

/// How to reach the server.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) addr: SocketAddr,
    source: Option<IpAddr>,
    tls: Option<Arc<ClientConfig>>,
}

impl Target {
    pub(crate) fn new(options: &Options) -> Result<Self, Error> {
        let most = getrlimit(Resource::Nofile).maximum;
        setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?;
        let source = options.text("source", "");
        Ok(Self {
            addr: options.addr()?,
            source: if source.is_empty() { None } else { Some(source.parse()?) },
            tls: if options.flag("tls") { Some(tls()?) } else { None },
        })
    }

    pub(crate) fn connect(&self) -> Result<Link, Error> {
        let socket = self.socket()?;
        socket.connect(&self.addr.into())?;
        let mut tcp = TcpStream::from(socket);
        let stream = match &self.tls {
            None => Stream::Plain(tcp),
            Some(config) => {
                let mut connection = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost")?)?;
                while connection.is_handshaking() {
                    connection.complete_io(&mut tcp)?;
                }
                Stream::Tls(Box::new(StreamOwned::new(connection, tcp)))
            }
        };
        let link = Link { stream, out: vec![], at: 0 };
        link.tcp().set_nonblocking(true)?;
        Ok(link)
    }

    /// Does not wait until the connection is up. Whether it is, the first use tells.
    pub(crate) fn begin(&self) -> Result<Link, Error> {
        let socket = self.socket()?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.addr.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Link { stream: Stream::Plain(socket.into()), out: vec![], at: 0 })
    }

    fn socket(&self) -> Result<Socket, Error> {
        let socket = Socket::new(Domain::for_address(self.addr), Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        // A test leaves no sockets behind that wait for late packets, and a cut is a cut.
        socket.set_linger(Some(Duration::ZERO))?;
        if let Some(source) = self.source {
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        Ok(socket)
    }
}

pub(crate) struct Link {
    stream: Stream,
    /// What the socket has not taken yet begins at `at`.
    out: Vec<u8>,
    at: usize,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Link {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &tls.sock,
        }
    }

    /// How much of the server's bytes the kernel keeps for a client that does not read.
    pub(crate) fn keep_little(&self) -> Result<(), Error> {
        Ok(rustix::net::sockopt::set_socket_recv_buffer_size(self.tcp().as_fd(), 4096)?)
    }

    /// `None` when there is nothing, 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<Option<usize>> {
        let read = match &mut self.stream {
            Stream::Plain(tcp) => tcp.read(buffer),
            Stream::Tls(tls) => tls.read(buffer),
        };
        match read {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether a read that did not fill the buffer has emptied the socket.
    pub(crate) fn short_is_empty(&self) -> bool {
        matches!(self.stream, Stream::Plain(_))
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if !self.out.is_empty() {
            self.out.extend_from_slice(bytes);
            return self.flush();
        }
        let written = self.write(bytes)?;
        if written < bytes.len() {
            self.out.extend_from_slice(&bytes[written..]);
            return self.flush();
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> std::io::Result<()> {
        while self.at < self.out.len() {
            let rest = std::mem::take(&mut self.out);
            let written = self.write(&rest[self.at..]);
            self.out = rest;
            match written? {
                0 => return Ok(()),
                written => self.at += written,
            }
        }
        self.out.clear();
        self.at = 0;
        match &mut self.stream {
            Stream::Plain(_) => Ok(()),
            Stream::Tls(tls) => would_block(tls.flush(), ()),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = match &mut self.stream {
            Stream::Plain(tcp) => tcp.write(bytes),
            Stream::Tls(tls) => tls.write(bytes),
        };
        would_block(written, 0)
    }
}

fn would_block<T>(result: std::io::Result<T>, instead: T) -> std::io::Result<T> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(instead),
        result => result,
    }
}

pub(crate) fn tls() -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.dangerous().with_custom_certificate_verifier(Arc::new(Anything)).with_no_client_auth()))
}

/// The server's certificate was made a moment ago, on this machine, for nothing but the test.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
