use std::fmt;
use std::sync::{Arc, OnceLock};

use nosphere_wire::negotiation::{Refusal, RegisterError};

use crate::contain::caught;
use crate::scheduling::Executor;
use crate::session::{Cell, Link, run};
use crate::topic::{Topic, Topics};
use crate::{Handler, RequestHead};

/// What a path leads to: a factory of handlers, whose type is forgotten here, once.
pub(crate) struct Endpoint {
    mount: Arc<Mount>,
    make: Box<Make>,
}

type Make = dyn Fn(&RequestHead) -> Result<Box<dyn Launch>, Refusal> + Send + Sync;

impl Endpoint {
    pub(crate) fn new<I: IntoHandler>(path: &str, factory: impl Fn(&RequestHead) -> I + Send + Sync + 'static) -> Self {
        Self {
            mount: Arc::new(Mount::new(path)),
            make: Box::new(move |head| {
                let handler = factory(head).into_handler()?;
                Ok(Box::new(Ready(handler)) as Box<dyn Launch>)
            }),
        }
    }

    /// Where it is.
    pub(crate) fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// Asks the application for a handler, which may refuse.
    pub(crate) fn make(&self, head: &RequestHead) -> Result<Box<dyn Launch>, Refusal> {
        // A panic would take the whole HTTP connection along, with what others have on it.
        caught(|| (self.make)(head)).unwrap_or_else(|_| {
            tracing::error!(path = head.path(), "the factory of handlers panicked");
            Err(Refusal::internal())
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint")
    }
}

/// Where an endpoint is.
pub(crate) struct Mount {
    path: Box<str>,
    /// No other path leads there.
    only: bool,
    /// The topic of the only path: it need not be looked up for each session, and made anew whenever somebody comes to an empty
    /// place.
    topic: OnceLock<Arc<Topic>>,
}

impl Mount {
    pub(crate) fn new(path: &str) -> Self {
        Self { path: path.into(), only: !path.contains(['{', '}']), topic: OnceLock::new() }
    }

    /// The path that it was mounted on.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The topic of a path that leads there.
    pub(crate) fn topic(&self, path: &str, topics: &Topics) -> Arc<Topic> {
        if !self.only {
            return topics.enter(path);
        }
        Arc::clone(self.topic.get_or_init(|| topics.enter(path)))
    }
}

/// A handler that waits for its session.
pub(crate) trait Launch: Send {
    /// Starts the task of the session.
    fn spawn(self: Box<Self>, cell: Arc<Cell>, link: Option<Link>);
}

struct Ready<H>(H);

impl<H: Handler> Launch for Ready<H> {
    fn spawn(self: Box<Self>, cell: Arc<Cell>, link: Option<Link>) {
        let executor = link.as_ref().map_or(Executor::Runtime, Link::executor);
        executor.spawn(run(cell, self.0, link));
    }
}

/// What a factory may return: a handler, or a refusal instead.
///
/// Every [`Handler`] is one, and so is a `Result` of one. A factory that makes handlers of several types returns an enum of
/// them, which is a handler itself, or has an endpoint for each.
///
/// ```
/// use nosphere::{Client, Error, Event, Handler, Refusal, Server};
///
/// struct Room;
///
/// impl Handler for Room {
///     async fn receive(&mut self, _: &Client, _: Event) -> Result<(), Error> {
///         Ok(())
///     }
/// }
///
/// let server = Server::builder()
///     .endpoint("/open", |_head| Room)
///     .endpoint("/members", |head| match head.principal() {
///         Some(_) => Ok(Room),
///         None => Err(Refusal::forbidden("members only")),
///     })
///     .build()?;
/// # Ok::<(), nosphere::BuildError>(())
/// ```
pub trait IntoHandler {
    /// The handler.
    type Handler: Handler;

    /// The handler, or why there is none.
    ///
    /// # Errors
    ///
    /// When the application does not want this client.
    fn into_handler(self) -> Result<Self::Handler, Refusal>;
}

impl<H: Handler> IntoHandler for H {
    type Handler = H;

    fn into_handler(self) -> Result<H, Refusal> {
        Ok(self)
    }
}

impl<H: Handler> IntoHandler for Result<H, Refusal> {
    type Handler = H;

    fn into_handler(self) -> Self {
        self
    }
}

/// Why a server cannot be built as it was described.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A wire format cannot be registered.
    #[error(transparent)]
    Format(#[from] RegisterError),
    /// A path is not of the form `/a/{b}`, or matches what another one matches.
    #[error("the path {path:?} cannot be mounted: {problem}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}
