//! Pumps an AMQP 0-9-1 queue, RabbitMQ's for one, into a path of a nosphere server: whatever is published to the queue
//! reaches everybody on that path and beneath it, over any transport.
//!
//! ```no_run
//! use nosphere::{Client, Error, Event, Server};
//! use nosphere_amqp::{Queue, Source};
//!
//! # struct Buzz;
//! # impl nosphere::Handler for Buzz {
//! #     async fn receive(&mut self, _: &Client, _: Event) -> Result<(), Error> { Ok(()) }
//! # }
//! # async fn serve(_: Server) {}
//! # async fn example() -> Result<(), Error> {
//! let server = Server::builder().endpoint("/real-time-buzz", |_request| Buzz).build()?;
//!
//! let queue = Queue::durable("buzz").bind("amq.topic", "buzz.#");
//! let buzz = Source::new("amqp://guest:guest@localhost:5672/%2f", queue, "/real-time-buzz")?;
//! let buzz = buzz.start(server.broadcaster()).await?; // here if the broker is away, or does not know us
//!
//! serve(server).await;
//! buzz.stop().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`Source::run`] is the same as a future, for those who have a task for it, and a future that says when to stop.
//!
//! # What is promised
//!
//! **At least once, in the order of the queue.** A delivery is acknowledged after it has been queued for every session that
//! is on the path at that moment, never before. So nothing is lost when the broker, the network or this process fails; what
//! the broker had no acknowledgement for by then it delivers again, and it is **broadcast twice** if only its
//! acknowledgement was lost. [`Delivery::redelivered`] says that this may be so, and [`Delivery::message_id`], if the
//! publisher gives one, lets a client tell. From the server to each client, delivery is exactly once, as ever.
//!
//! A broadcast with nobody on the path is a broadcast: the delivery is acknowledged, and gone.
//!
//! # What becomes of a delivery
//!
//! | delivery | to the clients | to the broker | counted by [`Status`] as |
//! |---|---|---|---|
//! | a message, by [`Delivery::message`] or the [mapping](Source::mapping) | broadcast | acknowledged | `broadcast` |
//! | declined by the mapping | – | acknowledged | `declined` |
//! | longer than [`Config::max_message_bytes`], not the JSON that it says it is, or the mapping fails or panics | – | rejected, not requeued; logged | `rejected` |
//!
//! Acknowledgements go out together: when there is nothing more to handle at once, when slow clients are waited for, and
//! after half of [`Config::prefetch`].
//!
//! # Back-pressure
//!
//! A delivery is broadcast when the connected sessions on the path have room for it, and only then is the next one handled.
//! The broker hands over [`Config::prefetch`] deliveries ahead, and keeps the rest in the queue. A client that reads too
//! slowly is waited for no longer than [`ServerConfig::patience`](nosphere::ServerConfig::patience) each time.
//!
//! # When the broker is away
//!
//! The source tries again, after a wait that doubles from [`Config::backoff_min`] to [`Config::backoff_max`], for as long as
//! it takes. It declares the queue and its bindings again each time. Two things end it: the first connection, unless
//! [`Config::wait_at_start`] says otherwise and the broker just cannot be reached; and a broker that refuses the user, at any
//! time, because repeating a wrong password does not make it right. [`Running::status`] and [`Monitor`] tell how it is.
//!
//! # Several nodes
//!
//! Nodes that consume one [durable](Queue::durable) queue share its messages, so each message reaches the clients of one
//! node. For all nodes to get everything, give each a queue of its own: [`Queue::temporary`], or a durable one whose name
//! has the node's.
//!
//! # TLS
//!
//! `amqps` is refused: lapin's TLS brings a keystore and its cryptography along, 75 crates more. Let a proxy beside the
//! server speak TLS with the broker.

mod backoff;
mod config;
mod delivery;
mod error;
mod link;
mod queue;
mod running;
mod source;
mod status;
mod uri;

pub use config::Config;
pub use delivery::Delivery;
pub use error::Error;
pub use queue::Queue;
pub use running::Running;
pub use source::Source;
pub use status::{Monitor, State, Status};
