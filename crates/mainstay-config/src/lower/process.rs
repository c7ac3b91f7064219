//! What the app of an agent and an app that is none have in common: an address, and perhaps a command.

use std::collections::BTreeMap;

use mainstay_core::codes;
use mainstay_core::plan::{EnvValue, Process};

use super::{Lowering, url};
use crate::quantity::Time;
use crate::secret;

/// A service as both sections write it.
pub(super) struct Written {
    pub(super) url: String,
    pub(super) command: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) health_path: String,
    pub(super) start_timeout: Time,
}

impl Lowering<'_, '_> {
    /// The service written at `base`.
    pub(super) fn process(&mut self, base: &str, written: Written) -> Option<Process> {
        let reachable = self.app_url(&format!("{base}/url"), &written.url);
        if written.command.is_none() && !written.env.is_empty() {
            let message = "`env` is for the command's process, and there is no `command`";
            let help = Some("add `command`, or remove `env`".to_owned());
            self.fault_at_key(&format!("{base}/env"), &codes::CONFIG_VALUE, message, help);
        }
        reachable.then(|| Process {
            url: written.url.trim_end_matches('/').to_owned(),
            command: written.command,
            env: written.env.into_iter().map(|(name, value)| (name, env_value(value))).collect(),
            health_path: written.health_path,
            start_timeout: written.start_timeout.0,
        })
    }

    fn app_url(&mut self, pointer: &str, text: &str) -> bool {
        let Err(reason) = url::parse(text) else { return true };
        if text.contains('@') {
            let span = self.located(pointer).value;
            self.faults.secrets.push(span);
        }
        // The address itself is not repeated: it may carry credentials.
        let message = format!("the address of the app {reason}");
        self.fault(
            pointer,
            &codes::CONFIG_VALUE,
            message,
            Some("write it like `http://127.0.0.1:8000`".to_owned()),
        );
        false
    }
}

pub(super) fn env_value(text: String) -> EnvValue {
    match secret::reference(&text) {
        Some(reference) => EnvValue::Secret(reference),
        None => EnvValue::Plain(text),
    }
}
