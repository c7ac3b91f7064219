//! Where a sidecar listens: its two APIs at ports or at sockets, health for others, and metrics. All of it is taken
//! before anything is opened.

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay_core::{Error, codes};
use mainstay_net::server::{Door, ServeOptions, Serving, serve};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::flags::{Options, Place};
use super::running::Ports;
use super::scrape::Scrape;
use crate::wire::sidecar::Beside;

/// What a sidecar listens at.
pub(super) struct Bound {
    pub(super) http: Vec<Api>,
    pub(super) grpc: Vec<Api>,
    /// Health and metadata for others.
    pub(super) public: Vec<TcpListener>,
    pub(super) metrics: Vec<TcpListener>,
}

/// What an API listens at.
pub(super) enum Api {
    Port(TcpListener),
    Socket(UnixListener, Named),
}

/// A socket's file, which goes with it.
pub(super) struct Named(pub(super) PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        // Somebody may have tidied up before.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Bound {
    /// Binds what the flags say. Errors: a port or a socket that another process has.
    pub(super) async fn of(options: &Options) -> anyhow::Result<Self> {
        let (http, grpc) = match &options.listening.sockets {
            Some(folder) => {
                let api = |name: &str| socket(folder, &options.app_id, name);
                (vec![api("http")?], vec![api("grpc")?])
            }
            None => {
                let http = bind(&options.listen, options.http_port, "dapr-http-port").await?;
                let grpc = bind(&options.listen, options.grpc_port, "dapr-grpc-port").await?;
                let apis = |listeners: Vec<TcpListener>| listeners.into_iter().map(Api::Port).collect();
                (apis(http), apis(grpc))
            }
        };
        let public = match &options.listening.public {
            Some(place) => bind_one(place, "dapr-public-port").await?,
            None => Vec::new(),
        };
        Ok(Self { http, grpc, public, metrics: metrics(options).await? })
    }
}

impl Bound {
    /// Its ports.
    pub(super) fn ports(&self) -> Ports {
        let metrics = self.metrics.first().and_then(|listener| listener.local_addr().ok());
        Ports {
            http: Api::port(&self.http),
            grpc: Api::port(&self.grpc),
            metrics: metrics.map_or(0, |at| at.port()),
        }
    }

    /// Serves at all of it, as `servers`, until `stop`. Where the HTTP API is.
    pub(super) fn serve(
        self,
        beside: &Beside,
        bounds: ServeOptions,
        stop: &CancellationToken,
        servers: &TaskTracker,
    ) -> std::io::Result<Vec<String>> {
        let mut addresses = Vec::new();
        for api in self.http {
            addresses.push(api.address("http://")?);
            let router = beside.surface.router();
            api.serve(servers, |door| router.serve(door, bounds, stop.clone()));
        }
        for api in self.grpc {
            tracing::info!(address = %api.address("")?, "the gRPC API is up");
            let router = beside.grpc.router();
            api.serve(servers, |door| router.serve(door, bounds, stop.clone()));
        }
        for listener in self.public {
            tracing::info!(address = %listener.local_addr()?, "health and metadata are up");
            servers.spawn(serve(listener, beside.surface.public(), bounds, stop.clone()));
        }
        if let Some(meter) = beside.blocks.meter() {
            for listener in self.metrics {
                tracing::info!(address = %listener.local_addr()?, "metrics are up");
                servers.spawn(serve(listener, Scrape(Arc::clone(meter)), bounds, stop.clone()));
            }
        }
        if let Some(socket) = beside.socket() {
            servers.spawn(serve(socket, beside.inbound(), bounds, stop.clone()));
        }
        Ok(addresses)
    }
}

impl Api {
    /// Where it is.
    fn address(&self, scheme: &str) -> std::io::Result<String> {
        Ok(match self {
            Self::Port(listener) => format!("{scheme}{}", listener.local_addr()?),
            Self::Socket(_, Named(path)) => format!("unix:{}", path.display()),
        })
    }

