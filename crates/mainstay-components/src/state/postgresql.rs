//! State in PostgreSQL, in the layouts of Dapr's `state.postgresql`. v1 keeps JSON as JSONB, so that its text comes
//! back in PostgreSQL's way of writing it, and can be searched; v2 keeps bytes. Linearizable on one server; an
//! acknowledged change is as durable as the server's own settings make it. Tested with PostgreSQL 15; v2 wants 13 or
//! later. <https://docs.dapr.io/reference/components-reference/supported-state-stores/postgresql/>

mod layout;
mod schema;
mod search;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use deadpool_postgres::Object;
use futures_util::future::join_all;
use mainstay_core::state::{Capabilities, Change, Entry, Page, Precondition, Query, StateStore};
use mainstay_core::{Ctx, Error, Fault, Result, codes};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use crate::clients::postgres::{self as client, Options, Postgres, failed};
use crate::clients::sql::{self, Sweep};
use crate::clients::{TIME, time, within};
use crate::def::{Def, SettingDef, joined};
use crate::settings::Settings;
use layout::{Layout, Values};

/// The type.
pub const DEF: Def<dyn StateStore> = Def {
    kind: "state.postgresql",
    aliases: &["state.postgres"],
    versions: &["v2", "v1"],
    about: "PostgreSQL: v2 keeps values as bytes, v1 as JSONB.",
    settings: &SETTINGS,
    check: |settings| parse(settings, Values::Bytes).2,
    open: |opening| {
        let values = if opening.version.eq_ignore_ascii_case("v2") { Values::Bytes } else { Values::Json };
        let (options, settled, _) = parse(opening.settings, values);
        Box::pin(async move { Ok(Arc::new(Store::open(&options, settled).await?) as Arc<dyn StateStore>) })
    },
};

const fn setting(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

const SETTINGS: [SettingDef; 17] = joined(
    &client::SETTINGS,
    &[
        setting(
            "tableName",
            "The table of the values, `state` by default; it may begin with a schema (`public.state`).",
        ),
        setting(
            "tablePrefix",
            "v2: what stands before `state` in the name of the table, where `tableName` does not say it.",
        ),
        setting(
            "metadataTableName",
            "The table that says how the others are laid out, `dapr_metadata` by default.",
        ),
        setting(
            "cleanupInterval",
            "How often what has outlived its time is removed, 1h by default; never for 0.",
        ),
    ],
);

/// Changes made at once.
const CHANGES_MAX: usize = 1_000;
/// Entries of a page of a query, at most.
const PAGE: usize = 1_000;

struct Settled {
    layout: Layout,
    cleanup: Option<Duration>,
}

fn parse(settings: &Settings, values: Values) -> (Options, Settled, Vec<Fault>) {
    let mut faults = Vec::new();
    let options = Options::parse(settings, &mut faults);
    let table = |text: &str| {
        let parts: Vec<&str> = text.split('.').collect();
        (parts.len() <= 2 && parts.into_iter().all(sql::is_identifier)).then(|| text.to_owned())
    };
    let mut name = |setting| {
        settings.read(setting, "letters, digits and `_`, with a schema or without", table, &mut faults)
    };
    let prefix = match values {
        Values::Bytes => name("tablePrefix").unwrap_or_default(),
        Values::Json => String::new(),
    };
    let state = name("tableName").unwrap_or_else(|| format!("{prefix}state"));
    let metadata = name("metadataTableName").unwrap_or_else(|| "dapr_metadata".to_owned());
    let mut cleanup = |name| settings.read(name, TIME, time, &mut faults);
    let cleanup = cleanup("cleanupInterval").or_else(|| cleanup("cleanupIntervalInSeconds"));
    let cleanup = cleanup.unwrap_or(Some(Duration::from_secs(3600)));
    (options, Settled { layout: Layout::new(values, &state, &prefix, &metadata), cleanup }, faults)
}

struct Store {
    postgres: Arc<Postgres>,
    layout: Arc<Layout>,
    timeout: Duration,
    _sweep: Sweep,
}

/// A change as a statement with its parameters.
struct Step {
    statement: Statement,
    parameters: Vec<Box<dyn ToSql + Sync + Send>>,
    /// Whether it is made only where it changes a row.
    conditional: bool,
}

impl Step {
    /// Makes it; false where its precondition does not hold.
    async fn run(&self, on: &tokio_postgres::Client) -> Result<bool> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            self.parameters.iter().map(|one| one.as_ref() as _).collect();
        let rows = on.execute(&self.statement, &parameters).await.map_err(failed)?;
        Ok(rows > 0 || !self.conditional)
    }
}

