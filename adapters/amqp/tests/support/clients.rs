use std::net::SocketAddr;

use bytes::Bytes;
use futures::StreamExt as _;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use nosphere::{Client, Error, Event, Handler, Server, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::{PATIENCE, soon, until};

/// A server with endpoints that only listen: `/real-time-buzz`, `/real-time-buzz/{topic}`, `/rooms/{id}`.
pub(crate) struct Serving {
    pub(crate) server: Server,
    addr: SocketAddr,
    task: JoinHandle<()>,
}

struct Listener;

impl Handler for Listener {
    async fn receive(&mut self, _: &Client, _: Event) -> Result<(), Error> {
        Ok(())
    }
}

impl Serving {
    pub(crate) async fn start() -> Self {
        let mut config = ServerConfig::default();
        // Sessions that are not read from for as long as a broker needs to come back.
        config.session.max_queued_messages = 1 << 20;
        config.patience = PATIENCE;
        let server = Server::builder()
            .config(config)
            .endpoint("/real-time-buzz", |_request| Listener)
            .endpoint("/real-time-buzz/{topic}", |_request| Listener)
            .endpoint("/rooms/{id}", |_request| Listener)
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let service = TowerToHyperService::new(server.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service.clone();
                tokio::spawn(async move {
                    let auto = auto::Builder::new(TokioExecutor::new());
                    // Clients that go away are none of the server's errors.
                    drop(auto.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { server, addr, task }
    }

    /// A raw WebSocket on a path.
    pub(crate) async fn websocket(&self, path: &str) -> WebSocket {
        let before = self.server.sessions_on(path);
        let stream = TcpStream::connect(self.addr).await.unwrap();
        let url = format!("ws://{}{path}", self.addr);
        let (socket, _) = soon(tokio_tungstenite::client_async(url, stream)).await.unwrap();
        until(async || self.server.sessions_on(path) == before + 1).await;
        WebSocket(socket)
    }

    /// A stock `EventSource` on a path.
    pub(crate) async fn event_source(&self, path: &str) -> EventSource {
        EventSource::connect(self.addr, path).await
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) struct WebSocket(WebSocketStream<TcpStream>);

impl WebSocket {
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Message> {
        let next = self.0.next();
        soon(async { next.await.expect("the server is there").unwrap() })
    }

    #[track_caller]
    pub(crate) fn text(&mut self) -> impl Future<Output = String> {
        let next = self.next();
        async { next.await.into_text().unwrap().as_str().to_owned() }
    }

    /// The next number that is not one of those before it, of which there may be repetitions.
    pub(crate) async fn number_after(&mut self, last: Option<u32>) -> u32 {
        loop {
            let number = self.text().await.parse().unwrap();
            if last.is_none_or(|last| number > last) {
                return number;
            }
        }
    }
}

pub(crate) struct EventSource {
    body: Incoming,
    buffer: String,
}

impl EventSource {
    pub(crate) async fn connect(addr: SocketAddr, path: &str) -> Self {
        let stream = TokioIo::new(TcpStream::connect(addr).await.unwrap());
        let (mut sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get(path).header("host", addr.to_string()).header("accept", "text/event-stream");
        let response = soon(sender.send_request(request.body(Empty::<Bytes>::new()).unwrap())).await.unwrap();
        assert_eq!(response.status(), 200);
        let mut events = Self { body: response.into_body(), buffer: String::new() };
        // The server says it when the session is open.
        assert_eq!(events.next().await.0, "session");
        events
    }

    /// The name and the data of the next event; comments are passed over.
    pub(crate) async fn next(&mut self) -> (String, String) {
        loop {
            let Some((block, rest)) = self.buffer.split_once("\n\n") else {
                let frame = soon(self.body.frame()).await.expect("the stream goes on").unwrap();
                self.buffer.push_str(str::from_utf8(&frame.into_data().unwrap()).unwrap());
                continue;
            };
            let field = |name| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let event = (field("event: ").unwrap_or_else(|| "message".into()), field("data: "));
            self.buffer = rest.to_owned();
            if let (name, Some(data)) = event {
                return (name, data);
            }
        }
    }
}
