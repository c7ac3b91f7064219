//! MQTT: `caCert` says whom to trust, the host's roots without; a certificate of ours is `clientCert` and `clientKey`.

use std::fmt::Write as _;

use libtest_mimic::Trial;
use mainstay_components::pubsub::mqtt3::DEF;
use mainstay_testkit::conformance::members::own;
use mainstay_testkit::servers::{Server, free_port, mosquitto};

use crate::authority::Authority;
use crate::story::{message_comes, open, refused};
use crate::{HOST, STRANGER};

pub(crate) fn trials() -> Vec<Trial> {
    let tests = vec![
        own("mqtt3::a_server_is_trusted_for_its_authority_alone", trusted),
        own("mqtt3::a_certificate_is_shown_where_the_server_asks_for_one", mutual),
    ];
    crate::trials("mqtt3", &mosquitto::RECIPE, tests)
}

/// A server with a certificate of this authority's, and its address.
async fn server(authority: &'static Authority, asks: bool) -> (Server, String) {
    let start = move || {
        let tls = free_port();
        let server = mosquitto::RECIPE.start_with(|folder, port| {
            authority.server().write(authority, folder);
            let path = |name: &str| folder.join(name).display().to_string();
            let mut settings = std::fs::read_to_string(folder.join("settings")).unwrap();
            // Where a listener is named, the port of the command line is none.
            write!(settings, "listener {port} 127.0.0.1\nlistener {tls} 127.0.0.1\n").unwrap();
            for (name, file) in
                [("cafile", "authority.crt"), ("certfile", "server.crt"), ("keyfile", "server.key")]
            {
                writeln!(settings, "{name} {}", path(file)).unwrap();
            }
            writeln!(settings, "require_certificate {asks}").unwrap();
            std::fs::write(folder.join("settings"), settings).unwrap();
        });
        (server, format!("ssl://127.0.0.1:{tls}"))
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

async fn trusted() {
    let (_known, url) = server(&HOST, false).await;
    let settings = [("url", url.as_str()), ("consumerID", "me")];
    message_comes(&open(&DEF, &settings).await.unwrap(), "t").await;
    let named = [&settings[..], &[("caCert", STRANGER.pem.as_str())]].concat();
    refused(&DEF, &named, "its authority is not the one that is named").await;
    let (_unknown, url) = server(&STRANGER, false).await;
    for url in [url.clone(), url.replace("127.0.0.1", "localhost")] {
        let settings = [("url", url.as_str()), ("consumerID", "me")];
        refused(&DEF, &settings, "nobody vouches for the server").await;
        let named = [&settings[..], &[("caCert", STRANGER.pem.as_str())]].concat();
        message_comes(&open(&DEF, &named).await.unwrap(), "t").await;
    }
}

async fn mutual() {
    let (_server, url) = server(&HOST, true).await;
    let settings = [("url", url.as_str()), ("consumerID", "me"), ("caCert", HOST.pem.as_str())];
    refused(&DEF, &settings, "it shows no certificate").await;
    for (authority, is_known) in [(&*STRANGER, false), (&*HOST, true)] {
        let pair = authority.client("me");
        let shown = [("clientCert", pair.certificate.as_str()), ("clientKey", pair.key.as_str())];
        let settings = [&settings[..], &shown].concat();
        if is_known {
            message_comes(&open(&DEF, &settings).await.unwrap(), "t").await;
        } else {
            refused(&DEF, &settings, "its certificate is a stranger's").await;
        }
    }
}
