//! As much of HTTP/1.1 as event streams, polls and POSTs need.

use std::collections::VecDeque;
use std::time::Duration;

use crate::net::{Link, Poller, Target};
use crate::options::Error;

/// The head of an answer.
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) chunked: bool,
    pub(crate) length: usize,
    /// Where the body begins.
    pub(crate) end: usize,
}

impl Head {
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, Error> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&bytes[..end])?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let mut head = Self { status: status.ok_or("no status")?, chunked: false, length: 0, end: end + 4 };
        for line in lines {
            let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.trim().parse()?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.trim().eq_ignore_ascii_case("chunked");
            }
        }
        Ok(Some(head))
    }
}

/// Takes the chunked encoding off.
#[derive(Default)]
pub(crate) struct Chunks {
    /// Of this chunk, its line break included.
    left: usize,
    /// A size whose end has not come.
    size: Vec<u8>,
}

impl Chunks {
    pub(crate) fn take(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        while !bytes.is_empty() {
            if self.left == 0 {
                let Some(end) = memchr::memchr(b'\n', bytes) else {
                    self.size.extend_from_slice(bytes);
                    return Ok(());
                };
                self.size.extend_from_slice(&bytes[..end]);
                bytes = &bytes[end + 1..];
                let size = usize::from_str_radix(std::str::from_utf8(&self.size)?.trim(), 16)?;
                if size == 0 {
                    return Err("the server ended the stream".into());
                }
                self.size.clear();
                self.left = size + 2;
            }
            let count = self.left.min(bytes.len());
            // The last two bytes are the line break.
            let body = count.min(self.left.saturating_sub(2));
            out.extend_from_slice(&bytes[..body]);
            self.left -= count;
            bytes = &bytes[count..];
        }
        Ok(())
    }
}

/// Connections that are kept for POSTs, and what waits for one to be free.
pub(crate) struct Posts {
    links: Vec<(Link, bool, Vec<u8>)>,
    waiting: VecDeque<Vec<u8>>,
    first: usize,
    pub(crate) done: u64,
}

impl Posts {
    /// Their ids begin at `first`.
    pub(crate) fn new(target: &Target, poller: &mut Poller, count: usize, first: usize) -> Result<Self, Error> {
        let mut links = vec![];
        for id in 0..count {
            let link = target.connect()?;
            poller.add(&link, first + id)?;
            links.push((link, false, vec![]));
        }
        Ok(Self { links, waiting: VecDeque::new(), first, done: 0 })
    }

    pub(crate) fn send(&mut self, request: Vec<u8>) -> Result<(), Error> {
        match self.links.iter_mut().find(|(_, busy, _)| !busy) {
            Some((link, busy, _)) => {
                *busy = true;
                link.send(&request)?;
            }
            None => self.waiting.push_back(request),
        }
        Ok(())
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.links.iter().all(|(_, busy, _)| !busy)
    }

    /// Reads the answers of the connection with this id.
    pub(crate) fn take(&mut self, id: usize, buffer: &mut [u8]) -> Result<(), Error> {
        let (link, busy, rest) = &mut self.links[id - self.first];
        link.flush()?;
        while let Some(count) = link.read(buffer)? {
            if count == 0 {
                return Err("the server closed a connection for POSTs".into());
            }
            rest.extend_from_slice(&buffer[..count]);
        }
        let Some(head) = Head::read(rest)? else { return Ok(()) };
        if head.status != 204 {
            return Err(format!("a POST was refused: {}", String::from_utf8_lossy(rest)).into());
        }
        rest.drain(..head.end);
        self.done += 1;
        *busy = false;
        if let Some(request) = self.waiting.pop_front() {
            *busy = true;
            link.send(&request)?;
        }
        Ok(())
    }
}

/// How long an epoll may take before the deadlines are looked at.
pub(crate) const TICK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_come_off_wherever_the_bytes_are_cut() {
        let coded = b"5\r\nhello\r\n10\r\n0123456789abcdef\r\n";
        for cut in 0..coded.len() {
            let (mut chunks, mut out) = (Chunks::default(), vec![]);
            chunks.take(&coded[..cut], &mut out).unwrap();
            chunks.take(&coded[cut..], &mut out).unwrap();
            assert_eq!(out, b"hello0123456789abcdef");
        }
    }
}
