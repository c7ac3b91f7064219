//! A surface over components in memory.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use mainstay_blocks::{App, Blocks, Table};
use mainstay_core::Clock;
use mainstay_core::clock::ManualClock;
use mainstay_net::client::{Client, ClientOptions};
use mainstay_sidecar::{Parts, Rules, Surface, Targets};
use serde_json::Value;
use tower::ServiceExt as _;

pub(crate) struct House {
    pub(crate) blocks: Blocks,
    surface: Surface,
}

/// The app that the house is for.
pub(crate) fn app() -> App {
    App { id: "shop".to_owned(), namespace: None }
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(1_700_000_000_000))
}

impl House {
    pub(crate) fn new(table: Table) -> Self {
        let blocks = Blocks::new(app(), clock(), table);
        let surface = Surface::new(Parts {
            blocks: blocks.clone(),
            api_token: None,
            body_bytes_max: 64 << 10,
            targets: Targets::default(),
            client: Client::new(ClientOptions::default()),
            rules: Rules::default(),
            origins: None,
            shutdown: Arc::new(|_| ()),
        });
        Self { blocks, surface }
    }

    /// The status and the body; `Null` where there is none.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let (parts, body) = self.surface.router().oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        (parts.status.as_u16(), body)
    }

    pub(crate) async fn check(&self, method: &str, path: &str, body: &str, expect: (u16, Value)) {
        assert_eq!(self.send(method, path, body).await, expect, "{method} {path} {body}");
    }

    pub(crate) async fn check_fault(&self, method: &str, path: &str, body: &str, expect: (u16, &str)) {
        let (status, answer) = self.send(method, path, body).await;
        assert_eq!((status, answer["errorCode"].as_str().unwrap()), expect, "{method} {path}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()));
    }
}
