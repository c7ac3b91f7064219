//! ★ The brokers. To add a type: a file in `pubsub/` with a `pub const DEF`, and a line in `ALL`. That line enrols it
//! in the conformance suite (`tests/pubsub` wants a server for it) and the reference page.
//!
//! A file has five parts in order: `//!` (what, tested versions, consistency, link), `DEF`, pure settings, the `impl`,
//! the error map.

pub mod embedded;
pub mod in_memory;
#[cfg(feature = "jetstream")]
pub mod jetstream;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "mqtt")]
pub mod mqtt3;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
#[cfg(feature = "redis")]
pub mod redis;

use mainstay_core::pubsub::PubSub;

/// A type of broker.
pub type Def = crate::def::Def<dyn PubSub>;

/// Every type, in the order of the reference page.
pub static ALL: &[Def] = &[
    embedded::DEF,
    in_memory::DEF,
    #[cfg(feature = "jetstream")]
    jetstream::DEF,
    #[cfg(feature = "kafka")]
    kafka::DEF,
    #[cfg(feature = "mqtt")]
    mqtt3::DEF,
    #[cfg(feature = "rabbitmq")]
    rabbitmq::DEF,
    #[cfg(feature = "redis")]
    redis::DEF,
];

/// The type of this name.
#[must_use]
pub fn find(kind: &str) -> Option<&'static Def> {
    ALL.iter().find(|def| def.is_called(kind))
}
