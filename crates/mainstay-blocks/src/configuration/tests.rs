//! Watches over a store whose changes and outages the test makes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mainstay_core::callback::{AppCallback, ConfigurationChange, TopicEvent, Verdict};
use mainstay_core::clock::ManualClock;
use mainstay_core::configuration::{ConfigurationStore, Item, Items};
use mainstay_core::subscription::Subscription;
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use tokio::sync::mpsc;

use crate::configuration::{self, WATCHES_MAX};
use crate::layers::tests::retrying;
use crate::{App, Blocks, Opened, Table};

#[derive(Default)]
struct Fake {
    items: Mutex<Items>,
    away: Mutex<bool>,
    watchers: Mutex<Vec<mpsc::Sender<Result<Items>>>>,
}

impl Fake {
    fn set(&self, key: &str, value: &str) {
        self.items.lock().unwrap().insert(key.to_owned(), item(value));
    }

    fn tell(&self, key: &str, value: &str) {
        self.set(key, value);
        for watcher in &*self.watchers.lock().unwrap() {
            let _ = watcher.try_send(Ok(items(&[(key, value)])));
        }
    }

    fn go_away(&self) {
        *self.away.lock().unwrap() = true;
        self.watchers.lock().unwrap().clear();
    }

    fn come_back(&self) {
        *self.away.lock().unwrap() = false;
    }

    fn check(&self) -> Result<()> {
        let away = *self.away.lock().unwrap();
        if away { Err(Error::new(&codes::STORE_UNAVAILABLE, "away")) } else { Ok(()) }
    }
}

#[async_trait]
impl ConfigurationStore for Fake {
    async fn ready(&self, _: &Ctx) -> Result<()> {
        self.check()
    }

    async fn get(&self, _: &Ctx, keys: &[String], _: &BTreeMap<String, String>) -> Result<Items> {
        self.check()?;
        let mut items = self.items.lock().unwrap().clone();
        items.retain(|key, _| keys.is_empty() || keys.contains(key));
        Ok(items)
    }

    async fn watch(
        &self,
        _: &Ctx,
        _: &[String],
        _: &BTreeMap<String, String>,
    ) -> Result<BoxStream<Result<Items>>> {
        self.check()?;
        let (tell, told) = mpsc::channel(16);
        self.watchers.lock().unwrap().push(tell);
        let next = |mut told: mpsc::Receiver<_>| async move { told.recv().await.map(|items| (items, told)) };
        Ok(Box::pin(futures_util::stream::unfold(told, next)))
    }
}

/// An app that fails when it is told, and notes that it was.
struct Failing(mpsc::Sender<()>);

#[async_trait]
impl AppCallback for Failing {
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

    async fn configuration_changed(&self, _: &Ctx, _: &ConfigurationChange) -> Result<()> {
        self.0.send(()).await.unwrap();
        Err(Error::new(&codes::APP_UNAVAILABLE, "no"))
    }
}

fn item(value: &str) -> Item {
    Item { value: value.to_owned(), ..Item::default() }
}

fn items(pairs: &[(&str, &str)]) -> Items {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), item(value))).collect()
}

fn table(fake: &Arc<Fake>) -> Table {
    let port = Arc::clone(fake) as Arc<dyn ConfigurationStore>;
    Table { configuration: BTreeMap::from([("conf".to_owned(), Opened::new(port, ()))]), ..Table::default() }
}

fn blocks(fake: &Arc<Fake>) -> Blocks {
    Blocks::new(App::default(), Arc::new(ManualClock::at(0)), table(fake))
}

async fn watch(blocks: &Blocks) -> Result<configuration::Watch> {
    configuration::watch(blocks, &Ctx::system(), "conf", Vec::new(), BTreeMap::new()).await
}

