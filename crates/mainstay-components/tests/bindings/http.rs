//! The rig of the HTTP service: one on loopback that answers with what it was asked.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use http_body_util::BodyExt as _;
use mainstay_components::bindings::Def;
use mainstay_core::binding::{Binding, Operation};
use mainstay_core::{Ctx, Result};
use mainstay_testkit::components;
use mainstay_testkit::conformance::bindings::{Open, Rig};
use mainstay_testkit::loopback::{Loopback, whole};

use crate::{Member, Way, clock, no_server, operation, own};

pub(crate) fn member(def: &'static Def) -> Member {
    let open: Open =
        Arc::new(move |_| Box::pin(async move { Arc::new(Service::open(def, &[]).await) as Arc<dyn Rig> }));
    let own = vec![
        own("http::a_call_has_the_path_the_headers_and_the_body", move || call(def)),
        own("http::another_status_is_a_failure_unless_it_is_wanted", move || statuses(def)),
        own("http::a_service_that_is_gone_is_a_failure", move || gone(def)),
    ];
    Way::new("http", open).without(no_server()).with(own).into()
}

struct Service {
    binding: Arc<dyn Binding>,
    server: Loopback,
}

impl Service {
    async fn open(def: &Def, settings: &[(&str, &str)]) -> Self {
        let server = Loopback::serve(Arc::new(|request| {
            Box::pin(async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let header = |name: &str| {
                    head.headers.get(name).map_or("-", |value| value.to_str().unwrap()).to_owned()
                };
                let said = format!(
                    "{} {} {} {} {} {}",
                    head.method,
                    head.uri,
                    header("content-type"),
                    header("x-mine"),
                    header("x-token"),
                    String::from_utf8_lossy(&body)
                );
                let status = if head.uri.path().ends_with("/bad") { 418 } else { 200 };
                let mut answer = whole(status, "text/plain", said);
                answer.headers_mut().insert("x-answer", "yes".parse().unwrap());
                answer
            })
        }))
        .await;
        let url = format!("{}/base/", server.url());
        let settings = [&[("url", url.as_str())], settings].concat();
        let binding = components::open_with(def, &settings, Path::new("."), &components::NoStores, &clock())
            .await
            .unwrap();
        Self { binding, server }
    }

    async fn ask(&self, operation: Operation) -> Result<(String, String)> {
        let outcome = self.binding.invoke(&Ctx::system(), operation).await?.unwrap();
        let said = String::from_utf8(outcome.data.to_vec()).unwrap();
        assert_eq!(outcome.metadata["X-Answer"], "yes");
        Ok((said, outcome.metadata["statusCode"].clone()))
    }
}

async fn call(def: &Def) {
    let service = Service::open(def, &[("securityToken", "t0k"), ("securityTokenHeader", "X-Token")]).await;
    let metadata = [("path", "/orders?n=1"), ("X-Mine", "m"), ("other", "no"), ("Content-Length", "7")];
    let (said, status) = service.ask(operation("post", "body", &metadata)).await.unwrap();
    assert_eq!(said, "POST /base/orders?n=1 application/json; charset=utf-8 m t0k body");
    assert_eq!(status, "200");
    let (said, _) = service.ask(operation("get", "ignored", &[])).await.unwrap();
    assert_eq!(said, "GET /base/ - - t0k ");
    let (said, _) = service.ask(operation("create", "x", &[("Content-Type", "text/plain")])).await.unwrap();
    assert_eq!(said, "POST /base/ text/plain - t0k x");
}

async fn statuses(def: &Def) {
    let service = Service::open(def, &[]).await;
    let error = service.ask(operation("get", "", &[("path", "bad")])).await.unwrap_err();
    assert_eq!((error.code().id, error.message()), ("BINDING_FAILED", "received status code 418"));
    let wanted = operation("get", "", &[("path", "bad"), ("errorIfNot2XX", "false")]);
    assert_eq!(service.ask(wanted).await.unwrap().1, "418");
    let lenient = Service::open(def, &[("errorIfNot2XX", "false")]).await;
    assert_eq!(lenient.ask(operation("get", "", &[("path", "bad")])).await.unwrap().1, "418");
}

async fn gone(def: &Def) {
    let Service { binding, server } = Service::open(def, &[]).await;
    drop(server);
    let error = binding.invoke(&Ctx::system(), operation("get", "", &[])).await.unwrap_err();
    assert_eq!(error.code().id, "BINDING_FAILED");
}

#[async_trait]
impl Rig for Service {
    fn binding(&self) -> Arc<dyn Binding> {
        Arc::clone(&self.binding)
    }

    fn samples(&self) -> Vec<Operation> {
        let names = ["create", "get", "head", "post", "put", "patch", "delete", "options", "trace"];
        names.iter().map(|name| operation(name, "{}", &[])).collect()
    }
}
