use crate::{Config, DecodeError, Frame, Offer, Open, Reason, Time};

/// How many pings a client may send before it says which session it wants (SPEC WS-1).
const MAX_PINGS: u8 = 16;

/// The first words on a WebSocket, before it is known which session it is for. Server side.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Greeting {
    pings: u8,
    deadline: Time,
}

/// What a frame before `open` or `resume` leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "SPEC WS-1")]
pub enum Greeted {
    /// Close the socket with this.
    Fault(Reason),
    /// The client wants a new session.
    Open(Open),
    /// Send this, and go on.
    Reply(Frame),
    /// The client wants to continue one.
    Resume(Offer),
}

impl Greeting {
    /// A socket was opened.
    pub fn new(config: &Config, now: Time) -> Self {
        Self { pings: 0, deadline: now + config.open_timeout }
    }

    /// A frame arrived.
    #[expect(clippy::needless_pass_by_value, reason = "a frame that was read here has no other use")]
    pub fn handle_frame(&mut self, frame: Result<Frame, DecodeError>) -> Greeted {
        match frame {
            Ok(Frame::Open(open)) => Greeted::Open(open),
            Ok(Frame::Resume(offer)) => Greeted::Resume(offer),
            Ok(Frame::Ping { .. }) if self.pings < MAX_PINGS => {
                self.pings += 1;
                Greeted::Reply(Frame::Pong { received: 0 })
            }
            Ok(_) | Err(DecodeError::Payload(_)) => Greeted::Fault(Reason::Unexpected),
            Err(DecodeError::Malformed(_)) => Greeted::Fault(Reason::Malformed),
        }
    }

    /// When the socket is to be closed with [`Reason::Timeout`].
    pub fn poll_timeout(&self) -> Time {
        self.deadline
    }
}
