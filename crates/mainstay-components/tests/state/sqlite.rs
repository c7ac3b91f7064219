//! The rig of SQLite: a file of its own in a temporary folder, or a database in memory.

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::state::Def;
use mainstay_core::clock::ManualClock;
use mainstay_core::state::{Change, Format, Precondition, StateStore};
use mainstay_core::{Clock, Ctx};
use mainstay_testkit::components::open_in;
use mainstay_testkit::conformance::state::{Open, Rig};
use tempfile::TempDir;

use crate::{Member, Way, no_server, own};

const START_MS: u64 = 1_700_000_000_000;

pub(crate) fn member(def: &'static Def) -> Member {
    let way = |name, settings| Way::new(name, open(def, settings)).without(no_server());
    let own = vec![own("sqlite::a_file_of_another_sidecar_is_read_and_changed", move || layout(def))];
    Member::Ways(vec![
        way("sqlite", &[("connectionString", "data.db")]).with(own),
        way(
            "sqlite-without-log",
            &[("connectionString", "file:data.db"), ("disableWAL", "true"), ("tableName", "values_1")],
        ),
        way("sqlite-in-memory", &[("connectionString", ":memory:")]),
    ])
}

fn open(def: &'static Def, settings: &'static [(&'static str, &'static str)]) -> Open {
    Arc::new(move |_| {
        Box::pin(async move {
            let folder = tempfile::tempdir().unwrap();
            let clock = Arc::new(ManualClock::at(START_MS));
            let shown: Arc<dyn Clock> = Arc::clone(&clock) as _;
            let store = open_in(def, settings, folder.path(), &shown).await.unwrap();
            Arc::new(Sqlite { def, settings, folder, clock, store }) as Arc<dyn Rig>
        })
    })
}

struct Sqlite {
    def: &'static Def,
    settings: &'static [(&'static str, &'static str)],
    folder: TempDir,
    clock: Arc<ManualClock>,
    store: Arc<dyn StateStore>,
}

#[async_trait]
impl Rig for Sqlite {
    fn store(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.store)
    }

    async fn again(&self) -> Option<Arc<dyn StateStore>> {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let durable = self.store.capabilities().durable;
        if !durable {
            return None;
        }
        Some(open_in(self.def, self.settings, self.folder.path(), &clock).await.unwrap())
    }

    async fn tick(&self) {
        self.clock.advance(100);
    }

    fn takes_any_etag(&self) -> bool {
        true
    }
}

/// The tables and rows as Dapr's sidecar makes them.
const WRITTEN: &str = "
CREATE TABLE metadata (key text NOT NULL PRIMARY KEY, value text NOT NULL);
INSERT INTO metadata VALUES ('migrations', '1');
CREATE TABLE state (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL, is_binary BOOLEAN NOT NULL, etag TEXT NOT NULL,
    expiration_time TIMESTAMP DEFAULT NULL, update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
INSERT INTO state (key, value, is_binary, etag) VALUES ('app||json', '{\"a\":1}', 0, 'd1f9bd5c-0a6c-4d5e-8ff1-bb5b0d6e8bd1');
INSERT INTO state (key, value, is_binary, etag, expiration_time)
    VALUES ('app||bytes', 'AAH/', 1, '8e7d2b6e-8f4c-4cf5-94a4-0b6a8e8e6b7a', '2023-11-14 22:13:30');
INSERT INTO state (key, value, is_binary, etag, expiration_time)
    VALUES ('app||ended', '1', 0, 'e0b3e6a0-6a06-4b7e-9b0b-3c0cde1d7e4e', '2023-11-14 22:13:20');
";

async fn layout(def: &'static Def) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch(WRITTEN).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(START_MS));
    let settings = [("connectionString", path.to_str().unwrap())];
    let store = open_in(def, &settings, folder.path(), &clock).await.unwrap();
    let get = async |key: &str| store.get(&Ctx::system(), key).await.unwrap();
    let json = get("app||json").await.unwrap();
    assert_eq!((json.value.as_ref(), json.expires_at_ms), (br#"{"a":1}"#.as_ref(), None));
    let bytes = get("app||bytes").await.unwrap();
    assert_eq!((bytes.value.as_ref(), bytes.expires_at_ms), ([0, 1, 255].as_ref(), Some(START_MS + 10_000)));
    assert_eq!(get("app||ended").await, None);
    let change = Change::Set {
        key: "app||json".to_owned(),
        value: "[2]".into(),
        format: Format::Json,
        precondition: Precondition::Etag(json.etag),
        ttl: Some(std::time::Duration::from_secs(60)),
    };
    store.apply(&Ctx::system(), change).await.unwrap();
    let bare = rusqlite::Connection::open(&path).unwrap();
    let row = "SELECT value, is_binary, length(etag), expiration_time FROM state WHERE key = 'app||json'";
    let row: (String, bool, u32, String) =
        bare.query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    assert_eq!(row, ("[2]".to_owned(), false, 36, "2023-11-14 22:14:20".to_owned()));
}
