//! Statements of PostgreSQL: `query` gives its rows as JSON, `exec` the number of rows that it changed, `close` ends
//! the connections. Tested with PostgreSQL 15.
//! <https://docs.dapr.io/reference/components-reference/supported-bindings/postgresql/>

mod cell;
mod param;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::binding::{Binding, Capabilities, Operation, Outcome, not_supported};
use mainstay_core::{Clock, Ctx, Error, Fault, Result, codes};
use parking_lot::Mutex;
use serde_json::Value;
use tokio_postgres::types::ToSql;

use super::{operations, required};
use crate::clients::postgres::{self as client, Options, Postgres};
use crate::clients::within;
use crate::def::Def;
use crate::settings::Settings;
use cell::Cell;
use param::Param;

/// The type.
pub const DEF: Def<dyn Binding> = Def {
    kind: "bindings.postgresql",
    aliases: &["bindings.postgres"],
    versions: &["v1"],
    about: "Statements of PostgreSQL.",
    settings: &client::SETTINGS,
    check: |settings| parse(settings).1,
    open: |opening| {
        let (options, _) = parse(opening.settings);
        let clock = Arc::clone(opening.clock);
        Box::pin(async move {
            let pool = Postgres::connect(&options).await.map_err(super::of_client)?;
            let pool = Mutex::new(Some(Arc::new(pool)));
            Ok(Arc::new(Statements { pool, timeout: options.timeout, clock }) as Arc<dyn Binding>)
        })
    },
};

fn parse(settings: &Settings) -> (Options, Vec<Fault>) {
    let mut faults = Vec::new();
    let options = Options::parse(settings, &mut faults);
    (options, faults)
}

struct Statements {
    /// `None` once it was closed.
    pool: Mutex<Option<Arc<Postgres>>>,
    timeout: std::time::Duration,
    clock: Arc<dyn Clock>,
}

impl Statements {
    fn pool(&self) -> Result<Arc<Postgres>> {
        let pool = self.pool.lock().clone();
        pool.ok_or_else(|| Error::new(&codes::BINDING_FAILED, "component is closed"))
    }

    async fn work(&self, operation: Operation) -> Result<Option<Outcome>> {
        match operation.name.as_str() {
            "close" => {
                self.pool.lock().take();
                return Ok(None);
            }
            "exec" | "query" => {}
            other => return Err(not_supported(other)),
        }
        let sql = required(&operation, "sql")?;
        let params = params(&operation)?;
        let params: Vec<&(dyn ToSql + Sync)> =
            params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
        let (started_ms, started) = (self.clock.now_ms(), Instant::now());
        let connection = self.pool()?.get().await.map_err(super::of_client)?;
        let mut metadata = BTreeMap::from([
            ("operation".to_owned(), operation.name.clone()),
            ("sql".to_owned(), sql.to_owned()),
            ("start-time".to_owned(), time(started_ms)),
        ]);
        let statement = connection.prepare(sql).await.map_err(failed)?;
        if statement.params().len() != params.len() {
            let message = format!(
                "`metadata.params` has {} values; the statement wants {}",
                params.len(),
                statement.params().len()
            );
            return Err(Error::new(&codes::INVALID_FIELD, message).with_field("metadata.params"));
        }
        let mut data = Bytes::new();
        if operation.name == "exec" {
            let changed = connection.execute(&statement, &params).await.map_err(failed)?;
            metadata.insert("rows-affected".to_owned(), changed.to_string());
        } else {
            let rows = connection.query(&statement, &params).await.map_err(failed)?;
            let rows = rows.iter().map(row).collect::<Result<Vec<Value>>>()?;
            data = Value::Array(rows).to_string().into();
        }
        let took = started.elapsed();
        let ended_ms = started_ms.saturating_add(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        metadata.insert("end-time".to_owned(), time(ended_ms));
        metadata.insert("duration".to_owned(), format!("{took:?}"));
        Ok(Some(Outcome { data, metadata }))
    }
}

/// The values for the statement's places: a JSON list. Errors: `INVALID_FIELD`.
fn params(operation: &Operation) -> Result<Vec<Param>> {
    let Some(text) = operation.metadata.get("params").filter(|text| !text.is_empty()) else {
        return Ok(Vec::new());
    };
    let values: Vec<Value> = serde_json::from_str(text).map_err(|error| {
        let message =
            format!("invalid metadata property params: failed to unserialize into an array: {error}");
        Error::new(&codes::INVALID_FIELD, message).with_field("metadata.params")
    })?;
    Ok(values.into_iter().map(Param).collect())
}

fn row(row: &tokio_postgres::Row) -> Result<Value> {
    let cell = |at: usize| match row.try_get::<_, Cell>(at) {
        Ok(cell) => Ok(cell.0),
        Err(error) => {
            let column = &row.columns()[at];
            let message = format!(
                "read the column `{}`: values of type `{}` cannot be shown as JSON",
                column.name(),
                column.type_()
            );
            Err(Error::new(&codes::UNSUPPORTED, message)
                .with_help("cast it in the statement, e.g. `::text`")
                .with_internal(error.to_string()))
        }
    };
    (0..row.len()).map(cell).collect::<Result<Vec<_>>>().map(Value::Array)
}

fn time(ms: u64) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX));
    at.map_or_else(|_| String::new(), |at| at.to_string())
}

/// What the server says of a statement its author may read: it is the app's own.
fn failed(error: tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(said) => {
            let message =
                format!("error executing query: {} (SQLSTATE {})", said.message(), said.code().code());
            Error::new(&codes::BINDING_FAILED, message)
        }
        // The driver's own: a value that does not fit its place, or a connection that was cut.
        None => super::of_client(client::failed(error)),
    }
}

#[async_trait]
impl Binding for Statements {
    fn capabilities(&self) -> Capabilities {
        Capabilities { operations: operations(&["exec", "query", "close"]), events: false }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        within(ctx, async {
            let connection = self.pool()?.get().await.map_err(super::of_client)?;
            connection.simple_query("").await.map(|_| ()).map_err(failed)
        })
        .await
    }

    async fn invoke(&self, ctx: &Ctx, operation: Operation) -> Result<Option<Outcome>> {
        let ctx = ctx.clone().with_deadline(Instant::now() + self.timeout);
        within(&ctx, self.work(operation)).await
    }
}
