use std::time::Duration;

use crate::Config;

/// How long to wait before the next attempt.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(config: &Config) -> Self {
        // Below a millisecond it would be a loop that never rests.
        let min = config.backoff_min.max(Duration::from_millis(1));
        Self { min, max: config.backoff_max.max(min), next: min }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let full = self.next;
        self.next = full.saturating_mul(2).min(self.max);
        full.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_are_never_less_than_half() {
        let mut config = Config::default();
        (config.backoff_min, config.backoff_max) = (Duration::from_millis(100), Duration::from_millis(500));
        let mut backoff = Backoff::new(&config);
        for full in [100, 200, 400, 500, 500] {
            let wait = backoff.next();
            assert!(
                (Duration::from_millis(full / 2)..=Duration::from_millis(full)).contains(&wait),
                "{full}: {wait:?}"
            );
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(100));
    }

    #[test]
    fn limits_that_contradict_each_other_do_not_make_it_spin() {
        let mut config = Config::default();
        (config.backoff_min, config.backoff_max) = (Duration::ZERO, Duration::ZERO);
        let mut backoff = Backoff::new(&config);
        for _ in 0..10 {
            assert!(backoff.next() >= Duration::from_micros(500));
        }
    }
}
