//! ★ The types of components that there are, of all blocks, with the settings that blocks read themselves.

use std::sync::LazyLock;
use std::time::Duration;

use mainstay_components::def::{Def, SettingDef};
use mainstay_components::pluggable::Plugged;
use mainstay_components::settings::Settings;
use mainstay_components::{
    bindings, configuration, conversation, crypto, locks, middleware, pubsub, secret_stores, state,
};
use mainstay_config::resources::{SettingName, TypeDef};
use mainstay_core::{Fault, codes};

use super::store_rules::{KEY_PREFIX, KEYS, OUTBOX, wrong_prefix};

/// A type of component that there is, of whatever block.
struct Listed {
    kind: &'static str,
    aliases: &'static [&'static str],
    versions: &'static [&'static str],
    settings: Vec<SettingName<'static>>,
    check: fn(&Settings) -> Vec<Fault>,
}

impl Listed {
    fn of<P: ?Sized>(def: &Def<P>, of_block: &'static [SettingDef]) -> Self {
        let name =
            |one: &SettingDef| SettingName { name: one.name, required: one.required, secret: one.secret };
        Self {
            kind: def.kind,
            aliases: def.aliases,
            versions: def.versions,
            settings: def.settings.iter().chain(of_block).map(name).collect(),
            check: def.check,
        }
    }

    /// The same as the readers of resource files take it.
    fn def(&self) -> TypeDef<'_> {
        TypeDef { kind: self.kind, aliases: self.aliases, versions: self.versions, settings: &self.settings }
    }
}

const fn of_block(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

/// Settings that every state store has: the block reads them.
const STATE_SETTINGS: &[SettingDef] = &[
    of_block(KEY_PREFIX, "What stands before the app's keys."),
    of_block("actorStateStore", "Whether actors keep their state here."),
    SettingDef {
        name: KEYS[0],
        about: "The key that values are encrypted with.",
        required: false,
        secret: true,
    },
    SettingDef { name: KEYS[1], about: "The key before it.", required: false, secret: true },
    of_block(OUTBOX[0], "The broker that events of transactions are published to."),
    of_block(OUTBOX[1], "The topic there."),
    of_block("outboxPubsub", "Has no effect: events wait in the store itself, and not with a broker."),
    of_block("outboxDiscardWhenMissingState", "Has no effect: there is no event without its state."),
];
/// Settings that every broker has.
const PUBSUB_SETTINGS: &[SettingDef] = &[
    of_block("allowedTopics", "Topics that there are."),
    of_block("protectedTopics", "Topics that only apps with a scope reach."),
    of_block("publishingScopes", "Topics that apps may publish to."),
    of_block("subscriptionScopes", "Topics that apps may subscribe to."),
    of_block("consumerID", "The group of the app's subscriptions."),
];
/// Settings that every binding has.
const BINDING_SETTINGS: &[SettingDef] = &[
    of_block("route", "The app's path for the events."),
    of_block("direction", "`input`, `output`, or both."),
];

/// Settings that every lock store has.
const LOCK_SETTINGS: &[SettingDef] = &[of_block(KEY_PREFIX, "What stands before the app's locks.")];

/// Settings that every conversation component has.
const CONVERSATION_SETTINGS: &[SettingDef] = &[
    of_block(KEPT[0], "How long an answer is kept for requests that are the same."),
    of_block(KEPT[1], "The same."),
];
/// The names of the time that answers are kept.
const KEPT: [&str; 2] = ["responseCacheTTL", "cacheTTL"];

/// How long a conversation component keeps answers.
pub(super) fn kept(settings: &Settings) -> Option<Duration> {
    settings.text_of(&KEPT).and_then(mainstay_core::duration::parse).filter(|time| !time.is_zero())
}

/// Every type of component: made once.
fn types() -> &'static [Listed] {
    static TYPES: LazyLock<Vec<Listed>> = LazyLock::new(listed);
    &TYPES
}

/// The same as the readers of resource files take them, with those that sockets serve.
pub(crate) fn types_and(plugged: &[Plugged]) -> Vec<TypeDef<'_>> {
    let sockets =
        plugged.iter().map(|one| TypeDef { kind: &one.kind, aliases: &[], versions: &["v1"], settings: &[] });
    types().iter().map(Listed::def).chain(sockets).collect()
}

/// The lists of all blocks. To add a block: its list.
fn listed() -> Vec<Listed> {
    let states = state::ALL.iter().map(|def| Listed::of(def, STATE_SETTINGS));
    let brokers = pubsub::ALL.iter().map(|def| Listed::of(def, PUBSUB_SETTINGS));
    let secrets = secret_stores::ALL.iter().map(|def| Listed::of(def, &[]));
    let bindings = bindings::ALL.iter().map(|def| Listed::of(def, BINDING_SETTINGS));
    let locks = locks::ALL.iter().map(|def| Listed::of(def, LOCK_SETTINGS));
    let vaults = crypto::ALL.iter().map(|def| Listed::of(def, &[]));
    let handlers = middleware::ALL.iter().map(|def| Listed::of(def, &[]));
    let configuration = configuration::ALL.iter().map(|def| Listed::of(def, &[]));
    let conversations = conversation::ALL.iter().map(|def| Listed::of(def, CONVERSATION_SETTINGS));
    let stores =
        states.chain(brokers).chain(secrets).chain(bindings).chain(configuration).chain(conversations);
    stores.chain(locks).chain(vaults).chain(handlers).collect()
}

/// Checks the settings of a component of a type, those that blocks read themselves among them, against the names of the
/// spec's models where there is a spec.
pub(crate) fn check(kind: &str, settings: &[(&str, Option<&str>)], models: Option<&[String]>) -> Vec<Fault> {
    let known = |listed: &&Listed| {
        std::iter::once(&listed.kind).chain(listed.aliases).any(|name| name.eq_ignore_ascii_case(kind))
    };
    let Some(listed) = types().iter().find(known) else { return Vec::new() };
    let owned = settings.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned)));
    let owned = Settings::new(owned);
    let mut faults = (listed.check)(&owned);
    faults.extend(super::conversation::check(kind, &owned, models));
    let has_prefix = listed.settings.iter().any(|setting| setting.name == KEY_PREFIX);
    let given = settings.iter().filter(|(name, _)| has_prefix && name.eq_ignore_ascii_case(KEY_PREFIX));
    faults.extend(given.filter_map(|(name, value)| {
        let message = wrong_prefix((*value)?)?;
        Some(Fault { code: &codes::CONFIG_VALUE, pointer: (*name).to_owned(), message, help: None })
    }));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_that_holds_the_separator_is_refused_for_state_and_for_locks() {
        let found = |kind: &str, setting: (&str, Option<&str>)| {
            check(kind, &[setting], None)
                .into_iter()
                .map(|fault| (fault.code.id, fault.pointer))
                .collect::<Vec<_>>()
        };
        for kind in ["state.embedded", "state.in-memory", "lock.embedded"] {
            let refused = vec![("CONFIG_VALUE", "KeyPrefix".to_owned())];
            assert_eq!(found(kind, ("KeyPrefix", Some("a||b"))), refused, "{kind}");
            for good in [Some("a|b"), Some("appid"), None] {
                assert_eq!(found(kind, ("keyPrefix", good)), [], "{kind} {good:?}");
            }
        }
        // Another block's setting of the name is its own affair.
        assert_eq!(found("pubsub.embedded", ("keyPrefix", Some("a||b"))), []);
    }
}
