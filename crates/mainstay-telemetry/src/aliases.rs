//! ★ Alias sets: metric names that other services' dashboards expect, fed from the same reports. To add one: a file in
//! `aliases/` with a `pub(crate) const SET`, and a line in `ALL`.
//!
//! Their histograms reach 300 s where the originals stop at 5 s or 30 s and lose the tail.

mod agent;
mod vaia;

use mainstay_core::telemetry::Gauge;
use prometheus_client::registry::Registry;

use crate::moved::{HttpMoved, Level, ModelMoved};

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

/// What of a set moves with which report. Asked once for each set of label values.
pub(crate) trait Alias: Send + Sync {
    fn http(&self, labels: HttpLabels<'_>, moved: &mut HttpMoved);
    fn model(&self, labels: ModelLabels<'_>, moved: &mut ModelMoved);
    fn gauge(&self, gauge: Gauge) -> Option<&Level>;
}

/// Labels of a request.
#[derive(Clone, Copy)]
pub(crate) struct HttpLabels<'a> {
    pub(crate) route: &'a str,
    pub(crate) method: &'a str,
    pub(crate) code: &'a str,
}

/// Labels of a model call.
#[derive(Clone, Copy)]
pub(crate) struct ModelLabels<'a> {
    pub(crate) model: &'a str,
    pub(crate) provider: &'a str,
    pub(crate) outcome: &'a str,
}

/// Registers the sets named, each once.
pub(crate) fn register(registry: &mut Registry, names: &[String]) -> Vec<Box<dyn Alias>> {
    let wanted = ALL.iter().filter(|set| names.iter().any(|name| name == set.name));
    wanted.map(|set| (set.register)(registry.sub_registry_with_prefix(set.name))).collect()
}
