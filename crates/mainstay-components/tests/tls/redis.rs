//! Redis: the host's roots are trusted, unless any certificate is taken; a certificate of ours is `clientCert` and
//! `clientKey`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use libtest_mimic::Trial;
use mainstay_components::{configuration, locks, pubsub, state};
use mainstay_testkit::conformance::members::own;
use mainstay_testkit::servers::{Server, WORDS, free_port, redis};

use crate::authority::Authority;
use crate::story::{ctx, message_comes, open, refused, value_is_kept};
use crate::{HOST, STRANGER};

pub(crate) fn trials() -> Vec<Trial> {
    let tests = vec![
        own("redis::a_server_of_the_hosts_authority_is_trusted", trusted),
        own("redis::a_server_of_another_authority_is_refused_unless_any_is_taken", stranger),
        own("redis::a_certificate_is_shown_where_the_server_asks_for_one", mutual),
    ];
    crate::trials("redis", &redis::RECIPE, tests)
}

/// A server with a certificate of this authority's, and its address.
async fn server(authority: &'static Authority, asks: bool) -> (Server, String) {
    let start = move || {
        let tls = free_port();
        let server = redis::RECIPE.start_with(|folder, _| {
            authority.server().write(authority, folder);
            let path = |name: &str| folder.join(name).display().to_string();
            let words = [
                ["--tls-port", &tls.to_string()],
                ["--tls-cert-file", &path("server.crt")],
                ["--tls-key-file", &path("server.key")],
                ["--tls-ca-cert-file", &path("authority.crt")],
                ["--tls-auth-clients", if asks { "yes" } else { "no" }],
            ];
            std::fs::write(folder.join(WORDS), words.as_flattened().join("\n")).unwrap();
        });
        (server, format!("127.0.0.1:{tls}"))
    };
    tokio::task::spawn_blocking(start).await.unwrap()
}

async fn trusted() {
    let (_server, address) = server(&HOST, false).await;
    for address in [address.clone(), address.replace("127.0.0.1", "localhost")] {
        let settings = [("redisHost", address.as_str()), ("enableTLS", "true")];
        value_is_kept(&open(&state::redis::DEF, &settings).await.unwrap()).await;
        message_comes(&open(&pubsub::redis::DEF, &settings).await.unwrap(), "t").await;
    }
    let clear = [("redisHost", address.as_str()), ("dialTimeout", "2s"), ("readTimeout", "2s")];
    refused(&state::redis::DEF, &clear, "the server speaks TLS").await;
}

async fn stranger() {
    let (_server, address) = server(&STRANGER, false).await;
    let settings = [("redisHost", address.as_str()), ("enableTLS", "true")];
    refused(&state::redis::DEF, &settings, "nobody vouches for the server").await;
    refused(&pubsub::redis::DEF, &settings, "nobody vouches for the server").await;
    let any = [&settings[..], &[("insecureSkipTLSVerify", "true")]].concat();
    value_is_kept(&open(&state::redis::DEF, &any).await.unwrap()).await;
}

async fn mutual() {
    let (_server, address) = server(&HOST, true).await;
    let settings = [("redisHost", address.as_str()), ("enableTLS", "true")];
    refused(&state::redis::DEF, &settings, "it shows no certificate").await;
    let theirs = STRANGER.client("me");
    let pair = [("clientCert", theirs.certificate.as_str()), ("clientKey", theirs.key.as_str())];
    refused(&state::redis::DEF, &[&settings[..], &pair].concat(), "its certificate is a stranger's").await;
    let ours = HOST.client("me");
    let pair = [("clientCert", ours.certificate.as_str()), ("clientKey", ours.key.as_str())];
    let settings = [&settings[..], &pair].concat();
    value_is_kept(&open(&state::redis::DEF, &settings).await.unwrap()).await;
    message_comes(&open(&pubsub::redis::DEF, &settings).await.unwrap(), "t").await;
    let locks = open(&locks::redis::DEF, &settings).await.unwrap();
    assert!(locks.try_lock(&ctx(), "l", "me", Duration::from_secs(60)).await.unwrap());
    // A watch has a connection of its own.
    let store = open(&configuration::redis::DEF, &settings).await.unwrap();
    let mut watch = store.watch(&ctx(), &["item".to_owned()], &BTreeMap::new()).await.unwrap();
    let binding = open(&mainstay_components::bindings::redis::DEF, &settings).await.unwrap();
    let set = mainstay_core::binding::Operation {
        name: "create".to_owned(),
        data: "on".into(),
        metadata: BTreeMap::from([("key".to_owned(), "item".to_owned())]),
    };
    binding.invoke(&ctx(), set).await.unwrap();
    let told = tokio::time::timeout(Duration::from_secs(30), watch.next()).await.expect("it is told");
    assert_eq!(told.unwrap().unwrap()["item"].value, "on");
}
