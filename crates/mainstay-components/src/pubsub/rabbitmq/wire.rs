//! The wire below the client of RabbitMQ: TCP, or TLS on it as the house speaks it. The client's own TLS is one of its
//! features, and without the right ones it takes `amqps` and speaks in the clear; here a connection cannot be made so.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_core::Stream;
use futures_util::io::{AsyncRead, AsyncWrite};
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Connection, ConnectionProperties};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::compat::TokioAsyncReadCompatExt as _;

/// What the client reads from and writes to.
type Wire = Pin<Box<dyn Both>>;

/// Both directions.
trait Both: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Both for T {}

/// The runtime of this process, whose connections are wires.
#[derive(Clone, Debug)]
struct Net(Tokio);

impl Reactor for Net {
    type TcpStream = Wire;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Nobody brings a socket of their own.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Wire, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        self.0.sleep(time)
    }

    fn interval(&self, time: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(time)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Wire>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async move { Ok(Box::pin(connecting.await?) as Wire) }
    }
}

/// Connects, under TLS where its configuration is given.
pub(super) async fn connect(
    uri: AMQPUri,
    tls: Option<ClientConfig>,
    properties: ConnectionProperties,
) -> lapin::Result<Connection> {
    let tls = tls.map(|config| TlsConnector::from(Arc::new(config)));
    let runtime = Runtime::new(RuntimeParts::new(Tokio::current(), Net(Tokio::current())));
    let connect = async move |uri: AMQPUri, _| {
        let wire = wire(&uri.authority.host, uri.authority.port, tls.as_ref()).await;
        wire.map(AsyncTcpStream::Plain).map_err(lapin::Error::from)
    };
    Connection::connector(uri, runtime, connect, properties).await
}

async fn wire(host: &str, port: u16, tls: Option<&TlsConnector>) -> io::Result<Wire> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::pin(stream.compat())) };
    let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
    Ok(Box::pin(tls.connect(name, stream).await?.compat()))
}
