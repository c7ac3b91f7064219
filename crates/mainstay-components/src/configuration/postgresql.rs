//! Configuration in PostgreSQL, as Dapr's `configuration.postgresql` v1 has it: a table with the columns `key`,
//! `value`, `version` and `metadata`, and a trigger of yours that notifies a channel of each change with `{"action": …,
//! "data": {the row}}`. The table must be there; who watches names the channel in the metadata of the request
//! (`pgNotifyChannel`). Tested with PostgreSQL 15.
//! <https://docs.dapr.io/reference/components-reference/supported-configuration-stores/postgresql-configuration-store/>

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures_util::stream;
use mainstay_core::configuration::{ConfigurationStore, Item, Items};
use mainstay_core::{BoxStream, Ctx, Error, Fault, Result, codes};
use serde_json::{Map, Value};

use super::{CHANGES_MAX, ITEMS_MAX, PING_INTERVAL, cut, too_many};
use crate::clients::postgres::{self as client, Options, Postgres, failed};
use crate::clients::{sql, within};
use crate::def::{Def, SettingDef, joined};
use crate::settings::Settings;

/// The type.
pub const DEF: Def<dyn ConfigurationStore> = Def {
    kind: "configuration.postgresql",
    aliases: &["configuration.postgres"],
    versions: &["v1"],
    about: "PostgreSQL: a table, and a channel that a trigger of yours notifies.",
    settings: &SETTINGS,
    check: |settings| parse(settings).2,
    open: |opening| {
        let (options, table, _) = parse(opening.settings);
        Box::pin(
            async move { Ok(Arc::new(Store::open(options, &table).await?) as Arc<dyn ConfigurationStore>) },
        )
    },
};

const SETTINGS: [SettingDef; 14] = joined(
    &client::SETTINGS,
    &[SettingDef {
        name: "table",
        about: "The table of the items, with the columns `key`, `value`, `version` and `metadata` (JSON); it may begin \
                with a schema.",
        required: true,
        secret: false,
    }],
);

/// The metadata of a request that names the channel.
const CHANNEL: &str = "pgNotifyChannel";

fn parse(settings: &Settings) -> (Options, String, Vec<Fault>) {
    let mut faults = Vec::new();
    let options = Options::parse(settings, &mut faults);
    settings.require(&["table"], &mut faults);
    let table = |text: &str| {
        let parts: Vec<&str> = text.split('.').collect();
        (parts.len() <= 2 && parts.into_iter().all(sql::is_identifier)).then(|| text.to_owned())
    };
    let wanted = "letters, digits and `_`, with a schema or without";
    let table = settings.read("table", wanted, table, &mut faults).unwrap_or_default();
    (options, table, faults)
}

struct Store {
    postgres: Postgres,
    options: Options,
    /// Reads all; reads some, of keys in `$1`.
    all: String,
    some: String,
}

impl Store {
    async fn open(options: Options, table: &str) -> Result<Self> {
        let select = format!("SELECT key::text, value::text, version::text, metadata::text FROM {table}");
        let limit = ITEMS_MAX + 1;
        let (all, some) =
            (format!("{select} LIMIT {limit}"), format!("{select} WHERE key::text = ANY($1) LIMIT {limit}"));
        let postgres = Postgres::connect(&options).await?;
        // A table that is not there is found now.
        postgres.get().await?.prepare_cached(&some).await.map_err(failed)?;
        Ok(Self { postgres, options, all, some })
    }

    fn bounded(&self, ctx: &Ctx) -> Ctx {
        ctx.clone().with_deadline(Instant::now() + self.options.timeout)
    }
}

/// The item of a row.
fn item(row: &tokio_postgres::Row) -> Result<(String, Item)> {
    let text =
        |at: usize| row.try_get::<_, Option<String>>(at).map(Option::unwrap_or_default).map_err(failed);
    let metadata = serde_json::from_str(&text(3)?).unwrap_or_default();
    Ok((text(0)?, Item { value: text(1)?, version: text(2)?, metadata: texts(&metadata) }))
}