impl Store {
    async fn open(options: &Options, settled: Settled) -> Result<Self> {
        let Settled { layout, cleanup } = settled;
        let postgres = Arc::new(Postgres::connect(options).await?);
        let layout = Arc::new(layout);
        schema::ensure(&mut postgres.get().await?, &layout).await?;
        let (swept, of) = (Arc::clone(&postgres), Arc::clone(&layout));
        let sweep = Sweep::every(cleanup, move || {
            let (postgres, layout) = (Arc::clone(&swept), Arc::clone(&of));
            async move {
                // A server that is away is what the calls themselves report.
                let _ = schema::sweep(&postgres, &layout, cleanup.unwrap_or_default()).await;
            }
        });
        Ok(Self { postgres, layout, timeout: options.timeout, _sweep: sweep })
    }

    fn bounded(&self, ctx: &Ctx) -> Ctx {
        ctx.clone().with_deadline(Instant::now() + self.timeout)
    }

    async fn step(&self, on: &Object, change: &Change) -> Result<Step> {
        let (sql, parameters) = self.layout.change(change)?;
        let statement = on.prepare_cached(sql).await.map_err(failed)?;
        let conditional = !matches!(change.precondition(), Precondition::None);
        Ok(Step { statement, parameters, conditional })
    }

    async fn read(&self, key: &str) -> Result<Option<Entry>> {
        let on = self.postgres.get().await?;
        let get = on.prepare_cached(&self.layout.get).await.map_err(failed)?;
        let row = on.query_opt(&get, &[&key]).await.map_err(failed)?;
        row.map(|row| self.layout.entry(&row).map(|(_, entry)| entry)).transpose()
    }

    async fn read_all(&self, keys: &[String]) -> Result<Vec<Option<Entry>>> {
        let on = self.postgres.get().await?;
        let get = on.prepare_cached(&self.layout.get_many).await.map_err(failed)?;
        let rows = on.query(&get, &[&keys]).await.map_err(failed)?;
        let found = rows.iter().map(|row| self.layout.entry(row));
        let found = found.collect::<Result<std::collections::HashMap<String, Entry>>>()?;
        Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
    }

    /// Makes changes one after the other, all on their way at once: each is a transaction of its own.
    async fn make_each(&self, changes: &[Change]) -> Result<Vec<Result<()>>> {
        let on = self.postgres.get().await?;
        let mut steps = Vec::with_capacity(changes.len());
        for change in changes {
            steps.push(self.step(&on, change).await);
        }
        let made = steps.into_iter().zip(changes).map(async |(step, change)| match step?.run(&on).await? {
            true => Ok(()),
            false => Err(sql::changed(change)),
        });
        Ok(join_all(made).await)
    }

