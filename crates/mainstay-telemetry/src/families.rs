//! Handles found by label values, without allocating and with a bound on their number.
//!
//! The registry's families are found by an owned label set and one by one. Here a report's values lead, by one hash and
//! one read lock, to everything that the report moves.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use parking_lot::RwLock;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::TypedMetric;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Sets of values that are told apart; what comes after is counted under `other`.
const LABEL_SETS_MAX: usize = 2_000;

type Labels = Vec<(&'static str, String)>;

/// A family: labels by name, and a metric for each set of values.
pub(crate) struct Labelled<const N: usize, M: 'static> {
    names: [&'static str; N],
    family: Family<Labels, M, fn() -> M>,
}

impl<const N: usize, M> Labelled<N, M>
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
        Self { names, family }
    }

    /// The metric for these values; slow, to be kept.
    pub(crate) fn of(&self, values: [&str; N]) -> M {
        let labels = self.names.iter().zip(values);
        self.family.get_or_create_owned(&labels.map(|(name, value)| (*name, value.to_owned())).collect())
    }

    /// Takes the metric for these values out of what is shown.
    pub(crate) fn forget(&self, values: [&str; N]) {
        let labels = self.names.iter().zip(values);
        self.family.remove(&labels.map(|(name, value)| (*name, value.to_owned())).collect());
    }
}

/// What a report of some kind moves, by the report's label values.
pub(crate) struct Handles<const N: usize, H> {
    known: RwLock<HashMap<u64, Vec<Known<N, H>>, Hashed>>,
    hasher: RandomState,
}

struct Known<const N: usize, H> {
    values: [Box<str>; N],
    handles: H,
}

impl<const N: usize, H> Default for Handles<N, H> {
    fn default() -> Self {
        Self { known: RwLock::default(), hasher: RandomState::new() }
    }
}

impl<const N: usize, H> Handles<N, H> {
    /// Acts on the handles of these values, which are made when they are met first.
    pub(crate) fn with(&self, values: [&str; N], make: impl FnOnce([&str; N]) -> H, act: impl FnOnce(&H)) {
        let hash = self.hash(values);
        if let Some(handles) = self.known.read().get(&hash).and_then(|bucket| find(bucket, values)) {
            return act(handles);
        }
        let mut known = self.known.write();
        let full = known.len() >= LABEL_SETS_MAX;
        let (hash, values) = if full { (self.hash(["other"; N]), ["other"; N]) } else { (hash, values) };
        let bucket = known.entry(hash).or_default();
        if find(bucket, values).is_none() {
            bucket.push(Known { values: values.map(Into::into), handles: make(values) });
        }
        act(find(bucket, values).expect("it was put there"));
    }

    fn hash(&self, values: [&str; N]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for value in values {
            hasher.write(value.as_bytes());
            hasher.write_u8(0xff);
        }
        hasher.finish()
    }
}

fn find<'a, const N: usize, H>(bucket: &'a [Known<N, H>], values: [&str; N]) -> Option<&'a H> {
    let same = |known: &&Known<N, H>| known.values.iter().zip(values).all(|(a, b)| &**a == b);
    bucket.iter().find(same).map(|known| &known.handles)
}

/// Keys that are hashes already.
#[derive(Clone, Copy, Default)]
pub(crate) struct Hashed;

pub(crate) struct Same(u64);

impl BuildHasher for Hashed {
    type Hasher = Same;

    fn build_hasher(&self) -> Same {
        Same(0)
    }
}

impl Hasher for Same {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("the keys are whole numbers");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn label_sets_beyond_the_bound_are_counted_together() {
        let mut registry = Registry::default();
        let family: Labelled<1, Counter> =
            Labelled::register(&mut registry, "x", "x", ["who"], Counter::default);
        let handles: Handles<1, Counter> = Handles::default();
        let count = |who: &str| handles.with([who], |values| family.of(values), |c| _ = c.inc());
        (0..LABEL_SETS_MAX + 10).for_each(|n| count(&n.to_string()));
        count("0");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        assert!(text.contains("x_total{who=\"other\"} 10\n"), "the ten that came last");
        assert!(text.contains("x_total{who=\"0\"} 2\n"), "those that are known stay known");
        assert_eq!(text.lines().filter(|l| l.starts_with("x_total")).count(), LABEL_SETS_MAX + 1);
    }

    #[test]
    fn values_are_told_apart_where_they_meet() {
        let handles: Handles<2, Counter> = Handles::default();
        let mut made = 0;
        for values in [["a", "bc"], ["ab", "c"], ["a", "bc"]] {
            handles.with(
                values,
                |_| {
                    made += 1;
                    Counter::default()
                },
                |_| (),
            );
        }
        assert_eq!(made, 2);
    }
}
