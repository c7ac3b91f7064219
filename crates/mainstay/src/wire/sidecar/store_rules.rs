//! The rules of a state store, from the settings that every one has.

use std::sync::Arc;

use mainstay_blocks::App;
use mainstay_blocks::state::{self, Cipher, Key, Outbox, Prefix, Rules, SEPARATOR};
use mainstay_components::settings::Settings;
use mainstay_core::component::{Component, SettingValue};
use mainstay_core::state::Capabilities;
use mainstay_core::{Error, Redacted, Result, codes};

/// What stands before keys.
pub(super) const KEY_PREFIX: &str = "keyPrefix";

/// The keys, new and old.
pub(super) const KEYS: [&str; 2] = ["primaryEncryptionKey", "secondaryEncryptionKey"];

/// The outbox's broker and its topic.
pub(super) const OUTBOX: [&str; 2] = ["outboxPublishPubsub", "outboxPublishTopic"];

/// The rules that a component asks for. Errors: `CONFIG_VALUE` for what cannot be; `UNSUPPORTED` for an outbox of a
/// store that cannot have one.
pub(super) fn rules(
    component: &Component,
    settings: &Settings,
    app: &App,
    able: &Capabilities,
) -> Result<Rules> {
    let prefix = Prefix::of(key_prefix(settings)?, &component.name, app);
    let cipher = cipher(component, settings)?.map(Arc::new);
    let outbox = outbox(component, settings, app)?.map(Arc::new);
    if outbox.is_some() {
        state::outbox::check(able)?;
    }
    Ok(Rules { prefix, cipher, outbox })
}

/// What is to stand before the app's keys. Errors: `CONFIG_VALUE` for what cannot.
pub(super) fn key_prefix(settings: &Settings) -> Result<Option<&str>> {
    let asked = settings.text(KEY_PREFIX);
    match asked.and_then(wrong_prefix) {
        Some(why) => Err(Error::new(&codes::CONFIG_VALUE, why)),
        None => Ok(asked),
    }
}

/// Why this cannot stand before keys, if it cannot: with the separator in it, a store would take keys of one app for
/// those of another.
pub(super) fn wrong_prefix(asked: &str) -> Option<String> {
    let why = || format!("`{KEY_PREFIX}` must not hold `{SEPARATOR}`, which stands between prefix and key");
    asked.contains(SEPARATOR).then(why)
}

fn outbox(component: &Component, settings: &Settings, app: &App) -> Result<Option<Outbox>> {
    let given = OUTBOX.map(|name| settings.text(name).filter(|text| !text.is_empty()));
    match given {
        [None, None] => Ok(None),
        [Some(pubsub), Some(topic)] => Ok(Some(Outbox::new(app, &component.name, pubsub, topic))),
        _ => {
            let message = format!("an outbox needs both `{}` and `{}`", OUTBOX[0], OUTBOX[1]);
            Err(Error::new(&codes::CONFIG_VALUE, message))
        }
    }
}

fn cipher(component: &Component, settings: &Settings) -> Result<Option<Cipher>> {
    let [primary, secondary] = KEYS.map(|name| key(component, settings, name));
    match (primary?, secondary?) {
        (Some(primary), secondary) => Ok(Some(Cipher::new(primary, secondary))),
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let message = format!("`{}` without `{}` would leave new values in the clear", KEYS[1], KEYS[0]);
            Err(Error::new(&codes::CONFIG_VALUE, message))
        }
    }
}

/// A key. It carries the name of its secret: that is what tells keys apart in stored values.
fn key(component: &Component, settings: &Settings, name: &str) -> Result<Option<Key>> {
    let Some(setting) = component.settings.iter().find(|one| one.name.eq_ignore_ascii_case(name)) else {
        return Ok(None);
    };
    let SettingValue::Secret { name: secret, .. } = &setting.value else {
        return Err(Error::new(&codes::CONFIG_VALUE, format!("`{name}` needs a `secretKeyRef`"))
            .with_help("values carry the secret's name, so that they can be read after a change of keys"));
    };
    let digits = settings.text(name).unwrap_or_default();
    if digits.is_empty() {
        return Err(Error::new(&codes::CONFIG_VALUE, format!("the secret `{secret}` of `{name}` is empty")));
    }
    Key::new(secret, &Redacted::new(digits.to_owned())).map(Some)
}
