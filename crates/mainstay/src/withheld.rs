//! Variables that an app's command does not inherit: every one that the spec takes a secret from. A provider's key in
//! our environment is no business of an app's process, unless its own `env` says so. It reads no environment.

use std::collections::BTreeSet;

use mainstay_components::secrets::env::{variable, variables_in};
use mainstay_core::Plan;
use mainstay_core::plan::{EnvValue, Process};

/// The variables that any part of the plan refers to.
pub(crate) fn variables(plan: &Plan) -> BTreeSet<String> {
    let members = plan.providers.values().chain(plan.tools.values());
    let keys = plan.access.keys.iter().filter_map(|key| variable(&key.secret));
    let apps = plan.processes().flat_map(|(_, process)| of_process(process));
    members.flat_map(|member| variables_in(&member.settings)).chain(keys).chain(apps).collect()
}

fn of_process(process: &Process) -> Vec<String> {
    let variable = |(_, value): &(String, EnvValue)| match value {
        EnvValue::Plain(_) => None,
        EnvValue::Secret(reference) => variable(reference),
    };
    process.env.iter().filter_map(variable).collect()
}
