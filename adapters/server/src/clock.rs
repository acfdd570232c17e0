use nosphere_core::Time;
use tokio::time::Instant;

/// The server's time: milliseconds since it was built, by a clock that never goes back.
#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(&self) -> Time {
        Time(self.0.elapsed().as_millis() as u64)
    }

    /// The moment at which the clock shows `time`. Never early: a timer that fires then finds its deadline passed.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.0 + time.since(Time::ZERO)
    }
}
