//! The durable broker inside the process: no server, no settings. At least once, in order for each partition key; an
//! acknowledged message survives `kill -9`.

use mainstay_core::pubsub::PubSub;

use crate::def::Def;

/// The type.
pub const DEF: Def<dyn PubSub> = Def {
    kind: "pubsub.embedded",
    aliases: &[],
    versions: &["v1"],
    about: "The durable broker inside the process, in the data folder.",
    settings: &[],
    check: |_| Vec::new(),
    open: |opening| Box::pin(async move { opening.embedded.pubsub(opening.name) }),
};
