//! Every type of binding against the conformance suite, on a real server where it needs one; and the suite against
//! faults planted into a binding. A type without a rig below fails; one whose server is not installed is shown as not
//! run.

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

use mainstay_components::bindings::{self, Def};
use mainstay_core::Clock;
use mainstay_core::binding::Operation;
use mainstay_net::clock::SystemClock;
use mainstay_testkit::conformance::bindings::{self as suite, Open};
use mainstay_testkit::conformance::members::{self, own};

fn main() {
    let conformance =
        bindings::ALL.iter().flat_map(|def| members::trials(def.kind, member(def), suite::trials));
    members::run(conformance.chain(planted::trials()), None);
}

type Member = members::Member<Open>;
type Way = members::Way<Open>;

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

/// The checks of outages, for a member that has no server which could be out.
fn no_server() -> Vec<members::NotRun> {
    members::no_server(suite::OUTAGES)
}

fn operation(name: &str, data: &'static str, metadata: &[(&str, &str)]) -> Operation {
    let metadata: BTreeMap<String, String> =
        metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Operation { name: name.to_owned(), data: data.into(), metadata }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}
