//! Searching JSON values: which fit a filter, in which order. Pure; what is searched is the caller's.
//!
//! Numbers compare as numbers, texts by their code points, `false` before `true`; values of different kinds are neither
//! equal nor in an order, so that a filter over them does not hold. Sorted, absent comes first, then null, truth
//! values, numbers, texts and the rest.

use std::cmp::Ordering;

use mainstay_core::state::Filter;
use serde_json::Value;

/// Whether the value fits.
pub(crate) fn fits(filter: &Filter, value: &Value) -> bool {
    let ordered = |path: &str, other: &Value, wanted: &[Ordering]| {
        member(value, path)
            .and_then(|member| order(member, other))
            .is_some_and(|order| wanted.contains(&order))
    };
    match filter {
        Filter::Equal(path, other) => member(value, path).is_some_and(|member| equal(member, other)),
        Filter::NotEqual(path, other) => member(value, path).is_some_and(|member| !equal(member, other)),
        Filter::Greater(path, other) => ordered(path, other, &[Ordering::Greater]),
        Filter::GreaterOrEqual(path, other) => ordered(path, other, &[Ordering::Greater, Ordering::Equal]),
        Filter::Less(path, other) => ordered(path, other, &[Ordering::Less]),
        Filter::LessOrEqual(path, other) => ordered(path, other, &[Ordering::Less, Ordering::Equal]),
        Filter::In(path, others) => {
            member(value, path).is_some_and(|member| others.iter().any(|other| equal(member, other)))
        }
        Filter::And(filters) => filters.iter().all(|filter| fits(filter, value)),
        Filter::Or(filters) => filters.iter().any(|filter| fits(filter, value)),
    }
}

/// The members to sort by.
pub(crate) fn sort_key(sort: &[(String, bool)], value: &Value) -> Vec<Option<Value>> {
    sort.iter().map(|(path, _)| member(value, path).cloned()).collect()
}

/// The order of two sort keys.
pub(crate) fn compare(sort: &[(String, bool)], one: &[Option<Value>], other: &[Option<Value>]) -> Ordering {
    for (at, (_, descending)) in sort.iter().enumerate() {
        let (one, other) = (one[at].as_ref(), other[at].as_ref());
        let within = || one.zip(other).and_then(|(one, other)| order(one, other)).unwrap_or(Ordering::Equal);
        let ordering = rank(one).cmp(&rank(other)).then_with(within);
        if ordering.is_ne() {
            return if *descending { ordering.reverse() } else { ordering };
        }
    }
    Ordering::Equal
}

/// The member at a dotted path. A name that holds dots itself is not found.
fn member<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, name| value.as_object()?.get(name))
}

fn equal(one: &Value, other: &Value) -> bool {
    one == other || order(one, other) == Some(Ordering::Equal)
}

fn order(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
        },
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        (Value::Bool(one), Value::Bool(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

fn rank(value: Option<&Value>) -> u8 {
    match value {
        None => 0,
        Some(Value::Null) => 1,
        Some(Value::Bool(_)) => 2,
        Some(Value::Number(_)) => 3,
        Some(Value::String(_)) => 4,
        Some(Value::Array(_) | Value::Object(_)) => 5,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(filter: Filter, expect: bool) {
        let value = json!({"person": {"org": "A", "id": 1036, "ratio": 0.5}, "ok": true, "none": null});
        assert_eq!(fits(&filter, &value), expect, "{filter:?}");
    }

    #[test]
    fn filters_hold_for_members_of_the_same_kind() {
        let path = |text: &str| text.to_owned();
        check(Filter::Equal(path("person.org"), json!("A")), true);
        check(Filter::Equal(path("person.id"), json!(1036.0)), true);
        check(Filter::Equal(path("person.id"), json!("1036")), false);
        check(Filter::Equal(path("none"), Value::Null), true);
        check(Filter::NotEqual(path("person.org"), json!("B")), true);
        check(Filter::NotEqual(path("person.absent"), json!("B")), false);
        check(Filter::Greater(path("person.id"), json!(1035.5)), true);
        check(Filter::Less(path("person.id"), json!("z")), false);
        check(Filter::LessOrEqual(path("person.ratio"), json!(0.5)), true);
        check(Filter::In(path("person.org"), vec![json!("B"), json!("A")]), true);
        check(
            Filter::And(vec![
                Filter::Equal(path("ok"), json!(true)),
                Filter::Equal(path("ok"), json!(false)),
            ]),
            false,
        );
        check(
            Filter::Or(vec![Filter::Equal(path("ok"), json!(true)), Filter::Equal(path("ok"), json!(false))]),
            true,
        );
    }

    #[test]
    fn the_order_is_that_of_the_members_named_first() {
        let sort = [("a".to_owned(), false), ("b".to_owned(), true)];
        let key = |value: Value| sort_key(&sort, &value);
        let mut keys = [
            key(json!({"a": 2, "b": 1})),
            key(json!({"a": 1, "b": 1})),
            key(json!({"a": 1, "b": 2})),
            key(json!({"b": 9})),
            key(json!({"a": "x"})),
        ];
        keys.sort_by(|one, other| compare(&sort, one, other));
        let firsts: Vec<_> = keys
            .iter()
            .map(|key| (key[0].clone().unwrap_or_default(), key[1].clone().unwrap_or_default()))
            .collect();
        let expect = [
            (Value::Null, json!(9)),
            (json!(1), json!(2)),
            (json!(1), json!(1)),
            (json!(2), json!(1)),
            (json!("x"), Value::Null),
        ];
        assert_eq!(firsts, expect);
    }
}
