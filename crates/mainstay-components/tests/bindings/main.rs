//! Every type of binding against the conformance suite, on a real server where it needs one; and the suite against faults
//! planted into a binding. A type without a rig below fails; one whose server is not installed is shown as not run.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

mod cron;
mod http;
#[cfg(feature = "kafka")]
mod kafka;
mod localstorage;
mod planted;
#[cfg(feature = "postgres")]
mod postgresql;
#[cfg(feature = "redis")]
mod redis;

use std::collections::BTreeMap;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use mainstay_components::bindings::{self, Def};
use mainstay_core::Clock;
use mainstay_core::binding::Operation;
use mainstay_net::clock::SystemClock;
use mainstay_testkit::conformance::bindings::{self as suite, Open};

fn main() {
    // Planted faults panic by design; a failed trial still shows its message.
    std::panic::set_hook(Box::new(|_| ()));
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = bindings::ALL.iter().flat_map(conformance).collect();
    trials.extend(planted::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// What the suite runs a type against.
enum Member {
    /// The rig, checks that cannot be run with the reason, and tests of the type's own.
    Rig(Open, Vec<(&'static str, &'static str)>, Vec<Trial>),
    /// Nothing here, for this reason.
    NotRun(String),
}

/// The rigs. A new type has a file here and a line.
fn member(def: &'static Def) -> Option<Member> {
    Some(match def.kind {
        "bindings.cron" => cron::member(def),
        "bindings.http" => http::member(def),
        #[cfg(feature = "kafka")]
        "bindings.kafka" => kafka::member(def),
        "bindings.localstorage" => localstorage::member(def),
        #[cfg(feature = "postgres")]
        "bindings.postgresql" => postgresql::member(def),
        #[cfg(feature = "redis")]
        "bindings.redis" => redis::member(def),
        _ => return None,
    })
}

fn conformance(def: &'static Def) -> Vec<Trial> {
    let kind = def.kind.trim_start_matches("bindings.");
    match member(def) {
        Some(Member::Rig(open, not_run, own)) => {
            suite::trials(kind, &open, &not_run).into_iter().chain(own).collect()
        }
        Some(Member::NotRun(reason)) => {
            vec![Trial::test(format!("{kind}::not_run"), || Ok(())).with_kind(reason).with_ignored_flag(true)]
        }
        None => {
            vec![Trial::test(format!("{kind}::has_a_rig"), || {
                Err("no rig for this type in tests/bindings".into())
            })]
        }
    }
}

/// A test of a member's own.
fn own<F: Future<Output = ()>>(name: &str, test: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(test());
        Ok(())
    })
}

/// The checks of outages, for a member that has no server which could be out.
fn no_server() -> Vec<(&'static str, &'static str)> {
    suite::OUTAGES.iter().map(|check| (check.name, "it has no server")).collect()
}

fn operation(name: &str, data: &'static str, metadata: &[(&str, &str)]) -> Operation {
    let metadata: BTreeMap<String, String> =
        metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Operation { name: name.to_owned(), data: data.into(), metadata }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