    /// Serves at it with what `serving` makes of it.
    fn serve(self, servers: &TaskTracker, serving: impl FnOnce(Door) -> Serving) {
        let (door, named) = match self {
            Self::Port(listener) => (Door::Port(listener), None),
            Self::Socket(listener, named) => (Door::Socket(listener), Some(named)),
        };
        let serving = serving(door);
        servers.spawn(async move {
            serving.await;
            drop(named);
        });
    }

    /// Its port; 0 for a socket.
    pub(super) fn port(apis: &[Self]) -> u16 {
        let address = apis.iter().find_map(|api| match api {
            Self::Port(listener) => listener.local_addr().ok(),
            Self::Socket(..) => None,
        });
        address.map_or(0, |address| address.port())
    }
}

/// The socket of an API, under the name by which clients look for it.
fn socket(folder: &Path, app_id: &str, api: &str) -> anyhow::Result<Api> {
    let path = folder.join(format!("dapr-{app_id}-{api}.socket"));
    let fault = |why: String| {
        let message = format!("cannot listen on the socket `{}`: {why}", path.display());
        Error::new(&codes::NOT_READY, message).with_help("`--unix-domain-socket` names a folder that exists")
    };
    if UnixStream::connect(&path).is_ok() {
        return Err(fault("another process listens there".to_owned()).into());
    }
    // What a process left that was killed. If it is no socket, binding says so.
    if std::fs::symlink_metadata(&path).is_ok_and(|about| is_socket(&about)) {
        std::fs::remove_file(&path).map_err(|error| fault(error.to_string()))?;
    }
    let listener = UnixListener::bind(&path).map_err(|error| fault(error.to_string()))?;
    Ok(Api::Socket(listener, Named(path)))
}

fn is_socket(about: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt as _;
    about.file_type().is_socket()
}

/// Where metrics are. The port that nobody asked for may be another process's.
async fn metrics(options: &Options) -> anyhow::Result<Vec<TcpListener>> {
    let Some(place) = &options.listening.metrics else { return Ok(Vec::new()) };
    match bind_one(place, "metrics-port").await {
        Err(error) if !place.is_asked => {
            tracing::info!(%error, "going without metrics");
            Ok(Vec::new())
        }
        bound => bound,
    }
}

/// Binds the first of several hosts that can be bound.
async fn bind_one(place: &Place, flag: &str) -> anyhow::Result<Vec<TcpListener>> {
    let mut failed = None;
    for host in &place.hosts {
        match bind(std::slice::from_ref(host), place.port, flag).await {
            Ok(bound) => return Ok(bound),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or_else(|| Ok(Vec::new()), Err)
}

/// Binds a port at every address. A host without IPv6 has no `::1`: one address is enough.
async fn bind(hosts: &[String], port: u16, flag: &str) -> anyhow::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut last = None;
    for host in hosts {
        let at = listeners
            .first()
            .and_then(|first| first.local_addr().ok())
            .map_or(port, |at: SocketAddr| at.port());
        match TcpListener::bind(format!("{host}:{at}")).await {
            Ok(listener) => listeners.push(listener),
            Err(error) => last = Some((host, error)),
        }
    }
    match last {
        Some((host, error)) if listeners.is_empty() || error.kind() == std::io::ErrorKind::AddrInUse => {
            let message = format!("cannot listen on `{host}:{port}`: {error}");
            let help = format!("another process may hold the port; choose one with `--{flag}`");
            Err(Error::new(&codes::NOT_READY, message).with_help(help).into())
        }
        _ => Ok(listeners),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_was_left_is_taken_and_one_that_is_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dapr-shop-http.socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "nobody removed it");
        let first = socket(folder.path(), "shop", "http").unwrap();
        assert!(socket(folder.path(), "shop", "http").is_err());
        drop(first);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_bound_makes_way_for_the_next() {
        let hosts = vec!["203.0.113.1".to_owned(), "127.0.0.1".to_owned()];
        let place = Place { hosts, port: 0, is_asked: true };
        assert_eq!(bind_one(&place, "x").await.unwrap().len(), 1);
    }
}
