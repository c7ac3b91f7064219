//! The rig of PostgreSQL, in both layouts: tables of its own on the shared server, or a server of its own.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_components::state::Def;
use mainstay_core::state::StateStore;
use mainstay_core::{Clock, Ctx};
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components::{NoStores, open_in, open_version};
use mainstay_testkit::conformance::state::{Below, Need, Open, Rig};
use mainstay_testkit::servers::postgres;

use crate::{Member, Way, own};

pub(crate) fn member(def: &'static Def) -> Member {
    if let Some(missing) = postgres::RECIPE.missing() {
        return Member::NotRun(missing);
    }
    let open = |version| -> Open {
        Arc::new(move |need| {
            Box::pin(async move { Arc::new(Rigged::open(def, version, need).await) as Arc<dyn Rig> })
        })
    };
    let own = vec![
        own("postgresql-v1::rows_of_another_sidecar_are_read", move || layout(def, "v1", WRITTEN_V1)),
        own("postgresql-v2::rows_of_another_sidecar_are_read", move || layout(def, "v2", WRITTEN_V2)),
        own("postgresql::a_certificate_is_checked_where_that_is_asked", move || tls(def)),
        own("postgresql::several_processes_begin_at_once", move || at_once(def)),
    ];
    Member::Ways(vec![Way::new("postgresql-v1", open("v1")), Way::new("postgresql-v2", open("v2")).with(own)])
}

struct Rigged {
    def: &'static Def,
    version: &'static str,
    server: String,
    tables: u32,
    store: Arc<dyn StateStore>,
    below: Below,
}

impl Rigged {
    async fn open(def: &'static Def, version: &'static str, need: Need) -> Self {
        let ((server, tables), below) = postgres::place(need).await;
        let store = connect(def, version, &server, tables).await;
        Self { def, version, server, tables, store, below }
    }
}

async fn connect(def: &Def, version: &str, server: &str, tables: u32) -> Arc<dyn StateStore> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (state, metadata) = (format!("public.state_{tables}"), format!("metadata_{tables}"));
    let settings = [
        ("connectionString", server),
        ("tableName", &state),
        ("metadataTableName", &metadata),
        ("maxConns", "4"),
    ];
    open_version(def, version, &settings, Path::new("."), &NoStores, &clock).await.unwrap()
}

#[async_trait]
impl Rig for Rigged {
    fn store(&self) -> Arc<dyn StateStore> {
        Arc::clone(&self.store)
    }

    async fn again(&self) -> Option<Arc<dyn StateStore>> {
        Some(connect(self.def, self.version, &self.server, self.tables).await)
    }

    async fn tick(&self) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fn keeps_json_text(&self) -> bool {
        self.version != "v1"
    }

    fn below(&self) -> Below {
        self.below.clone()
    }
}

/// Tables and rows as Dapr's sidecar makes them; `{n}` is the number of the tables.
const WRITTEN_V1: &str = "
CREATE TABLE metadata_{n} (key text NOT NULL PRIMARY KEY, value text NOT NULL);
INSERT INTO metadata_{n} VALUES ('migrations', '2');
CREATE TABLE state_{n} (key text NOT NULL PRIMARY KEY, value jsonb NOT NULL, isbinary boolean NOT NULL,
    insertdate TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(), updatedate TIMESTAMP WITH TIME ZONE NULL,
    expiredate TIMESTAMP WITH TIME ZONE);
INSERT INTO state_{n} (key, value, isbinary) VALUES ('json', '[1]', false), ('bytes', '\"AAH/\"', true);
INSERT INTO state_{n} (key, value, isbinary, expiredate) VALUES ('ended', '1', false, now() - interval '1 second');
";
const WRITTEN_V2: &str = "
CREATE TABLE metadata_{n} (key text NOT NULL PRIMARY KEY, value text NOT NULL);
INSERT INTO metadata_{n} VALUES ('migrations-state-v2-', '1');
CREATE TABLE state_{n} (key text NOT NULL PRIMARY KEY, value bytea NOT NULL, etag uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamp with time zone NOT NULL DEFAULT now(), updated_at timestamp with time zone,
    expires_at timestamp with time zone);
INSERT INTO state_{n} (key, value) VALUES ('json', '[1]'), ('bytes', '\\x0001ff');
INSERT INTO state_{n} (key, value, expires_at) VALUES ('ended', '1', now() - interval '1 second');
";

async fn layout(def: &'static Def, version: &'static str, written: &'static str) {
    let (server, tables) = tokio::task::spawn_blocking(postgres::namespace).await.unwrap();
    let (bare, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    bare.batch_execute(&written.replace("{n}", &tables.to_string())).await.unwrap();
    let store = connect(def, version, &server, tables).await;
    let get = async |key: &str| store.get(&Ctx::system(), key).await.unwrap();
    assert_eq!(get("json").await.unwrap().value, b"[1]".as_slice());
    assert_eq!(get("bytes").await.unwrap().value, [0, 1, 255].as_slice());
    assert_eq!(get("ended").await, None);
}

async fn tls(def: &'static Def) {
    let server = tokio::task::spawn_blocking(|| postgres::RECIPE.start()).await.unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let data = server.folder().join("data");
    let owner = std::fs::metadata(&data).unwrap();
    for (name, text) in [("server.crt", made.cert.pem()), ("server.key", made.signing_key.serialize_pem())] {
        let path = data.join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }
    let address = postgres::connection_string(server.port());
    let (bare, connection) = tokio_postgres::connect(&address, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    bare.batch_execute("ALTER SYSTEM SET ssl = on").await.unwrap();
    bare.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let root = server.folder().join("root.pem");
    std::fs::write(&root, made.cert.pem()).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let open = async |host: &str, more: String| {
        let address = format!("host={host} port={} user=tester dbname=postgres {more}", server.port());
        let opened = open_in(def, &[("connectionString", &address)], Path::new("."), &clock).await;
        opened.map(|_| ()).map_err(|error| error.code().id)
    };
    // Settings take hold a little after they were read.
    while open("localhost", "sslmode=require".to_owned()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refused = Err("STORE_UNAVAILABLE");
    let checked = format!("sslmode=verify-full sslrootcert={}", root.display());
    assert_eq!(open("localhost", checked.clone()).await, Ok(()));
    assert_eq!(open("127.0.0.1", checked).await, refused, "the certificate is of another name");
    assert_eq!(open("localhost", "sslmode=verify-full".to_owned()).await, refused, "nobody vouches for it");
    assert_eq!(open("localhost", "sslmode=verify-ca sslrootcert=/no/such".to_owned()).await, refused);
    assert_eq!(open("localhost", "sslmode=disable".to_owned()).await, Ok(()));
}

async fn at_once(def: &'static Def) {
    for version in ["v1", "v2"] {
        let (server, tables) = tokio::task::spawn_blocking(postgres::namespace).await.unwrap();
        let begin = (0..6).map(|_| connect(def, version, &server, tables));
        for store in futures_util::future::join_all(begin).await {
            assert_eq!(store.get(&Ctx::system(), "k").await.unwrap(), None);
        }
    }
}
