//! Latencies kept by hdrhistogram and exported as Prometheus' classic histograms.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Histogram as HistogramProto, LabelPair, Metric, MetricFamily, MetricType};

/// Upper bounds of the exported buckets, seconds.
pub(super) const BUCKETS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// A latency recorded exactly and exported as a classic histogram.
#[derive(Clone)]
pub(super) struct Recorder {
    name: &'static str,
    help: &'static str,
    desc: Desc,
    histogram: Arc<Mutex<(Histogram<u64>, f64)>>,
}

impl Recorder {
    pub(super) fn new(name: &'static str, help: &'static str) -> prometheus::Result<Self> {
        let desc = Desc::new(name.to_owned(), help.to_owned(), Vec::new(), HashMap::new())?;
        // Microseconds up to ten minutes, three digits.
        let histogram = Histogram::new_with_bounds(1, 600_000_000, 3)
            .map_err(|error| prometheus::Error::Msg(format!("{name}: {error:?}")))?;
        Ok(Self {
            name,
            help,
            desc,
            histogram: Arc::new(Mutex::new((histogram, 0.0))),
        })
    }

    pub(super) fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let mut guard = self.histogram.lock().unwrap_or_else(PoisonError::into_inner);
        guard.0.saturating_record(micros.max(1));
        guard.1 += duration.as_secs_f64();
    }
}

impl Collector for Recorder {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let guard = self.histogram.lock().unwrap_or_else(PoisonError::into_inner);
        let mut proto = HistogramProto::default();
        proto.set_sample_count(guard.0.len());
        proto.set_sample_sum(guard.1);
        let buckets = BUCKETS.iter().map(|bound| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "microseconds of at most 10 s"
            )]
            let micros = (bound * 1e6) as u64;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound);
            // From zero each time: sums of neighbouring ranges count shared cells twice.
            bucket.set_cumulative_count(guard.0.count_between(0, micros));
            bucket
        });
        proto.set_bucket(buckets.collect());
        let mut metric = Metric::from_label(Vec::<LabelPair>::new());
        metric.set_histogram(proto);
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(MetricType::HISTOGRAM);
        family.set_metric(vec![metric]);
        vec![family]
    }
}
