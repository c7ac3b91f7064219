//! A model of the spec, asked through the gateway that the agents and the fronts ask: with its targets in order, its
//! time limits and its accounting. Says which one is meant; the binary has the gateway. Without a spec there is none to
//! mean.

use std::sync::Arc;

use super::{Def, Endpoint};
use crate::def::SettingDef;

/// The setting that names the model.
pub const MODEL: &str = "model";

/// The type.
pub const DEF: Def = Def {
    kind: "conversation.mainstay",
    aliases: &[],
    versions: &["v1"],
    about: "One of the spec's `models`, with all that the spec says of it. For `mainstay serve` and `mainstay dev`, which have a \
            spec.",
    settings: &[SettingDef {
        name: MODEL,
        about: "The model's name in the spec.",
        required: true,
        secret: false,
    }],
    check: |settings| {
        let mut faults = Vec::new();
        settings.require(&[MODEL], &mut faults);
        faults
    },
    open: |opening| {
        let model = opening.settings.text(MODEL).unwrap_or_default().to_owned();
        Box::pin(async move { Ok(Arc::new(Endpoint::Model(model))) })
    },
};
