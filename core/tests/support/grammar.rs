use nosphere_core::Event;

/// Checks that events come in the order that DESIGN §4 gives:
///
/// `Connected ( Text | Json | Binary | Request | Reply | Heartbeat | Error | Suspended Resumed | Writable )* Disconnected`
///
/// A session may end while it is suspended, and a client's may end before it was connected.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Grammar {
    #[default]
    Start,
    Connected,
    Suspended,
    Disconnected,
}

impl Grammar {
    pub(crate) fn check(&mut self, event: &Event) {
        *self = match (&self, event) {
            (Self::Start | Self::Connected | Self::Suspended, Event::Disconnected { .. }) => Self::Disconnected,
            (Self::Start, Event::Connected { .. }) | (Self::Suspended, Event::Resumed { .. }) => Self::Connected,
            (Self::Connected, Event::Suspended) => Self::Suspended,
            (
                Self::Connected,
                Event::Text(_)
                | Event::Json(_)
                | Event::Binary(_)
                | Event::Reply(_)
                | Event::Request(_)
                | Event::Heartbeat
                | Event::Error(_)
                | Event::Writable,
            ) => Self::Connected,
            (state, event) => panic!("{event:?} after {state:?}"),
        };
    }
}
