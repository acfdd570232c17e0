//! That the model is worth something: it sees what it should, it fails where it should, and it can be replayed.

use nosphere_core::{Connection, Message, RequestId, Time, Transport};
use nosphere_model::check::{Order, check};
use nosphere_model::walk::{led, replay, shrink, walk};
use nosphere_model::{Budget, Dir, Rule, Scope, Sights, Sort, Step, Who, World, scopes};

#[test]
fn the_smallest_scope_is_explored_whole_and_no_rule_breaks() {
    let scope = scopes::find("websocket-slow").unwrap();
    let report = check(scope, Order::Breadth, 1, 1_000_000);
    assert_eq!(report.broken.map(|(broken, steps)| format!("{broken} {steps:?}")), None);
    assert!(report.states > 5_000, "{} states", report.states);
}

#[test]
fn walks_break_no_rule_and_come_across_all_that_there_is() {
    let mut sights = 0;
    let mut totals = [(0, 0); 9];
    for seed in 0..2_700 {
        let scope = &scopes::WALKS[seed as usize % scopes::WALKS.len()];
        let walk = walk(scope, seed, 300);
        assert!(walk.broken.is_none(), "nosphere-model walk --seed {seed} {}: {:?}", scope.name, walk.broken);
        sights |= walk.sights.bits();
        let (messages, attachments) = &mut totals[seed as usize % scopes::WALKS.len()];
        *messages += walk.messages;
        *attachments += walk.attachments;
    }
    for (scope, (messages, attachments)) in scopes::WALKS.iter().zip(totals) {
        // Of 300 walks each. A walk on which nothing is said shows nothing.
        assert!(messages > 300 * 5 && attachments > 300 * 2, "{}: {messages}, {attachments}", scope.name);
    }
    assert_eq!(scopes::unseen(Sights::from_bits(sights)), []);
}

#[test]
fn a_walk_is_the_same_every_time_and_so_is_its_replay() {
    let scope = &scopes::WALKS[3];
    let (one, two) = (walk(scope, 7, 200), walk(scope, 7, 200));
    assert_eq!(one.steps, two.steps);
    assert_eq!(replay(scope, &one.steps).sights.bits(), one.sights.bits());
    assert_ne!(one.steps, walk(scope, 8, 200).steps);
    assert_eq!(led(scope, b"the same bytes").steps, led(scope, b"the same bytes").steps);
}

/// A world in which the client has just got its session.
fn opened(scope: &'static Scope) -> World {
    let mut world = World::new(scope);
    world.apply(Step::Attach(scope.transports[0]));
    for _ in 0..8 {
        for step in world.steps() {
            if matches!(step, Step::Deliver(..) | Step::Write(_)) {
                world.apply(step);
            }
        }
    }
    assert_eq!(world.servers.len(), 1);
    world
}

fn scope() -> &'static Scope {
    &scopes::SMALL[0]
}

fn broken(world: &World) -> Option<Rule> {
    world.close_down_caught().err().map(|broken| broken.rule)
}

#[test]
fn a_message_that_nobody_sent_breaks_the_order() {
    let mut world = opened(scope());
    assert_eq!(broken(&world), None);
    world.servers[0].connection.send(Message::text("forged"), Time::ZERO).unwrap();
    assert_eq!(broken(&world), Some(Rule::Order));
}

#[test]
fn a_message_that_came_twice_breaks_the_order() {
    let mut world = opened(scope());
    for _ in 0..2 {
        world.apply(Step::Send(Who::Client));
        // The application says the same again.
        world.client.sent = 0;
    }
    assert_eq!(broken(&world), Some(Rule::Order));
}

#[test]
fn a_reply_that_is_told_again_breaks_the_order() {
    let mut world = opened(scopes::find("websocket-replies").unwrap());
    world.apply(Step::Send(Who::Server));
    world.apply(Step::Send(Who::Server));
    for _ in 0..2 {
        let deliver = world.steps().into_iter().find(|step| matches!(step, Step::Deliver(_, Dir::Down)));
        world.apply(deliver.unwrap());
    }
    assert!(world.apply(Step::TakeReply(Who::Client)));
    assert_eq!(broken(&world), None);
    let again = Message::reply(RequestId(1), format!("1{}", "·".repeat(7)));
    world.servers[0].connection.send(again, Time::ZERO).unwrap();
    assert_eq!(broken(&world), Some(Rule::Order));
}

#[test]
fn a_volatile_message_that_is_dropped_after_all_breaks_the_delivery_where_nothing_went_wrong() {
    static CURSORS: Scope = Scope {
        name: "cursors",
        transports: &[Transport::ServerSentEvents],
        budget: Budget { up: 0, down: 2, breaks: 1, moves: 0, repeats: 0, timeouts: 0, closes: 0, restarts: 0 },
        window: 2,
        sorts: &[Sort::Volatile],
        slow_sockets: false,
    };
    let mut world = opened(&CURSORS);
    world.apply(Step::Send(Who::Server));
    assert_eq!(broken(&world), None);
    world.servers[0].sent += 1;
    assert_eq!(broken(&world), Some(Rule::Delivery));
}

#[test]
fn a_message_that_does_not_arrive_breaks_the_delivery() {
    let mut world = opened(scope());
    world.client.sent += 1;
    assert_eq!(broken(&world), Some(Rule::Delivery));
}

#[test]
fn a_connection_that_is_exchanged_is_no_session_any_more() {
    let mut world = opened(scope());
    world.apply(Step::Send(Who::Client));
    world.client.connection = Connection::client(&scope().config().into(), Time::ZERO);
    assert!(broken(&world).is_some());
}

#[test]
fn a_message_that_is_not_handed_back_breaks_the_account() {
    let mut world = opened(scope());
    world.apply(Step::Send(Who::Server));
    world.servers[0].sent += 1;
    world.servers[0].connection.close(nosphere_core::Reason::GoingAway, Time::ZERO);
    assert!(matches!(broken(&world), Some(Rule::Account | Rule::Delivery)), "{:?}", broken(&world));
}

#[test]
fn a_walk_that_breaks_nothing_is_not_shrunk() {
    static NARROW: Scope = Scope {
        name: "narrow",
        transports: &[Transport::WebSocket],
        budget: Budget { up: 4, down: 4, breaks: 4, moves: 0, repeats: 0, timeouts: 0, closes: 0, restarts: 0 },
        window: 2,
        sorts: &[],
        slow_sockets: false,
    };
    let walk = walk(&NARROW, 3, 60);
    assert!(walk.broken.is_none());
    assert_eq!(shrink(&NARROW, &walk.steps).steps, walk.steps);
}