    /// Makes all changes or none.
    async fn make_all(&self, changes: &[Change]) -> Result<()> {
        let mut on = self.postgres.get().await?;
        let mut steps = Vec::with_capacity(changes.len());
        for change in changes {
            steps.push(self.step(&on, change).await?);
        }
        let lock = on.prepare_cached(schema::LOCK_KEYS).await.map_err(failed)?;
        let keys: Vec<&str> = changes.iter().map(Change::key).collect();
        let transaction = on.transaction().await.map_err(failed)?;
        // Always in the same order, so that no two transactions wait for each other.
        transaction.query(&lock, &[&self.layout.state, &keys]).await.map_err(failed)?;
        let made = steps.iter().map(|step| step.run(transaction.client()));
        for (made, change) in join_all(made).await.into_iter().zip(changes) {
            if !made? {
                return Err(sql::changed(change));
            }
        }
        transaction.commit().await.map_err(failed)
    }
}

#[async_trait]
impl StateStore for Store {
    fn capabilities(&self) -> Capabilities {
        let query = self.layout.values == Values::Json;
        Capabilities {
            transaction_changes_max: Some(CHANGES_MAX),
            scan: true,
            scan_reserved: true,
            query,
            durable: true,
        }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let call = async {
            let on = self.postgres.get().await?;
            on.simple_query("").await.map_err(failed)
        };
        within(&self.bounded(ctx), call).await.map(|_| ())
    }

    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Entry>> {
        within(&self.bounded(ctx), self.read(key)).await
    }

    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<()> {
        let call = async {
            let on = self.postgres.get().await?;
            self.step(&on, &change).await?.run(&on).await
        };
        let made = within(&self.bounded(ctx), call).await?;
        if made { Ok(()) } else { Err(sql::changed(&change)) }
    }

    async fn get_many(&self, ctx: &Ctx, keys: &[String]) -> Vec<Result<Option<Entry>>> {
        match within(&self.bounded(ctx), self.read_all(keys)).await {
            Ok(found) => found.into_iter().map(Ok).collect(),
            Err(error) => keys.iter().map(|_| Err(sql::same(&error))).collect(),
        }
    }

    async fn apply_each(&self, ctx: &Ctx, changes: Vec<Change>) -> Vec<Result<()>> {
        match within(&self.bounded(ctx), self.make_each(&changes)).await {
            Ok(outcomes) => outcomes,
            Err(error) => changes.iter().map(|_| Err(sql::same(&error))).collect(),
        }
    }

    async fn transact(&self, ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
        if changes.len() > CHANGES_MAX {
            let message = format!("make {} changes at once: the store takes {CHANGES_MAX}", changes.len());
            return Err(Error::new(&codes::INVALID_FIELD, message));
        }
        if changes.is_empty() {
            return Ok(());
        }
        within(&self.bounded(ctx), self.make_all(&changes)).await
    }

    async fn scan(&self, ctx: &Ctx, prefix: &str, token: Option<&str>, limit: usize) -> Result<Page> {
        let call = async {
            let on = self.postgres.get().await?;
            let scan = on.prepare_cached(&self.layout.scan).await.map_err(failed)?;
            let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
            let rows = on.query(&scan, &[&prefix, &token, &one_more]).await.map_err(failed)?;
            let mut entries = rows.iter().map(|row| self.layout.entry(row)).collect::<Result<Vec<_>>>()?;
            let more = entries.len() > limit;
            entries.truncate(limit);
            let token = more.then(|| entries.last().map(|(key, _)| key.clone())).flatten();
            Ok(Page { entries, token })
        };
        within(&self.bounded(ctx), call).await
    }

    async fn query(&self, ctx: &Ctx, query: Query) -> Result<Page> {
        if self.layout.values == Values::Bytes {
            return Err(Error::new(&codes::UNSUPPORTED, "this state store cannot search by value"));
        }
        let search = search::Search::new(&self.layout, &query, PAGE)?;
        let call = async {
            let on = self.postgres.get().await?;
            let rows = on.query(&search.sql, &search.parameters()).await.map_err(failed)?;
            let entries = rows.iter().map(|row| self.layout.entry(row)).collect::<Result<Vec<_>>>()?;
            Ok(search.page(entries))
        };
        within(&self.bounded(ctx), call).await
    }
}
