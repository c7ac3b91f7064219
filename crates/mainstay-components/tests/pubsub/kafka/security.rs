//! Passwords, certificates and TLS, on a node that asks for them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use mainstay_components::pubsub::Def;
use mainstay_testkit::servers::kafka::{RECIPE, USER};
use mainstay_testkit::servers::{Server, free_port};

use crate::opened::{self, Joined, ctx, message};
use crate::own;

pub(super) fn trials(def: &'static Def) -> impl Iterator<Item = Trial> {
    let test = move || security(def);
    std::iter::once(own("kafka::passwords_and_certificates_are_shown_under_tls_or_without", test))
}

/// What listens besides.
struct Guarded {
    server: Server,
    password_tls: String,
    password_clear: String,
    certificate: String,
    pem: String,
    key: String,
}

fn guarded() -> Guarded {
    let server = RECIPE.start();
    server.stop();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let folder = server.folder();
    let (both, trusted) = (folder.join("server.pem"), folder.join("trusted.pem"));
    std::fs::write(&both, format!("{key}{pem}")).unwrap();
    std::fs::write(&trusted, &pem).unwrap();
    let ports = [free_port(), free_port(), free_port()];
    let names = ["SASL_SSL", "SASL_PLAINTEXT", "SSL"];
    let lines = names.iter().zip(ports).map(|(name, port)| format!("{name} {port}\n"));
    std::fs::write(folder.join("listeners"), lines.collect::<String>()).unwrap();
    let mut text = std::fs::read_to_string(folder.join("server.properties")).unwrap();
    let map = ["PLAINTEXT", "CONTROLLER:PLAINTEXT", "SASL_SSL", "SASL_PLAINTEXT", "SSL"];
    let map = map.map(|name| if name.contains(':') { name.to_owned() } else { format!("{name}:{name}") });
    let module = "org.apache.kafka.common.security";
    let (user, password) = USER;
    let plain = format!("{module}.plain.PlainLoginModule required user_{user}=\"{password}\";");
    let scram = format!("{module}.scram.ScramLoginModule required;");
    let mut settings = vec![
        ("listener.security.protocol.map".to_owned(), map.join(",")),
        ("inter.broker.listener.name".to_owned(), "PLAINTEXT".to_owned()),
        ("sasl.enabled.mechanisms".to_owned(), "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned()),
        ("ssl.keystore.type".to_owned(), "PEM".to_owned()),
        ("ssl.keystore.location".to_owned(), both.display().to_string()),
        ("ssl.truststore.type".to_owned(), "PEM".to_owned()),
        ("ssl.truststore.location".to_owned(), trusted.display().to_string()),
        ("listener.name.ssl.ssl.client.auth".to_owned(), "required".to_owned()),
    ];
    for listener in ["sasl_ssl", "sasl_plaintext"] {
        let name = |mechanism: &str| format!("listener.name.{listener}.{mechanism}.sasl.jaas.config");
        settings.push((name("plain"), plain.clone()));
        settings.push((name("scram-sha-256"), scram.clone()));
        settings.push((name("scram-sha-512"), scram.clone()));
    }
    for (name, value) in settings {
        writeln!(text, "{name}={value}").unwrap();
    }
    std::fs::write(folder.join("server.properties"), text).unwrap();
    server.start();
    let [password_tls, password_clear, certificate] = ports.map(|port| format!("localhost:{port}"));
    Guarded { server, password_tls, password_clear, certificate, pem, key }
}

async fn security(def: &'static Def) {
    let guarded = tokio::task::spawn_blocking(guarded).await.unwrap();
    let (user, password) = USER;
    let open = async |address: &str, more: &[(&str, &str)]| {
        let settings = [&[("brokers", address)], more].concat();
        opened::open(def, &settings).await.map_err(|error| error.code().id)
    };
    let named = |password| [("authType", "password"), ("saslUsername", user), ("saslPassword", password)];
    let (trusted, clear) = (("caCert", guarded.pem.as_str()), ("disableTls", "true"));
    let mechanism = |name| ("saslMechanism", name);
    // Its ports are there a little after the first one.
    let deadline = Instant::now() + Duration::from_secs(30);
    while open(&guarded.password_clear, &[&named(password)[..], &[clear]].concat()).await.is_err() {
        assert!(Instant::now() < deadline, "it lets nobody in");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for name in ["PLAINTEXT", "SHA-256", "SHA-512"] {
        for more in [trusted, ("skipVerify", "true")] {
            let settings = [&named(password)[..], &[mechanism(name), more]].concat();
            let broker = open(&guarded.password_tls, &settings).await;
            broker
                .unwrap_or_else(|code| panic!("{name} with {}: {code}", more.0))
                .ready(&ctx())
                .await
                .unwrap();
        }
        let settings = [&named("wrong")[..], &[mechanism(name), trusted]].concat();
        let refused = open(&guarded.password_tls, &settings).await.err();
        assert_eq!(refused, Some("BROKER_UNAVAILABLE"), "{name} with a wrong password");
    }
    let nobody = open(&guarded.password_tls, &named(password)).await.err();
    assert_eq!(nobody, Some("BROKER_UNAVAILABLE"), "nobody vouches for its certificate");
    let pair = [("clientCert", guarded.pem.as_str()), ("clientKey", guarded.key.as_str())];
    let shown = [&[("authType", "mtls"), trusted], &pair[..]].concat();
    let broker = open(&guarded.certificate, &shown).await.unwrap();
    let mut member = Joined::to(&broker, "guarded", "g").await;
    broker.publish(&ctx(), message("guarded", "x", &[])).await.unwrap();
    assert_eq!(member.text().await, "x");
    let hidden = open(&guarded.certificate, &[("authType", "certificate"), trusted]).await.err();
    assert_eq!(hidden, Some("BROKER_UNAVAILABLE"), "it wants a certificate");
    drop(member);
    tokio::task::spawn_blocking(move || drop(guarded.server)).await.unwrap();
}
