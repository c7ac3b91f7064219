//! The two layouts of the table of values, and their statements.
//!
//! ```text
//! v1  key text, value jsonb, isbinary boolean, insertdate, updatedate, expiredate    etag: xmin, the last writer's number
//! v2  key text, value bytea, etag uuid, created_at, updated_at, expires_at
//! ```
//! In v1 what is no JSON, or JSON that JSONB cannot hold, is a JSON string of base64, with `isbinary`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_core::state::{Change, Entry, Precondition};
use mainstay_core::{Error, Result, codes};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::clients::postgres::failed;
use crate::clients::sql;

/// How values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// v1.
    Json,
    /// v2.
    Bytes,
}

/// The statements for one table. Parameters of a change: the key, seconds to live, the value, whether it is binary
/// (v1), and the etag where there is one.
pub(super) struct Layout {
    pub(super) values: Values,
    pub(super) state: String,
    pub(super) metadata: String,
    /// Where the number of migrations done is, in the table of metadata.
    pub(super) level_key: String,
    /// When something was swept last.
    pub(super) sweep_key: String,
    pub(super) get: String,
    pub(super) get_many: String,
    pub(super) scan: String,
    pub(super) sweep: String,
    /// `SELECT` with the columns that [`Layout::entry`] reads, and what is alive.
    pub(super) select: String,
    set: String,
    set_absent: String,
    set_etag: String,
    delete: String,
    delete_etag: String,
}

/// What a change's statement is given.
type Parameters = Vec<Box<dyn ToSql + Sync + Send>>;

/// A hundred years, in seconds.
const TTL_MAX: f64 = 3_155_760_000.0;

impl Layout {
    /// Names are of letters, digits and `_`, with a schema or without.
    pub(super) fn new(values: Values, state: &str, prefix: &str, metadata: &str) -> Self {
        let json = values == Values::Json;
        let (expires, updated) =
            if json { ("expiredate", "updatedate") } else { ("expires_at", "updated_at") };
        let alive = format!("({expires} IS NULL OR {expires} > now())");
        let columns = if json { "value::text, isbinary, xmin::text" } else { "value, false, etag::text" };
        let select = format!(
            "SELECT key, {columns}, (extract(epoch FROM {expires}) * 1000)::bigint FROM {state} WHERE {alive}"
        );
        let etag = |number| {
            if json {
                format!("xmin = ${number}::text::xid")
            } else {
                format!("etag = ${number}::text::uuid")
            }
        };
        let end = "now() + make_interval(secs => $2::double precision)";
        let (names, given, written, number) = if json {
            (
                "value, isbinary",
                "$3::text::jsonb, $4::boolean",
                "value = excluded.value, isbinary = excluded.isbinary",
                5,
            )
        } else {
            ("value, etag", "$3::bytea, gen_random_uuid()", "value = excluded.value, etag = excluded.etag", 4)
        };
        let set = format!(
            "INSERT INTO {state} AS t (key, {expires}, {names}) VALUES ($1, {end}, {given}) ON CONFLICT (key) \
             DO UPDATE SET {written}, {updated} = now(), {expires} = excluded.{expires}"
        );
        Self {
            values,
            state: state.to_owned(),
            metadata: metadata.to_owned(),
            level_key: if json { "migrations".to_owned() } else { format!("migrations-state-v2-{prefix}") },
            sweep_key: if json {
                "last-cleanup".to_owned()
            } else {
                format!("last-cleanup-state-v2-{metadata}")
            },
            get: format!("{select} AND key = $1"),
            get_many: format!("{select} AND key = ANY($1)"),
            scan: format!(
                "{select} AND starts_with(key, $1) AND ($2::text IS NULL OR key COLLATE \"C\" > $2) \
                 ORDER BY key COLLATE \"C\" LIMIT $3"
            ),
            sweep: format!("DELETE FROM {state} WHERE {expires} <= now()"),
            select,
            set_absent: format!("{set} WHERE t.{expires} <= now()"),
            set_etag: format!(
                "UPDATE {state} SET ({names}, {updated}, {expires}) = ROW ({given}, now(), {end}) \
                 WHERE key = $1 AND {} AND {alive}",
                etag(number)
            ),
            set,
            delete: format!("DELETE FROM {state} WHERE key = $1"),
            delete_etag: format!("DELETE FROM {state} WHERE key = $1 AND {} AND {alive}", etag(2)),
        }
    }

