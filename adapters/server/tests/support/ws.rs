use std::net::SocketAddr;

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{self, Error};

use super::soon;

pub(crate) use tungstenite::Message as WsMessage;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A WebSocket client that no one here wrote.
pub(crate) struct Ws {
    socket: WebSocketStream<Box<dyn Stream>>,
    /// The subprotocol that the server chose.
    pub(crate) subprotocol: Option<String>,
}

impl Ws {
    /// Connects over plaintext HTTP/1.1.
    #[track_caller]
    pub(crate) fn connect(addr: SocketAddr, path: &str, subprotocol: Option<&str>) -> impl Future<Output = Self> {
        let connecting = Self::ask(addr, path, subprotocol, &[]);
        async { connecting.await.expect("a WebSocket") }
    }

    /// Asks for a WebSocket, with more headers; gives the answer that refuses it.
    #[track_caller]
    pub(crate) fn ask(
        addr: SocketAddr,
        path: &str,
        subprotocol: Option<&str>,
        headers: &[(&'static str, &str)],
    ) -> impl Future<Output = Result<Self, Response<Option<Vec<u8>>>>> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let (path, subprotocol) = (path.to_owned(), subprotocol.map(str::to_owned));
        soon(async move {
            let stream = TcpStream::connect(addr).await.expect("the server listens");
            stream.set_nodelay(true).expect("an option");
            Self::over(Box::new(stream), &format!("ws://{addr}{path}"), subprotocol.as_deref(), &headers).await
        })
    }

    pub(crate) async fn over(
        stream: Box<dyn Stream>,
        url: &str,
        subprotocol: Option<&str>,
        headers: &[(&'static str, String)],
    ) -> Result<Self, Response<Option<Vec<u8>>>> {
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header"));
        }
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert("sec-websocket-protocol", subprotocol.parse().expect("a header"));
        }
        match tokio_tungstenite::client_async(request, stream).await {
            Ok((socket, response)) => {
                let chosen = response.headers().get("sec-websocket-protocol");
                let subprotocol = chosen.map(|name| name.to_str().expect("ASCII").to_owned());
                Ok(Self { socket, subprotocol })
            }
            Err(Error::Http(response)) => Err(*response),
            Err(error) => panic!("{error}"),
        }
    }

    /// Over a stream whose handshake is done.
    pub(crate) async fn from_raw(stream: Box<dyn Stream>) -> Self {
        Self { socket: WebSocketStream::from_raw_socket(stream, Role::Client, None).await, subprotocol: None }
    }

    #[track_caller]
    pub(crate) fn text(&mut self, text: &str) -> impl Future<Output = ()> {
        self.send(WsMessage::text(text))
    }

    #[track_caller]
    pub(crate) fn binary(&mut self, bytes: &[u8]) -> impl Future<Output = ()> {
        self.send(WsMessage::binary(Bytes::copy_from_slice(bytes)))
    }

    #[track_caller]
    pub(crate) fn send(&mut self, message: WsMessage) -> impl Future<Output = ()> {
        let sending = self.socket.send(message);
        soon(async { sending.await.expect("the socket takes it") })
    }

    /// Sends, and does not mind if the server has gone.
    pub(crate) async fn try_send(&mut self, message: WsMessage) {
        drop(soon(self.socket.send(message)).await);
    }

    /// Hands several messages over, which then leave in few writes.
    pub(crate) async fn send_all(&mut self, messages: impl IntoIterator<Item = WsMessage>) {
        for message in messages {
            soon(self.socket.feed(message)).await.expect("the socket takes it");
        }
        soon(self.socket.flush()).await.expect("the socket takes it");
    }

    /// Whatever comes next; `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Option<WsMessage>> {
        let next = self.socket.next();
        soon(async { next.await?.ok() })
    }

    /// The next message, which is text.
    #[track_caller]
    pub(crate) fn next_text(&mut self) -> impl Future<Output = String> {
        let next = self.next();
        async {
            match next.await {
                Some(WsMessage::Text(text)) => text.as_str().to_owned(),
                other => panic!("no text: {other:?}"),
            }
        }
    }

    /// The next text; pings are passed over.
    #[track_caller]
    pub(crate) fn next_text_but_pings(&mut self) -> impl Future<Output = String> {
        soon(async move {
            loop {
                match self.socket.next().await {
                    Some(Ok(WsMessage::Text(text))) => return text.as_str().to_owned(),
                    Some(Ok(WsMessage::Ping(_))) => {}
                    other => panic!("no text: {other:?}"),
                }
            }
        })
    }

    /// The code and reason that the server closes with; what comes before is passed over.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> impl Future<Output = (u16, String)> {
        soon(async move {
            loop {
                match self.socket.next().await {
                    Some(Ok(WsMessage::Close(Some(CloseFrame { code, reason })))) => {
                        return (code.into(), reason.as_str().to_owned());
                    }
                    Some(Ok(_)) => {}
                    other => panic!("no close: {other:?}"),
                }
            }
        })
    }

    /// The bare stream, to break rules on.
    pub(crate) fn stream(&mut self) -> &mut (dyn Stream + 'static) {
        &mut **self.socket.get_mut()
    }
}
