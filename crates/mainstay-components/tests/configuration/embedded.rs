//! The rig of the file: rewritten as an operator does, by a rename.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mainstay_components::configuration::Def;
use mainstay_core::Clock;
use mainstay_core::configuration::ConfigurationStore;
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components::{NoStores, open_with};
use mainstay_testkit::conformance::configuration::{Open, Rig};
use tempfile::TempDir;

use crate::{Member, Way, no_server};

pub(crate) fn member(def: &'static Def) -> Member {
    Way::new("embedded", open(def)).without(no_server()).into()
}

pub(crate) fn open(def: &'static Def) -> Open {
    Arc::new(move |_| {
        Box::pin(async move {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join("items.yaml"), "").unwrap();
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let settings = [("file", "items.yaml")];
            let store = open_with(def, &settings, folder.path(), &NoStores, &clock).await.unwrap();
            Arc::new(File { folder, store, items: Mutex::default() }) as Arc<dyn Rig>
        })
    })
}

struct File {
    folder: TempDir,
    store: Arc<dyn ConfigurationStore>,
    items: Mutex<BTreeMap<String, (String, String)>>,
}

impl File {
    fn write(&self, change: impl FnOnce(&mut BTreeMap<String, (String, String)>)) {
        let mut items = self.items.lock().unwrap();
        change(&mut items);
        let text: String = items
            .iter()
            .map(|(key, (value, version))| format!("{key:?}: {{ value: {value:?}, version: {version:?} }}\n"))
            .collect();
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.folder.path().join("items.yaml")).unwrap();
    }
}

#[async_trait]
impl Rig for File {
    fn store(&self) -> Arc<dyn ConfigurationStore> {
        Arc::clone(&self.store)
    }

    async fn set(&self, key: &str, value: &str, version: &str) {
        self.write(|items| drop(items.insert(key.to_owned(), (value.to_owned(), version.to_owned()))));
    }

    async fn remove(&self, key: &str) {
        self.write(|items| drop(items.remove(key)));
    }
}
