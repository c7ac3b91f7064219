//! From a path to its endpoint. The route table is the only place that knows paths of ours; those of apps come after
//! them.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use mainstay_net::server::{ServeOptions, Serving, serve};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::body::RequestBody;
use crate::endpoint::Endpoint;
use crate::reply::Tracked;
use crate::routes;
use crate::surface::Shared;

/// The service for a listener; cheap to clone. It expects the peer's address in the request's extensions
/// ([`mainstay_net::server::Peer`]); a request without one counts as coming from another machine.
#[derive(Clone)]
pub struct Router(Arc<Table>);

struct Table {
    paths: matchit::Router<Endpoint>,
    unknown: Endpoint,
}

/// The parameters of a path, decoded.
#[derive(Debug, Default)]
pub(crate) struct PathParams(Vec<(String, String)>);

impl PathParams {
    /// A parameter; empty when it is not text.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Router")
    }
}

impl Router {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let mut paths = matchit::Router::new();
        for (path, routes) in routes::by_path() {
            let endpoint = Endpoint::new(Arc::clone(shared), path, routes);
            paths.insert(path, endpoint).expect("the paths of the table are well-formed and differ");
        }
        Self(Arc::new(Table { paths, unknown: Endpoint::unknown(Arc::clone(shared)) }))
    }

    /// Serves `listener` until `stop`, as [`mainstay_net::server::serve`] does.
    #[must_use]
    pub fn serve(self, listener: TcpListener, options: ServeOptions, stop: CancellationToken) -> Serving {
        Box::pin(serve(listener, self, options, stop))
    }
}

impl<B: Into<RequestBody>> tower_service::Service<Request<B>> for Router {
    type Response = http::Response<Tracked>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request = request.map(Into::into);
        match self.0.paths.at(request.uri().path()) {
            Ok(found) => {
                let (endpoint, params) = (found.value.clone(), decoded(&found.params));
                Box::pin(async move { Ok(endpoint.serve(request, params).await) })
            }
            Err(_) => {
                let unknown = self.0.unknown.clone();
                Box::pin(async move { Ok(unknown.serve_outside(request).await) })
            }
        }
    }
}

fn decoded(params: &matchit::Params<'_, '_>) -> PathParams {
    let decode = |text: &str| {
        let text = percent_encoding::percent_decode_str(text).decode_utf8();
        text.map(std::borrow::Cow::into_owned).unwrap_or_default()
    };
    PathParams(params.iter().map(|(name, value)| (name.to_owned(), decode(value))).collect())
}
