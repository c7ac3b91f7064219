//! Entries by what their JSON holds; or `UNSUPPORTED` where that is not declared.

use std::sync::Arc;

use mainstay_core::state::{Filter, Format, Query};
use serde_json::{Value, json};

use super::{Open, Rig, Store, ctx, fresh, is_code, promises, put, set};

promises! {
    queries_work_where_declared_and_nowhere_else,
    a_filter_selects_what_fits,
    entries_are_sorted_as_asked_and_by_key,
    pages_of_a_query_join_without_gap_or_repeat,
    a_query_sees_its_prefix_alone,
    a_token_that_was_never_given_is_refused,
}

/// A store that declares queries, with people in it.
async fn people(open: &Open) -> Option<(Arc<dyn Rig>, Store)> {
    let (rig, store) = fresh(open).await;
    if !store.0.capabilities().query {
        return None;
    }
    let people = [
        ("p||1", json!({"name": "Ada", "age": 36, "city": {"name": "Oslo"}, "tags": ["a"]})),
        ("p||2", json!({"name": "Bo", "age": 9, "city": {"name": "Bergen"}})),
        ("p||3", json!({"name": "Cy", "age": 100, "city": {"name": "Oslo"}, "admin": true})),
        ("p||4", json!({"name": "D'Or", "age": "old"})),
        ("q||5", json!({"name": "Ada", "age": 36})),
    ];
    for (key, person) in people {
        store.apply(put(key, person.to_string(), Format::Json)).await;
    }
    store.apply(set("p||6", "\u{0}\u{1}")).await;
    Some((rig, store))
}

fn query(filter: Option<Filter>) -> Query {
    Query { prefix: "p||".to_owned(), filter, ..Query::default() }
}

/// The keys of everything that fits, page by page, without their prefix.
async fn found(store: &Store, mut query: Query) -> Vec<String> {
    let mut keys = Vec::new();
    loop {
        let page = store.0.query(&ctx(), query.clone()).await.expect("the query is answered");
        assert!(query.limit.is_none_or(|limit| page.entries.len() <= limit), "a page beyond its bound");
        for (key, entry) in page.entries {
            assert_eq!(store.entry(&key).await, Some(entry), "a query reads what a get does");
            keys.push(key.trim_start_matches("p||").to_owned());
        }
        query.token = page.token;
        if query.token.is_none() {
            return keys;
        }
    }
}

async fn queries_work_where_declared_and_nowhere_else(open: Open) {
    let (_rig, store) = fresh(&open).await;
    store.apply(put("k", "{\"a\":1}", Format::Json)).await;
    let filter = Some(Filter::Equal("a".to_owned(), json!(1)));
    let outcome = store.0.query(&ctx(), Query { filter, ..Query::default() }).await;
    if store.0.capabilities().query {
        assert_eq!(outcome.expect("what is declared works").entries.len(), 1);
    } else {
        is_code(&outcome.expect_err("what is not declared does not work"), "UNSUPPORTED");
    }
}

async fn a_filter_selects_what_fits(open: Open) {
    let Some((_rig, store)) = people(&open).await else { return };
    let equal = |path: &str, value: Value| Filter::Equal(path.to_owned(), value);
    let age = |make: fn(String, Value) -> Filter, value: i64| make("age".to_owned(), json!(value));
    let cases: [(Filter, &[&str]); 13] = [
        (equal("name", json!("Ada")), &["1"]),
        (equal("name", json!("D'Or")), &["4"]),
        (equal("city.name", json!("Oslo")), &["1", "3"]),
        (equal("admin", json!(true)), &["3"]),
        (equal("age", json!("36")), &[]),
        (equal("nothing'; --", json!(1)), &[]),
        (Filter::NotEqual("city.name".to_owned(), json!("Oslo")), &["2"]),
        (age(Filter::Greater, 36), &["3"]),
        (age(Filter::GreaterOrEqual, 36), &["1", "3"]),
        (age(Filter::Less, 36), &["2"]),
        (age(Filter::LessOrEqual, 36), &["1", "2"]),
        (Filter::In("name".to_owned(), vec![json!("Bo"), json!("Cy"), json!(1)]), &["2", "3"]),
        (
            Filter::Or(vec![
                equal("name", json!("Bo")),
                Filter::And(vec![equal("city.name", json!("Oslo")), age(Filter::Greater, 50)]),
            ]),
            &["2", "3"],
        ),
    ];
    for (filter, wanted) in cases {
        assert_eq!(found(&store, query(Some(filter.clone()))).await, wanted, "{filter:?}");
    }
}

async fn entries_are_sorted_as_asked_and_by_key(open: Open) {
    let Some((_rig, store)) = people(&open).await else { return };
    let there = Filter::In("age".to_owned(), [36, 9, 100].map(Value::from).to_vec());
    let mut asked = query(Some(there));
    assert_eq!(found(&store, asked.clone()).await, ["1", "2", "3"]);
    asked.sort = vec![("age".to_owned(), true)];
    assert_eq!(found(&store, asked.clone()).await, ["3", "1", "2"]);
    asked.sort = vec![("city.name".to_owned(), false), ("age".to_owned(), true)];
    assert_eq!(found(&store, asked).await, ["2", "3", "1"]);
}

async fn pages_of_a_query_join_without_gap_or_repeat(open: Open) {
    let Some((_rig, store)) = people(&open).await else { return };
    let mut asked = query(None);
    asked.sort = vec![("name".to_owned(), true)];
    let all = found(&store, asked.clone()).await;
    assert!(all.len() >= 4, "{all:?}");
    for limit in 1..=all.len() + 1 {
        asked.limit = Some(limit);
        assert_eq!(found(&store, asked.clone()).await, all, "in pages of {limit}");
    }
}

async fn a_query_sees_its_prefix_alone(open: Open) {
    let Some((_rig, store)) = people(&open).await else { return };
    let asked = Query { filter: Some(Filter::Equal("name".to_owned(), json!("Ada"))), ..Query::default() };
    assert_eq!(found(&store, asked.clone()).await, ["1", "q||5"]);
    assert_eq!(found(&store, Query { prefix: "p_".to_owned(), ..asked }).await, [""; 0]);
}

async fn a_token_that_was_never_given_is_refused(open: Open) {
    let Some((_rig, store)) = people(&open).await else { return };
    let asked = Query { token: Some("no token".to_owned()), ..query(None) };
    let error = store.0.query(&ctx(), asked).await.expect_err("it is no token");
    is_code(&error, "INVALID_FIELD");
}
