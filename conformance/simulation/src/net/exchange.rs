//! HTTP/1.1, as a client speaks it: one request, one answer.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::End;

/// A request and its answer on a connection.
pub(crate) struct Exchange {
    io: End,
    request: Bytes,
    buffer: Vec<u8>,
    body: Option<Framing>,
    /// The server will close the connection after the answer.
    last: bool,
    /// How many bytes went either way.
    moved: u64,
}

/// What an answer begins with.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// `Nosphere-Received`.
    pub(crate) received: Option<u64>,
    /// `Nosphere-Error`.
    pub(crate) error: Option<String>,
}

/// How far an exchange got.
pub(crate) enum Step {
    Head(Head),
    Data(Vec<u8>),
    End,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Length(usize),
    /// Bytes that are left of the present chunk.
    Chunk(usize),
    /// The line that a chunk ends with, and the head of the next.
    BetweenChunks,
    UntilEnd,
    Done,
}

impl Exchange {
    /// Sends a request.
    pub(crate) fn new(io: End, method: &str, path: &str, headers: &[(&str, String)], body: &[u8]) -> Self {
        Self::withholding(io, method, path, headers, body, 0)
    }

    /// Sends a request, but for the last bytes of its body.
    pub(crate) fn withholding(
        io: End,
        method: &str,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
        withheld: usize,
    ) -> Self {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: simulation\r\n");
        for (name, value) in headers {
            head.extend([*name, ": ", value, "\r\n"]);
        }
        if method == "POST" {
            head.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
        }
        head.push_str("\r\n");
        let request = [head.as_bytes(), &body[..body.len() - withheld]].concat().into();
        Self { io, request, buffer: Vec::new(), body: None, last: false, moved: 0 }
    }

    /// The next step of the answer.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        while !self.request.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, &self.request) {
                Poll::Ready(count) => {
                    let count = count?;
                    self.moved += count as u64;
                    self.request.advance(count);
                }
                Poll::Pending => break,
            }
        }
        loop {
            if let Some(step) = self.parse()? {
                return Poll::Ready(Ok(step));
            }
            let mut scratch = [0; 4096];
            let mut read = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(match self.body.replace(Framing::Done) {
                    Some(Framing::UntilEnd | Framing::Done) => Ok(Step::End),
                    Some(Framing::Length(_) | Framing::Chunk(_) | Framing::BetweenChunks) | None => {
                        Err(io::ErrorKind::UnexpectedEof.into())
                    }
                });
            }
            self.moved += read.filled().len() as u64;
            self.buffer.extend_from_slice(read.filled());
        }
    }

    /// How many bytes went either way: as long as it grows, the peer is there.
    pub(crate) fn moved(&self) -> u64 {
        self.moved
    }

    /// The connection, and what came behind the head: for an upgrade.
    pub(crate) fn into_parts(self) -> (End, Bytes) {
        (self.io, self.buffer.into())
    }

    /// The connection, if it can take another request.
    pub(crate) fn into_idle(self) -> Option<End> {
        let done = matches!(self.body, Some(Framing::Done)) && self.request.is_empty() && self.buffer.is_empty();
        (done && !self.last && self.io.is_usable()).then_some(self.io)
    }

    /// Breaks the connection off.
    pub(crate) fn abort(self) {
        self.io.abort();
    }

    fn parse(&mut self) -> io::Result<Option<Step>> {
        let Some(body) = &mut self.body else { return self.parse_head() };
        loop {
            match body {
                Framing::Done | Framing::Length(0) => {
                    *body = Framing::Done;
                    return Ok(Some(Step::End));
                }
                _ if self.buffer.is_empty() => return Ok(None),
                Framing::UntilEnd => return Ok(Some(Step::Data(std::mem::take(&mut self.buffer)))),
                Framing::Length(left) => {
                    let count = (*left).min(self.buffer.len());
                    *left -= count;
                    return Ok(Some(Step::Data(self.buffer.drain(..count).collect())));
                }
                Framing::Chunk(0) => *body = Framing::BetweenChunks,
                Framing::Chunk(left) => {
                    let count = (*left).min(self.buffer.len());
                    *left -= count;
                    return Ok(Some(Step::Data(self.buffer.drain(..count).collect())));
                }
                Framing::BetweenChunks => {
                    if self.buffer == b"\r" {
                        return Ok(None);
                    }
                    let skip = if self.buffer.starts_with(b"\r\n") { 2 } else { 0 };
                    match httparse::parse_chunk_size(&self.buffer[skip..]) {
                        Ok(httparse::Status::Complete((count, 0))) => {
                            let end = skip + count + 2;
                            if self.buffer.len() < end {
                                return Ok(None);
                            }
                            self.buffer.drain(..end);
                            *body = Framing::Done;
                        }
                        Ok(httparse::Status::Complete((count, size))) => {
                            self.buffer.drain(..skip + count);
                            *body = Framing::Chunk(size as usize);
                        }
                        Ok(httparse::Status::Partial) => return Ok(None),
                        Err(_) => return Err(io::Error::other("not a chunk")),
                    }
                }
            }
        }
    }

    fn parse_head(&mut self) -> io::Result<Option<Step>> {
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut headers);
        let length = match response.parse(&self.buffer).map_err(io::Error::other)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Ok(None),
        };
        let find = |name: &str| {
            let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
            str::from_utf8(header.value).ok()
        };
        let status = response.code.unwrap_or_default();
        let framing = match find("content-length").and_then(|length| length.parse().ok()) {
            _ if status == 204 || status == 101 => Framing::Done,
            Some(length) => Framing::Length(length),
            None if find("transfer-encoding").is_some() => Framing::BetweenChunks,
            None => Framing::UntilEnd,
        };
        let head = Head {
            status,
            received: find("nosphere-received").and_then(|received| received.parse().ok()),
            error: find("nosphere-error").map(str::to_owned),
        };
        self.last = find("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        self.buffer.drain(..length);
        self.body = Some(framing);
        Ok(Some(Step::Head(head)))
    }
}
