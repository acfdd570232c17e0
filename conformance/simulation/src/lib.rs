//! The server and many clients in virtual time over a network that fails.
//!
//! A run is a [`Plan`], made from a seed before anything happens: who connects, over what, what they send, and what goes
//! wrong with whose network, and when. [`run`] carries it out in one thread, on a clock that only moves when nobody has
//! anything to do: the real server ([`nosphere::Server`] under hyper), clients in the role that `nosphere-core` has for
//! them, connections in memory. What the applications on both ends see is the [`Trace`]; [`judge`] decides by it alone
//! whether every promise was kept.
//!
//! The same seed has the same trace, so a failure can be replayed, and [shrunk](Plan::shrink).
//!
//! ```
//! use nosphere_simulation::{Plan, run};
//!
//! let outcome = run(&Plan::generate(7), false);
//! assert_eq!(outcome.broken, None);
//! ```

mod campaign;
mod client;
mod coverage;
mod net;
mod oracle;
mod payload;
mod plan;
mod probe;
mod random;
mod run;
mod server;
mod trace;
mod world;

pub use campaign::{Campaign, Failure, Seeds, simulate};
pub use coverage::{Coverage, Covered};
pub use oracle::judge;
pub use payload::{Content, Sort, id_of};
pub use plan::{
    Action, ClientPlan, Fault, Leave, Limits, NetPlan, Op, Plan, Reach, Request, Seen as CutSeen, ServerEvent, Timed,
};
pub use probe::{probe, probe_against};
pub use run::{Outcome, run};
pub use trace::{Entry, Message, Seen, Trace, What, Who};
