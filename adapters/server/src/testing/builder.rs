use std::fmt;
use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Uri};
use nosphere_core::{Config, Transport, Window, WireFormat as _};
use nosphere_wire::JSON;

use super::client::TestClient;
use super::driver::Setup;
use super::{BACKLOG, ConnectError, PATIENCE};
use crate::{Body, Server};

/// Describes a [`TestClient`].
///
/// ```
/// use nosphere::testing::TestClient;
/// # use nosphere::{Error, Server, Transport, handler_fn};
/// #[derive(Clone)]
/// struct User(&'static str);
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Error> {
/// # let server = Server::builder().endpoint("/rooms/{id}", |_| handler_fn(|_, _| async { Ok(()) })).build()?;
/// let ann = TestClient::builder("/rooms/7?language=en")
///     .extension(User("ann"))
///     .header("user-agent", "a test")
///     .transport(Transport::LongPolling)
///     .format("messagepack")
///     .connect(&server)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a client connects with `connect`"]
pub struct TestClientBuilder {
    target: Target,
    problem: Option<String>,
    transport: Transport,
    format: String,
    config: Config,
    backlog: usize,
    patience: Duration,
}

impl TestClientBuilder {
    pub(super) fn new(uri: &str) -> Self {
        let (uri, problem) = match uri.parse() {
            Ok(uri) => (uri, None),
            Err(error) => (Uri::default(), Some(format!("the URI {uri:?}: {error}"))),
        };
        // As every request over HTTP/1.1 has it.
        let headers = [(http::header::HOST, HeaderValue::from_static("localhost"))].into_iter().collect();
        Self {
            target: Target { uri, headers, extensions: Extensions::new() },
            problem,
            transport: Transport::ServerSentEvents,
            format: JSON.name().to_owned(),
            config: Config::default(),
            backlog: BACKLOG,
            patience: PATIENCE,
        }
    }

    /// Adds a header to every request of the client. Those of SPEC §4 are its own affair, and are overwritten.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
        V: TryInto<HeaderValue, Error: fmt::Display>,
    {
        let problem = match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(value)) => {
                self.target.headers.insert(name, value);
                return self;
            }
            (Err(error), _) => format!("the name of a header: {error}"),
            (_, Err(error)) => format!("the value of a header: {error}"),
        };
        self.problem.get_or_insert(problem);
        self
    }

    /// Adds to every request of the client what middleware would have put into its extensions.
    pub fn extension(mut self, extension: impl Clone + Send + Sync + 'static) -> Self {
        self.target.extensions.insert(extension);
        self
    }

    /// Sets what carries the session: an event stream, which is the default, or long-polling.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// Sets the wire format by its name: `json`, which is the default, `messagepack`, or one that was registered with the
    /// server.
    pub fn format(mut self, name: &str) -> Self {
        name.clone_into(&mut self.format);
        self
    }

    /// Sets how much the server may send before the client has taken it (256 messages, 1 MiB).
    pub fn window(mut self, window: Window) -> Self {
        self.config.window = window;
        self
    }

    /// Sets how many events the client takes before the test asks for them ([`BACKLOG`]).
    ///
    /// With 0 it is a client that does not keep up: nothing is taken but by the test, and the window closes.
    pub fn backlog(mut self, events: usize) -> Self {
        self.backlog = events;
        self
    }

    /// Sets how long a wait may take before it fails ([`PATIENCE`]).
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Opens a session. Within a tokio runtime that has time.
    ///
    /// Done when the handler has dealt with `Connected`, or waits for something in the midst of it.
    ///
    /// # Errors
    ///
    /// When the server refuses, when the request cannot be made as it was described, or when nothing comes in time.
    pub async fn connect(self, server: &Server) -> Result<TestClient, ConnectError> {
        let Self { target, problem, transport, format, config, backlog, patience } = self;
        if let Some(problem) = problem {
            return Err(ConnectError::Request { problem });
        }
        check(transport)?;
        let Some(format) = server.shared().formats.get(&format) else {
            return Err(ConnectError::Format { name: format });
        };
        TestClient::open(Setup { server: server.clone(), target, transport, format, config, backlog }, patience).await
    }
}

/// Refuses transports that cannot do without a socket.
pub(super) fn check(transport: Transport) -> Result<(), ConnectError> {
    match transport {
        Transport::LongPolling | Transport::ServerSentEvents => Ok(()),
        Transport::WebSocket | _ => Err(ConnectError::Transport { transport }),
    }
}

/// What all requests of a client have in common.
#[derive(Clone)]
pub(super) struct Target {
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
}

impl Target {
    /// A request without a body, to which only the headers of SPEC §4 have to be added.
    pub(super) fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(bytes::Bytes::new()));
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        *request.extensions_mut() = self.extensions.clone();
        request
    }

    pub(super) fn path(&self) -> &str {
        self.uri.path()
    }
}

impl fmt::Debug for Target {
    /// Without headers, since those may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("path", &self.path()).finish_non_exhaustive()
    }
}
