use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use http::{Request, Response};
use nosphere_core::{Reason, WireFormat};
use nosphere_wire::negotiation::{Formats, OriginPolicy, Refusal};
use tower_service::Service;

use crate::admission::Admission;
use crate::endpoint::{BuildError, Endpoint, IntoHandler};
use crate::random::Random;
use crate::request::{Answer, Answered, begin, complete};
use crate::shared::Shared;
use crate::{Body, Broadcaster, RequestHead, Scheduling, ServerConfig, topic};

/// Endpoints on paths, as a tower service: mount it under hyper, axum, or anything else that serves `http` requests.
///
/// Clones share everything. The service never fails, and answers 404 to what is not for an endpoint.
///
/// ```
/// use nosphere::{Client, Error, Event, Handler, Server};
///
/// struct Chat;
///
/// impl Handler for Chat {
///     async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
///         if let Event::Json(line) = event {
///             client.broadcast(line); // to everyone but the sender
///         }
///         Ok(())
///     }
/// }
///
/// let server = Server::builder().endpoint("/the-chat", |_request| Chat).build()?;
/// # Ok::<(), nosphere::BuildError>(())
/// ```
///
/// [The guide](crate::guide::mounting) says how to mount it, and what every deployment needs.
#[derive(Clone, Debug)]
pub struct Server {
    shared: Arc<Shared>,
}

impl Server {
    /// Describes a server.
    ///
    /// ```
    /// use nosphere::{Event, OriginPolicy, Server, ServerConfig, handler_fn};
    ///
    /// let mut config = ServerConfig::default();
    /// config.max_sessions = 5_000;
    /// let server = Server::builder()
    ///     .config(config)
    ///     .origins(OriginPolicy::same_origin().allow("https://app.example")?)
    ///     .endpoint("/echo", |_head| {
    ///         handler_fn(|client, event| async move {
    ///             if let Event::Text(text) = event {
    ///                 client.send(text)?;
    ///             }
    ///             Ok(())
    ///         })
    ///     })
    ///     .build()?;
    /// # Ok::<(), nosphere::Error>(())
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A handle for broadcasting from anywhere.
    ///
    /// ```
    /// # let server = nosphere::Server::builder().build()?;
    /// let broadcaster = server.broadcaster();
    /// std::thread::spawn(move || broadcaster.to("/the-chat").send("big brother speaking"));
    /// # Ok::<(), nosphere::BuildError>(())
    /// ```
    pub fn broadcaster(&self) -> Broadcaster {
        Broadcaster::new(Arc::clone(&self.shared))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Puts the endpoints in front of a service, which gets every request that is not for one of them: what asks for
    /// another path, and what asks an endpoint's own path for a page.
    ///
    /// As a `tower` layer the server does the same: `Router::layer(server)` in axum.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use nosphere::{Server, handler_fn};
    /// # let server = Server::builder().endpoint("/echo", |_| handler_fn(|_, _| async { Ok(()) })).build()?;
    /// let pages = tower::service_fn(|_: http::Request<String>| async {
    ///     Ok::<_, Infallible>(http::Response::new(String::from("echo ok")))
    /// });
    /// let application = server.in_front_of(pages);
    /// # Ok::<(), nosphere::BuildError>(())
    /// ```
    pub fn in_front_of<S>(self, service: S) -> crate::Front<S> {
        crate::Front::new(self, service)
    }

    /// How many sessions are open or suspended.
    pub fn sessions(&self) -> usize {
        self.shared.table.living()
    }

    /// How many sessions are on a path or beneath it.
    pub fn sessions_on(&self, path: &str) -> usize {
        self.broadcaster().to(path).sessions()
    }

    /// Ends all sessions with `going-away`, after what is queued for them, and refuses new ones. Done when all have ended,
    /// or after twice the close timeout, whatever handlers still do.
    ///
    /// Go on accepting connections until this is done: clients of event streams and polls answer by new requests. A session
    /// whose client does not answer, a suspended one for example, takes the whole close timeout.
    pub async fn shutdown(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        for cell in self.shared.table.all() {
            cell.close(Reason::GoingAway);
        }
        // Sessions end by deadlines of their own, but one whose handler never returns would hold this up for ever.
        let limit = self.shared.config.session.close_timeout * 2;
        let ended = async {
            // Looking is simpler than being told, and happens once in a server's life.
            while self.sessions() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(limit, ended).await.is_err() {
            tracing::warn!(sessions = self.sessions(), "some handlers did not end in time");
        }
    }
}

impl<B> Service<Request<B>> for Server
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Respond;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Respond {
        let response =
            |answered: Answered<B>| answered.unwrap_or_else(|(_, refusal)| refusal.into_response().map(Body::from));
        Respond(match begin(&self.shared, request) {
            Answer::Now(answered) => Responding::Done(Some(response(answered))),
            Answer::Later(waiting) => {
                let shared = Arc::clone(&self.shared);
                Responding::Waits(Box::pin(async move { response(complete(shared, waiting).await) }))
            }
        })
    }
}

/// The answer to a request, when it is there.
pub struct Respond(Responding);

enum Responding {
    /// `None` once it was given.
    Done(Option<Response<Body>>),
    Waits(Pin<Box<dyn Future<Output = Response<Body>> + Send>>),
}

impl Future for Respond {
    type Output = Result<Response<Body>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Responding::Done(response) => response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response))),
            Responding::Waits(response) => response.as_mut().poll(cx).map(Ok),
        }
    }
}

