//! Every type of secret store against the conformance suite; and the suite against a store that breaks its promises. A
//! type without a rig below fails.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use libtest_mimic::{Arguments, Trial};
use mainstay_components::secret_stores::{self, Def};
use mainstay_core::secret_store::{Secret, SecretStore};
use mainstay_core::{Clock, Ctx, Error, Redacted, Result, codes};
use mainstay_net::clock::SystemClock;
use mainstay_testkit::components;
use mainstay_testkit::conformance::secret_stores::{self as suite, Known, Open, Rig};
use mainstay_testkit::loopback::{Loopback, whole};
use serde_json::json;

fn main() {
    // Planted faults panic by design; a failed trial still shows its message.
    std::panic::set_hook(Box::new(|_| ()));
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = secret_stores::ALL.iter().flat_map(conformance).collect();
    trials.push(own("kubernetes::a_request_may_name_another_namespace", namespaces));
    trials.push(own("kubernetes::a_refusal_says_what_is_missing", refusals));
    trials.extend(suite::CHECKS.iter().map(|check| {
        let check = *check;
        Trial::test(format!("planted::{}", check.name), move || caught(check))
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

fn own<F>(name: &str, test: fn() -> F) -> Trial
where
    F: Future<Output = ()> + 'static,
{
    Trial::test(name, move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(test());
        Ok(())
    })
}

/// The rigs. A new type has a line.
fn conformance(def: &'static Def) -> Vec<Trial> {
    let kind = def.kind.trim_start_matches("secretstores.");
    let open: Open = match def.kind {
        "secretstores.local.env" => Arc::new(|| Box::pin(environment(find("secretstores.local.env")))),
        "secretstores.local.file" => Arc::new(|| Box::pin(file(find("secretstores.local.file")))),
        "secretstores.kubernetes" => Arc::new(|| {
            Box::pin(async {
                Arc::new(Cluster::open(find("secretstores.kubernetes"), "t0ken").await) as Arc<dyn Rig>
            })
        }),
        _ => {
            return vec![Trial::test(format!("{kind}::has_a_rig"), || {
                Err("no rig for this type in tests/secret_stores.rs".into())
            })];
        }
    };
    suite::trials(kind, &open)
}

fn find(kind: &str) -> &'static Def {
    secret_stores::find(kind).unwrap()
}

async fn open(def: &Def, settings: &[(&str, &str)], folder: &std::path::Path) -> Arc<dyn SecretStore> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    components::open_with(def, settings, folder, &components::NoStores, &clock).await.unwrap()
}

/// A store with a file below it, or nothing.
struct Local {
    store: Arc<dyn SecretStore>,
    known: Known,
    file: Option<(PathBuf, tempfile::TempDir)>,
}

async fn environment(def: &'static Def) -> Arc<dyn Rig> {
    let store = open(def, &[], std::path::Path::new(".")).await;
    let value = std::env::var("PATH").unwrap();
    let known = Known::from([("PATH".to_owned(), BTreeMap::from([("PATH".to_owned(), value)]))]);
    Arc::new(Local { store, known, file: None })
}

async fn file(def: &'static Def) -> Arc<dyn Rig> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secrets.json");
    std::fs::write(&path, r#"{"db":{"user":"hunter1","password":"hunter2"}}"#).unwrap();
    let settings = [("secretsFile", "secrets.json"), ("multiValued", "true")];
    let store = open(def, &settings, folder.path()).await;
    Arc::new(Local { store, known: known(), file: Some((path, folder)) })
}

fn known() -> Known {
    let pairs = [("user", "hunter1"), ("password", "hunter2")];
    let values = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Known::from([("db".to_owned(), BTreeMap::from(values))])
}

#[async_trait]
impl Rig for Local {
    fn store(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.store)
    }

    fn known(&self) -> Known {
        self.known.clone()
    }

    async fn take_away(&self) -> bool {
        let Some((path, _)) = &self.file else { return false };
        std::fs::remove_file(path).is_ok()
    }
}

/// A stand-in for a cluster's API: two namespaces, pages of one secret, and a token.
struct Cluster {
    store: Arc<dyn SecretStore>,
    api: Mutex<Option<Loopback>>,
    _folder: tempfile::TempDir,
}

impl Cluster {
    async fn open(def: &'static Def, token: &str) -> Self {
        let api = Loopback::serve(Arc::new(|request| {
            Box::pin(async move {
                let token = request.headers().get("authorization").map(|value| value.as_bytes().to_vec());
                let query = request.uri().query().unwrap_or_default().to_owned();
                let (status, answer) = match token.as_deref() {
                    Some(b"Bearer t0ken") => api(request.uri().path(), &query),
                    Some(b"Bearer weak") => {
                        (403, json!({"kind": "Status", "message": "secrets is forbidden"}))
                    }
                    _ => (401, json!({"kind": "Status"})),
                };
                whole(status, "application/json", answer.to_string())
            })
        }))
        .await;
        let folder = tempfile::tempdir().unwrap();
        let config = json!({
            "current-context": "x",
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": api.url()}}],
            "users": [{"name": "u", "user": {"token": token}}],
        });
        std::fs::write(folder.path().join("config"), config.to_string()).unwrap();
        let settings = [("kubeconfigPath", "config"), ("defaultNamespace", "shop")];
        let store = open(def, &settings, folder.path()).await;
        Self { store, api: Mutex::new(Some(api)), _folder: folder }
    }
}

/// What the API answers. Base64 of `hunter1`, `hunter2` and `elsewhere`.
fn api(path: &str, query: &str) -> (u16, serde_json::Value) {
    let db =
        json!({"metadata": {"name": "db"}, "data": {"user": "aHVudGVyMQ==", "password": "aHVudGVyMg=="}});
    let empty = json!({"metadata": {"name": "empty"}});
    match path {
        "/version" => (200, json!({"major": "1"})),
        "/api/v1/namespaces/shop/secrets/db" => (200, db),
        "/api/v1/namespaces/other/secrets/db" => {
            (200, json!({"metadata": {"name": "db"}, "data": {"user": "ZWxzZXdoZXJl"}}))
        }
        "/api/v1/namespaces/shop/secrets" if query.contains("continue=page%3D2") => {
            (200, json!({"metadata": {}, "items": [db]}))
        }
        "/api/v1/namespaces/shop/secrets" => {
            (200, json!({"metadata": {"continue": "page=2"}, "items": [empty]}))
        }
        _ => (404, json!({"kind": "Status", "reason": "NotFound"})),
    }
}

#[async_trait]
impl Rig for Cluster {
    fn store(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.store)
    }

    fn known(&self) -> Known {
        known()
    }

    async fn take_away(&self) -> bool {
        self.api.lock().unwrap().take().is_some()
    }
}

