use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use nosphere_core::{Config, LinkId, MAX_COUNT, RequestId};
use nosphere_wire::negotiation::{Formats, OriginPolicy};

use crate::Scheduling;
use crate::ServerConfig;
use crate::admission::Admission;
use crate::clock::Clock;
use crate::deadlines::Deadlines;
use crate::endpoint::Endpoint;
use crate::random::Random;
use crate::strays::Strays;
use crate::table::Table;
use crate::testing::TestClients;
use crate::topic::Topics;

/// What all clones of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ServerConfig,
    /// A copy of `config.session` that sessions can hold on to.
    pub(crate) session_config: Arc<Config>,
    pub(crate) formats: Formats,
    pub(crate) origins: OriginPolicy,
    pub(crate) admission: Admission,
    pub(crate) random: Random,
    pub(crate) endpoints: matchit::Router<Arc<Endpoint>>,
    /// Where the script for pages is.
    pub(crate) browser_client: Option<Box<str>>,
    /// What the application has chosen.
    pub(crate) scheduling: Option<Scheduling>,
    pub(crate) table: Table,
    pub(crate) topics: Topics,
    pub(crate) deadlines: Deadlines,
    pub(crate) clock: Clock,
    /// Ids that clients of atmosphere.js have, or had, without a session.
    pub(crate) strays: Strays,
    /// WebSockets that have not said which session they are for.
    pub(crate) unopened: AtomicUsize,
    pub(crate) test_clients: TestClients,
    /// Set when the server shuts down: no new sessions.
    pub(crate) closing: std::sync::atomic::AtomicBool,
    links: AtomicU64,
    /// The number of the next request. The first is not that of the process before, whose requests may still be answered.
    requests: OnceLock<AtomicU64>,
}

impl Shared {
    pub(crate) fn new(
        config: ServerConfig,
        formats: Formats,
        origins: OriginPolicy,
        admission: Admission,
        random: Random,
        endpoints: matchit::Router<Arc<Endpoint>>,
        browser_client: Option<Box<str>>,
    ) -> Self {
        Self {
            session_config: Arc::new(config.session.clone()),
            table: Table::new(config.max_sessions, config.max_tombstones),
            config,
            formats,
            origins,
            admission,
            random,
            endpoints,
            browser_client,
            scheduling: None,
            topics: Topics::new(),
            deadlines: Deadlines::new(),
            clock: Clock::start(),
            strays: Strays::default(),
            unopened: AtomicUsize::new(0),
            test_clients: TestClients::default(),
            closing: std::sync::atomic::AtomicBool::new(false),
            links: AtomicU64::new(0),
            requests: OnceLock::new(),
        }
    }

    /// A number for a request that no other of this server has, so that one can be sent to many.
    pub(crate) fn next_request(&self) -> RequestId {
        let next = self.requests.get_or_init(|| AtomicU64::new(self.random.number()));
        RequestId(next.fetch_add(1, Ordering::Relaxed) & MAX_COUNT)
    }

    /// A number for a link that no other has.
    pub(crate) fn next_link(&self) -> LinkId {
        LinkId(self.links.fetch_add(1, Ordering::Relaxed))
    }
}

/// Counts one more, unless there are as many as may be. Whoever gets a place counts one less at last.
pub(crate) fn take_place(count: &AtomicUsize, limit: usize) -> bool {
    let more = |count| (count < limit).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}
