//! ★ Alias sets: metric names that other services' dashboards expect, fed from the same reports. To add one: a file in
//! `aliases/` with a `pub(crate) const SET`, and a line in `ALL`.
//!
//! Their histograms reach 300 s where the originals stop at 5 s or 30 s and lose the tail.

mod agent;
mod vaia;

use mainstay_core::telemetry::{Gauge, HttpReport, ModelReport};
use prometheus_client::registry::Registry;

/// A set of names.
pub(crate) struct Set {
    /// Its name in the spec, and the prefix of its metrics.
    pub(crate) name: &'static str,
    /// Registers its metrics under that prefix.
    pub(crate) register: fn(&mut Registry) -> Box<dyn Alias>,
}

/// Every set, in the order of the reference page.
const ALL: &[Set] = &[vaia::SET, agent::SET];

/// The alias sets that a spec may name under `metrics.aliases`.
pub const ALIAS_SETS: &[&str] = &names();

const fn names() -> [&'static str; ALL.len()] {
    let mut names = [""; ALL.len()];
    let mut at = 0;
    while at < ALL.len() {
        names[at] = ALL[at].name;
        at += 1;
    }
    names
}

/// What a set hears.
pub(crate) trait Alias: Send + Sync {
    fn http(&self, report: &HttpReport<'_>);
    fn model(&self, report: &ModelReport<'_>);
    fn gauge(&self, gauge: Gauge, delta: i64);
}

/// Registers the sets named, each once.
pub(crate) fn register(registry: &mut Registry, names: &[String]) -> Vec<Box<dyn Alias>> {
    let wanted = ALL.iter().filter(|set| names.iter().any(|name| name == set.name));
    wanted.map(|set| (set.register)(registry.sub_registry_with_prefix(set.name))).collect()
}