impl std::fmt::Debug for Respond {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Respond")
    }
}

/// Describes a [`Server`].
///
/// What is wrong with a description is told by [`build`](Self::build); nothing here panics.
#[derive(Debug, Default)]
pub struct Builder {
    config: ServerConfig,
    formats: Formats,
    origins: OriginPolicy,
    admission: Admission,
    random: Random,
    endpoints: matchit::Router<Arc<Endpoint>>,
    browser_client: Option<Box<str>>,
    scheduling: Option<Scheduling>,
    problem: Option<BuildError>,
}

impl Builder {
    /// Mounts an endpoint on a path, `/the-chat` or `/rooms/{id}`.
    ///
    /// The factory makes a handler for each session, or refuses: it is part of the admission, and therefore asked again
    /// when a client resumes, though the handler of that is not used. What should happen once belongs into `Connected`.
    ///
    /// Of two paths that match a request, one without parameters wins; `{*rest}` at the end matches several segments. The path
    /// that a session then broadcasts on is the request's own, parameters filled in.
    ///
    /// ```
    /// use nosphere::{Client, Error, Event, Handler, Refusal, RequestHead, Server};
    ///
    /// struct Room {
    ///     name: String,
    /// }
    ///
    /// impl Handler for Room {
    ///     async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
    ///         if let Event::Connected { .. } = event {
    ///             client.send(format!("this is {}", self.name))?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn enter(head: &RequestHead) -> Result<Room, Refusal> {
    ///     match head.parameter("name") {
    ///         Some("cellar") | None => Err(Refusal::forbidden("not there")),
    ///         Some(name) => Ok(Room { name: name.into() }),
    ///     }
    /// }
    ///
    /// let server = Server::builder().endpoint("/rooms/{name}", enter).build()?;
    /// # Ok::<(), nosphere::BuildError>(())
    /// ```
    #[must_use]
    pub fn endpoint<I: IntoHandler>(
        mut self,
        path: &str,
        factory: impl Fn(&RequestHead) -> I + Send + Sync + 'static,
    ) -> Self {
        let normal = topic::normal(path);
        if let Err(error) = self.endpoints.insert(normal, Arc::new(Endpoint::new(normal, factory))) {
            let problem = BuildError::Path { path: path.into(), problem: error.to_string() };
            self.problem.get_or_insert(problem);
        }
        self
    }

    /// Serves the browser client, as one script, on a path of your choice.
    ///
    /// A page that has `<script src="/nosphere.js"></script>` then has `nosphere.connect`; [the guide](crate::guide::browser)
    /// shows how to use it. The script is part of this crate, so that page and server are of the same version: browsers ask
    /// whether it is still the one that they have, each time. GET and HEAD are answered, anything else is refused with 405.
    ///
    /// It is an error of [`build`](Self::build) to give it the path of an endpoint, or one that has parameters or no slash
    /// in front.
    ///
    /// ```
    /// use nosphere::{Server, handler_fn};
    ///
    /// let server = Server::builder()
    ///     .endpoint("/the-chat", |_| handler_fn(|_, _| async { Ok(()) }))
    ///     .browser_client("/nosphere.js")
    ///     .build()?;
    /// # Ok::<(), nosphere::BuildError>(())
    /// ```
    #[must_use]
    pub fn browser_client(mut self, path: &str) -> Self {
        self.browser_client = Some(topic::normal(path).into());
        self
    }

    /// Sets the limits.
    ///
    /// ```
    /// use std::time::Duration;
    /// use nosphere::{Overflow, Server, ServerConfig};
    ///
    /// let mut config = ServerConfig::default();
    /// config.session.resume = Duration::from_secs(600);
    /// config.session.overflow = Overflow::DropOldest;
    /// let builder = Server::builder().config(config);
    /// ```
    #[must_use]
    pub fn config(mut self, config: ServerConfig) -> Self {
        self.config = config;
        self
    }

    /// Adds a wire format of your own to the native protocol.
    ///
    /// `json` and `messagepack` are there without that. [`WireFormat`] shows how to write one; a client asks for it by its name.
    #[must_use]
    pub fn format(mut self, format: &'static dyn WireFormat) -> Self {
        if let Err(error) = self.formats.register(format) {
            self.problem.get_or_insert_with(|| error.into());
        }
        self
    }