#[tokio::test(start_paused = true)]
async fn what_changed_during_an_outage_comes_after_it() {
    let fake = Arc::new(Fake::default());
    for key in ["changed", "gone", "kept"] {
        fake.set(key, "old");
    }
    let blocks = blocks(&fake);
    let mut watch = watch(&blocks).await.unwrap();
    fake.tell("kept", "new");
    assert_eq!(watch.next().await, Some(items(&[("kept", "new")])));
    fake.go_away();
    fake.set("changed", "new");
    fake.set("added", "new");
    fake.items.lock().unwrap().remove("gone");
    let back = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        fake.come_back();
    };
    let (missed, ()) = tokio::join!(watch.next(), back);
    assert_eq!(missed, Some(items(&[("changed", "new"), ("added", "new"), ("gone", "")])));
    fake.tell("gone", "again");
    assert_eq!(watch.next().await, Some(items(&[("gone", "again")])));
}

#[tokio::test]
async fn a_watch_ends_when_it_is_told_to_and_when_it_is_dropped() {
    let fake = Arc::new(Fake::default());
    let blocks = blocks(&fake);
    let mut ended = watch(&blocks).await.unwrap();
    assert!(configuration::unwatch(&blocks, "conf", ended.id()).unwrap());
    assert_eq!(ended.next().await, None);
    let dropped = watch(&blocks).await.unwrap();
    let id = dropped.id().to_owned();
    drop(dropped);
    assert!(!configuration::unwatch(&blocks, "conf", &id).unwrap());
    let mut drained = watch(&blocks).await.unwrap();
    blocks.end_watches();
    assert_eq!(drained.next().await, None);
}

#[tokio::test]
async fn a_watch_ends_with_its_store() {
    let fake = Arc::new(Fake::default());
    let blocks = blocks(&fake);
    let mut watch = watch(&blocks).await.unwrap();
    blocks.reload(Table::default());
    fake.go_away();
    assert_eq!(watch.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_follows_its_name_to_another_store() {
    let (before, now) = (Arc::new(Fake::default()), Arc::new(Fake::default()));
    before.set("changed", "old");
    before.set("kept", "1");
    now.set("changed", "new");
    now.set("kept", "1");
    let blocks = blocks(&before);
    let mut watch = watch(&blocks).await.unwrap();
    let id = watch.id().to_owned();
    blocks.reload(table(&now));
    assert_eq!(watch.next().await, Some(items(&[("changed", "new")])), "what differs");
    now.tell("kept", "2");
    assert_eq!(watch.next().await, Some(items(&[("kept", "2")])));
    assert_eq!(watch.id(), id);
    // The same store in a new table is not watched anew.
    blocks.reload(table(&now));
    now.tell("kept", "3");
    assert_eq!(watch.next().await, Some(items(&[("kept", "3")])));
    assert_eq!(now.watchers.lock().unwrap().len(), 1);
    assert!(configuration::unwatch(&blocks, "conf", &id).unwrap());
    assert_eq!(watch.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_app_is_told_under_the_policies_that_hold_when_something_changed() {
    let fake = Arc::new(Fake::default());
    let blocks = blocks(&fake);
    let (tell, mut told) = mpsc::channel(16);
    blocks.meet(Arc::new(Failing(tell)));
    let id = configuration::tell_app(&blocks, &Ctx::system(), "conf", Vec::new(), BTreeMap::new()).await;
    let mut table = table(&fake);
    table.guard(retrying("DefaultConfigurationComponentInboundRetryPolicy", 4));
    blocks.reload(table);
    fake.tell("a", "1");
    // Of the three times that the app is told each is now tried five times.
    let all = async {
        for _ in 0..15 {
            told.recv().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all).await.unwrap();
    assert!(configuration::unwatch(&blocks, "conf", &id.unwrap()).unwrap());
    assert_eq!(told.try_recv().ok(), None);
}

#[tokio::test]
async fn watches_are_bounded() {
    let blocks = blocks(&Arc::default());
    let mut held = Vec::new();
    for _ in 0..WATCHES_MAX {
        held.push(watch(&blocks).await.unwrap());
    }
    assert_eq!(watch(&blocks).await.unwrap_err().code(), &codes::OVERLOADED);
    held.pop();
    watch(&blocks).await.unwrap();
}
