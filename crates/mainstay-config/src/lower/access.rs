//! `access`.

use std::collections::BTreeMap;

use mainstay_core::plan::{Access, Anonymous, Key};
use mainstay_core::{Name, codes};

use super::{Lowering, url};
use crate::diagnostic::short;
use crate::{raw, secret};

/// Labels that records give to callers without a key and to the runtime itself.
const RESERVED_NAMES: &[&str] = &["anonymous", "system"];

impl Lowering<'_, '_> {
    pub(super) fn access(&mut self, raw: raw::Access) -> Access {
        let anonymous = match raw.anonymous {
            raw::Anonymous::Loopback => Anonymous::Loopback,
            raw::Anonymous::Nobody => Anonymous::Nobody,
            raw::Anonymous::Anyone => Anonymous::Anyone,
        };
        self.distinct_keys(&raw.keys);
        for (n, origin) in raw.cors.origins.iter().enumerate() {
            self.origin(&format!("/access/cors/origins/{n}"), origin);
        }
        let written = self.inputs.root.entry("access").and_then(|access| access.node.entry("keys"));
        if anonymous == Anonymous::Nobody
            && raw.keys.is_empty()
            && written.is_none_or(|keys| !self.faults.within(keys.span()))
        {
            let help = Some("add a key under `access.keys`".to_owned());
            let message = "nobody could call: there is no key, and `anonymous` is `nobody`";
            self.fault("/access/anonymous", &codes::CONFIG_VALUE, message, help);
        }
        Access { keys: raw.keys.iter().filter_map(key).collect(), anonymous, cors_origins: raw.cors.origins }
    }

    fn distinct_keys(&mut self, keys: &[raw::Key]) {
        let mut names = BTreeMap::new();
        let mut secrets = BTreeMap::new();
        for (n, key) in keys.iter().enumerate() {
            if RESERVED_NAMES.contains(&key.name.as_str()) {
                let message = format!("`{}` is what records call a caller without a key", short(&key.name));
                let help = Some("give the key another name".to_owned());
                self.fault(&format!("/access/keys/{n}/name"), &codes::CONFIG_VALUE, message, help);
            }
            if names.insert(key.name.as_str(), n).is_some() {
                let message = format!("two keys are called `{}`", short(&key.name));
                let help = Some("give each key its own name".to_owned());
                self.fault(&format!("/access/keys/{n}/name"), &codes::CONFIG_VALUE, message, help);
            }
            if let Some(first) = secrets.insert(key.key.0.as_str(), n) {
                let message =
                    format!("`{}` is the same secret as that of key {}", short(&key.name), first + 1);
                let help = Some("give each key its own secret, or there is no telling them apart".to_owned());
                self.fault(&format!("/access/keys/{n}/key"), &codes::CONFIG_VALUE, message, help);
            }
        }
    }

    fn origin(&mut self, pointer: &str, origin: &str) {
        let fits = origin == "*" || url::parse(origin).is_ok_and(|url| url.path.is_empty());
        if !fits {
            let message = format!("`{}` is not an origin", short(origin));
            let help = "write a scheme and a host, without a path: `https://app.example.com`, or `*` for any";
            self.fault(pointer, &codes::CONFIG_VALUE, message, Some(help.to_owned()));
        }
    }
}

fn key(raw: &raw::Key) -> Option<Key> {
    Some(Key {
        name: Name::parse(&raw.name)?,
        secret: secret::reference(&raw.key.0)?,
        requests_per_minute: raw.requests_per_minute,
        concurrency: raw.concurrency,
    })
}
