use super::line::Line;
use crate::seldom::Seldom;
use crate::{Event, Reply, RequestId, Window};

/// The most events beside messages that wait for the application before further faults of the peer go untold.
///
/// Heartbeats and `Writable` wait once at most, and a `Resumed` that nobody saw gives way to the next `Suspended`: so a
/// peer cannot fill the queue, whatever it does while the application takes nothing.
const MAX_NOTICES: usize = 64;

/// The incoming stream of a session, and the queue of events for the application.
///
/// `taken` messages were given to the application; `accepted` counts those that wait for it too; `position` is the number
/// of the last message that came over the current attachment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Inbox {
    queue: Seldom<Queue>,
    taken: u64,
    accepted: u64,
    position: u64,
    /// Bytes of the units of accepted messages that wait.
    waiting_bytes: usize,
    /// The highest count that the peer may know: what exceeds the window behind it, it had to know better.
    told: u64,
    untold_bytes: usize,
    /// The count that the link was told last. One in the answer to a POST is not enough: nobody knows who heard it.
    reported: u64,
    unreported_bytes: usize,
    window: Window,
}

/// What waits for the application, or will.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Queue {
    waiting: Line<Waiting>,
    /// Events among those that wait that are not messages.
    notices: usize,
    /// Replies that wait.
    replies: usize,
    /// Replies that were taken before their turn, and are to come again: among the messages up to a count. No more than the
    /// window has.
    anticipated: Vec<RequestId>,
    anticipated_until: u64,
    heartbeat_waits: bool,
    writable_waits: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    event: Held,
    /// The unit's length, if this is a message.
    message: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Held {
    Event(Event),
    /// A reply that was taken before its turn. It counts when that comes.
    Taken(RequestId),
}

/// What became of an incoming message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    Accepted,
    /// The peer exceeded the window.
    Beyond,
    /// It was here before.
    Duplicate,
    /// The unit is longer than any may be.
    TooLong,
}

impl Inbox {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            queue: Seldom::new(),
            taken: 0,
            accepted: 0,
            position: 0,
            waiting_bytes: 0,
            told: 0,
            untold_bytes: 0,
            reported: 0,
            unreported_bytes: 0,
            window,
        }
    }

    /// The next message of the current attachment arrived. `windowed`: the peer knows the window.
    pub(crate) fn arrive(&mut self, event: Event, unit: usize, windowed: bool) -> Arrived {
        if self.position < self.accepted {
            self.position += 1;
            return Arrived::Duplicate;
        }
        if unit > self.window.bytes as usize {
            return Arrived::TooLong;
        }
        if windowed && self.exceeds(self.accepted - self.told, self.untold_bytes) {
            return Arrived::Beyond;
        }
        let queue = self.queue.make();
        if self.accepted >= queue.anticipated_until && !queue.anticipated.is_empty() {
            // What did not come again until here was replaced by something else.
            queue.anticipated = Vec::new();
        }
        let event = queue.hold(event);
        queue.waiting.push_back(Waiting { event, message: Some(unit as u32) });
        self.position += 1;
        self.accepted += 1;
        self.waiting_bytes += unit;
        self.untold_bytes += unit;
        self.unreported_bytes += unit;
        Arrived::Accepted
    }

    /// The next message of the current attachment arrived, and is taken at once: nothing waits before it. False, and nothing
    /// has happened, if anything about it has to be looked at.
    #[inline]
    pub(crate) fn pass(&mut self, unit: usize, windowed: bool) -> bool {
        let simple = self.position == self.accepted && self.queue.get().is_none_or(Queue::is_idle);
        let fits = unit <= self.window.bytes as usize;
        let beyond = windowed && self.exceeds(self.accepted - self.told, self.untold_bytes);
        let passes = simple && fits && !beyond;
        if passes {
            self.position += 1;
            self.accepted += 1;
            self.taken += 1;
            self.untold_bytes += unit;
            self.unreported_bytes += unit;
        }
        passes
    }

    /// What would become of the new messages of a body, given the lengths of their units.
    pub(crate) fn weigh(&self, units: impl Iterator<Item = usize>, windowed: bool) -> Arrived {
        let (mut messages, mut bytes) = if windowed {
            (self.accepted - self.told, self.untold_bytes)
        } else {
            (self.accepted - self.taken, self.waiting_bytes)
        };
        for unit in units {
            if unit > self.window.bytes as usize {
                return Arrived::TooLong;
            }
            if self.exceeds(messages, bytes) {
                return Arrived::Beyond;
            }
            messages += 1;
            bytes += unit;
        }
        Arrived::Accepted
    }

    /// Queues an event that is not a message.
    pub(crate) fn push(&mut self, event: Event) {
        self.queue.make().push(event);
    }

    /// Whether the application keeps up with what it is told beside messages.
    pub(crate) fn has_room_for_errors(&self) -> bool {
        self.queue.get().is_none_or(|queue| queue.notices < MAX_NOTICES)
    }

    /// The next event.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.pass_over();
        let queue = self.queue.get_mut()?;
        let Waiting { event, message } = queue.waiting.pop_front()?;
        // What was taken before its turn has just been passed over.
        let Held::Event(event) = event else { return None };
        if let Some(unit) = message {
            self.taken += 1;
            self.waiting_bytes -= unit as usize;
            if queue.replies > 0 {
                queue.replies -= usize::from(matches!(event, Event::Reply(_)));
            }
        } else {
            queue.notices -= 1;
            queue.heartbeat_waits &= !matches!(event, Event::Heartbeat);
            queue.writable_waits &= !matches!(event, Event::Writable);
        }
        self.pass_over();
        Some(event)
    }

    /// Replies that were taken before their turn count now that it has come.
    fn pass_over(&mut self) {
        let Some(queue) = self.queue.get_mut() else { return };
        while let Some(Waiting { event: Held::Taken(_), message: Some(unit) }) = queue.waiting.front() {
            self.taken += 1;
            self.waiting_bytes -= *unit as usize;
            queue.waiting.pop_front();
        }
    }

    /// The next reply, whatever waits before it. It counts as taken when its turn comes.
    pub(crate) fn pop_reply(&mut self) -> Option<Reply> {
        let reply = self.queue.get_mut().and_then(Queue::pop_reply);
        self.pass_over();
        reply
    }

    /// Whether as much was taken since the last report that an acknowledgement is due (DLV-3).
    pub(crate) fn is_report_due(&self) -> bool {
        let messages = self.taken - self.reported;
        let bytes = self.unreported_bytes - self.waiting_bytes;
        messages * 2 >= u64::from(self.window.messages) || bytes * 2 >= self.window.bytes as usize
    }

    /// The count for a frame of the link, or a request that is repeated until it is answered.
    pub(crate) fn report(&mut self) -> u64 {
        self.reported = self.taken;
        self.unreported_bytes = self.waiting_bytes;
        self.tell()
    }

    /// The count for an answer that may get lost.
    pub(crate) fn tell(&mut self) -> u64 {
        self.told = self.taken;
        self.untold_bytes = self.waiting_bytes;
        self.taken
    }

    /// What comes next begins behind `base`, which is not ahead of what was accepted (PST-2, POL-1).
    pub(crate) fn seek(&mut self, base: u64) {
        debug_assert!(base <= self.accepted);
        self.position = base;
    }

    /// Forgets what was not taken: a new attachment begins and it comes again (DLV-6), or nobody wants it any more.
    pub(crate) fn discard_untaken(&mut self) {
        if self.has_untaken()
            && let Some(queue) = self.queue.get_mut()
        {
            queue.discard_messages(self.accepted, self.window.messages as usize);
        }
        self.accepted = self.taken;
        self.position = self.taken;
        self.waiting_bytes = 0;
        self.report();
    }

    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Whether messages wait for the application.
    pub(crate) fn has_untaken(&self) -> bool {
        self.accepted > self.taken
    }

    /// Whether as much waits for the application as the window allows.
    pub(crate) fn is_full(&self) -> bool {
        self.exceeds(self.accepted - self.taken, self.waiting_bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.get().is_none_or(|queue| queue.waiting.is_empty())
    }

    /// Gives back memory that a burst has left.
    pub(crate) fn shrink(&mut self) {
        if self.queue.get().is_some_and(Queue::is_idle) {
            self.queue = Seldom::new();
        }
    }

    /// Whether a further message is one too many. The one that reaches the window's bytes is the last (DLV-2).
    fn exceeds(&self, messages: u64, bytes: usize) -> bool {
        messages >= u64::from(self.window.messages) || bytes >= self.window.bytes as usize
    }
}

