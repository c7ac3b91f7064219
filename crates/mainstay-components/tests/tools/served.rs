//! What every kind of tool behind HTTP is run against: a server on loopback that answers as told and notes who calls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use mainstay_components::secrets::Secrets;
use mainstay_components::tools::{Def, Opening};
use mainstay_core::Name;
use mainstay_core::tool::{ToolOutput, ToolSource};
use mainstay_testkit::conformance::tool::{Behaviour, Rig};
use mainstay_testkit::embedder;
use mainstay_testkit::loopback::{Answer, Loopback, Request};
use serde_json::Value;
use tokio::sync::watch;

/// Longest wait for a call to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is a kind's own.
#[derive(Clone, Copy)]
pub(crate) struct Own {
    /// The argument that is passed on.
    pub(crate) argument: &'static str,
    /// Whether a request is the call itself, and not one that finds its way.
    pub(crate) is_call: fn(&Request) -> bool,
    /// The server's answer.
    pub(crate) answer: fn(Request, Behaviour) -> BoxFuture<'static, Answer>,
    /// The text that the server answered with, in the tool's answer.
    pub(crate) said: fn(&ToolOutput) -> String,
}

/// A tool and the server that it asks.
pub(crate) struct Served {
    own: Own,
    source: Arc<dyn ToolSource>,
    keys: Arc<Mutex<Vec<String>>>,
    calls: watch::Receiver<usize>,
    server: Loopback,
}

impl Served {
    /// Opens a tool with the settings that are made for its server's URL, and those that every kind has.
    pub(crate) async fn open(
        def: &'static Def,
        own: Own,
        behaviour: Behaviour,
        settings: impl FnOnce(&str) -> Value,
    ) -> Arc<dyn Rig> {
        let keys = Arc::new(Mutex::new(Vec::new()));
        let (count, calls) = watch::channel(0);
        let seen = Arc::clone(&keys);
        let server = Loopback::serve(Arc::new(move |request: Request| -> BoxFuture<'static, Answer> {
            if (own.is_call)(&request) {
                let key = request.headers().get("idempotency-key").and_then(|key| key.to_str().ok());
                seen.lock().unwrap().push(key.unwrap_or("none").to_owned());
                count.send_modify(|calls| *calls += 1);
            }
            (own.answer)(request, behaviour)
        }))
        .await;
        let gone = behaviour == Behaviour::Gone;
        let mut settings = settings(&if gone { "http://127.0.0.1:1".to_owned() } else { server.url() });
        settings["description"] = "Says it again.".into();
        settings["allow_private"] = true.into();
        settings["timeout"] = "20s".into();
        settings["response_bytes_max"] = "4KiB".into();
        assert_eq!((def.kind.check)(&settings), [], "the rig's settings are valid");
        let (name, secrets) = (Name::parse("echo").unwrap(), Secrets::new("."));
        let embedder = embedder::spelling();
        let opening = Opening { name: &name, settings: &settings, secrets: &secrets, embedder: &embedder };
        Arc::new(Self { own, source: (def.open)(opening).unwrap(), keys, calls, server })
    }
}

#[async_trait]
impl Rig for Served {
    fn source(&self) -> Arc<dyn ToolSource> {
        Arc::clone(&self.source)
    }

    fn argument(&self) -> &'static str {
        self.own.argument
    }

    fn said(&self, output: &ToolOutput) -> String {
        (self.own.said)(output)
    }

    fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }

    async fn called(&self) {
        let mut calls = self.calls.clone();
        let called = tokio::time::timeout(PATIENCE, calls.wait_for(|calls| *calls > 0)).await;
        called.expect("called in time").expect("the server runs");
    }

    async fn caller_gone(&self) {
        self.server.callers_gone(1).await;
    }
}
