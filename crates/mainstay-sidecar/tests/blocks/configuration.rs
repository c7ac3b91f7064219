//! Configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_blocks::{Opened, Table};
use mainstay_core::callback::{AppCallback, ConfigurationChange, TopicEvent, Verdict};
use mainstay_core::configuration::Item;
use mainstay_core::subscription::Subscription;
use mainstay_core::{Ctx, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::house::{House, clock};

async fn house() -> (TempDir, House) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a: { value: '1', version: v1, metadata: { team: blue } }\nb: two\n");
    let path = folder.path().join("items.yaml");
    let port = mainstay_testkit::components::configuration_file(&path, &clock()).await.unwrap();
    let configuration = BTreeMap::from([("conf".to_owned(), Opened::new(port, ()))]);
    (folder, House::new(Table { configuration, ..Table::default() }))
}

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("new"), text).unwrap();
    std::fs::rename(folder.join("new"), folder.join("items.yaml")).unwrap();
}

/// An app that notes what it is told.
struct App(mpsc::Sender<ConfigurationChange>);

#[async_trait]
impl AppCallback for App {
    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn healthy(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn subscriptions(&self, _: &Ctx) -> Result<Vec<Subscription>> {
        Ok(Vec::new())
    }

    async fn deliver(&self, _: &Ctx, _: &TopicEvent) -> Result<Verdict> {
        Ok(Verdict::Done)
    }

    async fn configuration_changed(&self, _: &Ctx, change: &ConfigurationChange) -> Result<()> {
        self.0.send(change.clone()).await.unwrap();
        Ok(())
    }
}

const CONF: &str = "/v1.0/configuration/conf";

#[tokio::test]
async fn items_are_read_by_their_keys_or_all_at_once() {
    let (_folder, house) = house().await;
    let (a, b) = (
        json!({"value": "1", "version": "v1", "metadata": {"team": "blue"}}),
        json!({"value": "two", "metadata": {}}),
    );
    house.check("GET", CONF, "", (200, json!({"a": a, "b": b}))).await;
    house.check("GET", "/v1.0-alpha1/configuration/conf?key=b&key=c", "", (200, json!({"b": b}))).await;
    house.check("GET", "/v1.0/configuration/conf?key=c", "", (204, Value::Null)).await;
}

#[tokio::test]
async fn the_app_is_told_of_changes_until_it_says_that_it_is_enough() {
    let (folder, house) = house().await;
    let (tell, mut told) = mpsc::channel(16);
    house.blocks.meet(Arc::new(App(tell)));
    let (status, watched) = house.send("GET", "/v1.0/configuration/conf/subscribe?key=b", "").await;
    let id = watched["id"].as_str().unwrap();
    assert_eq!((status, watched.as_object().unwrap().len()), (200, 1));
    write(folder.path(), "a: 5\nb: three\n");
    let change = told.recv().await.unwrap();
    assert_eq!((change.id.as_str(), change.store.as_str(), change.items.len()), (id, "conf", 1));
    assert_eq!(change.items["b"], Item { value: "three".to_owned(), ..Item::default() });
    let end = format!("{CONF}/{id}/unsubscribe");
    house.check("GET", &end, "", (200, json!({"ok": true}))).await;
    // The one who would tell is gone.
    assert_eq!(told.try_recv().ok(), None);
    let (status, answer) = house.send("GET", &end, "").await;
    assert_eq!((status, &answer["ok"]), (500, &Value::Null));
    assert!(answer["message"].as_str().unwrap().contains(id));
}

#[tokio::test]
async fn failures_have_the_protocols_statuses() {
    let (_folder, house) = house().await;
    let other = "/v1.0/configuration/other";
    let not_found = (400, "ERR_CONFIGURATION_STORE_NOT_FOUND");
    house.check_fault("GET", other, "", not_found).await;
    house.check_fault("GET", &format!("{other}/subscribe"), "", not_found).await;
    house.check_fault("GET", &format!("{other}/7/unsubscribe"), "", not_found).await;
    house.check_fault("GET", &format!("{CONF}/subscribe"), "", (500, "ERR_APP_CHANNEL_NIL")).await;
    let bare = House::new(Table::default());
    bare.check_fault("GET", CONF, "", (500, "ERR_CONFIGURATION_STORE_NOT_CONFIGURED")).await;
}
