use lapin::options::QueueDeclareOptions;

/// The queue that a [`Source`](crate::Source) consumes, and what it is bound to.
///
/// ```
/// use nosphere_amqp::Queue;
///
/// let shared = Queue::durable("buzz").bind("amq.topic", "buzz.#");
/// let own = Queue::temporary().bind("amq.fanout", "");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) bindings: Vec<Binding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Durable,
    Existing,
    Temporary,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Binding {
    pub(crate) exchange: String,
    pub(crate) routing_key: String,
}

impl Queue {
    /// A queue that is declared unless it is there, and outlives connections and restarts of the broker.
    ///
    /// Sources on several nodes that consume the same one share its messages between them.
    pub fn durable(name: impl Into<String>) -> Self {
        Self::new(name.into(), Kind::Durable)
    }

    /// A queue that somebody else has declared, with whatever arguments: a quorum queue, or one with a dead-letter exchange.
    pub fn existing(name: impl Into<String>) -> Self {
        Self::new(name.into(), Kind::Existing)
    }

    /// A queue of this source alone, named by the broker and gone with the connection.
    ///
    /// What is published while the connection is away is lost. It is for several nodes that are all to get everything.
    pub fn temporary() -> Self {
        Self::new(String::new(), Kind::Temporary)
    }

    /// Binds the queue to an exchange, which must be there, by a routing key. May be called several times.
    #[must_use]
    pub fn bind(mut self, exchange: impl Into<String>, routing_key: impl Into<String>) -> Self {
        self.bindings.push(Binding { exchange: exchange.into(), routing_key: routing_key.into() });
        self
    }

    fn new(name: String, kind: Kind) -> Self {
        Self { name, kind, bindings: Vec::new() }
    }

    /// The first of its names that AMQP cannot express.
    pub(crate) fn too_long(&self) -> Option<&str> {
        let bindings = self.bindings.iter().flat_map(|binding| [&binding.exchange, &binding.routing_key]);
        let found = std::iter::once(&self.name).chain(bindings).find(|name| name.len() > MAX_NAME_BYTES);
        found.map(String::as_str)
    }

    pub(crate) fn options(&self) -> QueueDeclareOptions {
        QueueDeclareOptions {
            passive: self.kind == Kind::Existing,
            durable: self.kind == Kind::Durable,
            exclusive: self.kind == Kind::Temporary,
            auto_delete: self.kind == Kind::Temporary,
            nowait: false,
        }
    }
}

/// The most bytes in a name or a routing key: AMQP's short string.
const MAX_NAME_BYTES: usize = 255;