/// The members of an object as texts; nothing for what is none.
fn texts(value: &Value) -> BTreeMap<String, String> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), as_text(value))).collect()
}

fn as_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The change that a notification tells of; none for one that is nothing of the kind.
fn change(payload: &str) -> Option<(String, Item)> {
    let said: Value = serde_json::from_str(payload).ok()?;
    let row: BTreeMap<String, &Value> = said
        .get("data")?
        .as_object()?
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect();
    let text = |name: &str| row.get(name).map(|value| as_text(value)).unwrap_or_default();
    let key = Some(text("key")).filter(|key| !key.is_empty())?;
    // What the row held before it was removed says nothing to whoever reads the item.
    if said.get("action").and_then(Value::as_str).is_some_and(|action| action.eq_ignore_ascii_case("DELETE"))
    {
        return Some((key, Item::default()));
    }
    let nothing = Value::Object(Map::new());
    let metadata = texts(row.get("metadata").copied().unwrap_or(&nothing));
    Some((key, Item { value: text("value"), version: text("version"), metadata }))
}

#[async_trait]
impl ConfigurationStore for Store {
    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let call = async {
            let on = self.postgres.get().await?;
            on.simple_query("").await.map_err(failed)
        };
        within(&self.bounded(ctx), call).await.map(|_| ())
    }

    async fn get(&self, ctx: &Ctx, keys: &[String], _: &BTreeMap<String, String>) -> Result<Items> {
        let call = async {
            let on = self.postgres.get().await?;
            let rows = if keys.is_empty() {
                let all = on.prepare_cached(&self.all).await.map_err(failed)?;
                on.query(&all, &[]).await
            } else {
                let some = on.prepare_cached(&self.some).await.map_err(failed)?;
                on.query(&some, &[&keys]).await
            };
            let rows = rows.map_err(failed)?;
            if rows.len() > ITEMS_MAX {
                return Err(too_many());
            }
            rows.iter().map(item).collect()
        };
        within(&self.bounded(ctx), call).await
    }

    async fn watch(
        &self,
        ctx: &Ctx,
        keys: &[String],
        metadata: &BTreeMap<String, String>,
    ) -> Result<BoxStream<Result<Items>>> {
        let channel = metadata.iter().find(|(name, _)| name.eq_ignore_ascii_case(CHANNEL));
        let channel = channel.map(|(_, channel)| channel.as_str()).unwrap_or_default();
        if !sql::is_identifier(channel) {
            let message = format!("watch the configuration: `{CHANNEL}` must be the name of a channel");
            return Err(
                Error::new(&codes::INVALID_FIELD, message).with_help("say it in the request's metadata")
            );
        }
        let listen = client::listen(&self.options, channel, CHANGES_MAX, PING_INTERVAL);
        let told = within(&self.bounded(ctx), listen).await?;
        let going = Some((told, keys.to_vec()));
        Ok(Box::pin(stream::unfold(going, |going| async move {
            let (mut told, keys) = going?;
            loop {
                let Some(payload) = told.recv().await else { return Some((Err(cut()), None)) };
                let Some((key, item)) = change(&payload) else { continue };
                if keys.is_empty() || keys.contains(&key) {
                    return Some((Ok(Items::from([(key, item)])), Some((told, keys))));
                }
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_holds_the_row_that_changed() {
        let row = r#"{"key":"a","value":"1","version":2,"metadata":{"k":"v","n":1}}"#;
        let (key, item) = change(&format!(r#"{{"table":"t","action":"UPDATE","data":{row}}}"#)).unwrap();
        assert_eq!((key.as_str(), item.value.as_str(), item.version.as_str()), ("a", "1", "2"));
        assert_eq!(item.metadata, BTreeMap::from([("k".into(), "v".into()), ("n".into(), "1".into())]));
        let (_, gone) = change(&format!(r#"{{"action":"DELETE","data":{row}}}"#)).unwrap();
        assert!(gone.is_gone());
        for other in ["", "x", "{}", r#"{"data":{}}"#, r#"{"data":1}"#] {
            assert_eq!(change(other), None, "{other}");
        }
    }
}
