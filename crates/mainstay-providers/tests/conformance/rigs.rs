//! ★ How each kind of provider is brought before the suite. To add one: a function that opens it against an upstream
//! that behaves as told, and a line here; with the checks for which that cannot be arranged, each with its reason.

use std::path::Path;
use std::sync::Arc;

use mainstay_core::provider::Provider;
use mainstay_core::secret::SecretSource;
use mainstay_core::{Error, Name, Redacted, Result, SecretRef, codes};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_providers::{Def, Opening};
use mainstay_testkit::conformance::provider::Open;
use serde_json::Value;

use crate::{endpoints, script};

/// A way to bring a kind before the suite.
pub(crate) struct RigDef {
    kind: &'static str,
    pub(crate) open: fn(&'static Def) -> Open,
    /// Checks that cannot be arranged, each with its reason.
    pub(crate) not_run: &'static [(&'static str, &'static str)],
}

const ALL: &[RigDef] = &[
    RigDef { kind: "openai", open: endpoints::openai, not_run: &[] },
    RigDef { kind: "anthropic", open: endpoints::anthropic, not_run: &[] },
    RigDef { kind: "gemini", open: endpoints::gemini, not_run: endpoints::GEMINI_NOT_RUN },
    #[cfg(feature = "local")]
    RigDef { kind: "local", open: crate::local::open, not_run: crate::local::NOT_RUN },
    RigDef { kind: "scripted", open: script::open, not_run: script::NOT_RUN },
];

pub(crate) fn find(kind: &str) -> Option<&'static RigDef> {
    ALL.iter().find(|rig| rig.kind == kind)
}

/// The key that every rig's provider is told to use.
pub(crate) const KEY: &str = "key-of-the-suite";

struct OneSecret;

impl SecretSource for OneSecret {
    fn resolve(&self, reference: &SecretRef) -> Result<Redacted<String>> {
        if reference.locator == "SUITE_KEY" {
            return Ok(Redacted::new(KEY.to_owned()));
        }
        Err(Error::new(&codes::SECRET_UNAVAILABLE, "there is one secret here"))
    }
}

/// Opens a member with these settings, as the binary does: checked first.
pub(crate) fn provider(def: &Def, settings: &Value) -> Arc<dyn Provider> {
    assert_eq!((def.kind.check)(settings), [], "the rig's settings are sound");
    let opening = Opening {
        name: &Name::parse("suite").expect("the name is well-formed"),
        settings,
        folder: Path::new("."),
        models_folder: Path::new("."),
        secrets: &OneSecret,
        client: &Client::new(ClientOptions::default()),
    };
    (def.open)(opening).expect("the provider opens")
}
