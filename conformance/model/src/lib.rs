//! Both roles of `nosphere-core`, their applications and a network that fails, as one value: a [`World`].
//!
//! A world moves by [`Step`]s. Everything is in it, the real [`Connection`](nosphere_core::Connection)s included, and
//! nothing else has a say: so one can be explored exhaustively ([`check`]), walked at random for as long as one likes and
//! replayed from the steps alone ([`walk`]), or driven by a fuzzer. Whatever happens, the [`Rule`]s hold; and from
//! wherever a world has got to, a network that is good from then on lets it come to a proper end ([`World::heal`]).

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a network carries, and an application passes over, what it does not know"
)]

mod asked;
pub mod check;
mod clockwork;
mod end;
mod heal;
mod network;
mod posts;
mod reads;
pub mod scopes;
mod sight;
mod sort;
mod step;
pub mod walk;
mod world;
mod writes;

pub use end::{End, Grammar};
pub use network::{Dir, Link, Packet, Posting};
pub use sight::{Sight, Sights};
pub use sort::Sort;
pub use step::{Step, Who};
pub use world::{Broken, Budget, Rule, Scope, World};
