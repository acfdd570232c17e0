use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::Poll;

use futures::future::{Fuse, FutureExt as _};
use lapin::uri::AMQPUri;
use nosphere::{Broadcaster, Message};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::link::Link;
use crate::status::Reporter;
use crate::{Config, Delivery, Error, Monitor, Queue, Running, State, uri};

/// Consumes a queue, and broadcasts what comes to a path of a server.
///
/// What happens to whom is in the [crate's documentation](crate).
pub struct Source {
    config: Config,
    mapping: Box<Mapping>,
    queue: Queue,
    reporter: Reporter,
    uri: AMQPUri,
}

type Mapping = dyn Fn(&Delivery) -> Result<Option<(String, Message)>, nosphere::Error> + Send + Sync;

impl Source {
    /// Describes a source: everything from `queue` goes to everybody on `path` and beneath it.
    ///
    /// `uri` is `amqp://user:password@host:port/vhost`, each part percent-encoded where it must be. Left out, they are
    /// `guest`, `guest`, `localhost`, `5672` and `/`.
    ///
    /// # Errors
    ///
    /// When the URI cannot be read or asks for TLS, or a name is longer than AMQP's 255 bytes.
    pub fn new(uri: &str, queue: Queue, path: &str) -> Result<Self, Error> {
        let uri = uri::parse(uri)?;
        if let Some(name) = queue.too_long() {
            return Err(Error::invalid(format!("a name of more than 255 bytes: {name}")));
        }
        let path = path.to_owned();
        let mapping = Box::new(move |delivery: &Delivery| Ok(Some((path.clone(), delivery.message()?))));
        Ok(Self { config: Config::default(), mapping, queue, reporter: Reporter::new(), uri })
    }

    /// Sets the limits.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Says what becomes of a delivery: a message on a path, or nothing, in which case it is acknowledged all the same.
    /// Without this, it is [`Delivery::message`] on the source's path.
    ///
    /// A delivery for which `mapping` fails or panics is rejected: the broker drops it, or hands it to the queue's
    /// dead-letter exchange. `mapping` is called on the source's task, once for each delivery, in their order; nothing else
    /// is consumed while it works.
    ///
    /// ```
    /// use nosphere_amqp::{Queue, Source};
    ///
    /// // `room.7` goes to `/rooms/7`.
    /// let source = Source::new("amqp://localhost", Queue::durable("rooms").bind("amq.topic", "room.*"), "/rooms")?
    ///     .mapping(|delivery| {
    ///         let Some(room) = delivery.routing_key.strip_prefix("room.") else { return Ok(None) };
    ///         Ok(Some((format!("/rooms/{room}"), delivery.message()?)))
    ///     });
    /// # Ok::<(), nosphere_amqp::Error>(())
    /// ```
    #[must_use]
    pub fn mapping(
        mut self,
        mapping: impl Fn(&Delivery) -> Result<Option<(String, Message)>, nosphere::Error> + Send + Sync + 'static,
    ) -> Self {
        self.mapping = Box::new(mapping);
        self
    }

    /// Watches the source.
    pub fn monitor(&self) -> Monitor {
        self.reporter.monitor()
    }

