//! State in a SQLite file, in the layout of Dapr's `state.sqlite` v1, so that a file of one is a file of the other.
//! Linearizable; a change is on the disk before it is acknowledged. Changes that wait are committed together. Times to
//! live are of whole seconds. SQLite itself is compiled in.
//! <https://docs.dapr.io/reference/components-reference/supported-state-stores/setup-sqlite/>

mod file;
mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mainstay_core::state::{Capabilities, Change, Entry, Page, StateStore};
use mainstay_core::{Clock, Ctx, Error, Fault, Result, codes};
use tokio::sync::oneshot;

use crate::clients::sql::{self, Sweep};
use crate::clients::{TIME, time, within};
use crate::def::{Def, SettingDef};
use crate::settings::{Settings, fault};
use file::{Database, Place, Write};
use table::Table;

/// The type.
pub const DEF: Def<dyn StateStore> = Def {
    kind: "state.sqlite",
    aliases: &[],
    versions: &["v1"],
    about: "A SQLite file.",
    settings: &SETTINGS,
    check: |settings| parse(settings).1,
    open: |opening| {
        let (mut options, _) = parse(opening.settings);
        options.place.resolve(opening.folder);
        let clock = Arc::clone(opening.clock);
        Box::pin(async move { Ok(Arc::new(Store::open(options, clock).await?) as Arc<dyn StateStore>) })
    },
};

