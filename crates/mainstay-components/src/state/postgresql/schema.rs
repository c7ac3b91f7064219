//! Making the tables, and removing what has outlived its time. The table of metadata says how far that has come: with
//! it, sidecars of both kinds can begin at once.

use std::time::Duration;

use deadpool_postgres::Object;
use mainstay_core::Result;
use tokio_postgres::error::SqlState;

use super::layout::{Layout, Values};
use crate::clients::postgres::{Postgres, failed};

/// Locks the keys `$2` of the table `$1` until the transaction ends, in one order for everyone.
pub(super) const LOCK_KEYS: &str = "SELECT pg_advisory_xact_lock(hash) FROM (SELECT DISTINCT hashtextextended($1 || '|' || key, 0) \
     AS hash FROM unnest($2::text[]) AS key ORDER BY hash) AS hashes";

/// Makes the tables where they are not there, or not as they should be.
pub(super) async fn ensure(on: &mut Object, layout: &Layout) -> Result<()> {
    let Layout { metadata, level_key, .. } = layout;
    let wanted = migrations(layout);
    // A user who may not make tables can use those that there are.
    let level = format!("SELECT value FROM {metadata} WHERE key = $1");
    if on.query_opt(&level, &[level_key]).await.is_ok_and(|row| done(row.as_ref()) >= wanted.len()) {
        return Ok(());
    }
    // Beside others that begin: two may find that there is no table, and one then fails to make it.
    let create =
        format!("CREATE TABLE IF NOT EXISTS {metadata} (key text NOT NULL PRIMARY KEY, value text NOT NULL)");
    let others = [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_OBJECT, SqlState::DUPLICATE_TABLE];
    match on.batch_execute(&create).await {
        Err(error) if !error.code().is_some_and(|code| others.contains(code)) => return Err(failed(error)),
        _ => {}
    }
    let transaction = on.transaction().await.map_err(failed)?;
    let lock =
        format!("INSERT INTO {metadata} (key, value) VALUES ('lock', 'lock') ON CONFLICT (key) DO NOTHING");
    transaction.batch_execute(&lock).await.map_err(failed)?;
    let lock = format!("SELECT value FROM {metadata} WHERE key = 'lock' FOR UPDATE");
    transaction.batch_execute(&lock).await.map_err(failed)?;
    let row = transaction.query_opt(&level, &[level_key]).await.map_err(failed)?;
    for migration in wanted.iter().skip(done(row.as_ref())) {
        transaction.batch_execute(migration).await.map_err(failed)?;
    }
    let store = format!(
        "INSERT INTO {metadata} (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    );
    if done(row.as_ref()) < wanted.len() {
        transaction.execute(&store, &[level_key, &wanted.len().to_string()]).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)
}

fn done(row: Option<&tokio_postgres::Row>) -> usize {
    row.and_then(|row| row.try_get::<_, String>(0).ok())
        .and_then(|level| level.parse().ok())
        .unwrap_or_default()
}

/// The steps to the present layout, in the order of history.
fn migrations(layout: &Layout) -> Vec<String> {
    let state = &layout.state;
    match layout.values {
        Values::Json => vec![
            format!(
                "CREATE TABLE IF NOT EXISTS {state} (
                     key text NOT NULL PRIMARY KEY,
                     value jsonb NOT NULL,
                     isbinary boolean NOT NULL,
                     insertdate timestamp with time zone NOT NULL DEFAULT now(),
                     updatedate timestamp with time zone)"
            ),
            format!("ALTER TABLE {state} ADD COLUMN IF NOT EXISTS expiredate timestamp with time zone"),
        ],
        Values::Bytes => vec![format!(
            "CREATE TABLE IF NOT EXISTS {state} (
                 key text NOT NULL PRIMARY KEY,
                 value bytea NOT NULL,
                 etag uuid NOT NULL DEFAULT gen_random_uuid(),
                 created_at timestamp with time zone NOT NULL DEFAULT now(),
                 updated_at timestamp with time zone,
                 expires_at timestamp with time zone);
             CREATE INDEX ON {state} (expires_at)"
        )],
    }
}

/// Removes what has outlived its time, unless another process did within the interval.
pub(super) async fn sweep(postgres: &Postgres, layout: &Layout, interval: Duration) -> Result<()> {
    let Layout { metadata, sweep_key, .. } = layout;
    let turn = format!(
        "INSERT INTO {metadata} AS m (key, value) VALUES ($1, now()::text) ON CONFLICT (key) DO UPDATE SET value = now()::text \
         WHERE extract(epoch FROM now() - m.value::timestamp with time zone) > $2::double precision"
    );
    let on = postgres.get().await?;
    // A little less than the interval, so that the one who swept last does not miss every other turn.
    let seconds = interval.as_secs_f64() * 0.9;
    if on.execute(&turn, &[sweep_key, &seconds]).await.map_err(failed)? > 0 {
        on.execute(&layout.sweep, &[]).await.map_err(failed)?;
    }
    Ok(())
}
