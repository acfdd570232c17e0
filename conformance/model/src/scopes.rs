//! What is checked.

use nosphere_core::Transport;

use crate::{Budget, Scope, Sight, Sort};

const WS: Transport = Transport::WebSocket;
const SSE: Transport = Transport::ServerSentEvents;
const POLL: Transport = Transport::LongPolling;

/// Nothing goes wrong, and nobody says anything.
const QUIET: Budget = Budget { up: 0, down: 0, breaks: 0, moves: 0, repeats: 0, timeouts: 0, closes: 0, restarts: 0 };

/// A message each way.
const TALK: Budget = Budget { up: 1, down: 1, ..QUIET };

const fn scope(name: &'static str, transports: &'static [Transport], window: u32, budget: Budget) -> Scope {
    Scope { name, transports, budget, window, sorts: &[], slow_sockets: false }
}

const fn slow(name: &'static str, transports: &'static [Transport], window: u32, budget: Budget) -> Scope {
    Scope { slow_sockets: true, ..scope(name, transports, window, budget) }
}

/// With messages of these sorts, by turns.
const fn sorted(sorts: &'static [Sort], scope: &Scope) -> Scope {
    Scope { sorts, ..*scope }
}

/// The scopes that are checked in a few minutes. What they must bring to sight together is [`Sight::ALL`].
pub static SMALL: &[Scope] = &[
    scope("websocket-breaks", &[WS], 1, Budget { up: 2, down: 2, breaks: 2, ..QUIET }),
    scope("websocket-deadlines", &[WS], 2, Budget { timeouts: 3, ..TALK }),
    scope("websocket-ends", &[WS], 2, Budget { breaks: 1, timeouts: 1, closes: 2, ..TALK }),
    scope("websocket-flush", &[WS], 1, Budget { up: 3, down: 3, closes: 1, ..QUIET }),
    slow("websocket-slow", &[WS], 1, Budget { breaks: 1, ..TALK }),
    scope("stream-breaks", &[SSE], 2, Budget { breaks: 2, ..TALK }),
    scope("stream-window-up", &[SSE], 2, Budget { up: 3, breaks: 1, repeats: 1, ..QUIET }),
    scope("stream-window-down", &[SSE], 2, Budget { down: 3, breaks: 2, ..QUIET }),
    scope("stream-deadlines", &[SSE], 2, Budget { timeouts: 2, ..TALK }),
    scope("stream-ends", &[SSE], 2, Budget { breaks: 1, closes: 2, ..TALK }),
    slow("stream-slow", &[SSE], 1, Budget { breaks: 1, ..TALK }),
    scope("poll-breaks", &[POLL], 2, Budget { breaks: 1, ..TALK }),
    scope("poll-repeats", &[POLL], 1, Budget { repeats: 1, ..TALK }),
    scope("poll-window-up", &[POLL], 1, Budget { up: 2, breaks: 1, ..QUIET }),
    scope("poll-window-down", &[POLL], 1, Budget { down: 2, breaks: 1, repeats: 1, ..QUIET }),
    scope("poll-deadlines", &[POLL], 2, Budget { down: 1, timeouts: 2, ..QUIET }),
    scope("poll-ends", &[POLL], 2, Budget { timeouts: 1, closes: 1, ..TALK }),
    slow("poll-slow", &[POLL], 2, Budget { down: 3, timeouts: 1, ..QUIET }),
    scope("moves-up", &[WS, SSE, POLL], 2, Budget { up: 1, breaks: 1, moves: 1, ..QUIET }),
    scope("moves-down", &[WS, SSE, POLL], 2, Budget { down: 1, moves: 2, ..QUIET }),
    scope("restarts", &[WS, SSE, POLL], 2, Budget { restarts: 1, ..TALK }),
    sorted(VOLATILE, &scope("websocket-volatile", &[WS], 2, Budget { down: 3, breaks: 2, ..QUIET })),
    sorted(VOLATILE, &slow("websocket-slow-volatile", &[WS], 2, Budget { down: 3, breaks: 1, ..QUIET })),
    sorted(VOLATILE, &scope("stream-volatile", &[SSE], 2, Budget { down: 3, breaks: 1, ..QUIET })),
    sorted(VOLATILE, &scope("stream-volatile-up", &[SSE], 2, Budget { up: 3, breaks: 1, ..QUIET })),
    sorted(VOLATILE, &scope("poll-volatile", &[POLL], 2, Budget { down: 2, breaks: 1, repeats: 1, ..QUIET })),
    sorted(KEYED, &scope("websocket-keyed", &[WS], 1, Budget { down: 4, breaks: 1, ..QUIET })),
    sorted(KEYED, &slow("websocket-slow-keyed", &[WS], 1, Budget { down: 3, breaks: 1, ..QUIET })),
    sorted(KEYED, &scope("stream-keyed", &[SSE], 1, Budget { down: 3, breaks: 1, ..QUIET })),
    sorted(KEYED, &scope("stream-keyed-up", &[SSE], 1, Budget { up: 3, breaks: 1, ..QUIET })),
    sorted(KEYED, &scope("poll-keyed", &[POLL], 1, Budget { down: 3, breaks: 1, ..QUIET })),
    sorted(REPLIES, &scope("websocket-replies", &[WS], 3, Budget { down: 3, breaks: 2, ..QUIET })),
    sorted(REPLIES, &scope("stream-replies", &[SSE], 3, Budget { down: 3, breaks: 1, ..QUIET })),
    sorted(REPLIES, &scope("stream-replies-up", &[SSE], 3, Budget { up: 3, breaks: 1, ..QUIET })),
    sorted(REPLIES, &scope("poll-replies", &[POLL], 3, Budget { down: 2, breaks: 1, ..QUIET })),
    sorted(REPLIES, &scope("websocket-replies-end", &[WS], 3, Budget { down: 2, breaks: 1, closes: 1, ..QUIET })),
];

