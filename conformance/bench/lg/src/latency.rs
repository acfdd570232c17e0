//! Latencies by buckets that are 3 % wide, so that a long run needs no more memory than a short one.

use std::time::Duration;

/// Buckets for each doubling.
const STEPS: u64 = 32;

pub(crate) struct Latencies {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Latencies {
    pub(crate) fn new() -> Self {
        Self { buckets: vec![0; 40 * STEPS as usize], count: 0, max: 0 }
    }

    pub(crate) fn add(&mut self, latency: Duration) {
        let nanos = latency.as_nanos() as u64;
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// In microseconds.
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        let rank = ((self.count.max(1) - 1) as f64 * quantile) as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen > rank {
                return (middle(index as u64) / 1e3).min(self.max());
            }
        }
        0.0
    }

    pub(crate) fn max(&self) -> f64 {
        self.max as f64 / 1e3
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < STEPS {
        return nanos as usize;
    }
    let doubling = nanos.ilog2() as u64 - STEPS.ilog2() as u64;
    (((doubling + 1) * STEPS + (nanos >> doubling) - STEPS) as usize).min(40 * STEPS as usize - 1)
}

fn middle(bucket: u64) -> f64 {
    if bucket < STEPS {
        return bucket as f64;
    }
    let (doubling, step) = (bucket / STEPS - 1, bucket % STEPS);
    (((STEPS + step) << doubling) as f64) + 0.5 * (1u64 << doubling) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_where_its_middle_is_and_within_3_percent() {
        for nanos in [0, 1, 31, 32, 33, 63, 64, 1_000, 123_456_789, 10_000_000_000] {
            let middle = middle(bucket(nanos) as u64);
            assert!((middle - nanos as f64).abs() <= nanos as f64 * 0.032, "{nanos} {middle}");
        }
    }

    #[test]
    fn quantiles_are_those_of_what_was_added() {
        let mut latencies = Latencies::new();
        for micros in 1..=1000 {
            latencies.add(Duration::from_micros(micros));
        }
        assert!((latencies.quantile(0.5) - 500.0).abs() < 16.0);
        assert!((latencies.quantile(0.99) - 990.0).abs() < 32.0);
        assert_eq!(latencies.max(), 1000.0);
    }
}
