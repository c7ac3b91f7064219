//! PostgreSQL: a certificate of ours is `sslcert` and `sslkey` of the connection string. Whom it trusts is tested
//! beside the other tests of the store.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use libtest_mimic::Trial;
use mainstay_components::state::postgresql::DEF;
use mainstay_testkit::conformance::members::own;
use mainstay_testkit::servers::{Server, postgres};

use crate::story::{open, refused, value_is_kept};
use crate::{HOST, STRANGER};

pub(crate) fn trials() -> Vec<Trial> {
    let tests = vec![own("postgresql::a_certificate_is_shown_where_the_server_asks_for_one", mutual)];
    crate::trials("postgresql", &postgres::RECIPE, tests)
}

/// A server that takes nobody over TLS without a certificate in the user's name.
fn server() -> Server {
    postgres::RECIPE.start_with(|folder, _| {
        let data = folder.join("data");
        HOST.server().write(&HOST, &data);
        let owner = std::fs::metadata(&data).unwrap();
        for name in ["server.crt", "server.key", "authority.crt"] {
            let path = data.join(name);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        append(&data.join("postgresql.conf"), "ssl = on\nssl_ca_file = 'authority.crt'\n");
        // The first line that fits counts.
        let path = data.join("pg_hba.conf");
        let known = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("hostssl all all 127.0.0.1/32 cert\n{known}")).unwrap();
    })
}

fn append(path: &Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

async fn mutual() {
    let server = tokio::task::spawn_blocking(server).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = |name: &str, pair: &crate::authority::Pair| {
        let path = |what: &str| folder.path().join(format!("{name}.{what}")).display().to_string();
        std::fs::write(path("crt"), &pair.certificate).unwrap();
        std::fs::write(path("key"), &pair.key).unwrap();
        format!("sslcert={} sslkey={}", path("crt"), path("key"))
    };
    let address = format!("host=127.0.0.1 port={} user=tester dbname=postgres", server.port());
    for mode in ["require", "verify-full"] {
        let address = format!("{address} sslmode={mode}");
        refused(&DEF, &[("connectionString", &address)], "it shows no certificate").await;
        for (pair, why) in [
            (STRANGER.client("tester"), "its certificate is a stranger's"),
            (HOST.client("another"), "its certificate is another user's"),
        ] {
            let address = format!("{address} {}", files("theirs", &pair));
            refused(&DEF, &[("connectionString", &address)], why).await;
        }
        let address = format!("{address} {}", files("ours", &HOST.client("tester")));
        value_is_kept(&open(&DEF, &[("connectionString", &address)]).await.unwrap()).await;
    }
    let missing = format!("{address} sslmode=require sslcert=/no/such sslkey=/no/such");
    refused(&DEF, &[("connectionString", &missing)], "its certificate cannot be read").await;
}
