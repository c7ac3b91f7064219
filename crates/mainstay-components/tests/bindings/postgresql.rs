//! The rig of PostgreSQL: the shared server, or a server of its own.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::bindings::Def;
use mainstay_core::Ctx;
use mainstay_core::binding::{Binding, Operation, Outcome};
use mainstay_testkit::components;
use mainstay_testkit::conformance::bindings::{Below, Need, Open, Rig};
use mainstay_testkit::servers::postgres;
use serde_json::json;

use crate::{Member, Way, clock, operation, own};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = postgres::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open =
        Arc::new(move |need| Box::pin(async move { Arc::new(Sql::open(def, need).await) as Arc<dyn Rig> }));
    let own = vec![
        own("postgresql::values_go_in_and_rows_come_out_as_json", move || values(def)),
        own("postgresql::a_fault_in_a_statement_is_told", move || faults(def)),
        own("postgresql::nothing_works_once_it_was_closed", move || closed(def)),
    ];
    Way::new("postgresql", open).with(own).into()
}

struct Sql {
    binding: Arc<dyn Binding>,
    table: String,
    below: Below,
}

impl Sql {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((address, number), below) = postgres::place(need).await;
        let settings = [("connectionString", address.as_str())];
        let binding = components::open_with(def, &settings, Path::new("."), &components::NoStores, &clock())
            .await
            .unwrap();
        Self { binding, table: format!("bound_{number}"), below }
    }

    async fn run(&self, name: &str, sql: &str, params: &str) -> mainstay_core::Result<Outcome> {
        let operation = operation(name, "", &[("sql", sql), ("params", params)]);
        Ok(self.binding.invoke(&Ctx::system(), operation).await?.unwrap_or_default())
    }
}

async fn values(def: &'static Def) {
    let sql = Sql::open(def, Need::Namespace).await;
    let table = &sql.table;
    let make = format!(
        "CREATE TABLE {table} (id int8, name text, price numeric, on_sale bool, tags text[], more jsonb, at timestamptz)"
    );
    sql.run("exec", &make, "").await.unwrap();
    let insert = format!(
        "INSERT INTO {table} VALUES ($1, $2, $3, $4, $5, $6, $7), (2, NULL, NULL, NULL, NULL, NULL, NULL)"
    );
    let params = r#"[1, "it's", 9.75, true, ["a", "b c"], {"k": [1]}, "2024-05-06T07:08:09Z"]"#;
    let done = sql.run("exec", &insert, params).await.unwrap();
    assert_eq!((done.metadata["rows-affected"].as_str(), done.metadata["operation"].as_str()), ("2", "exec"));
    assert!(done.data.is_empty() && done.metadata.contains_key("duration"));
    let rows =
        sql.run("query", &format!("SELECT * FROM {table} WHERE id >= $1 ORDER BY id"), "[1]").await.unwrap();
    let rows: serde_json::Value = serde_json::from_slice(&rows.data).unwrap();
    let expect = json!([
        [1, "it's", 9.75, true, ["a", "b c"], {"k": [1]}, "2024-05-06T07:08:09Z"],
        [2, null, null, null, null, null, null],
    ]);
    assert_eq!(rows, expect);
    // A value is no part of the statement, whatever is in it.
    let nasty = format!(r#"["x'); DROP TABLE {table}; --"]"#);
    let none = sql.run("query", &format!("SELECT id FROM {table} WHERE name = $1"), &nasty).await.unwrap();
    assert_eq!(none.data, "[]");
}

async fn faults(def: &'static Def) {
    let sql = Sql::open(def, Need::Namespace).await;
    let error = sql.run("query", "SELECT * FROM nowhere", "").await.unwrap_err();
    assert!(error.code().id == "BINDING_FAILED" && error.message().contains("nowhere"), "{error:?}");
    for (statement, params) in [("SELECT $1::int", "[]"), ("SELECT 1", "[1]"), ("SELECT 1", "{")] {
        let error = sql.run("query", statement, params).await.unwrap_err();
        assert_eq!(error.code().id, "INVALID_FIELD", "{statement} {params}");
    }
    let error = sql.run("query", "SELECT $1::int", r#"["x"]"#).await.unwrap_err();
    assert_eq!(error.code().id, "BINDING_FAILED");
    let error = sql.run("query", "SELECT point(1, 2)", "").await.unwrap_err();
    assert_eq!(error.code().id, "UNSUPPORTED");
}

async fn closed(def: &'static Def) {
    let sql = Sql::open(def, Need::Namespace).await;
    for _ in 0..2 {
        assert_eq!(sql.binding.invoke(&Ctx::system(), operation("close", "", &[])).await.unwrap(), None);
    }
    assert_eq!(sql.run("query", "SELECT 1", "").await.unwrap_err().message(), "component is closed");
}

#[async_trait]
impl Rig for Sql {
    fn binding(&self) -> Arc<dyn Binding> {
        Arc::clone(&self.binding)
    }

    fn samples(&self) -> Vec<Operation> {
        vec![
            operation("query", "", &[("sql", "SELECT 1")]),
            operation("exec", "", &[("sql", "SET application_name TO 'x'")]),
            operation("close", "", &[]),
        ]
    }

    fn lacking(&self) -> Option<Operation> {
        Some(operation("query", "", &[]))
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}
