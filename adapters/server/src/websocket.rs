//! A WebSocket between its upgrade and its session, and between its session and its end.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use nosphere_core::LinkId;
use nosphere_websocket::{CloseState, Decoder, Flush, Item, Next, Outgoing, ReadOutcome, Reader, Role, Unread, Writer};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::Scheduling;
use crate::scheduling::Executor;
use crate::session::{Link, LinkIo, Outlet};
use crate::shared::Shared;
use crate::socket::{ReadHalf, WriteHalf, split};

/// A WebSocket that one task has all of.
pub(crate) struct WebSocket {
    io: Io,
    reader: Reader,
    writer: Writer,
}

enum Io {
    /// Plaintext HTTP/1.1: the socket itself.
    Direct(ReadHalf, WriteHalf),
    /// TLS, HTTP/2, and whatever else hyper serves.
    Upgraded(TokioIo<Upgraded>),
}

impl Io {
    fn direct(stream: TcpStream, shared: &Shared) -> io::Result<Self> {
        // Only latency depends on it.
        drop(stream.set_nodelay(true));
        let scheduling = shared.scheduling.unwrap_or_else(Scheduling::of_runtime);
        split(stream, scheduling).map(|(read, write)| Self::Direct(read, write))
    }
}

impl WebSocket {
    /// Takes the socket out of hyper where that is possible: under hyper itself, and under hyper-util's `auto` connection,
    /// which axum uses.
    ///
    /// # Errors
    ///
    /// If nobody can watch the socket.
    pub(crate) fn new(upgraded: Upgraded, shared: &Shared) -> io::Result<Self> {
        let (io, leftover) = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => (Io::direct(parts.io.into_inner(), shared)?, parts.read_buf),
            Err(upgraded) => match auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
                Ok(parts) => (Io::direct(parts.io.into_inner(), shared)?, parts.read_buf),
                Err(upgraded) => (Io::Upgraded(TokioIo::new(upgraded)), bytes::Bytes::new()),
            },
        };
        Ok(Self::begin(io, &leftover, shared))
    }

    /// A socket that hyper never had.
    ///
    /// # Errors
    ///
    /// If nobody can watch it.
    pub(crate) fn direct(stream: TcpStream, shared: &Shared) -> io::Result<Self> {
        Ok(Self::begin(Io::direct(stream, shared)?, &[], shared))
    }

    fn begin(io: Io, leftover: &[u8], shared: &Shared) -> Self {
        let max_message_size = shared.config.session.window.bytes as usize;
        let reader = Reader::new(Decoder::new(Role::Server, max_message_size), leftover);
        Self { io, reader, writer: Writer::server() }
    }

    /// Who polls what is to be done on it.
    pub(crate) fn executor(&self) -> Executor {
        match &self.io {
            Io::Direct(read, _) => read.executor(),
            Io::Upgraded(_) => Executor::Runtime,
        }
    }

    /// Reads once.
    pub(crate) async fn read(&mut self, items: &mut Vec<Item>) -> io::Result<ReadOutcome> {
        match &mut self.io {
            Io::Direct(read, _) => self.reader.read_items(read, items).await,
            Io::Upgraded(io) => self.reader.read_items(io, items).await,
        }
    }

    /// Reads once, unless something was kept.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, unread: &mut Unread) -> Poll<io::Result<bool>> {
        match &mut self.io {
            Io::Direct(read, _) => self.reader.poll_fill(Pin::new(read), cx, unread),
            Io::Upgraded(io) => self.reader.poll_fill(Pin::new(io), cx, unread),
        }
    }

    /// What comes next in what was read.
    pub(crate) fn next<'u>(&mut self, unread: &'u mut Unread) -> Next<'u> {
        self.reader.next(unread)
    }

    /// Whether something was read and not asked for.
    pub(crate) fn has_more(&self) -> bool {
        !self.reader.needs_stream()
    }

    /// What was read and not asked for is to be read first.
    pub(crate) fn keep(&mut self, unread: Unread) {
        self.reader.keep(unread);
    }

    /// Writes everything.
    pub(crate) async fn write(&mut self, outgoing: impl IntoIterator<Item = Outgoing>) -> io::Result<()> {
        let mut outgoing = outgoing.into_iter();
        match &mut self.io {
            Io::Direct(_, write) => loop {
                match self.writer.flush(write, || outgoing.next())? {
                    Flush::Done => return Ok(()),
                    Flush::Blocked => std::future::poll_fn(|cx| write.poll_ready(cx)).await,
                }
            },
            Io::Upgraded(io) => {
                let writer = &mut self.writer;
                std::future::poll_fn(|cx| writer.poll_flush(Pin::new(io), cx, || outgoing.next())).await
            }
        }
    }

    /// The writer, for the closing handshake.
    pub(crate) fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// What a session needs: where it writes, and what its task reads.
    pub(crate) fn split(self, id: LinkId) -> (Outlet, Link) {
        let Self { io, reader, writer } = self;
        match io {
            Io::Direct(read, half) => {
                let link = Link { id, reader, io: LinkIo::Direct(read) };
                (Outlet::Direct { link: id, half, writer }, link)
            }
            Io::Upgraded(io) => {
                let io = LinkIo::Queued(Box::new((io, writer)));
                (Outlet::Task(id), Link { id, reader, io })
            }
        }
    }

    /// The reverse of [`split`](Self::split). `None` if the write half is gone.
    pub(crate) fn join(outlet: Outlet, link: Link) -> Option<Self> {
        match (link.io, outlet) {
            (LinkIo::Direct(read), Outlet::Direct { half, writer, .. }) => {
                Some(Self { io: Io::Direct(read, half), reader: link.reader, writer })
            }
            (LinkIo::Queued(queued), _) => {
                let (io, writer) = *queued;
                Some(Self { io: Io::Upgraded(io), reader: link.reader, writer })
            }
            (LinkIo::Direct(_), _) => None,
        }
    }

    /// Writes the last words, and waits for the peer's close, within a time.
    pub(crate) async fn linger(mut self, rest: Vec<Outgoing>, limit: Duration) {
        let handshake = async {
            self.write(rest).await?;
            let mut items = Vec::new();
            while self.writer.state() == CloseState::Waiting {
                match self.read(&mut items).await? {
                    ReadOutcome::Items => {}
                    ReadOutcome::End | ReadOutcome::Error(_) => break,
                }
                let closed = items.drain(..).any(|item| matches!(item, Item::Close(_)));
                if closed {
                    break;
                }
            }
            // What the peer still sends is read and dropped: to close a socket with unread data resets it, and the close frame
            // may be lost with that.
            match self.io {
                Io::Direct(mut read, write) => {
                    drop(write);
                    discard(&mut read).await
                }
                Io::Upgraded(mut io) => {
                    // TLS and HTTP/2 say goodbye too.
                    std::future::poll_fn(|cx| tokio::io::AsyncWrite::poll_shutdown(Pin::new(&mut io), cx)).await?;
                    discard(&mut io).await
                }
            }
        };
        // Whatever goes wrong now, the socket is dropped.
        drop(tokio::time::timeout(limit, handshake).await);
    }
}

/// Reads to the end.
async fn discard(io: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut scratch = vec![0; 1024];
    loop {
        let mut buffer = ReadBuf::new(&mut scratch);
        std::future::poll_fn(|cx| Pin::new(&mut *io).poll_read(cx, &mut buffer)).await?;
        if buffer.filled().is_empty() {
            return Ok(());
        }
    }
}
