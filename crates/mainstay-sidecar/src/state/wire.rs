//! Requests of the state API as JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use mainstay_blocks::state::{self, Concurrency};
use mainstay_core::state::{Filter, Format, Query};
use mainstay_dapr::Fault;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::call::Result;

/// Deepest nesting of a filter.
const FILTER_DEPTH_MAX: usize = 32;

#[derive(Deserialize)]
pub(super) struct Item {
    #[serde(default)]
    key: String,
    value: Option<Box<RawValue>>,
    etag: Option<String>,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    options: Option<Options>,
}

#[derive(Default, Deserialize)]
struct Options {
    concurrency: Option<String>,
}

impl Item {
    /// What changes the key. `metadata` is the request's, which holds over the item's.
    pub(super) fn into_item(self, metadata: &BTreeMap<String, String>) -> Result<state::Item> {
        Ok(self.into_save(metadata)?.0)
    }

    /// The same with the value.
    pub(super) fn into_save(
        self,
        metadata: &BTreeMap<String, String>,
    ) -> Result<(state::Item, Bytes, Format)> {
        if self.key.is_empty() {
            return Err(Fault::malformed("\"key\" is a required field"));
        }
        let concurrency = concurrency(self.options.unwrap_or_default().concurrency.as_deref())?;
        let mut own = self.metadata.unwrap_or_default();
        own.extend(metadata.clone());
        let (value, format) = super::raw(self.value);
        Ok((state::Item { key: self.key, etag: self.etag, concurrency, metadata: own }, value, format))
    }
}

/// Who wins. Errors: `ERR_MALFORMED_REQUEST` for another word.
pub(super) fn concurrency(text: Option<&str>) -> Result<Concurrency> {
    match text {
        None | Some("") => Ok(Concurrency::Unspecified),
        Some("first-write") => Ok(Concurrency::FirstWrite),
        Some("last-write") => Ok(Concurrency::LastWrite),
        Some(other) => {
            let message =
                format!("unrecognized concurrency model '{other}': it is `first-write` or `last-write`");
            Err(Fault::malformed(&message))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Bulk {
    #[serde(default)]
    pub(super) keys: Vec<String>,
    pub(super) parallelism: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Transaction {
    #[serde(default)]
    pub(super) operations: Vec<Operation>,
    #[serde(default)]
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct Operation {
    #[serde(default)]
    pub(super) operation: String,
    pub(super) request: Item,
}

#[derive(Deserialize)]
struct WireQuery {
    #[serde(default)]
    filter: Value,
    #[serde(default)]
    sort: Vec<Sort>,
    #[serde(default)]
    page: PageOptions,
}

#[derive(Deserialize)]
struct Sort {
    key: String,
    #[serde(default)]
    order: String,
}

#[derive(Default, Deserialize)]
struct PageOptions {
    limit: Option<usize>,
    token: Option<String>,
}

/// A query. Errors: `ERR_MALFORMED_REQUEST`.
pub(super) fn query(body: &[u8]) -> Result<Query> {
    let malformed = |why: String| Fault::malformed(&format!("failed deserializing HTTP body: {why}"));
    let wire: WireQuery = serde_json::from_slice(body).map_err(|error| malformed(error.to_string()))?;
    let filter = filter(&wire.filter, 0).map_err(|why| malformed(why.to_owned()))?;
    let sort =
        wire.sort.into_iter().map(|sort| (sort.key, sort.order.eq_ignore_ascii_case("desc"))).collect();
    let token = wire.page.token.filter(|token| !token.is_empty());
    let limit = wire.page.limit.filter(|limit| *limit > 0);
    Ok(Query { prefix: String::new(), filter, sort, limit, token })
}

/// One filter: an object with one member, its operator. Nothing, or an empty object, filters nothing.
fn filter(value: &Value, depth: usize) -> std::result::Result<Option<Filter>, &'static str> {
    let object = match value {
        Value::Null => return Ok(None),
        Value::Object(object) if object.is_empty() => return Ok(None),
        Value::Object(object) if object.len() == 1 && depth < FILTER_DEPTH_MAX => object,
        _ => return Err("a filter is an object with one operator"),
    };
    let Some((operator, operand)) = object.iter().next() else { return Ok(None) };
    let made = match operator.as_str() {
        "AND" | "OR" => {
            let parts = operand.as_array().ok_or("`AND` and `OR` take a list of filters")?;
            let parts = parts.iter().map(|part| filter(part, depth + 1)?.ok_or("an empty filter in a list"));
            let parts = parts.collect::<std::result::Result<Vec<_>, _>>()?;
            if operator == "AND" { Filter::And(parts) } else { Filter::Or(parts) }
        }
        _ => comparison(operator, operand)?,
    };
    Ok(Some(made))
}

fn comparison(operator: &str, operand: &Value) -> std::result::Result<Filter, &'static str> {
    let members = operand.as_object().filter(|members| members.len() == 1);
    let (path, value) =
        members.and_then(|members| members.iter().next()).ok_or("an operator takes one member")?;
    let path = path.clone();
    Ok(match operator {
        "EQ" => Filter::Equal(path, value.clone()),
        "NEQ" => Filter::NotEqual(path, value.clone()),
        "GT" => Filter::Greater(path, value.clone()),
        "GTE" => Filter::GreaterOrEqual(path, value.clone()),
        "LT" => Filter::Less(path, value.clone()),
        "LTE" => Filter::LessOrEqual(path, value.clone()),
        "IN" => Filter::In(path, value.as_array().ok_or("`IN` takes a list")?.clone()),
        _ => return Err("the operators are EQ, NEQ, GT, GTE, LT, LTE, IN, AND and OR"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_nest_and_name_one_member_each() {
        let text = br#"{"filter":{"AND":[{"EQ":{"a.b":1}},{"OR":[{"IN":{"c":["x"]}},{"NEQ":{"d":null}}]}]},
            "sort":[{"key":"a","order":"DESC"},{"key":"b"}],"page":{"limit":3,"token":""}}"#;
        let wanted = Filter::And(vec![
            Filter::Equal("a.b".to_owned(), json!(1)),
            Filter::Or(vec![
                Filter::In("c".to_owned(), vec![json!("x")]),
                Filter::NotEqual("d".to_owned(), Value::Null),
            ]),
        ]);
        let query = query(text).unwrap();
        assert_eq!(query.filter, Some(wanted));
        assert_eq!(query.sort, [("a".to_owned(), true), ("b".to_owned(), false)]);
        assert_eq!((query.limit, query.token), (Some(3), None));
    }

    #[test]
    fn what_is_no_query_is_refused() {
        let deep = format!("{{\"filter\":{}{{}}{}}}", "{\"AND\":[".repeat(40), "]}".repeat(40));
        for text in
            ["", r#"{"filter":{"EQ":{}}}"#, r#"{"filter":{"LIKE":{"a":1}}}"#, r#"{"filter":[1]}"#, &deep]
        {
            assert_eq!(query(text.as_bytes()).unwrap_err().code, "ERR_MALFORMED_REQUEST", "{text:.40}");
        }
        assert_eq!(query(b"{}").unwrap().filter, None);
    }
}
