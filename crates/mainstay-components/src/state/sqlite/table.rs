//! The table of values and its statements: `key`, `value` (JSON as its text, anything else in base64), `is_binary`,
//! `etag` (a random UUID), `expiration_time` and `update_time` (`YYYY-MM-DD HH:MM:SS` in UTC). Pure SQL on a
//! connection.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_core::state::{Change, Entry, Page, Precondition};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use crate::clients::sql;

type Result<T> = rusqlite::Result<T>;

/// What is alive at `?1`, in seconds since the Unix epoch.
const ALIVE: &str = "(expiration_time IS NULL OR expiration_time > datetime(?1, 'unixepoch'))";
const COLUMNS: &str = "value, is_binary, etag, unixepoch(expiration_time), key";

/// The names of the tables, in statements.
pub(super) struct Table {
    create: String,
    get: String,
    scan: String,
    set: String,
    set_absent: String,
    set_etag: String,
    delete: String,
    delete_etag: String,
    sweep: String,
}

impl Table {
    /// The statements for tables of these names, which must be identifiers.
    pub(super) fn new(state: &str, metadata: &str) -> Self {
        let set = format!(
            "INSERT INTO {state} AS t (key, value, is_binary, etag, update_time, expiration_time) \
             VALUES (?2, ?3, ?4, ?5, datetime(?1, 'unixepoch'), datetime(?6, 'unixepoch')) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value, is_binary = excluded.is_binary, \
             etag = excluded.etag, update_time = excluded.update_time, expiration_time = excluded.expiration_time"
        );
        Self {
            create: format!(
                "CREATE TABLE IF NOT EXISTS {metadata} (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL);
                 CREATE TABLE IF NOT EXISTS {state} (
                     key TEXT NOT NULL PRIMARY KEY,
                     value TEXT NOT NULL,
                     is_binary BOOLEAN NOT NULL,
                     etag TEXT NOT NULL,
                     expiration_time TIMESTAMP DEFAULT NULL,
                     update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP);
                 INSERT INTO {metadata} (key, value) VALUES ('migrations', '1') ON CONFLICT (key) DO NOTHING;"
            ),
            get: format!("SELECT {COLUMNS} FROM {state} WHERE key = ?2 AND {ALIVE}"),
            // A blob comes after every text: the end of a prefix that has none.
            scan: format!(
                "SELECT {COLUMNS} FROM {state} WHERE key >= ?2 AND key < coalesce(?3, x'') \
                 AND (?4 IS NULL OR key > ?4) AND {ALIVE} ORDER BY key LIMIT ?5"
            ),
            set_absent: format!("{set} WHERE t.expiration_time <= datetime(?1, 'unixepoch')"),
            set,
            set_etag: format!(
                "UPDATE {state} SET value = ?3, is_binary = ?4, etag = ?5, update_time = datetime(?1, 'unixepoch'), \
                 expiration_time = datetime(?6, 'unixepoch') WHERE key = ?2 AND etag = ?7 AND {ALIVE}"
            ),
            delete: format!("DELETE FROM {state} WHERE key = ?1"),
            delete_etag: format!("DELETE FROM {state} WHERE key = ?2 AND etag = ?3 AND {ALIVE}"),
            sweep: format!("DELETE FROM {state} WHERE expiration_time <= datetime(?1, 'unixepoch')"),
        }
    }

    /// Makes the tables where they are not there yet.
    pub(super) fn create(&self, connection: &Connection) -> Result<()> {
        connection.execute_batch(&format!("BEGIN IMMEDIATE; {} COMMIT;", self.create))
    }

    /// What is under the key.
    pub(super) fn get(&self, connection: &Connection, key: &str, now_ms: u64) -> Result<Option<Entry>> {
        let mut get = connection.prepare_cached(&self.get)?;
        get.query_row(params![seconds(now_ms), key], entry).optional()
    }

    /// A page of what begins with `prefix`.
    pub(super) fn scan(
        &self,
        connection: &Connection,
        prefix: &str,
        token: Option<&str>,
        limit: usize,
        now_ms: u64,
    ) -> Result<Page> {
        let mut scan = connection.prepare_cached(&self.scan)?;
        let one_more = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let found = scan
            .query_map(params![seconds(now_ms), prefix, end_of(prefix), token, one_more], |row| {
                Ok((row.get::<_, String>(4)?, entry(row)?))
            })?;
        let mut entries = found.collect::<Result<Vec<_>>>()?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let token = more.then(|| entries.last().map(|(key, _)| key.clone())).flatten();
        Ok(Page { entries, token })
    }

    /// Makes a change; false where its precondition does not hold.
    pub(super) fn change(&self, connection: &Connection, change: &Change, now_ms: u64) -> Result<bool> {
        let now = seconds(now_ms);
        let changed = match change {
            Change::Set { key, value, format, precondition, ttl } => {
                let json = sql::json(value, *format);
                let text = json.map_or_else(|| STANDARD.encode(value), str::to_owned);
                // Rounded up: nothing ends before its time.
                let end = ttl.map(|ttl| {
                    let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
                    seconds(now_ms.saturating_add(ttl_ms).saturating_add(999)).min(END_MAX)
                });
                let etag = Uuid::new_v4().to_string();
                let (binary, key) = (json.is_none(), key.as_str());
                let statement = match precondition {
                    Precondition::None => &self.set,
                    Precondition::Absent => &self.set_absent,
                    Precondition::Etag(wanted) => {
                        let mut set = connection.prepare_cached(&self.set_etag)?;
                        return Ok(set.execute(params![now, key, text, binary, etag, end, wanted])? > 0);
                    }
                };
                connection.prepare_cached(statement)?.execute(params![now, key, text, binary, etag, end])?
            }
            Change::Delete { key, precondition: Precondition::Etag(etag) } => {
                connection.prepare_cached(&self.delete_etag)?.execute(params![now, key, etag])?
            }
            Change::Delete { key, .. } => {
                connection.prepare_cached(&self.delete)?.execute([key])?;
                return Ok(true);
            }
        };
        Ok(changed > 0)
    }

    /// Removes what has outlived its time.
    pub(super) fn sweep(&self, connection: &Connection, now_ms: u64) -> Result<()> {
        connection.execute(&self.sweep, [seconds(now_ms)]).map(|_| ())
    }
}

/// The end of the year 9999, the last that SQLite knows.
const END_MAX: i64 = 253_402_300_799;

fn seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}

fn entry(row: &Row<'_>) -> Result<Entry> {
    let text: String = row.get(0)?;
    let value = if row.get(1)? {
        let decoded = STANDARD.decode(text);
        decoded.map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(error)))?
    } else {
        text.into_bytes()
    };
    let expires_at: Option<i64> = row.get(3)?;
    let expires_at_ms =
        expires_at.and_then(|end| u64::try_from(end).ok()).map(|end| end.saturating_mul(1000));
    Ok(Entry { value: Bytes::from(value), etag: row.get(2)?, expires_at_ms })
}

/// The first text that comes after everything that begins with `prefix`, in the order of bytes; `None` where nothing
/// does.
fn end_of(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The code points of surrogates are no characters.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            _ => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_where_the_next_one_begins() {
        let cases = [
            ("a", Some("b")),
            ("a||", Some("a|}")),
            ("", None),
            ("a\u{10ffff}", Some("b")),
            ("\u{d7ff}", Some("\u{e000}")),
        ];
        for (prefix, end) in cases {
            assert_eq!(end_of(prefix).as_deref(), end, "{prefix:?}");
            assert!(end.is_none_or(|end| format!("{prefix}\u{10ffff}").as_str() < end));
        }
    }
}