const VOLATILE: &[Sort] = &[Sort::Volatile, Sort::Plain];
const KEYED: &[Sort] = &[Sort::Keyed, Sort::Keyed, Sort::Keyed, Sort::Plain];
const REPLIES: &[Sort] = &[Sort::Request, Sort::Reply];

/// The same, with more of everything: for hours.
pub static LARGE: &[Scope] = &[
    scope("websocket-all", &[WS], 2, Budget { breaks: 2, timeouts: 2, closes: 1, ..TALK }),
    slow("websocket-slow-breaks", &[WS], 2, Budget { up: 2, down: 2, breaks: 2, ..QUIET }),
    scope("stream-more-breaks", &[SSE], 2, Budget { up: 2, down: 1, breaks: 2, repeats: 1, ..QUIET }),
    scope("stream-more-ends", &[SSE], 2, Budget { breaks: 1, timeouts: 1, closes: 2, ..TALK }),
    slow("stream-slow-breaks", &[SSE], 2, Budget { breaks: 2, ..TALK }),
    scope("poll-more-breaks", &[POLL], 2, Budget { breaks: 2, ..TALK }),
    scope("poll-more-repeats", &[POLL], 1, Budget { up: 2, breaks: 1, repeats: 1, ..QUIET }),
    scope("poll-more-deadlines", &[POLL], 2, Budget { breaks: 1, timeouts: 1, ..TALK }),
    slow("poll-slow-breaks", &[POLL], 2, Budget { down: 2, breaks: 1, ..QUIET }),
    scope("moves-both", &[WS, SSE, POLL], 2, Budget { breaks: 1, moves: 1, ..TALK }),
    scope("moves-twice", &[WS, POLL], 2, Budget { moves: 2, ..TALK }),
    scope("restarts-late", &[WS, SSE, POLL], 2, Budget { breaks: 1, restarts: 1, ..TALK }),
];

/// What is walked, by turns.
pub static WALKS: &[Scope] = &[
    scope("all", &[WS, SSE, POLL], 3, FAR),
    slow("all-slow", &[WS, SSE, POLL], 2, FAR),
    scope("all-ends", &[WS, SSE, POLL], 2, Budget { closes: 2, ..FAR }),
    slow("all-slow-ends", &[WS, SSE, POLL], 2, Budget { closes: 1, restarts: 1, ..FAR }),
    slow("poll-slow-far", &[POLL], 2, FAR),
    slow("stream-slow-far", &[SSE], 2, FAR),
    slow("websocket-slow-far", &[WS], 2, Budget { closes: 1, ..FAR }),
    sorted(EVERY, &scope("all-sorts", &[WS, SSE, POLL], 3, FAR)),
    sorted(EVERY, &slow("all-sorts-slow-ends", &[WS, SSE, POLL], 2, Budget { closes: 1, ..FAR })),
];

const EVERY: &[Sort] =
    &[Sort::Plain, Sort::Keyed, Sort::Volatile, Sort::Request, Sort::Reply, Sort::Keyed, Sort::Plain, Sort::Reply];

const FAR: Budget = Budget { up: 30, down: 30, breaks: 8, moves: 6, repeats: 5, timeouts: 6, closes: 0, restarts: 0 };

/// A scope by its name.
pub fn find(name: &str) -> Option<&'static Scope> {
    [SMALL, LARGE, WALKS].into_iter().flatten().find(|scope| scope.name == name)
}

/// What should have come to sight, and did not.
pub fn unseen(sights: crate::Sights) -> Vec<Sight> {
    Sight::ALL.iter().copied().filter(|&sight| !sights.has(sight)).collect()
}