    /// Connects, and goes on in a task of its own, on the tokio runtime that this is called on.
    ///
    /// # Errors
    ///
    /// When the first connection fails; with [`Config::wait_at_start`], unless it is for want of the broker.
    pub async fn start(self, broadcaster: Broadcaster) -> Result<Running, Error> {
        let first = self.first().await?;
        let monitor = self.monitor();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let stop = pin!(stopped.map(drop).fuse());
            self.go_on(first, broadcaster, stop).await
        });
        Ok(Running::new(monitor, stop, task))
    }

    /// Connects, and pumps the queue into the server until `stop` is done.
    ///
    /// Then it finishes the message that is being broadcast, acknowledges what has been, and says goodbye to the broker,
    /// which keeps the rest. To drop the future ends it, too; what is not acknowledged by then comes again.
    ///
    /// # Errors
    ///
    /// When the first connection fails; with [`Config::wait_at_start`], unless it is for want of the broker. Later on only
    /// when the broker [refuses access](Error::is_access_refused): all else is tried again.
    pub async fn run(self, broadcaster: Broadcaster, stop: impl Future<Output = ()> + Send) -> Result<(), Error> {
        let mut stop = pin!(stop.fuse());
        let first = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            first = self.first() => first?,
        };
        self.go_on(first, broadcaster, stop).await
    }

    /// The first attempt; what is left of it when the broker is away and that is no error.
    async fn first(&self) -> Result<Result<Link, Error>, Error> {
        match self.open().await {
            Err(error) if !(self.config.wait_at_start && error.is_unreachable()) => Err(error),
            opened => Ok(opened),
        }
    }

    async fn open(&self) -> Result<Link, Error> {
        let link = Link::open(&self.uri, &self.queue, &self.config).await?;
        tracing::info!(source = ?self, "consuming");
        self.reporter.count(|status| {
            status.connects += 1;
            status.state = State::Connected;
        });
        Ok(link)
    }

    async fn go_on(
        self,
        first: Result<Link, Error>,
        broadcaster: Broadcaster,
        mut stop: Pin<&mut Fuse<impl Future<Output = ()> + Send>>,
    ) -> Result<(), Error> {
        let mut backoff = Backoff::new(&self.config);
        let mut opened = first;
        loop {
            let error = match opened {
                Ok(mut link) => {
                    let since = Instant::now();
                    let Err(error) = self.pump(&mut link, &broadcaster, stop.as_mut()).await else {
                        link.close().await;
                        return Ok(());
                    };
                    // A queue that is deleted whenever it is declared must not be declared without rest.
                    if since.elapsed() > self.config.backoff_max {
                        backoff.reset();
                    }
                    error
                }
                Err(error) if error.is_access_refused() => return Err(error),
                Err(error) => error,
            };
            let wait = backoff.next();
            tracing::warn!(source = ?self, %error, ?wait, "not consuming; trying again");
            self.reporter.state(State::Waiting);
            tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                () = sleep(wait) => {}
            }
            self.reporter.state(State::Connecting);
            opened = tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                opened = self.open() => opened,
            };
        }
    }

    /// Handles deliveries until it is told to stop, or fails for want of the broker.
    async fn pump(
        &self,
        link: &mut Link,
        broadcaster: &Broadcaster,
        mut stop: Pin<&mut Fuse<impl Future<Output = ()> + Send>>,
    ) -> Result<(), Error> {
        loop {
            let delivery = tokio::select! {
                biased;
                () = &mut stop => return Ok(()),
                delivery = link.next() => delivery?,
            };
            let tag = delivery.delivery_tag;
            let delivery = Delivery::from(delivery);
            match self.map(&delivery) {
                Ok(Some((path, message))) => {
                    let queued = {
                        let path = broadcaster.to(&path);
                        let mut broadcasting = pin!(path.send_when_ready(message));
                        match futures::poll!(broadcasting.as_mut()) {
                            Poll::Ready(queued) => queued,
                            Poll::Pending => {
                                // The clients are slow. That is no reason to have more come again than must.
                                link.acknowledge().await?;
                                broadcasting.await
                            }
                        }
                    };
                    self.reporter.count(|status| {
                        status.broadcast += 1;
                        status.queued += queued as u64;
                    });
                    link.handled(tag).await?;
                }
                Ok(None) => {
                    self.reporter.count(|status| status.declined += 1);
                    link.handled(tag).await?;
                }
                Err(error) => {
                    let Delivery { exchange, routing_key, .. } = &delivery;
                    tracing::warn!(source = ?self, %exchange, %routing_key, error, "a delivery is rejected");
                    link.reject(tag).await?;
                    self.reporter.count(|status| status.rejected += 1);
                }
            }
        }
    }

    fn map(&self, delivery: &Delivery) -> Result<Option<(String, Message)>, nosphere::Error> {
        let (length, limit) = (delivery.body.len(), self.config.max_message_bytes);
        if length > limit {
            return Err(format!("{length} bytes are more than {limit}").into());
        }
        catch_unwind(AssertUnwindSafe(|| (self.mapping)(delivery)))
            .unwrap_or_else(|_| Err("the mapping panicked".into()))
    }
}

/// Without the password.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AMQPUri { authority, vhost, .. } = &self.uri;
        write!(f, "Source({:?} at {}:{}, {vhost:?})", self.queue.name, authority.host, authority.port)
    }
}
