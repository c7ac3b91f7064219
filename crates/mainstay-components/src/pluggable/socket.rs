//! The way to a pluggable component: gRPC over its Unix socket. It connects at the first call, and again after it was
//! cut.

use std::path::Path;
use std::time::Instant;

use hyper_util::rt::TokioIo;
use mainstay_core::{Ctx, Error, Result, codes};
use tokio::net::UnixStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tonic_reflection::pb::v1alpha::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1alpha::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1alpha::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1alpha::{ListServiceResponse, ServerReflectionRequest};

/// Bytes of a message.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Calls that say which instance they are for.
pub(super) type Instanced = InterceptedService<Channel, Instance>;

/// Says which instance a call is for.
#[derive(Clone)]
pub(super) struct Instance(MetadataValue<Ascii>);

impl Interceptor for Instance {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        request.metadata_mut().insert("x-component-instance", self.0.clone());
        Ok(request)
    }
}

/// A component's socket, for one instance.
pub(super) struct Socket(Instanced);

impl Socket {
    /// The socket at a path. Errors: `CONFIG_VALUE` for a name that cannot be told.
    pub(super) fn new(path: &Path, instance: &str) -> Result<Self> {
        let name = MetadataValue::try_from(instance).map_err(|_| {
            Error::new(&codes::CONFIG_VALUE, "a component's name must be ASCII to be told to a socket")
        })?;
        Ok(Self(InterceptedService::new(channel(path), Instance(name))))
    }

    /// What clients are made of.
    pub(super) fn calls(&self) -> Instanced {
        self.0.clone()
    }
}

fn channel(path: &Path) -> Channel {
    let path = path.to_owned();
    // The address stands in no packet: the connector takes the socket.
    Endpoint::from_static("http://component").connect_with_connector_lazy(tower::service_fn(move |_| {
        let path = path.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
    }))
}

/// A request that ends by the context's deadline, also on the other side.
pub(super) fn request<T>(ctx: &Ctx, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(left) = ctx.remaining(Instant::now()) {
        request.set_timeout(left);
    }
    request
}

/// The services that a socket has. Errors: `COMPONENT_UNAVAILABLE`.
pub(super) async fn services(path: &Path) -> Result<Vec<String>> {
    let failed = |status: Status| {
        Error::new(&codes::COMPONENT_UNAVAILABLE, "ask what it serves: it does not answer")
            .with_internal(format!("{:?}: {}", status.code(), status.message()))
    };
    let mut client = ServerReflectionClient::new(channel(path));
    let message_request = Some(MessageRequest::ListServices(String::new()));
    let asked = ServerReflectionRequest { host: String::new(), message_request };
    let asked = futures_util::stream::iter([asked]);
    let mut answers = client.server_reflection_info(asked).await.map_err(failed)?.into_inner();
    let answer = answers.message().await.map_err(failed)?.and_then(|answer| answer.message_response);
    match answer {
        Some(MessageResponse::ListServicesResponse(ListServiceResponse { service })) => {
            Ok(service.into_iter().map(|service| service.name).collect())
        }
        _ => Err(Error::new(&codes::COMPONENT_UNAVAILABLE, "ask what it serves: it does not say")),
    }
}
