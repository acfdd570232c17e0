//! An audience of the application's own: those who are near.
//!
//! A client of `/town` says where it is, `{"x": 30, "y": 40}`, and what it says then is heard within a hundred steps.
//!
//!     cargo run --example custom_audience -- --addr 127.0.0.1:8080

#![expect(clippy::wildcard_enum_match_arm, reason = "an application names the events that it wants")]

#[path = "support/mod.rs"]
mod support;

use nosphere::{Client, Event, Handler, LocalAudience, Others, Server};
use serde::Deserialize;
use support::Error;

/// Where a session is: data of its own.
#[derive(Clone, Copy, Deserialize)]
struct Place {
    x: f64,
    y: f64,
}

/// Those who are less than so many steps away.
struct Near(Place, f64);

impl From<Near> for LocalAudience {
    fn from(Near(here, steps): Near) -> Self {
        Self::matching(move |member| {
            member.data::<Place>().is_some_and(|there| (there.x - here.x).hypot(there.y - here.y) < steps)
        })
    }
}

pub(crate) struct Walker;

impl Handler for Walker {
    async fn receive(&mut self, client: &Client, event: Event) -> Result<(), Error> {
        match event {
            Event::Json(place) => {
                client.set_data(place.parse::<Place>()?);
                client.send("you are here")?;
            }
            Event::Text(line) => match client.data::<Place>() {
                Some(here) => {
                    client.broadcast_to(LocalAudience::from(Near(*here, 100.0)) & Others, line);
                }
                None => client.send("say where you are first")?,
            },
            _ => {}
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let listener = support::listen("127.0.0.1:8080").await?;
    let server = Server::builder().endpoint("/town", |_request| Walker).build()?;
    support::serve(listener, server.clone(), &server).await
}
