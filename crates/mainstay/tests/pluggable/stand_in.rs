//! Our host against a component that a test writes: bindings and secrets.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libtest_mimic::Trial;
use mainstay_core::binding::{Binding, Operation};
use mainstay_core::secret_store::SecretStore;
use mainstay_net::server::serve_unix;
use mainstay_proto::FILE_DESCRIPTOR_SET;
use mainstay_proto::components::v1 as wire;
use mainstay_testkit::conformance::{bindings, secret_stores};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};
use tower_service::Service;
use wire::input_binding_server::{InputBinding, InputBindingServer};
use wire::output_binding_server::{OutputBinding, OutputBindingServer};
use wire::secret_store_server::{SecretStore as Secrets, SecretStoreServer};

use crate::{Surroundings, plugged};

pub(crate) fn trials() -> Vec<Trial> {
    let of_bindings: bindings::Open =
        Arc::new(|_| Box::pin(async { Arc::new(Rig::open().await) as Arc<dyn bindings::Rig> }));
    let of_secrets: secret_stores::Open =
        Arc::new(|| Box::pin(async { Arc::new(Rig::open().await) as Arc<dyn secret_stores::Rig> }));
    let not_run: Vec<_> =
        bindings::OUTAGES.iter().map(|check| (check.name, "the stand-in is in this process")).collect();
    let mut trials = bindings::trials("bindings", &of_bindings, &not_run);
    trials.extend(secret_stores::trials("secretstores", &of_secrets));
    trials
}

/// A component with bindings both ways and secrets.
#[derive(Clone)]
struct StandIn {
    /// What makes an event happen.
    events: Arc<Mutex<Vec<mpsc::Sender<()>>>>,
}

type Result<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl OutputBinding for StandIn {
    async fn init(
        &self,
        request: Request<wire::OutputBindingInitRequest>,
    ) -> Result<wire::OutputBindingInitResponse> {
        assert_eq!(request.metadata().get("x-component-instance").unwrap(), "plug");
        Ok(Response::new(wire::OutputBindingInitResponse {}))
    }

    async fn invoke(&self, request: Request<wire::InvokeRequest>) -> Result<wire::InvokeResponse> {
        let asked = request.into_inner();
        match asked.operation.as_str() {
            "echo" => Ok(Response::new(wire::InvokeResponse { data: asked.data, ..Default::default() })),
            "create" => Ok(Response::new(wire::InvokeResponse::default())),
            other => Err(Status::unimplemented(other.to_owned())),
        }
    }

    async fn list_operations(
        &self,
        _: Request<wire::ListOperationsRequest>,
    ) -> Result<wire::ListOperationsResponse> {
        let operations = ["create", "echo"].map(str::to_owned).to_vec();
        Ok(Response::new(wire::ListOperationsResponse { operations }))
    }

    async fn ping(&self, _: Request<wire::PingRequest>) -> Result<wire::PingResponse> {
        Ok(Response::new(wire::PingResponse {}))
    }
}

#[tonic::async_trait]
impl InputBinding for StandIn {
    async fn init(
        &self,
        _: Request<wire::InputBindingInitRequest>,
    ) -> Result<wire::InputBindingInitResponse> {
        Ok(Response::new(wire::InputBindingInitResponse {}))
    }

    async fn read(&self, _: Request<Streaming<wire::ReadRequest>>) -> Result<BoxStream<wire::ReadResponse>> {
        let (tell, mut told) = mpsc::channel(16);
        self.events.lock().unwrap().push(tell);
        let events = async_stream::stream! {
            let mut number = 0;
            while told.recv().await.is_some() {
                number += 1;
                yield Ok(wire::ReadResponse { data: "x".into(), message_id: number.to_string(), ..Default::default() });
            }
        };
        Ok(Response::new(Box::pin(events)))
    }

    async fn ping(&self, _: Request<wire::PingRequest>) -> Result<wire::PingResponse> {
        Ok(Response::new(wire::PingResponse {}))
    }
}

#[tonic::async_trait]
impl Secrets for StandIn {
    async fn init(&self, _: Request<wire::SecretStoreInitRequest>) -> Result<wire::SecretStoreInitResponse> {
        Ok(Response::new(wire::SecretStoreInitResponse {}))
    }

