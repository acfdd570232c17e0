use crate::Transport;

/// How a family of clients talks. What they differ in is data: [`Rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// SPEC §17: clients of atmosphere.js.
    Atmosphere,
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
    /// What a server says first on a link.
    pub greets: Greets,
    /// The protocol has frames of its own: `opened`, `resumed`, `ack`, `close`.
    pub frames: bool,
    /// One message is one answer to a poll, unless the format [tells them apart](crate::WireFormat::is_delimited).
    pub one_message_per_poll: bool,
    /// The poll that opens a session is answered at once.
    pub empty_first_poll: bool,
    /// A POST may come while the link is a WebSocket: the client does not say which attachment it belongs to.
    pub posts_beside_websocket: bool,
    /// The session outlives its link.
    pub resumable: bool,
    /// Who closes a WebSocket in order and does not come back has left; otherwise it was lost.
    pub leaves_by_closing: bool,
    /// Text with a carriage return cannot pass.
    pub no_carriage_return: bool,
    /// Binary messages cannot pass.
    pub text_only: bool,
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
    /// By `ping` frames, which a poll is answered with, and which nobody answers.
    FramesUnanswered,
    /// By those, and by the carrier with an answer.
    FramesUnansweredAndCarrier,
    /// The poll itself is the sign of life.
    None,
}

impl Heartbeat {
    /// Whether pings are frames of the protocol.
    pub(crate) const fn is_by_frames(self) -> bool {
        matches!(self, Self::Frames) || self.is_unanswered()
    }

    /// Whether they are frames that nobody answers. Clients then beat by themselves, if they do.
    pub(crate) const fn is_unanswered(self) -> bool {
        matches!(self, Self::FramesUnanswered | Self::FramesUnansweredAndCarrier)
    }

    /// Whether a ping, of one kind or the other, is answered.
    pub(crate) const fn is_answered(self) -> bool {
        matches!(self, Self::CarrierAnswered | Self::Frames | Self::FramesUnansweredAndCarrier)
    }
}

/// What a server says first on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "internal to the rules")]
pub enum Greets {
    /// `opened` on every attachment. The link's format decides what that is, and whether it is anything.
    EveryAttachment,
    /// Nothing.
    Never,
    /// `opened` first, and `resumed` on later attachments.
    OpenedThenResumed,
}

impl Protocol {
    /// A short name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Atmosphere => "atmosphere",
            Self::Native => "nosphere",
            Self::Plain => "plain",
        }
    }

    /// What the protocol can do on a transport.
    pub const fn rules(self, transport: Transport) -> Rules {
        match (self, transport) {
            (Self::Native, Transport::LongPolling) => Rules { heartbeat: Heartbeat::None, ..NATIVE },
            (Self::Native, Transport::ServerSentEvents | Transport::Streaming | Transport::WebSocket) => NATIVE,
            (Self::Plain, Transport::LongPolling) => Rules {
                delivery: Delivery::Acknowledged,
                heartbeat: Heartbeat::None,
                one_message_per_poll: true,
                empty_first_poll: true,
                ..PLAIN
            },
            (Self::Plain, Transport::ServerSentEvents | Transport::Streaming) => {
                Rules { delivery: Delivery::Retained, heartbeat: Heartbeat::Carrier, no_carriage_return: true, ..PLAIN }
            }
            (Self::Plain, Transport::WebSocket) => Rules { resumable: false, ..PLAIN },
            (Self::Atmosphere, Transport::LongPolling) => Rules { one_message_per_poll: true, ..ATMOSPHERE },
            (Self::Atmosphere, Transport::ServerSentEvents) => Rules { no_carriage_return: true, ..ATMOSPHERE },
            (Self::Atmosphere, Transport::Streaming) => ATMOSPHERE,
            (Self::Atmosphere, Transport::WebSocket) => Rules {
                heartbeat: Heartbeat::FramesUnansweredAndCarrier,
                leaves_by_closing: true,
                text_only: false,
                ..ATMOSPHERE
            },
        }
    }
}

const NATIVE: Rules = Rules {
    delivery: Delivery::Acknowledged,
    heartbeat: Heartbeat::Frames,
    greets: Greets::OpenedThenResumed,
    frames: true,
    one_message_per_poll: false,
    empty_first_poll: false,
    posts_beside_websocket: false,
    resumable: true,
    leaves_by_closing: false,
    no_carriage_return: false,
    text_only: false,
};

const PLAIN: Rules = Rules {
    delivery: Delivery::Written,
    heartbeat: Heartbeat::CarrierAnswered,
    greets: Greets::Never,
    frames: false,
    ..NATIVE
};

const ATMOSPHERE: Rules = Rules {
    heartbeat: Heartbeat::FramesUnanswered,
    greets: Greets::EveryAttachment,
    posts_beside_websocket: true,
    text_only: true,
    ..PLAIN
};