impl Queue {
    /// Whether nothing waits, and nothing is to be passed over when it comes.
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.anticipated.is_empty()
    }

    fn hold(&mut self, event: Event) -> Held {
        if let Event::Reply(Reply { id, .. }) = &event {
            if let Some(at) = self.anticipated.iter().position(|known| known == id) {
                return Held::Taken(self.anticipated.swap_remove(at));
            }
            self.replies += 1;
        }
        Held::Event(event)
    }

    fn push(&mut self, event: Event) {
        let told = if matches!(event, Event::Heartbeat) {
            std::mem::replace(&mut self.heartbeat_waits, true)
        } else if matches!(event, Event::Writable) {
            std::mem::replace(&mut self.writable_waits, true)
        } else if matches!(event, Event::Suspended) {
            // Nobody saw that it was resumed, so nobody needs to see that this is over.
            let unseen = matches!(self.waiting.back(), Some(Waiting { event: Held::Event(Event::Resumed { .. }), .. }));
            if unseen {
                self.waiting.pop_back();
            }
            self.notices -= usize::from(unseen);
            unseen
        } else {
            false
        };
        if !told {
            self.notices += 1;
            self.waiting.push_back(Waiting { event: Held::Event(event), message: None });
        }
    }

    fn pop_reply(&mut self) -> Option<Reply> {
        if self.replies == 0 {
            return None;
        }
        let reply = self.waiting.iter_mut().find_map(|waiting| match &waiting.event {
            Held::Event(Event::Reply(reply)) => {
                let reply = reply.clone();
                waiting.event = Held::Taken(reply.id);
                Some(reply)
            }
            Held::Event(_) | Held::Taken(_) => None,
        });
        self.replies -= usize::from(reply.is_some());
        reply
    }

    /// Forgets messages, of which `accepted` have come, but not which replies were taken before their turn.
    fn discard_messages(&mut self, accepted: u64, max_anticipated: usize) {
        (self.notices, self.replies, self.heartbeat_waits, self.writable_waits) = (0, 0, false, false);
        for Waiting { event, message } in std::mem::take(&mut self.waiting) {
            match event {
                Held::Event(event) if message.is_none() => self.push(event),
                Held::Event(_) => {}
                Held::Taken(id) => self.anticipated.push(id),
            }
        }
        self.anticipated_until = self.anticipated_until.max(accepted);
        let excess = self.anticipated.len().saturating_sub(max_anticipated);
        self.anticipated.drain(..excess);
    }
}
