//! Every type of broker against the conformance suite, on a real server where it needs one; and the suite against
//! faults planted into a broker. A type without a rig below fails; one whose server is not installed is shown as not
//! run.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

#[cfg(feature = "jetstream")]
mod jetstream;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(any(feature = "jetstream", feature = "mqtt", feature = "rabbitmq"))]
mod line;
mod memory;
#[cfg(feature = "mqtt")]
mod mqtt3;
#[cfg(any(
    feature = "jetstream",
    feature = "kafka",
    feature = "mqtt",
    feature = "rabbitmq",
    feature = "redis"
))]
mod opened;
mod planted;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "redis")]
mod redis;

use mainstay_components::pubsub::{self, Def};
use mainstay_testkit::conformance::members::{self, own};
use mainstay_testkit::conformance::pubsub::{self as suite, Open};

fn main() {
    let conformance =
        pubsub::ALL.iter().flat_map(|def| members::trials(def.kind, member(def), suite::trials));
    // A check that catches a fault has often waited for what does not come.
    members::run(conformance.chain(planted::trials()), Some(16));
}

type Member = members::Member<Open>;
type Way = members::Way<Open>;

/// The rigs. A new type has a file here and a line.
fn member(def: &'static Def) -> Option<Member> {
    Some(match def.kind {
        "pubsub.in-memory" => memory::member(def),
        #[cfg(feature = "kafka")]
        "pubsub.kafka" => kafka::member(def),
        #[cfg(feature = "redis")]
        "pubsub.redis" => redis::member(def),
        #[cfg(feature = "jetstream")]
        "pubsub.jetstream" => jetstream::member(def),
        #[cfg(feature = "mqtt")]
        "pubsub.mqtt3" => mqtt3::member(def),
        #[cfg(feature = "rabbitmq")]
        "pubsub.rabbitmq" => rabbitmq::member(def),
        "pubsub.embedded" => Member::NotRun("its engine runs the suite in its own room".to_owned()),
        _ => return None,
    })
}

/// The checks of outages, for a member that has no server which could be out.
fn no_server() -> Vec<members::NotRun> {
    members::no_server(suite::OUTAGES)
}
