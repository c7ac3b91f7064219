//! Every type of key vault against the conformance suite, with its keys in each of the forms and places that it reads;
//! and the suite against faults planted into a vault. A type without a rig below fails.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

mod jwks;
mod local;
mod planted;

use std::path::Path;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use mainstay_components::crypto::{self, Def};
use mainstay_core::clock::ManualClock;
use mainstay_core::crypto::KeyVault;
use mainstay_core::{Clock, Result};
use mainstay_testkit::conformance::crypto::{self as suite, Open};

fn main() {
    // Planted faults panic by design; a failed trial still shows its message.
    std::panic::set_hook(Box::new(|_| ()));
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = crypto::ALL.iter().flat_map(conformance).collect();
    trials.extend(jwks::own());
    trials.extend(planted::trials(&crypto::local::DEF));
    libtest_mimic::run(&arguments, trials).exit();
}

/// The rigs, each with a name. A new type has a file here and a line.
fn member(def: &'static Def) -> Option<Vec<(&'static str, Open)>> {
    Some(match def.kind {
        "crypto.dapr.localstorage" => local::ways(def),
        "crypto.dapr.jwks" => jwks::ways(def),
        _ => return None,
    })
}

fn conformance(def: &'static Def) -> Vec<Trial> {
    match member(def) {
        Some(ways) => ways.iter().flat_map(|(name, open)| suite::trials(name, open)).collect(),
        None => vec![Trial::test(format!("{}::has_a_rig", def.kind), || {
            Err("no rig for this type in tests/crypto".into())
        })],
    }
}

/// Opens a vault of a type.
async fn open(def: &Def, settings: &[(&str, &str)], folder: &Path) -> Result<Arc<dyn KeyVault>> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000_000));
    mainstay_testkit::components::open_in(def, settings, folder, &clock).await
}
