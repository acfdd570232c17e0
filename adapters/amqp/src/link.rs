use std::io;
use std::net::Shutdown;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_compat::Compat;
use futures::{FutureExt as _, StreamExt as _};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, BasicRejectOptions, QueueBindOptions,
};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Consumer};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::{Config, Error, Queue, uri};

/// A connection that consumes the queue, and what it owes the broker.
pub(crate) struct Link {
    // Dropped in this order: the consumer and the channel have goodbyes of their own to say, which is over with the plug.
    consumer: Consumer,
    channel: Channel,
    connection: Connection,
    /// The last delivery that was handled and is not acknowledged, and how many are not.
    handled: Option<u64>,
    unacknowledged: u16,
    /// Beyond which the broker is told before anything else, so that it has something on the way meanwhile.
    batch: u16,
    close_timeout: Duration,
    _plug: Plug,
}

impl Link {
    /// Connects and begins to consume.
    pub(crate) async fn open(uri: &AMQPUri, queue: &Queue, config: &Config) -> Result<Self, Error> {
        let patience = uri.query.connection_timeout.map_or(config.connect_timeout, Duration::from_millis);
        match timeout(patience, Self::open_at_leisure(uri, queue, config)).await {
            Ok(opened) => opened,
            Err(_) => Err(Error::unreachable("no answer in time")),
        }
    }

    async fn open_at_leisure(uri: &AMQPUri, queue: &Queue, config: &Config) -> Result<Self, Error> {
        let (stream, plug) = dial(uri).await.map_err(Error::unreachable)?;
        // lapin asks for a stream as often as it wants to connect. Whether to try again is for us to say.
        let stream = Mutex::new(Some(AsyncTcpStream::Plain(Compat::new(stream))));
        let only_once = async move |_, _| {
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner).take();
            stream.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted).into())
        };
        let properties = ConnectionProperties::default().with_connection_name("nosphere".into());
        let runtime = lapin::runtime::default_runtime()?;
        let connection =
            Connection::connector(uri::with_heartbeat(uri.clone(), config), runtime, only_once, properties).await?;

        let channel = connection.create_channel().await?;
        channel.basic_qos(config.prefetch.get(), BasicQosOptions::default()).await?;
        let declared =
            channel.queue_declare(queue.name.as_str().into(), queue.options(), FieldTable::default()).await?;
        let name = declared.name();
        for binding in &queue.bindings {
            let (exchange, key) = (binding.exchange.as_str().into(), binding.routing_key.as_str().into());
            let bound =
                channel.queue_bind(name.clone(), exchange, key, QueueBindOptions::default(), FieldTable::default());
            bound.await?;
        }
        let consuming =
            channel.basic_consume(name.clone(), "".into(), BasicConsumeOptions::default(), FieldTable::default());
        let consumer = consuming.await?;
        let batch = config.prefetch.get().div_ceil(2);
        let close_timeout = config.close_timeout;
        Ok(Self { consumer, channel, connection, handled: None, unacknowledged: 0, batch, close_timeout, _plug: plug })
    }

    /// The next delivery. When it has to be waited for, what was handled is acknowledged first. Nothing is lost when the
    /// future is dropped.
    pub(crate) async fn next(&mut self) -> Result<lapin::message::Delivery, Error> {
        loop {
            let delivery = match self.consumer.next().now_or_never() {
                Some(delivery) => delivery,
                None => {
                    self.acknowledge().await?;
                    self.consumer.next().await
                }
            };
            match delivery {
                // Those that came before the connection was lost come again, so they need not be broadcast now.
                Some(Ok(_)) if !self.channel.status().connected() => {}
                Some(delivery) => return Ok(delivery?),
                None => {
                    return Err(Error::unreachable("the broker ended the consumption, as when the queue is deleted"));
                }
            }
        }
    }

    /// Notes that a delivery has been broadcast, or is for nobody. It is acknowledged in a while.
    pub(crate) async fn handled(&mut self, tag: u64) -> Result<(), Error> {
        self.handled = Some(tag);
        self.unacknowledged += 1;
        if self.unacknowledged >= self.batch {
            self.acknowledge().await?;
        }
        Ok(())
    }

    /// Acknowledges everything that has been handled.
    pub(crate) async fn acknowledge(&mut self) -> Result<(), Error> {
        self.unacknowledged = 0;
        match self.handled.take() {
            // Deliveries are handled in their order, so those before this one are handled or rejected.
            Some(tag) => Ok(self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await?),
            None => Ok(()),
        }
    }

    /// Refuses a delivery for good.
    pub(crate) async fn reject(&mut self, tag: u64) -> Result<(), Error> {
        Ok(self.channel.basic_reject(tag, BasicRejectOptions { requeue: false }).await?)
    }

    /// Acknowledges what has been handled, and ends the connection; the broker keeps the rest.
    pub(crate) async fn close(mut self) {
        let close_timeout = self.close_timeout;
        let closing = async {
            self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default()).await?;
            self.acknowledge().await?;
            Ok::<_, Error>(self.connection.close(REPLY_SUCCESS, "".into()).await?)
        };
        match timeout(close_timeout, closing).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the broker went away before the goodbye; its queue may repeat itself")
            }
            Err(_) => tracing::warn!("the broker does not answer the goodbye; its queue may repeat itself"),
        }
    }
}

/// Pulls the plug when dropped.
///
/// lapin reads on a thread of its own, which waits for the broker's answer to a goodbye, or to a login that nobody waits
/// for any longer. From a broker that hangs, none comes; each attempt to reach it would leave a thread behind.
struct Plug(std::net::TcpStream);

impl Drop for Plug {
    fn drop(&mut self) {
        // It may be disconnected already.
        drop(self.0.shutdown(Shutdown::Both));
    }
}

async fn dial(uri: &AMQPUri) -> io::Result<(TcpStream, Plug)> {
    let stream = TcpStream::connect((uri.authority.host.as_str(), uri.authority.port)).await?;
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let plug = Plug(stream.try_clone()?);
    Ok((TcpStream::from_std(stream)?, plug))
}

const REPLY_SUCCESS: u16 = 200;