    /// The statement of a change and its parameters. Errors: `ETAG_INVALID`.
    pub(super) fn change(&self, change: &Change) -> Result<(&str, Parameters)> {
        let mut parameters: Parameters = vec![Box::new(change.key().to_owned())];
        let etag = match change.precondition() {
            Precondition::Etag(etag) => Some(self.valid(change.key(), etag)?),
            _ => None,
        };
        let sql = match (change, change.precondition()) {
            (Change::Set { .. }, Precondition::None) => &self.set,
            (Change::Set { .. }, Precondition::Absent) => &self.set_absent,
            (Change::Set { .. }, Precondition::Etag(_)) => &self.set_etag,
            (Change::Delete { .. }, Precondition::Etag(_)) => &self.delete_etag,
            (Change::Delete { .. }, _) => &self.delete,
        };
        if let Change::Set { value, format, ttl, .. } = change {
            parameters.push(Box::new(ttl.map(|ttl| ttl.as_secs_f64().min(TTL_MAX))));
            match self.values {
                Values::Bytes => parameters.push(Box::new(value.to_vec())),
                Values::Json => {
                    let json = sql::json(value, *format).filter(|text| fits_jsonb(text));
                    let text = json.map_or_else(|| format!("\"{}\"", STANDARD.encode(value)), str::to_owned);
                    parameters
                        .extend([Box::new(text) as Box<dyn ToSql + Sync + Send>, Box::new(json.is_none())]);
                }
            }
        }
        parameters.extend(etag.map(|etag| Box::new(etag) as _));
        Ok((sql, parameters))
    }

    fn valid(&self, key: &str, etag: &str) -> Result<String> {
        let valid = match self.values {
            Values::Json => etag.parse::<u32>().ok().map(|number| number.to_string()),
            Values::Bytes => Uuid::parse_str(etag).ok().map(|uuid| uuid.to_string()),
        };
        let what = if self.values == Values::Json { "number" } else { "UUID" };
        valid
            .ok_or_else(|| Error::new(&codes::ETAG_INVALID, format!("change `{key}`: its etag is no {what}")))
    }

    /// The key and the entry of a row of [`Layout::select`].
    pub(super) fn entry(&self, row: &Row) -> Result<(String, Entry)> {
        let value = match self.values {
            Values::Bytes => row.try_get::<_, Vec<u8>>(1).map_err(failed)?,
            Values::Json => {
                let text: String = row.try_get(1).map_err(failed)?;
                let binary: bool = row.try_get(2).map_err(failed)?;
                if binary { decode(&text)? } else { text.into_bytes() }
            }
        };
        let expires_at_ms: Option<i64> = row.try_get(4).map_err(failed)?;
        let entry = Entry {
            value: Bytes::from(value),
            etag: row.try_get(3).map_err(failed)?,
            expires_at_ms: expires_at_ms.and_then(|end| u64::try_from(end).ok()),
        };
        Ok((row.try_get(0).map_err(failed)?, entry))
    }
}

fn decode(text: &str) -> Result<Vec<u8>> {
    let foreign = "read a value from PostgreSQL: it is marked as binary and is no base64";
    STANDARD.decode(text.trim_matches('"')).map_err(|error| {
        Error::new(&codes::STORE_UNAVAILABLE, foreign).with_internal(error.to_string()).with_source(error)
    })
}

/// Whether JSONB can hold it: it has no U+0000 and no half of a surrogate pair (PostgreSQL, 8.14). A whole pair is left
/// out with them.
fn fits_jsonb(text: &str) -> bool {
    !text.match_indices("\\u").any(|(at, _)| {
        let digits = text.get(at + 2..at + 6).unwrap_or_default().to_ascii_lowercase();
        digits == "0000"
            || (digits.starts_with('d') && digits.as_bytes().get(1).is_some_and(|digit| *digit >= b'8'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jsonb_cannot_hold_is_kept_as_bytes() {
        assert!(fits_jsonb(r#"{"a": "\u00e5 \ud7ff \n"}"#));
        assert!(!fits_jsonb(r#""\u0000""#) && !fits_jsonb(r#""\uD800""#) && !fits_jsonb(r#"["\udfff"]"#));
    }

    #[test]
    fn an_etag_is_of_its_layout() {
        let layout = |values| Layout::new(values, "state", "", "dapr_metadata");
        let valid = |values, etag| layout(values).valid("k", etag).map_err(|error| error.code().id);
        assert_eq!(valid(Values::Json, "007"), Ok("7".to_owned()));
        assert_eq!(valid(Values::Json, "4294967296"), Err("ETAG_INVALID"));
        assert_eq!(valid(Values::Bytes, "7"), Err("ETAG_INVALID"));
        let uuid = "d1f9bd5c-0a6c-4d5e-8ff1-bb5b0d6e8bd1";
        assert_eq!(valid(Values::Bytes, uuid), Ok(uuid.to_owned()));
    }
}
