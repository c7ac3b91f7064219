//! Queries of state: JSON in both wire formats, as text in the one and as the body in the other.

use mainstay_core::state::{Filter, Query};
use serde::Deserialize;
use serde_json::Value;

/// Deepest nesting of a filter.
const FILTER_DEPTH_MAX: usize = 32;

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

/// Reads a query. Errors: why it is none.
pub fn parse(text: &[u8]) -> Result<Query, String> {
    let wire: WireQuery = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let filter = filter(&wire.filter, 0)?;
    let sort =
        wire.sort.into_iter().map(|sort| (sort.key, sort.order.eq_ignore_ascii_case("desc"))).collect();
    let token = wire.page.token.filter(|token| !token.is_empty());
    let limit = wire.page.limit.filter(|limit| *limit > 0);
    Ok(Query { prefix: String::new(), filter, sort, limit, token })
}

/// One filter: an object with one member, its operator. Nothing, or an empty object, filters nothing.
fn filter(value: &Value, depth: usize) -> Result<Option<Filter>, &'static str> {
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
            let parts = parts.collect::<Result<Vec<_>, _>>()?;
            if operator == "AND" { Filter::And(parts) } else { Filter::Or(parts) }
        }
        _ => comparison(operator, operand)?,
    };
    Ok(Some(made))
}

fn comparison(operator: &str, operand: &Value) -> Result<Filter, &'static str> {
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
        let query = parse(text).unwrap();
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
            assert!(parse(text.as_bytes()).is_err(), "{text:.40}");
        }
        assert_eq!(parse(b"{}").unwrap().filter, None);
    }
}
