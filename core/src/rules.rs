use crate::Transport;

/// How a family of clients talks. What they differ in is data: [`Rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// SPEC §2 to §12.
    Native,
    /// SPEC §15: no envelope.
    Plain,
}

/// What a protocol can do on a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rules {
    /// When a message counts as delivered.
    pub delivery: Delivery,
    /// Who says that it lives, and how.
    pub heartbeat: Heartbeat,
    /// The protocol has frames of its own: `opened`, `resumed`, `ack`, `close`.
    pub frames: bool,
    /// One message is one answer to a poll.
    pub one_message_per_poll: bool,
    /// The session outlives its link.
    pub resumable: bool,
    /// Text with a carriage return cannot pass.
    pub no_carriage_return: bool,
}

/// When a message counts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "internal to the rules")]
pub enum Delivery {
    /// When the peer's count covers it.
    Acknowledged,
    /// When it falls out of a ring of [`Config::retained`](crate::Config::retained) written messages.
    Retained,
    /// When it was handed to the link.
    Written,
}

/// How a server keeps a link alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "internal to the rules")]
pub enum Heartbeat {
    /// By the carrier, without an answer: an SSE comment.
    Carrier,
    /// By the carrier, with an answer: WebSocket ping and pong.
    CarrierAnswered,
    /// By `ping` and `pong` frames.
    Frames,
    /// The poll itself is the sign of life.
    None,
}

impl Protocol {
    /// What the protocol can do on a transport.
    pub const fn rules(self, transport: Transport) -> Rules {
        match (self, transport) {
            (Self::Native, Transport::LongPolling) => Rules { heartbeat: Heartbeat::None, ..NATIVE },
            (Self::Native, Transport::ServerSentEvents | Transport::WebSocket) => NATIVE,
            (Self::Plain, Transport::LongPolling) => Rules {
                delivery: Delivery::Acknowledged,
                heartbeat: Heartbeat::None,
                one_message_per_poll: true,
                ..PLAIN
            },
            (Self::Plain, Transport::ServerSentEvents) => {
                Rules { delivery: Delivery::Retained, heartbeat: Heartbeat::Carrier, no_carriage_return: true, ..PLAIN }
            }
            (Self::Plain, Transport::WebSocket) => Rules { resumable: false, ..PLAIN },
        }
    }
}

const NATIVE: Rules = Rules {
    delivery: Delivery::Acknowledged,
    heartbeat: Heartbeat::Frames,
    frames: true,
    one_message_per_poll: false,
    resumable: true,
    no_carriage_return: false,
};

const PLAIN: Rules = Rules {
    delivery: Delivery::Written,
    heartbeat: Heartbeat::CarrierAnswered,
    frames: false,
    one_message_per_poll: false,
    resumable: true,
    no_carriage_return: false,
};