    /// Says whether clients of atmosphere.js are served; they are, on every endpoint, unless this says no.
    ///
    /// Then what they ask for is not the endpoints' business, or plain.
    ///
    /// ```
    /// # use nosphere::Server;
    /// let builder = Server::builder().atmosphere(false);
    /// ```
    #[must_use]
    pub fn atmosphere(mut self, served: bool) -> Self {
        self.formats.serve_atmosphere(served);
        self
    }

    /// Says which pages may connect; by default those of the server's own origin.
    ///
    /// ```
    /// use nosphere::{OriginPolicy, Server};
    ///
    /// let origins = OriginPolicy::same_origin().allow("https://app.example")?;
    /// let builder = Server::builder().origins(origins);
    /// # Ok::<(), nosphere::InvalidOrigin>(())
    /// ```
    #[must_use]
    pub fn origins(mut self, origins: OriginPolicy) -> Self {
        self.origins = origins;
        self
    }

    /// Says who makes a request: a user's name, say, that middleware has put into the request's extensions.
    ///
    /// A session belongs to whoever opened it. Every later request about it, with the right token or not, is refused with
    /// `forbidden` if this gives something else.
    ///
    /// ```
    /// use nosphere::Server;
    ///
    /// #[derive(Clone)]
    /// struct User(String);
    ///
    /// let builder = Server::builder().principal(|head| head.extension::<User>().map(|User(name)| name.clone()));
    /// ```
    #[must_use]
    pub fn principal(mut self, of: impl Fn(&RequestHead) -> Option<String> + Send + Sync + 'static) -> Self {
        self.admission.principal = Some(Box::new(of));
        self
    }

    /// Says where a request comes from, if not by the extension [`Peer`](crate::Peer): from what a framework puts into the
    /// request, or from a header that a proxy of your own writes.
    ///
    /// ```
    /// # use std::net::SocketAddr;
    /// # use nosphere::Server;
    /// # #[derive(Clone)] struct ConnectInfo(SocketAddr);
    /// // axum's, for one: `axum::extract::ConnectInfo<SocketAddr>`
    /// let builder = Server::builder().peer(|head| head.extension::<ConnectInfo>().map(|info| info.0));
    /// ```
    #[must_use]
    pub fn peer(mut self, of: impl Fn(&RequestHead) -> Option<SocketAddr> + Send + Sync + 'static) -> Self {
        self.admission.peer = Some(Box::new(of));
        self
    }

    /// Asks whether a request may open or resume a session, before its endpoint's factory is asked: for what has to wait,
    /// a look into a database, say.
    ///
    /// It is not asked for the polls and POSTs of a session that is open; those have to come from the same
    /// [principal](Self::principal). A client that goes away does not wait for the answer.
    ///
    /// ```
    /// # async fn is_banned(_: std::net::SocketAddr) -> bool { false }
    /// use nosphere::{Refusal, Server};
    ///
    /// let builder = Server::builder().admission(|head| async move {
    ///     match head.peer() {
    ///         Some(peer) if is_banned(peer).await => Err(Refusal::forbidden("not from there")),
    ///         _ => Ok(()),
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn admission<F, A>(mut self, gate: F) -> Self
    where
        F: Fn(RequestHead) -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.admission.gate = Some(Box::new(move |head| Box::pin(gate(head))));
        self
    }

    /// Sets where the random bytes of session ids and tokens come from: by default, the operating system.
    ///
    /// `fill` fills the whole slice. Whoever can guess what it gives can take over any session, so anything but a
    /// cryptographically secure source is for tests alone: there, the same bytes make the same sessions.
    #[must_use]
    pub fn random(mut self, fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        self.random = Random::Custom(Box::new(fill));
        self
    }

    /// Sets who polls sessions over WebSocket: by default, event loops on a runtime of the current thread, and tasks on one of several.
    #[must_use]
    pub fn scheduling(mut self, scheduling: Scheduling) -> Self {
        self.scheduling = Some(scheduling);
        self
    }

    /// The server.
    ///
    /// # Errors
    ///
    /// When an endpoint or a format cannot be had as it was described.
    pub fn build(self) -> Result<Server, BuildError> {
        let Self { config, mut formats, origins, admission, random, endpoints, browser_client, scheduling, problem } =
            self;
        if let Some(problem) = problem {
            return Err(problem);
        }
        if let Some(path) = &browser_client {
            let taken = endpoints.at(path).is_ok_and(|endpoint| *endpoint.value.mount().path() == **path);
            let problem = match &**path {
                _ if taken => Some("an endpoint is there"),
                path if !path.starts_with('/') => Some("it does not begin with a slash"),
                path if path.contains(['{', '}', '?', '#']) => Some("it is no plain path"),
                _ => None,
            };
            if let Some(problem) = problem {
                return Err(BuildError::Path { path: path.to_string(), problem: problem.into() });
            }
        }
        formats.expect_atmosphere_heartbeats(!config.session.client_heartbeat.is_zero());
        let mut shared = Shared::new(config, formats, origins, admission, random, endpoints, browser_client);
        shared.scheduling = scheduling;
        Ok(Server { shared: Arc::new(shared) })
    }
}
