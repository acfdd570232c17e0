use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::soon;

/// A TCP connection on which anything can be said, or left unsaid.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
}

impl Raw {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self { stream: soon(TcpStream::connect(addr)).await.expect("the server listens") }
    }

    #[track_caller]
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> impl Future<Output = ()> {
        soon(async move { self.stream.write_all(bytes.as_ref()).await.expect("the socket takes it") })
    }

    /// Reads until what came holds `end`; gives all of it.
    #[track_caller]
    pub(crate) fn read_until(&mut self, end: &str) -> impl Future<Output = String> {
        soon(async move {
            let mut all = Vec::new();
            while !String::from_utf8_lossy(&all).contains(end) {
                let count = self.stream.read_buf(&mut all).await.expect("the server is there");
                assert!(count > 0, "the end came first: {:?}", String::from_utf8_lossy(&all));
            }
            String::from_utf8_lossy(&all).into_owned()
        })
    }

    /// Reads until the server ends the stream.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self) -> impl Future<Output = ()> {
        soon(async move {
            self.stream.read_to_end(&mut Vec::new()).await.expect("the server is there");
        })
    }

    /// Asks for a WebSocket, and reads the head of the answer.
    pub(crate) async fn upgrade(addr: SocketAddr, path: &str, more: &str) -> Self {
        let mut raw = Self::connect(addr).await;
        raw.write(format!(
            "GET {path} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
        ))
        .await;
        let answer = raw.read_until("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        raw
    }

    /// Writes a masked frame; the key is zero, so that the payload is what it is.
    pub(crate) async fn frame(&mut self, opcode: u8, payload: &[u8]) {
        self.write(frame(opcode, payload)).await;
    }
}

/// A masked, final frame of at most 65,535 bytes.
pub(crate) fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    if payload.len() < 126 {
        frame.push(0x80 | payload.len() as u8);
    } else {
        frame.push(0x80 | 126);
        frame.extend((payload.len() as u16).to_be_bytes());
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}
