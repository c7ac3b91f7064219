//! Every type of lock store against the conformance suite, on a real server where it needs one; and the suite against
//! faults planted into a store. A type without a rig below fails; one whose server is not installed is shown as not run.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

mod embedded;
mod planted;
#[cfg(feature = "redis")]
mod redis;

use libtest_mimic::{Arguments, Trial};
use mainstay_components::locks::{self, Def};
use mainstay_testkit::conformance::lock::{self as suite, Open};

fn main() {
    // Planted faults panic by design; a failed trial still shows its message.
    std::panic::set_hook(Box::new(|_| ()));
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = locks::ALL.iter().flat_map(conformance).collect();
    trials.extend(planted::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// What the suite runs a type against.
enum Member {
    /// This, but for the checks that cannot be run, with the reason.
    Rig(Open, Vec<(&'static str, &'static str)>),
    /// Nothing here, for this reason.
    NotRun(String),
}

/// The rigs. A new type has a file here and a line.
fn member(def: &'static Def) -> Option<Member> {
    Some(match def.kind {
        "lock.embedded" => embedded::member(def),
        #[cfg(feature = "redis")]
        "lock.redis" => redis::member(def),
        _ => return None,
    })
}

fn conformance(def: &'static Def) -> Vec<Trial> {
    let kind = def.kind.trim_start_matches("lock.");
    match member(def) {
        Some(Member::Rig(open, not_run)) => suite::trials(kind, &open, &not_run),
        Some(Member::NotRun(reason)) => {
            vec![Trial::test(format!("{kind}::not_run"), || Ok(())).with_kind(reason).with_ignored_flag(true)]
        }
        None => {
            vec![Trial::test(format!("{kind}::has_a_rig"), || {
                Err("no rig for this type in tests/lock".into())
            })]
        }
    }
}

/// The checks of outages, for a member that has no server which could be out.
fn no_server() -> Vec<(&'static str, &'static str)> {
    suite::OUTAGES.iter().map(|check| (check.name, "it has no server")).collect()
}
