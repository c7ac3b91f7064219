//! Every type of lock store against the conformance suite, on a real server where it needs one; and the suite against
//! faults planted into a store. A type without a rig below fails; one whose server is not installed is shown as not
//! run.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

mod embedded;
mod planted;
#[cfg(feature = "redis")]
mod redis;

use mainstay_components::locks::{self, Def};
use mainstay_testkit::conformance::lock::{self as suite, Open};
use mainstay_testkit::conformance::members;

fn main() {
    let conformance = locks::ALL.iter().flat_map(|def| members::trials(def.kind, member(def), suite::trials));
    members::run(conformance.chain(planted::trials()), None);
}

type Member = members::Member<Open>;
type Way = members::Way<Open>;

/// The rigs. A new type has a file here and a line.
fn member(def: &'static Def) -> Option<Member> {
    Some(match def.kind {
        "lock.embedded" => embedded::member(def),
        #[cfg(feature = "redis")]
        "lock.redis" => redis::member(def),
        _ => return None,
    })
}

/// The checks of outages, for a member that has no server which could be out.
fn no_server() -> Vec<members::NotRun> {
    members::no_server(suite::OUTAGES)
}
