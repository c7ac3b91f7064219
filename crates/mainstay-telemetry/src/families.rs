//! A family of metrics with a bound on its label sets, found without allocating.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use parking_lot::RwLock;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Label sets of one family; what comes after is counted under `other`.
const LABEL_SETS_MAX: usize = 2_000;

type Labels = Vec<(&'static str, String)>;

/// `N` labels by name, and a metric for each set of values.
///
/// The registry's own lookup needs an owned label set; this keeps a handle for each set of values, so that a record
/// costs a hash and a read lock.
pub(crate) struct Bounded<const N: usize, M: 'static> {
    names: [&'static str; N],
    family: Family<Labels, M, fn() -> M>,
    known: RwLock<HashMap<u64, Vec<Known<N, M>>>>,
    hasher: RandomState,
}

struct Known<const N: usize, M> {
    values: [Box<str>; N],
    metric: M,
}

impl<const N: usize, M> Bounded<N, M>
where
    M: Clone + std::fmt::Debug + EncodeMetric + TypedMetric + Send + Sync,
{
    /// Registers a family.
    pub(crate) fn register(
        registry: &mut Registry,
        name: &str,
        help: &str,
        names: [&'static str; N],
        make: fn() -> M,
    ) -> Self {
        let family = Family::new_with_constructor(make);
        registry.register(name, help, family.clone());
        Self { names, family, known: RwLock::default(), hasher: RandomState::new() }
    }

    /// The metric for these values.
    pub(crate) fn with<T>(&self, values: [&str; N], act: impl FnOnce(&M) -> T) -> T {
        let hash = self.hasher.hash_one(values);
        if let Some(metric) = self.known.read().get(&hash).and_then(|bucket| find(bucket, values)) {
            return act(metric);
        }
        act(&self.learn(hash, values))
    }

    fn learn(&self, hash: u64, values: [&str; N]) -> M {
        let mut known = self.known.write();
        if known.len() >= LABEL_SETS_MAX {
            return self.metric(["other"; N]);
        }
        let metric = self.metric(values);
        let bucket = known.entry(hash).or_default();
        if find(bucket, values).is_none() {
            bucket.push(Known { values: values.map(Into::into), metric: metric.clone() });
        }
        metric
    }

    fn metric(&self, values: [&str; N]) -> M {
        let labels: Labels =
            self.names.iter().zip(values).map(|(name, value)| (*name, value.to_owned())).collect();
        self.family.get_or_create_owned(&labels)
    }
}

fn find<'a, const N: usize, M>(bucket: &'a [Known<N, M>], values: [&str; N]) -> Option<&'a M> {
    let same = |known: &&Known<N, M>| known.values.iter().zip(values).all(|(a, b)| &**a == b);
    bucket.iter().find(same).map(|known| &known.metric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn label_sets_beyond_the_bound_are_counted_together() {
        let mut registry = Registry::default();
        let family: Bounded<1, Counter> =
            Bounded::register(&mut registry, "x", "x", ["who"], Counter::default);
        for n in 0..LABEL_SETS_MAX + 10 {
            family.with([&n.to_string()], |c| c.inc());
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("x_total{who=\"other\"} 10\n"), "the ten that came last");
        assert_eq!(text.lines().filter(|l| l.starts_with("x_total")).count(), LABEL_SETS_MAX + 1);
    }
}
