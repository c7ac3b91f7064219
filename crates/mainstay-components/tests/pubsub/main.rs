//! Every type of broker against the conformance suite, on a real server where it needs one; and the suite against faults
//! planted into a broker. A type without a rig below fails; one whose server is not installed is shown as not run.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

#[cfg(feature = "kafka")]
mod kafka;
mod memory;
#[cfg(any(feature = "kafka", feature = "redis"))]
mod opened;
mod planted;
#[cfg(feature = "redis")]
mod redis;

use libtest_mimic::{Arguments, Trial};
use mainstay_components::pubsub::{self, Def};
use mainstay_testkit::conformance::pubsub::{self as suite, Open};

fn main() {
    // Planted faults panic by design; a failed trial still shows its message.
    std::panic::set_hook(Box::new(|_| ()));
    let mut arguments = Arguments::from_args();
    // A check that catches a fault has often waited for what does not come.
    arguments.test_threads.get_or_insert(16);
    let mut trials: Vec<Trial> = pubsub::ALL.iter().flat_map(conformance).collect();
    trials.extend(planted::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// One way in which a type works.
struct Way {
    name: &'static str,
    open: Open,
    /// Checks that cannot be run, with the reason.
    not_run: Vec<(&'static str, &'static str)>,
    /// Tests of its own.
    own: Vec<Trial>,
}

/// What the suite runs a type against.
enum Member {
    /// Each way in which it works.
    Ways(Vec<Way>),
    /// Nothing here, for this reason.
    NotRun(String),
}

/// The rigs. A new type has a file here and a line.
fn member(def: &'static Def) -> Option<Member> {
    Some(match def.kind {
        "pubsub.in-memory" => memory::member(def),
        #[cfg(feature = "kafka")]
        "pubsub.kafka" => kafka::member(def),
        #[cfg(feature = "redis")]
        "pubsub.redis" => redis::member(def),
        "pubsub.embedded" => Member::NotRun("its engine runs the suite in its own room".to_owned()),
        _ => return None,
    })
}

fn conformance(def: &'static Def) -> Vec<Trial> {
    let kind = def.kind.trim_start_matches("pubsub.");
    match member(def) {
        Some(Member::Ways(ways)) => {
            let trials =
                |way: Way| suite::trials(way.name, &way.open, &way.not_run).into_iter().chain(way.own);
            ways.into_iter().flat_map(trials).collect()
        }
        Some(Member::NotRun(reason)) => {
            vec![Trial::test(format!("{kind}::not_run"), || Ok(())).with_kind(reason).with_ignored_flag(true)]
        }
        None => {
            vec![Trial::test(format!("{kind}::has_a_rig"), || {
                Err("no rig for this type in tests/pubsub".into())
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
