//! Configuration in a file: no server. The file is yours; it is looked at twice a second, and whoever watches is told
//! what changed in it. A file that cannot be read for a while leaves the items as they were.
//!
//! YAML, or JSON where its name ends so. Each member is an item: a plain value, or `{ value, version, metadata }`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use mainstay_core::configuration::{ConfigurationStore, Item, Items};
use mainstay_core::{BoxStream, Ctx, Error, Fault, Result, codes};
use serde_json::{Map, Value};
use tokio::time::{Interval, MissedTickBehavior};

use super::ITEMS_MAX;
use crate::def::{Def, SettingDef};
use crate::settings::Settings;

/// The type.
pub const DEF: Def<dyn ConfigurationStore> = Def {
    kind: "configuration.embedded",
    aliases: &[],
    versions: &["v1"],
    about: "A YAML or JSON file of items; changes of the file reach whoever watches.",
    settings: &[SettingDef {
        name: "file",
        about: "The file; relative to where Mainstay was started.",
        required: true,
        secret: false,
    }],
    check: |settings| parse(settings).1,
    open: |opening| {
        let path = opening.folder.join(parse(opening.settings).0);
        Box::pin(async move {
            let items = read(&path).await?;
            Ok(Arc::new(Store(Arc::new(File { path, last: Mutex::new(items) })))
                as Arc<dyn ConfigurationStore>)
        })
    },
};

fn parse(settings: &Settings) -> (PathBuf, Vec<Fault>) {
    let mut faults = Vec::new();
    settings.require(&["file"], &mut faults);
    (settings.text("file").map(PathBuf::from).unwrap_or_default(), faults)
}

/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// How often a watch looks at the file.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

struct Store(Arc<File>);

struct File {
    path: PathBuf,
    /// What was read last and was sound.
    last: Mutex<Items>,
}

impl File {
    /// The items; those of before where the file cannot be read now.
    async fn items(&self) -> Items {
        let read = read(&self.path).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(items) = read {
            last.clone_from(&items);
        }
        last.clone()
    }

    async fn of(&self, keys: &[String]) -> Items {
        let mut items = self.items().await;
        items.retain(|key, _| keys.is_empty() || keys.contains(key));
        items
    }
}

async fn read(path: &Path) -> Result<Items> {
    let unusable = |why: String| {
        let message = "read the configuration: its file cannot be used";
        Error::new(&codes::STORE_UNAVAILABLE, message).with_internal(format!("{}: {why}", path.display()))
    };
    let known = tokio::fs::metadata(path).await.map_err(|error| unusable(error.to_string()))?;
    if !known.is_file() || known.len() > FILE_BYTES_MAX {
        return Err(unusable(format!("it is no file of at most {FILE_BYTES_MAX} bytes")));
    }
    let text = tokio::fs::read_to_string(path).await.map_err(|error| unusable(error.to_string()))?;
    let is_json = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    items(&text, is_json).map_err(unusable)
}

/// The items of a file. Errors: what is wrong with it.
fn items(text: &str, is_json: bool) -> std::result::Result<Items, String> {
    let object: Map<String, Value> = if is_json {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else if text.trim().is_empty() {
        Map::new()
    } else {
        serde_saphyr::from_str(text).map_err(|error| error.to_string())?
    };
    if object.len() > ITEMS_MAX {
        return Err(format!("it has more than {ITEMS_MAX} items"));
    }
    object.into_iter().map(|(key, value)| item(&key, value).map(|item| (key, item))).collect()
}

fn item(key: &str, value: Value) -> std::result::Result<Item, String> {
    let Value::Object(mut members) = value else {
        return Ok(Item { value: as_text(value), ..Item::default() });
    };
    let bad = |what: &str| format!("`{key}`: {what}");
    let value = members.remove("value").ok_or_else(|| bad("an item that is a map has a `value`"))?;
    let version = members.remove("version").map(as_text).unwrap_or_default();
    let metadata = match members.remove("metadata") {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(Value::Object(members)) => {
            members.into_iter().map(|(name, value)| (name, as_text(value))).collect()
        }
        Some(_) => return Err(bad("its `metadata` is no map")),
    };
    if let Some(unknown) = members.keys().next() {
        return Err(bad(&format!("an item has `value`, `version` and `metadata`, not `{unknown}`")));
    }
    Ok(Item { value: as_text(value), version, metadata })
}

fn as_text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}

struct Watching {
    file: Arc<File>,
    keys: Vec<String>,
    known: Items,
    look: Interval,
}

impl Watching {
    async fn next(&mut self) -> Items {
        loop {
            self.look.tick().await;
            let now = self.file.of(&self.keys).await;
            let mut changed: Items = now
                .iter()
                .filter(|(key, item)| self.known.get(*key) != Some(item))
                .map(|(key, item)| (key.clone(), item.clone()))
                .collect();
            let gone = self.known.keys().filter(|key| !now.contains_key(*key));
            changed.extend(gone.map(|key| (key.clone(), Item::default())));
            if !changed.is_empty() {
                self.known = now;
                return changed;
            }
        }
    }
}

#[async_trait]
impl ConfigurationStore for Store {
    async fn ready(&self, _: &Ctx) -> Result<()> {
        read(&self.0.path).await.map(|_| ())
    }

    async fn get(&self, _: &Ctx, keys: &[String], _: &BTreeMap<String, String>) -> Result<Items> {
        Ok(self.0.of(keys).await)
    }

    async fn watch(
        &self,
        _: &Ctx,
        keys: &[String],
        _: &BTreeMap<String, String>,
    ) -> Result<BoxStream<Result<Items>>> {
        let mut look = tokio::time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (file, keys) = (Arc::clone(&self.0), keys.to_vec());
        let known = file.of(&keys).await;
        let watching = Watching { file, keys, known, look };
        let next = |mut watching: Watching| async move { Some((Ok(watching.next().await), watching)) };
        Ok(Box::pin(stream::unfold(watching, next)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_a_plain_value_or_says_more() {
        let yaml = "limit: 10\nratio: 1.50\nname: shop\nopen: true\nnothing:\nrich:\n  value: on\n  version: v2\n  \
                    metadata: { team: blue, n: 1 }\n";
        let found = items(yaml, false).unwrap();
        let value = |key: &str| found[key].value.as_str();
        assert_eq!(
            (value("limit"), value("name"), value("open"), value("nothing")),
            ("10", "shop", "true", "")
        );
        assert_eq!((found["rich"].version.as_str(), found["rich"].metadata["n"].as_str()), ("v2", "1"));
        let json = items(r#"{"limit":10,"rich":{"value":"on"}}"#, true).unwrap();
        assert_eq!((json["limit"].value.as_str(), json["rich"].value.as_str()), ("10", "on"));
        assert_eq!(items("", false).unwrap(), Items::new());
    }

    #[test]
    fn what_is_no_item_is_a_fault_of_the_file() {
        for bad in [
            "- a",
            "a: {}",
            "a: { values: 1 }",
            "a: { value: 1, metadata: 1 }",
            "a: {value: 1, x: 1}",
            "a: [",
        ] {
            assert!(items(bad, false).is_err(), "{bad}");
        }
        assert!(items("a: 1", true).is_err());
    }
}
