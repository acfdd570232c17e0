//! From a plan that fails to a smaller one that fails as well.

use super::{Action, Op, Plan};

impl Plan {
    /// The smallest plan found that still `fails`.
    ///
    /// Parts are taken out as long as it does: first many at a time, then one by one (delta debugging).
    #[must_use]
    pub fn shrink(self, mut fails: impl FnMut(&Self) -> bool) -> Self {
        let mut plan = self;
        loop {
            let before = plan.parts();
            plan.without_clients(&mut fails);
            thin(&mut plan, |plan| &mut plan.events, &mut fails);
            for client in 0..plan.clients.len() {
                thin(&mut plan, |plan| &mut plan.clients[client].faults, &mut fails);
                thin(&mut plan, |plan| &mut plan.clients[client].actions, &mut fails);
            }
            plan.simplify(&mut fails);
            if plan.parts() == before {
                return plan;
            }
        }
    }

    /// How much there is in the plan.
    pub fn parts(&self) -> usize {
        let of_clients = self.clients.iter().map(|client| {
            let messages: usize = client
                .actions
                .iter()
                .map(|action| {
                    let Action::Send { count, content, op } = &action.what else { return 1 };
                    let op = match op {
                        Op::Broadcast(_, n) | Op::Send(n) => *n as usize,
                        Op::Wait(n) => *n as usize,
                        Op::Close | Op::Fail | Op::Nothing => 0,
                    };
                    *count as usize + content.size as usize + op
                })
                .sum();
            let odd = usize::from(client.net.up != (0, 0))
                + usize::from(client.net.down != (0, 0))
                + usize::from(client.pace != 0)
                + client.sessions as usize;
            1 + messages + odd + client.actions.len() + client.faults.len()
        });
        of_clients.sum::<usize>() + self.events.len()
    }

    fn without_clients(&mut self, fails: &mut impl FnMut(&Self) -> bool) {
        thin(self, |plan| &mut plan.clients, fails);
    }

    /// Makes what is left plainer.
    fn simplify(&mut self, fails: &mut impl FnMut(&Self) -> bool) {
        for client in 0..self.clients.len() {
            self.attempt(fails, |plan| plan.clients[client].net.up = (0, 0));
            self.attempt(fails, |plan| plan.clients[client].net.down = (0, 0));
            self.attempt(fails, |plan| plan.clients[client].net.buffer = 64 << 10);
            self.attempt(fails, |plan| plan.clients[client].pace = 0);
            self.attempt(fails, |plan| plan.clients[client].sessions = 1);
            self.attempt(fails, |plan| plan.clients[client].starts = 0);
            self.attempt(fails, |plan| plan.clients[client].binary = false);
            self.attempt(fails, |plan| plan.clients[client].window = (256, 1 << 20));
            for action in 0..self.clients[client].actions.len() {
                for _ in 0..6 {
                    self.attempt(fails, |plan| halve(&mut plan.clients[client].actions[action].what, true));
                    self.attempt(fails, |plan| halve(&mut plan.clients[client].actions[action].what, false));
                }
            }
        }
        self.attempt(fails, |plan| plan.server.window = (256, 1 << 20));
        self.attempt(fails, |plan| plan.server.queued = (4096, 4 << 20));
    }

    fn attempt(&mut self, fails: &mut impl FnMut(&Self) -> bool, change: impl FnOnce(&mut Self)) {
        let mut changed = self.clone();
        change(&mut changed);
        if changed != *self && fails(&changed) {
            *self = changed;
        }
    }
}

/// Halves the messages of an action, or else what is in them.
fn halve(action: &mut Action, messages: bool) {
    if let Action::Send { count, content, op } = action {
        if messages {
            *count = (*count / 2).max(1);
        } else {
            content.size /= 2;
            match op {
                Op::Broadcast(_, n) | Op::Send(n) => *n = (*n / 2).max(1),
                Op::Wait(n) => *n /= 2,
                Op::Close | Op::Fail | Op::Nothing => {}
            }
        }
    }
}

/// Takes out of a list whatever it fails without.
fn thin<T: Clone>(plan: &mut Plan, list: impl Fn(&mut Plan) -> &mut Vec<T>, fails: &mut impl FnMut(&Plan) -> bool) {
    let mut size = list(plan).len();
    while size > 0 {
        let mut from = 0;
        while from < list(plan).len() {
            let mut smaller = plan.clone();
            let all = list(&mut smaller);
            all.drain(from..(from + size).min(all.len()));
            if fails(&smaller) {
                *plan = smaller;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Fault, Seen};

    #[test]
    fn what_does_not_matter_is_taken_out() {
        let guilty = |plan: &Plan| {
            let cuts = |fault: &Fault| matches!(fault, Fault::Cut(Seen::ByBoth));
            let cut = |faults: &[crate::plan::Timed<Fault>]| faults.iter().any(|fault| cuts(&fault.what));
            plan.clients.iter().any(|client| cut(&client.faults))
        };
        let plan = (0..).map(Plan::generate).find(|plan| guilty(plan) && plan.clients.len() > 2).unwrap();
        let small = plan.shrink(guilty);
        assert_eq!((small.clients.len(), small.events.len()), (1, 0));
        assert_eq!((small.clients[0].faults.len(), small.clients[0].actions.len()), (1, 0));
    }
}