async fn namespaces() {
    let cluster = Cluster::open(find("secretstores.kubernetes"), "t0ken").await;
    let metadata = |name: &str| BTreeMap::from([("namespace".to_owned(), name.to_owned())]);
    let other = cluster.store.get(&Ctx::system(), "db", &metadata("other")).await.unwrap();
    assert_eq!(other["user"].expose(), "elsewhere");
    let odd = cluster.store.get(&Ctx::system(), "db", &metadata("../kube-system")).await.unwrap_err();
    assert_eq!(odd.code().id, "SECRET_UNAVAILABLE");
}

async fn refusals() {
    for (token, says) in [("weak", "may not read secrets"), ("other", "does not know our credentials")] {
        let cluster = Cluster::open(find("secretstores.kubernetes"), token).await;
        let error = cluster.store.get(&Ctx::system(), "db", &BTreeMap::new()).await.unwrap_err();
        assert!(error.code().id == "SECRET_UNAVAILABLE" && error.message().contains(says), "{error:?}");
    }
}

/// A store that breaks every promise: the suite must say so of each.
struct Liar;

fn caught(check: suite::Check) -> std::result::Result<(), libtest_mimic::Failed> {
    let open: Open = Arc::new(|| Box::pin(async { Arc::new(Liar) as Arc<dyn Rig> }));
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| suite::prove(check, open))) {
        Err(_) => Ok(()),
        Ok(()) => Err("the check passes a store that breaks its promise".into()),
    }
}

#[async_trait]
impl Rig for Liar {
    fn store(&self) -> Arc<dyn SecretStore> {
        Arc::new(Self)
    }

    fn known(&self) -> Known {
        known()
    }

    async fn take_away(&self) -> bool {
        true
    }
}

#[async_trait]
impl SecretStore for Liar {
    async fn ready(&self, _: &Ctx) -> Result<()> {
        Err(Error::new(&codes::SECRET_UNAVAILABLE, "x"))
    }

    async fn get(&self, _: &Ctx, _: &str, _: &BTreeMap<String, String>) -> Result<Secret> {
        Ok(Secret::from([("user".to_owned(), Redacted::new("hunter1".to_owned()))]))
    }

    async fn all(&self, _: &Ctx, _: &BTreeMap<String, String>) -> Result<BTreeMap<String, Secret>> {
        Ok(BTreeMap::new())
    }
}
