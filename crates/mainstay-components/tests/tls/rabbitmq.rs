//! RabbitMQ: `caCert` says whom to trust, the host's roots without; a certificate of ours is `clientCert` and
//! `clientKey`, and with `saslExternal` it says who we are.

use std::fmt::Write as _;

use libtest_mimic::Trial;
use mainstay_components::pubsub::rabbitmq::DEF;
use mainstay_testkit::conformance::members::own;
use mainstay_testkit::servers::{Server, free_port, rabbitmq};

use crate::authority::Authority;
use crate::story::{message_comes, open, refused};
use crate::{HOST, STRANGER};

pub(crate) fn trials() -> Vec<Trial> {
    let tests = vec![
        own("rabbitmq::a_server_is_trusted_for_its_authority_alone", trusted),
        own("rabbitmq::a_certificate_is_shown_where_the_server_asks_for_one", mutual),
    ];
    crate::trials("rabbitmq", &rabbitmq::RECIPE, tests)
}

/// A server with a certificate of this authority's, and its address.
async fn server(authority: &'static Authority, asks: bool) -> (Server, String) {
    let start = move || {
        let tls = free_port();
        let server = rabbitmq::RECIPE.start_with(|folder, _| {
            authority.server().write(authority, folder);
            let path = |name: &str| folder.join(name).display().to_string();
            let mut settings = std::fs::read_to_string(folder.join("rabbitmq.conf")).unwrap();
            let verify = if asks { "verify_peer" } else { "verify_none" };
            for (name, value) in [
                ("listeners.ssl.1", format!("127.0.0.1:{tls}")),
                ("ssl_options.cacertfile", path("authority.crt")),
                ("ssl_options.certfile", path("server.crt")),
                ("ssl_options.keyfile", path("server.key")),
                ("ssl_options.verify", verify.to_owned()),
                ("ssl_options.fail_if_no_peer_cert", asks.to_string()),
                ("ssl_cert_login_from", "common_name".to_owned()),
                ("auth_mechanisms.1", "PLAIN".to_owned()),
                ("auth_mechanisms.2", "EXTERNAL".to_owned()),
            ] {
                writeln!(settings, "{name} = {value}").unwrap();
            }
            std::fs::write(folder.join("rabbitmq.conf"), settings).unwrap();
            std::fs::write(folder.join("plugins"), "[rabbitmq_auth_mechanism_ssl].").unwrap();
        });
        (server, format!("127.0.0.1:{tls}"))
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

async fn trusted() {
    let (server, address) = server(&STRANGER, false).await;
    let clear = format!("amqps://guest:guest@127.0.0.1:{}", server.port());
    refused(&DEF, &[("connectionString", &clear)], "nothing goes in the clear where TLS was asked for").await;
    for address in [address.clone(), address.replace("127.0.0.1", "localhost")] {
        let url = format!("amqps://guest:guest@{address}");
        let settings = [("connectionString", url.as_str())];
        refused(&DEF, &settings, "nobody vouches for the server").await;
        let named = [&settings[..], &[("caCert", STRANGER.pem.as_str())]].concat();
        message_comes(&open(&DEF, &named).await.unwrap(), "t").await;
        let other = [&settings[..], &[("caCert", HOST.pem.as_str())]].concat();
        refused(&DEF, &other, "its authority is not the one that is named").await;
    }
}

async fn mutual() {
    let (_server, address) = server(&HOST, true).await;
    let url = format!("amqps://guest:guest@{address}");
    refused(&DEF, &[("connectionString", &url)], "it shows no certificate").await;
    let theirs = STRANGER.client("guest");
    let shown = [("clientCert", theirs.certificate.as_str()), ("clientKey", theirs.key.as_str())];
    let settings = [&[("connectionString", url.as_str())], &shown[..]].concat();
    refused(&DEF, &settings, "its certificate is a stranger's").await;
    let ours = HOST.client("guest");
    let shown = [("clientCert", ours.certificate.as_str()), ("clientKey", ours.key.as_str())];
    let settings = [&[("connectionString", url.as_str())], &shown[..]].concat();
    message_comes(&open(&DEF, &settings).await.unwrap(), "t").await;
    // Nobody has this password: the certificate says who we are.
    let url = format!("amqps://nobody:wrong@{address}");
    let more = [("connectionString", url.as_str()), ("caCert", HOST.pem.as_str())];
    let settings = [&more[..], &shown].concat();
    refused(&DEF, &settings, "there is no such user").await;
    let settings = [&settings[..], &[("saslExternal", "true")]].concat();
    message_comes(&open(&DEF, &settings).await.unwrap(), "u").await;
}
