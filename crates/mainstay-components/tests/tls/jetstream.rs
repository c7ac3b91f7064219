//! JetStream: the host's roots are trusted, for there is no setting of others; a certificate of ours is
//! `tls_client_cert` and `tls_client_key`, as text or as files.

use async_nats::jetstream::stream::Config;
use libtest_mimic::Trial;
use mainstay_components::pubsub::jetstream::DEF;
use mainstay_testkit::conformance::members::own;
use mainstay_testkit::servers::{Server, WORDS, nats};

use crate::authority::Authority;
use crate::story::{message_comes, open, refused};
use crate::{HOST, STRANGER};

pub(crate) fn trials() -> Vec<Trial> {
    let tests = vec![
        own("jetstream::a_server_of_the_hosts_authority_is_trusted", trusted),
        own("jetstream::a_server_of_another_authority_is_refused", stranger),
        own("jetstream::a_certificate_is_shown_where_the_server_asks_for_one", mutual),
    ];
    crate::trials("jetstream", &nats::RECIPE, tests)
}

/// A server with a certificate of this authority's.
async fn server(authority: &'static Authority, asks: bool) -> Server {
    let start = move || {
        nats::RECIPE.start_with(|folder, _| {
            authority.server().write(authority, folder);
            let path = |name: &str| folder.join(name).display().to_string();
            let mut words = vec!["--tls".to_owned(), "--tlscert".to_owned(), path("server.crt")];
            words.extend(["--tlskey".to_owned(), path("server.key")]);
            if asks {
                words.extend(["--tlsverify".to_owned(), "--tlscacert".to_owned(), path("authority.crt")]);
            }
            std::fs::write(folder.join(WORDS), words.join("\n")).unwrap();
        })
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

/// Makes the stream, as whoever runs NATS does: by the settings that a client has to have anyway.
async fn stream(server: &Server, pair: Option<&crate::authority::Pair>) {
    let folder = server.folder();
    let mut how = async_nats::ConnectOptions::new().add_root_certificates(folder.join("authority.crt"));
    if let Some(pair) = pair {
        let (certificate, key) = (folder.join("client.crt"), folder.join("client.key"));
        std::fs::write(&certificate, &pair.certificate).unwrap();
        std::fs::write(&key, &pair.key).unwrap();
        how = how.add_client_certificate(certificate, key);
    }
    let client = how.connect(format!("tls://localhost:{}", server.port())).await.unwrap();
    let config = Config { name: "tls".to_owned(), subjects: vec!["tls.>".to_owned()], ..Config::default() };
    async_nats::jetstream::new(client).create_stream(config).await.unwrap();
}

async fn trusted() {
    let server = server(&HOST, false).await;
    stream(&server, None).await;
    for url in ["tls://127.0.0.1", "tls://localhost", "nats://localhost"] {
        let url = format!("{url}:{}", server.port());
        let settings = [("natsURL", url.as_str()), ("deliverPolicy", "new")];
        message_comes(&open(&DEF, &settings).await.unwrap(), "tls.t").await;
    }
}

async fn stranger() {
    let server = server(&STRANGER, false).await;
    let url = format!("tls://localhost:{}", server.port());
    refused(&DEF, &[("natsURL", &url)], "nobody vouches for the server").await;
}

async fn mutual() {
    let server = server(&HOST, true).await;
    let ours = HOST.client("me");
    stream(&server, Some(&ours)).await;
    let url = format!("tls://localhost:{}", server.port());
    refused(&DEF, &[("natsURL", &url)], "it shows no certificate").await;
    let theirs = STRANGER.client("me");
    let shown = [("tls_client_cert", theirs.certificate.as_str()), ("tls_client_key", theirs.key.as_str())];
    refused(&DEF, &[&[("natsURL", url.as_str())], &shown[..]].concat(), "its certificate is a stranger's")
        .await;
    let path = |name: &str| server.folder().join(name).display().to_string();
    let files = [path("client.crt"), path("client.key")];
    for (certificate, key) in [(&ours.certificate, &ours.key), (&files[0], &files[1])] {
        let settings = [
            ("natsURL", url.as_str()),
            ("deliverPolicy", "new"),
            ("tls_client_cert", certificate),
            ("tls_client_key", key),
        ];
        message_comes(&open(&DEF, &settings).await.unwrap(), "tls.t").await;
    }
}
