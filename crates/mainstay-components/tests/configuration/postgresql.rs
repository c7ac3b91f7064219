//! The rig of PostgreSQL: a table of its own with a trigger, on the shared server or on one of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::configuration::Def;
use mainstay_core::Clock;
use mainstay_core::configuration::ConfigurationStore;
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components::{NoStores, open_with};
use mainstay_testkit::conformance::configuration::{Below, Need, Open, Rig};
use mainstay_testkit::servers::postgres;
use tokio_postgres::{Client, NoTls};

use crate::{Member, Way};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = postgres::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open: Open = Arc::new(move |need| {
        Box::pin(async move { Arc::new(Postgres::open(def, need).await) as Arc<dyn Rig> })
    });
    Way::new("postgresql", open).into()
}

struct Postgres {
    connection: String,
    table: String,
    store: Arc<dyn ConfigurationStore>,
    below: Below,
}

impl Postgres {
    async fn open(def: &'static Def, need: Need) -> Self {
        let ((connection, number), below) = postgres::place(need).await;
        let table = format!("items_{number}");
        let bare = connect(&connection).await;
        // As an operator sets it up, after Dapr's own description.
        let setup = format!(
            "CREATE TABLE {table} (key varchar NOT NULL PRIMARY KEY, value varchar NOT NULL, version varchar, metadata json);
             CREATE FUNCTION tell_{table}() RETURNS trigger AS $$
             DECLARE data json;
             BEGIN
                 IF TG_OP = 'DELETE' THEN data = row_to_json(OLD); ELSE data = row_to_json(NEW); END IF;
                 PERFORM pg_notify('told_{table}', json_build_object('table', TG_TABLE_NAME, 'action', TG_OP, 'data', data)::text);
                 RETURN NULL;
             END $$ LANGUAGE plpgsql;
             CREATE TRIGGER config AFTER INSERT OR UPDATE OR DELETE ON {table}
             FOR EACH ROW EXECUTE PROCEDURE tell_{table}()"
        );
        bare.batch_execute(&setup).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let settings = [("connectionString", connection.as_str()), ("table", table.as_str())];
        let store = open_with(def, &settings, Path::new("."), &NoStores, &clock).await.unwrap();
        Self { connection, table, store, below }
    }
}

async fn connect(connection: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(connection, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[async_trait]
impl Rig for Postgres {
    fn store(&self) -> Arc<dyn ConfigurationStore> {
        Arc::clone(&self.store)
    }

    async fn set(&self, key: &str, value: &str, version: &str) {
        let sql = format!(
            "INSERT INTO {} VALUES ($1, $2, $3, '{{}}') ON CONFLICT (key) DO UPDATE SET value = $2, version = $3",
            self.table
        );
        connect(&self.connection).await.execute(&sql, &[&key, &value, &version]).await.unwrap();
    }

    async fn remove(&self, key: &str) {
        let sql = format!("DELETE FROM {} WHERE key = $1", self.table);
        connect(&self.connection).await.execute(&sql, &[&key]).await.unwrap();
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("pgNotifyChannel".to_owned(), format!("told_{}", self.table))])
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}
