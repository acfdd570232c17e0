//! What a session costs for as long as it lives and nothing happens to it. Whoever makes one of these larger makes 100,000
//! sessions larger, and raises the number here. `tests/allocations` counts what they allocate beside this.

use std::mem::size_of;

use nosphere_core::{Connection, Event};

use super::live::Live;
use super::pump::Pump;
use super::{Cell, Link, run};
use crate::{Client, Error, Handler};

struct Idle;

impl Handler for Idle {
    async fn receive(&mut self, _: &Client, _: Event) -> Result<(), Error> {
        Ok(())
    }
}

/// The size of what a function gives.
fn given<A, B, C, T>(_: fn(A, B, C) -> T) -> usize {
    size_of::<T>()
}

#[test]
#[cfg(target_pointer_width = "64")]
fn nothing_that_every_session_has_grows_unnoticed() {
    assert!(size_of::<Connection>() <= 400, "{}: a connection", size_of::<Connection>());
    assert!(size_of::<Live>() <= 544, "{}: that, and where it writes", size_of::<Live>());
    assert!(size_of::<Cell>() <= 616, "{}: that, and what never changes", size_of::<Cell>());
    assert!(size_of::<Link>() <= 64, "{}: a WebSocket as its task has it", size_of::<Link>());
    assert!(size_of::<Pump>() <= 112, "{}: that, and what was read", size_of::<Pump>());
    // With tokio's own 96 it takes a multiple of 128: 384 are 384. Of the handler, an event and what it is called with are in it.
    let task = given(run::<Idle>);
    assert!(task <= 280, "{task}: that, and the handler");
}
