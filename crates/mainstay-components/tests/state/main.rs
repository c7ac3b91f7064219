//! Every type of state store against the conformance suite, on a real server where it needs one; and the suite against
//! faults planted into a store. A type without a rig below fails; one whose server is not installed is shown as not
//! run.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

mod memory;
mod planted;
#[cfg(feature = "postgres")]
mod postgresql;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sqlite;

use mainstay_components::state::{self, Def};
use mainstay_testkit::conformance::members::{self, own};
use mainstay_testkit::conformance::state::{self as suite, Open};

fn main() {
    let conformance = state::ALL.iter().flat_map(|def| members::trials(def.kind, member(def), suite::trials));
    members::run(conformance.chain(planted::trials()), None);
}

type Member = members::Member<Open>;
type Way = members::Way<Open>;

/// The rigs. A new type has a file here and a line.
fn member(def: &'static Def) -> Option<Member> {
    Some(match def.kind {
        "state.in-memory" => memory::member(def),
        #[cfg(feature = "postgres")]
        "state.postgresql" => postgresql::member(def),
        #[cfg(feature = "redis")]
        "state.redis" => redis::member(def),
        #[cfg(feature = "sqlite")]
        "state.sqlite" => sqlite::member(def),
        "state.embedded" => Member::NotRun("its engine has a suite of its own".to_owned()),
        _ => return None,
    })
}

/// The checks of outages, for a member that has no server which could be out.
fn no_server() -> Vec<members::NotRun> {
    members::no_server(suite::OUTAGES)
}
