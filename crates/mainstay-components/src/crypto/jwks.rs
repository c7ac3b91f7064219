//! Keys of a JSON Web Key Set, each under its `kid`: in the setting itself, in a file that is read again when it
//! changed, or at a URL that is asked again.
//! <https://docs.dapr.io/reference/components-reference/supported-cryptography/json-web-key-sets/>

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::crypto::{KeyVault, PlainKey, Wrapping};
use mainstay_core::{Ctx, Error, Fault, Result, codes};

use super::wrapping;
use crate::def::{Def, SettingDef};
use crate::keys::Key;
use crate::keys::set::{KeySet, Place, Refresh};
use crate::settings::{Settings, fault};

/// The type.
pub const DEF: Def<dyn KeyVault> = Def {
    kind: "crypto.dapr.jwks",
    aliases: &[],
    versions: &["v1"],
    about: "The keys of a JSON Web Key Set (JWKS), each under its `kid`.",
    settings: &[
        SettingDef {
            name: "jwks",
            about: "The set: as JSON, also in base64, or the path of a file, or an `http://` or `https://` URL.",
            required: true,
            secret: true,
        },
        SettingDef {
            name: "requestTimeout",
            about: "How long asking the URL may take. `30s` by default.",
            required: false,
            secret: false,
        },
        SettingDef {
            name: "minRefreshInterval",
            about: "The URL is asked again when this has passed, at the next use of a key. `10m` by default.",
            required: false,
            secret: false,
        },
    ],
    check: |settings| parse(settings).1,
    open: |opening| {
        let (refresh, _) = parse(opening.settings);
        let place = Place::of(opening.settings.text("jwks").unwrap_or_default(), opening.folder);
        Box::pin(async move {
            let place = place
                .map_err(|why| Error::new(&codes::CONFIG_VALUE, format!("`jwks` cannot be used: {why}")))?;
            let set = KeySet::new(place, refresh, opening.client, opening.clock);
            set.load(&Ctx::system()).await?;
            Ok(Arc::new(Jwks { set }) as Arc<dyn KeyVault>)
        })
    },
};

fn parse(settings: &Settings) -> (Refresh, Vec<Fault>) {
    let mut faults = Vec::new();
    settings.require(&["jwks"], &mut faults);
    let mut time = |name: &str, default: Duration, least: Duration| {
        let given = settings.duration(name, &mut faults);
        // Too little is as good as nothing there.
        given.filter(|time| *time >= least).unwrap_or(default)
    };
    let timeout = time("requestTimeout", Duration::from_secs(30), Duration::from_millis(1));
    let after = time("minRefreshInterval", Duration::from_secs(600), Duration::from_secs(1));
    if settings.text("jwks").is_some_and(|text| text.trim().is_empty()) {
        faults.push(fault("jwks", "`jwks` is empty".to_owned(), None));
    }
    (Refresh { after, missing_after: after, timeout }, faults)
}

struct Jwks {
    set: KeySet,
}

impl Jwks {
    async fn key(&self, ctx: &Ctx, name: &str) -> Result<Key> {
        let found = self.set.find(ctx, |key| key.id.as_deref() == Some(name)).await;
        found.into_iter().next().ok_or_else(|| {
            Error::new(&codes::KEY_NOT_FOUND, format!("no key of the set has the `kid` `{name}`"))
        })
    }
}

#[async_trait]
impl KeyVault for Jwks {
    fn wrappings(&self) -> &'static [Wrapping] {
        wrapping::ALL
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.set.load(ctx).await
    }

    async fn wrap(&self, ctx: &Ctx, name: &str, how: Wrapping, plain: &PlainKey) -> Result<Bytes> {
        wrapping::wrap(&self.key(ctx, name).await?, how, plain)
    }

    async fn unwrap(&self, ctx: &Ctx, name: &str, how: Wrapping, wrapped: &[u8]) -> Result<PlainKey> {
        wrapping::unwrap(&self.key(ctx, name).await?, how, wrapped)
    }
}
