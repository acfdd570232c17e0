use std::collections::BTreeMap;

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};

use super::{Broker, soon};

/// The other end of the queue.
pub(crate) struct Peer {
    channel: Channel,
    _connection: Connection,
}

impl Peer {
    pub(crate) async fn connect(broker: &Broker) -> Self {
        let uri = broker.uri();
        let connecting = Connection::connect(&uri, ConnectionProperties::default());
        let connection = soon(connecting).await.expect("the broker is there");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        Self { channel, _connection: connection }
    }

    /// Declares a durable queue; gives its name, for those who like that.
    pub(crate) async fn declare(&self, queue: &str, arguments: &[(&str, &str)]) -> String {
        let arguments: BTreeMap<_, _> =
            arguments.iter().map(|(name, value)| ((*name).into(), AMQPValue::LongString((*value).into()))).collect();
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        soon(self.channel.queue_declare(queue.into(), options, arguments.into())).await.expect("a queue");
        queue.into()
    }

    /// Publishes to a queue, persistently, and waits until the broker has it on disk.
    pub(crate) async fn publish(&self, queue: &str, content_type: Option<&str>, body: &[u8]) {
        let mut properties = BasicProperties::default();
        if let Some(content_type) = content_type {
            properties = properties.with_content_type(content_type.into());
        }
        self.publish_to("", queue, properties, body).await;
    }

    pub(crate) async fn publish_to(&self, exchange: &str, key: &str, properties: BasicProperties, body: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = properties.with_delivery_mode(2);
        let publishing = self.channel.basic_publish(exchange.into(), key.into(), options, body, properties);
        let confirmation = soon(async { publishing.await?.await }).await.expect("a confirmation");
        assert!(matches!(confirmation, Confirmation::Ack(None)), "it went into a queue: {confirmation:?}");
    }

    /// Numbers, as text.
    pub(crate) async fn publish_numbers(&self, queue: &str, numbers: std::ops::Range<u32>) {
        for number in numbers {
            self.publish(queue, None, number.to_string().as_bytes()).await;
        }
    }

    /// How many messages of a queue wait, and are not with a consumer.
    pub(crate) async fn ready(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = soon(self.channel.queue_declare(queue.into(), options, FieldTable::default())).await;
        declared.expect("the queue is there").message_count()
    }

    /// Takes a message out of a queue.
    pub(crate) async fn take(&self, queue: &str) -> Option<Vec<u8>> {
        let message = soon(self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true })).await;
        message.expect("the queue is there").map(|message| message.delivery.data)
    }

    pub(crate) async fn delete(&self, queue: &str) {
        soon(self.channel.queue_delete(queue.into(), QueueDeleteOptions::default())).await.expect("it was there");
    }
}