const fn setting(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

const SETTINGS: [SettingDef; 7] = [
    SettingDef {
        name: "connectionString",
        about: "The path of the file, `file:PATH?OPTIONS`, or `:memory:`. It must be given, here or as `url`. Options: \
                `mode=ro`, `_pragma=NAME(VALUE)`.",
        required: false,
        secret: false,
    },
    setting("tableName", "The table of the values, `state` by default."),
    setting("metadataTableName", "The table that says how the others are laid out, `metadata` by default."),
    setting("timeout", "How long a call may take, 20s by default, at least 1s. Also `timeoutInSeconds`."),
    setting("busyTimeout", "How long a call waits for another process that holds the file, 2s by default."),
    setting(
        "disableWAL",
        "`true` for a file on a network share, where a write-ahead log does not work; `false` by default.",
    ),
    setting(
        "cleanupInterval",
        "How often what has outlived its time is removed, 1h by default; never for 0.",
    ),
];

/// Changes made at once.
const CHANGES_MAX: usize = 10_000;

struct Options {
    place: Place,
    table: Table,
    timeout: Duration,
    cleanup: Option<Duration>,
}

fn parse(settings: &Settings) -> (Options, Vec<Fault>) {
    let mut faults = Vec::new();
    settings.require(&["connectionString", "url"], &mut faults);
    let place = settings.text_of(&["connectionString", "url"]).map_or(Ok(Place::default()), Place::parse);
    let mut place = place.unwrap_or_else(|message| {
        faults.push(fault("connectionString", message, None));
        Place::default()
    });
    place.busy =
        settings.read("busyTimeout", TIME, time, &mut faults).unwrap_or(Some(Duration::from_secs(2)));
    place.wal = !settings.flag("disableWAL", &mut faults).unwrap_or_default();
    let identifier = |text: &str| sql::is_identifier(text).then(|| text.to_owned());
    let mut name = |setting, default: &str| {
        let name = settings.read(setting, "letters, digits and `_`", identifier, &mut faults);
        name.unwrap_or_else(|| default.to_owned())
    };
    let table = Table::new(&name("tableName", "state"), &name("metadataTableName", "metadata"));
    let second = |text: &str| time(text).flatten().filter(|time| *time >= Duration::from_secs(1));
    let mut timeout = |name| settings.read(name, "at least `1s`", second, &mut faults);
    let timeout =
        timeout("timeout").or_else(|| timeout("timeoutInSeconds")).unwrap_or(Duration::from_secs(20));
    let mut cleanup = |name| settings.read(name, TIME, time, &mut faults);
    let cleanup = cleanup("cleanupInterval").or_else(|| cleanup("cleanupIntervalInSeconds"));
    let cleanup = cleanup.unwrap_or(Some(Duration::from_secs(3600)));
    (Options { place, table, timeout, cleanup }, faults)
}

struct Store {
    database: Arc<Database>,
    table: Arc<Table>,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    _sweep: Sweep,
}

impl Store {
    async fn open(options: Options, clock: Arc<dyn Clock>) -> Result<Self> {
        let Options { place, table, timeout, cleanup } = options;
        let table = Arc::new(table);
        let database = Arc::new(Database::open(place, Arc::clone(&table)).await?);
        let (swept, now) = (Arc::clone(&database), Arc::clone(&clock));
        let sweep = Sweep::every(cleanup, move || {
            let (database, now_ms) = (Arc::clone(&swept), now.now_ms());
            async move {
                let (done, _) = oneshot::channel();
                // A file that cannot be written is what the calls themselves report.
                let _ = database.write(Write::Sweep { now_ms, done }).await;
            }
        });
        Ok(Self { database, table, clock, timeout, _sweep: sweep })
    }

    fn bounded(&self, ctx: &Ctx) -> Ctx {
        ctx.clone().with_deadline(Instant::now() + self.timeout)
    }

    async fn change(&self, ctx: &Ctx, all: bool, changes: Vec<Change>) -> Result<Vec<Result<()>>> {
        let (done, outcome) = oneshot::channel();
        let write = Write::Changes { all, changes, now_ms: self.clock.now_ms(), done };
        let call = async {
            self.database.write(write).await?;
            outcome.await.map_err(|_| gone())?
        };
        within(&self.bounded(ctx), call).await
    }
}

fn gone() -> Error {
    Error::new(&codes::STORE_UNAVAILABLE, "call the database: it is closed")
}

#[async_trait]
impl StateStore for Store {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transaction_changes_max: Some(CHANGES_MAX),
            scan: true,
            scan_reserved: true,
            query: false,
            durable: !self.database.is_in_memory(),
        }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let (table, now_ms) = (Arc::clone(&self.table), self.clock.now_ms());
        within(&self.bounded(ctx), self.database.read(move |connection| table.get(connection, "", now_ms)))
            .await?;
        Ok(())
    }

    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Entry>> {
        let (table, key, now_ms) = (Arc::clone(&self.table), key.to_owned(), self.clock.now_ms());
        within(&self.bounded(ctx), self.database.read(move |connection| table.get(connection, &key, now_ms)))
            .await
    }

    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<()> {
        self.change(ctx, false, vec![change]).await?.pop().unwrap_or_else(|| Err(gone()))
    }

    async fn get_many(&self, ctx: &Ctx, keys: &[String]) -> Vec<Result<Option<Entry>>> {
        let (table, wanted, now_ms) = (Arc::clone(&self.table), keys.to_vec(), self.clock.now_ms());
        let read = self.database.read(move |connection| {
            Ok(wanted
                .iter()
                .map(|key| table.get(connection, key, now_ms).map_err(file::failed))
                .collect::<Vec<_>>())
        });
        match within(&self.bounded(ctx), read).await {
            Ok(found) => found,
            Err(error) => keys.iter().map(|_| Err(sql::same(&error))).collect(),
        }
    }

    async fn apply_each(&self, ctx: &Ctx, changes: Vec<Change>) -> Vec<Result<()>> {
        let count = changes.len();
        match self.change(ctx, false, changes).await {
            Ok(outcomes) => outcomes,
            Err(error) => (0..count).map(|_| Err(sql::same(&error))).collect(),
        }
    }

    async fn transact(&self, ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
        if changes.len() > CHANGES_MAX {
            let message = format!("make {} changes at once: the store takes {CHANGES_MAX}", changes.len());
            return Err(Error::new(&codes::INVALID_FIELD, message));
        }
        self.change(ctx, true, changes).await?.into_iter().collect()
    }

    async fn scan(&self, ctx: &Ctx, prefix: &str, token: Option<&str>, limit: usize) -> Result<Page> {
        let (table, now_ms) = (Arc::clone(&self.table), self.clock.now_ms());
        let (prefix, token) = (prefix.to_owned(), token.map(str::to_owned));
        let scan = self
            .database
            .read(move |connection| table.scan(connection, &prefix, token.as_deref(), limit, now_ms));
        within(&self.bounded(ctx), scan).await
    }
}