    async fn get(&self, request: Request<wire::GetSecretRequest>) -> Result<wire::GetSecretResponse> {
        match known().get(&request.into_inner().key) {
            Some(data) => Ok(Response::new(wire::GetSecretResponse { data: data.clone() })),
            None => Err(Status::not_found("no such secret")),
        }
    }

    async fn bulk_get(&self, _: Request<wire::BulkGetSecretRequest>) -> Result<wire::BulkGetSecretResponse> {
        let all = known().into_iter().map(|(name, secrets)| (name, wire::SecretResponse { secrets }));
        Ok(Response::new(wire::BulkGetSecretResponse { data: all.collect() }))
    }

    async fn ping(&self, _: Request<wire::PingRequest>) -> Result<wire::PingResponse> {
        Ok(Response::new(wire::PingResponse {}))
    }
}

fn known() -> secret_stores::Known {
    let values = BTreeMap::from([("password".to_owned(), "hunter2".to_owned())]);
    secret_stores::Known::from([("db".to_owned(), values)])
}

/// The services by their names.
#[derive(Clone)]
struct Router(StandIn);

impl<B> Service<http::Request<B>> for Router
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = std::result::Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::result::Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let component = self.0.clone();
        let request = request.map(Body::new);
        Box::pin(async move {
            let service = request.uri().path().split('/').nth(1).unwrap_or_default().to_owned();
            match service.rsplit('.').next().unwrap_or_default() {
                "OutputBinding" => OutputBindingServer::new(component).call(request).await,
                "InputBinding" => InputBindingServer::new(component).call(request).await,
                "SecretStore" => SecretStoreServer::new(component).call(request).await,
                _ => {
                    let names = ["OutputBinding", "InputBinding", "SecretStore"];
                    let builder = tonic_reflection::server::Builder::configure()
                        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET);
                    let builder = names.iter().fold(builder, |builder, name| {
                        builder.with_service_name(format!("dapr.proto.components.v1.{name}"))
                    });
                    builder.build_v1alpha().unwrap().call(request).await
                }
            }
        })
    }
}

struct Rig {
    binding: Arc<dyn Binding>,
    secrets: Arc<dyn SecretStore>,
    component: StandIn,
    serving: Mutex<Option<(CancellationToken, tokio::task::JoinHandle<()>)>>,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let component = StandIn { events: Arc::default() };
        let listener = UnixListener::bind(folder.path().join("fake.sock")).unwrap();
        let stop = CancellationToken::new();
        let router = Router(component.clone());
        let task = tokio::spawn(serve_unix(listener, router, 100, Duration::from_millis(100), stop.clone()));
        let around = Surroundings::new("plug");
        let binding = plugged(folder.path(), "bindings.fake").await.binding(around.opening()).await.unwrap();
        let secrets = plugged(folder.path(), "secretstores.fake").await;
        let secrets = secrets.secret_store(around.opening()).await.unwrap();
        Self { binding, secrets, component, serving: Mutex::new(Some((stop, task))), _folder: folder }
    }
}

#[async_trait]
impl bindings::Rig for Rig {
    fn binding(&self) -> Arc<dyn Binding> {
        Arc::clone(&self.binding)
    }

    fn samples(&self) -> Vec<Operation> {
        let operation =
            |name: &str| Operation { name: name.to_owned(), data: "x".into(), ..Operation::default() };
        vec![operation("create"), operation("echo")]
    }

    /// Tells whoever listens now, once somebody does.
    async fn provoke(&self) {
        let events = Arc::clone(&self.component.events);
        tokio::spawn(async move {
            loop {
                let last = events.lock().unwrap().last().cloned();
                if let Some(last) = last
                    && last.send(()).await.is_ok()
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }
}

#[async_trait]
impl secret_stores::Rig for Rig {
    fn store(&self) -> Arc<dyn SecretStore> {
        Arc::clone(&self.secrets)
    }

    fn known(&self) -> secret_stores::Known {
        known()
    }

    async fn take_away(&self) -> bool {
        let serving = self.serving.lock().unwrap().take();
        let (stop, task) = serving.expect("it is served");
        stop.cancel();
        task.await.is_ok()
    }
}
