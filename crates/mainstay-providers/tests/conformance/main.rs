//! Every provider against the provider suite. This walks the registry, so a line in the list is a member here; one that
//! nobody wrote a rig for is shown as not run.

mod endpoints;
#[cfg(feature = "local")]
mod local;
mod rigs;
mod script;

use libtest_mimic::{Arguments, Trial};
use mainstay_providers::ALL;
use mainstay_testkit::conformance::provider;

fn main() {
    let arguments = Arguments::from_args();
    let trials = ALL.iter().flat_map(|def| match rigs::find(def.kind.kind) {
        Some(rig) => provider::trials(def.kind.kind, &(rig.open)(def), rig.not_run),
        None => vec![not_run(def.kind.kind)],
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn not_run(kind: &str) -> Trial {
    Trial::test(format!("{kind}::suite"), || Ok(())).with_kind("not run: no rig").with_ignored_flag(true)
}
