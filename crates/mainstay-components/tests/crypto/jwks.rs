//! The rigs of key sets: given, in a file, and at a URL; and how a set at a URL is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use libtest_mimic::Trial;
use mainstay_components::crypto::{Def, jwks};
use mainstay_core::clock::ManualClock;
use mainstay_core::crypto::{KeyVault, Wrapping};
use mainstay_core::{Clock, Ctx, Redacted, codes};
use mainstay_testkit::conformance::crypto::{Named, Open, Rig};
use mainstay_testkit::keys;
use mainstay_testkit::loopback::{Loopback, whole};
use tempfile::TempDir;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Given,
    Base64,
    File,
    Url,
}

pub(crate) fn ways(def: &'static Def) -> Vec<(&'static str, Open)> {
    let open = |place: Place| -> Open {
        Arc::new(move || Box::pin(async move { Arc::new(Set::open(def, place).await) as Arc<dyn Rig> }))
    };
    vec![
        ("jwks-given", open(Place::Given)),
        ("jwks-base64", open(Place::Base64)),
        ("jwks-file", open(Place::File)),
        ("jwks-url", open(Place::Url)),
    ]
}

struct Set {
    vault: Arc<dyn KeyVault>,
    folder: TempDir,
    place: Place,
    is_down: Arc<AtomicBool>,
    _server: Loopback,
}

impl Set {
    async fn open(def: &'static Def, place: Place) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("set.json"), keys::set()).unwrap();
        let is_down = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&is_down);
        let server = Loopback::serve(Arc::new(move |_| {
            let status = if seen.load(Ordering::SeqCst) { 503 } else { 200 };
            Box::pin(async move { whole(status, "application/json", keys::set()) })
        }))
        .await;
        let jwks = match place {
            Place::Given => keys::set(),
            Place::Base64 => base64(keys::set().as_bytes()),
            Place::File => "set.json".to_owned(),
            Place::Url => format!("{}/keys", server.url()),
        };
        let vault = super::open(def, &[("jwks", &jwks)], folder.path()).await.unwrap();
        Self { vault, folder, place, is_down, _server: server }
    }
}

/// Base64 without its padding, as some write it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number =
            (0..3).fold(0_u32, |sum, at| (sum << 8) | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..=three.len() {
            text.push(LETTERS[(number >> (18 - 6 * at) & 63) as usize] as char);
        }
    }
    text
}

#[async_trait]
impl Rig for Set {
    fn vault(&self) -> Arc<dyn KeyVault> {
        Arc::clone(&self.vault)
    }

    fn name(&self, key: Named) -> Option<String> {
        let name = match key {
            Named::For(Wrapping::AesKw256) => "aes",
            Named::Other(Wrapping::AesKw256) => "aes-other",
            Named::For(Wrapping::RsaOaep256) => "rsa",
            Named::Other(Wrapping::RsaOaep256) => "rsa-other",
            Named::Public => "rsa-public",
            Named::Unfit => "aes-sig",
        };
        Some(name.to_owned())
    }

    async fn stop(&self) -> bool {
        std::fs::remove_file(self.folder.path().join("set.json")).unwrap();
        self.is_down.store(true, Ordering::SeqCst);
        matches!(self.place, Place::File | Place::Url)
    }
}

/// Checks of this type alone.
pub(crate) fn own() -> Vec<Trial> {
    let trial = |name: &str, check: fn() -> futures_util::future::BoxFuture<'static, ()>| {
        Trial::test(format!("jwks::{name}"), move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(check());
            Ok(())
        })
    };
    vec![
        trial("a_set_at_a_url_is_asked_for_again_when_it_is_time", || Box::pin(refreshed())),
        trial("a_file_that_changed_is_read_again", || Box::pin(changed())),
        trial("what_is_no_set_does_not_open", || Box::pin(none())),
    ]
}

fn one(id: &str) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys::AES_JWK.replace("\"aes\"", &format!("\"{id}\"")))
}

async fn has(vault: &Arc<dyn KeyVault>, id: &str) -> bool {
    let wrapped = vault.wrap(&Ctx::system(), id, Wrapping::AesKw256, &Redacted::new(vec![1; 32])).await;
    match wrapped {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), &codes::KEY_NOT_FOUND);
            false
        }
    }
}

async fn refreshed() {
    let asked = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&asked);
    let server = Loopback::serve(Arc::new(move |_| {
        // The second answer is none that helps.
        let answer = match told.fetch_add(1, Ordering::SeqCst) {
            0 => whole(200, "application/json", one("first")),
            1 => whole(503, "text/plain", "not now"),
            _ => whole(200, "application/json", one("second")),
        };
        Box::pin(async { answer })
    }))
    .await;
    let clock = Arc::new(ManualClock::at(0));
    let shown: Arc<dyn Clock> = Arc::clone(&clock) as _;
    let settings = [("jwks", server.url()), ("minRefreshInterval", "60s".to_owned())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let folder = tempfile::tempdir().unwrap();
    let vault =
        mainstay_testkit::components::open_in(&jwks::DEF, &settings, folder.path(), &shown).await.unwrap();
    assert!(has(&vault, "first").await && !has(&vault, "second").await);
    assert_eq!(asked.load(Ordering::SeqCst), 1, "nobody asks before it is time");
    clock.advance(60_000);
    assert!(has(&vault, "first").await, "a set that cannot be had anew stays");
    assert!(!has(&vault, "second").await && asked.load(Ordering::SeqCst) == 2);
    clock.advance(60_000);
    assert!(has(&vault, "second").await && !has(&vault, "first").await);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

async fn changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.json");
    std::fs::write(&path, one("first")).unwrap();
    let vault = super::open(&jwks::DEF, &[("jwks", "set.json")], folder.path()).await.unwrap();
    assert!(has(&vault, "first").await);
    std::fs::write(&path, "half a se").unwrap();
    assert!(has(&vault, "first").await, "what cannot be read changes nothing");
    std::fs::write(&path, one("the-second")).unwrap();
    assert!(has(&vault, "the-second").await && !has(&vault, "first").await);
}

async fn none() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["nothing", "/no/such/file", "{", "[]"] {
        let error = super::open(&jwks::DEF, &[("jwks", text)], folder.path()).await.err().unwrap();
        assert_eq!(error.code(), &codes::CONFIG_VALUE, "{text}");
        assert!(!error.to_string().contains("nothing"));
    }
    let error =
        super::open(&jwks::DEF, &[("jwks", "http://127.0.0.1:1/keys")], folder.path()).await.err().unwrap();
    assert_eq!(error.code(), &codes::VAULT_UNAVAILABLE);
}
