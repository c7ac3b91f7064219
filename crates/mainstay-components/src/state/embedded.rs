//! The durable state store inside the process: no server, no settings. Linearizable; an acknowledged write survives
//! `kill -9`.

use mainstay_core::state::StateStore;

use crate::def::Def;

/// The type.
pub const DEF: Def<dyn StateStore> = Def {
    kind: "state.embedded",
    aliases: &[],
    versions: &["v1"],
    about: "The durable store inside the process, in the data folder.",
    settings: &[],
    check: |_| Vec::new(),
    open: |opening| Box::pin(async move { opening.embedded.state_store(opening.name) }),
};
