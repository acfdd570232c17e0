//! Ids that clients of atmosphere.js have, or had, without a session of this server.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nosphere_core::{SessionId, Time};

/// Remembers ids for a time, up to a limit: the oldest is forgotten first, and nothing worse comes of that than a handshake
/// too many or a session that nobody wanted.
#[derive(Debug, Default)]
pub(crate) struct Strays(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    ids: HashMap<SessionId, (Stray, Time)>,
    order: VecDeque<(SessionId, Time)>,
}

/// What is known of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stray {
    /// It was given out by a handshake, and its first poll has not come.
    Issued,
    /// Its client said that it leaves.
    Left,
}

impl Strays {
    /// Remembers an id until a time.
    pub(crate) fn put(&self, id: SessionId, stray: Stray, until: Time, now: Time, limit: usize) {
        let mut known = self.lock();
        known.ids.insert(id, (stray, until));
        known.order.push_back((id, until));
        while known.order.len() > limit || known.order.front().is_some_and(|oldest| oldest.1 <= now) {
            let Some((id, until)) = known.order.pop_front() else { return };
            if known.ids.get(&id).is_some_and(|entry| entry.1 == until) {
                known.ids.remove(&id);
            }
        }
    }

    /// What is known of an id.
    pub(crate) fn get(&self, id: SessionId, now: Time) -> Option<Stray> {
        self.lock().ids.get(&id).filter(|entry| entry.1 > now).map(|entry| entry.0)
    }

    /// Forgets an id that has a session now.
    pub(crate) fn remove(&self, id: SessionId) {
        self.lock().ids.remove(&id);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_for_a_time_and_no_more_than_the_limit_are() {
        let strays = Strays::default();
        let id = |n: u8| SessionId::from([n; 16]);
        for n in 0..5 {
            strays.put(id(n), Stray::Left, Time(100 + u64::from(n)), Time(0), 3);
        }
        let known = |now| (0..5).filter(|&n| strays.get(id(n), Time(now)).is_some()).collect::<Vec<_>>();
        assert_eq!(known(0), [2, 3, 4]);
        assert_eq!(known(103), [4]);
        strays.put(id(4), Stray::Issued, Time(200), Time(150), 3);
        assert_eq!((known(150), strays.lock().order.len()), (vec![4], 1), "what is over is dropped");
        assert_eq!(strays.get(id(4), Time(150)), Some(Stray::Issued));
        strays.remove(id(4));
        assert_eq!(strays.get(id(4), Time(150)), None);
    }
}
