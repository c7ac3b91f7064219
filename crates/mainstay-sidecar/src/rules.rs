//! What files say of who may do what, as far as a surface holds it. A reload swaps all of it at once, and a call is
//! held to what was in force when it came; its connections stay.

use std::collections::BTreeMap;

use mainstay_blocks::access::Access;
use mainstay_core::runtime_config::CallLog;
use mainstay_dapr::{About, Apis};

use crate::invoke::Target;
use crate::router::{self, Paths};

/// The rules. The default closes nothing and knows no external service.
#[derive(Debug, Default)]
pub struct Rules {
    /// Which other apps may call the app beside us, and what.
    pub access: Access,
    /// What we say of ourselves to other apps; `public` when empty.
    pub trust_domain: String,
    /// External services of files, by name.
    pub endpoints: BTreeMap<String, Target>,
    /// Which APIs may be used.
    pub apis: Apis,
    /// Who we are, for whoever asks.
    pub about: About,
    /// Whether requests are logged.
    pub call_log: CallLog,
}

/// The rules, and what follows from them.
pub(crate) struct InForce {
    pub(crate) rules: Rules,
    /// The paths that may be used.
    pub(crate) paths: matchit::Router<Paths>,
}

impl InForce {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { paths: router::paths(&rules.apis), rules }
    }
}
