//! Apps at the end of any wire that an app may have: plain or behind TLS, HTTP/1.1 or HTTP/2 and nothing else. And keys
//! for them, made anew for each test.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mainstay_testkit::loopback::{self, Answer, Request};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How an app is spoken to.
#[derive(Clone, Default)]
pub struct Wire {
    tls: Option<TlsAcceptor>,
    h2: bool,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("tls", &self.tls.is_some()).field("h2", &self.h2).finish()
    }
}

impl Wire {
    /// HTTP/1.1, in the clear.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// HTTP/2, in the clear, from the first byte on.
    #[must_use]
    pub fn h2c() -> Self {
        Self { h2: true, ..Self::default() }
    }

    /// HTTP/1.1 behind TLS.
    #[must_use]
    pub fn tls(identity: &Identity) -> Self {
        Self { tls: Some(identity.acceptor(None, &[])), h2: false }
    }

    /// HTTP/2 behind TLS, for clients that name it in the handshake.
    #[must_use]
    pub fn h2_tls(identity: &Identity) -> Self {
        Self { tls: Some(identity.acceptor(None, &[b"h2"])), h2: true }
    }

    /// HTTP/1.1 behind TLS, for clients that show a certificate of `clients`.
    #[must_use]
    pub fn mutual_tls(identity: &Identity, clients: &Authority) -> Self {
        Self { tls: Some(identity.acceptor(Some(clients), &[])), h2: false }
    }
}

/// An app that lives as long as this.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    accept: JoinHandle<()>,
}

impl App {
    /// Starts one on a free port, answered by a function.
    pub async fn answering(wire: Wire, service: loopback::Service) -> Self {
        Self::serve(wire, Answering(service)).await
    }

    /// Starts one on a free port.
    ///
    /// # Panics
    /// Where loopback has no free port.
    pub async fn serve<S, B>(wire: Wire, service: S) -> Self
    where
        S: Service<Request, Response = http::Response<B>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let accept = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (wire, service) = (wire.clone(), service.clone());
                tokio::spawn(async move {
                    match wire.tls {
                        None => speak(stream, wire.h2, service).await,
                        Some(tls) => {
                            // Who is refused is told by the handshake.
                            if let Ok(stream) = tls.accept(stream).await {
                                speak(stream, wire.h2, service).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, accept }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// A connection, until it ends: how it does is what some tests are about.
async fn speak<S, B>(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, h2: bool, service: S)
where
    S: Service<Request, Response = http::Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let io = TokioIo::new(stream);
    if h2 {
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(io, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    }
}

/// A function as hyper takes it.
#[derive(Clone)]
struct Answering(loopback::Service);

impl Service<http::Request<Incoming>> for Answering {
    type Response = Answer;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: Request) -> Self::Future {
        let answer = (self.0)(request);
        Box::pin(async move { Ok(answer.await) })
    }
}

/// Who vouches for certificates.
#[derive(Debug)]
pub struct Authority(rcgen::CertifiedIssuer<'static, rcgen::KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Authority {
    /// A new one that nobody trusts yet.
    ///
    /// # Panics
    /// When no key can be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "two of them are never the same")]
    pub fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no name is a good list of names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        Self(rcgen::CertifiedIssuer::self_signed(params, key).expect("it can vouch for itself"))
    }

    /// Its own certificate, as PEM.
    #[must_use]
    pub fn certificate(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a name that it vouches for.
    ///
    /// # Panics
    /// When `name` is none.
    #[must_use]
    pub fn identity(&self, name: &str) -> Identity {
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).expect("it is a name");
        let key = rcgen::KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.0).expect("it can be vouched for");
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    fn acceptor(&self, clients: Option<&Authority>, protocols: &[&[u8]]) -> TlsAcceptor {
        let certificate = pem(&self.certificate).into();
        let key = PrivatePkcs8KeyDer::from(pem(&self.key)).into();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider supports them");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.0.der().clone()).expect("it is a certificate");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("there is somebody to trust"))
            }
        };
        let config = builder.with_single_cert(vec![certificate], key);
        let mut config = config.expect("the key is that of the certificate");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config).into()
    }
}

/// The bytes of a PEM text of one part.
fn pem(text: &str) -> Vec<u8> {
    use rustls::pki_types::pem::PemObject as _;
    let certificate = rustls::pki_types::CertificateDer::from_pem_slice(text.as_bytes());
    let key = || rustls::pki_types::PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes());
    match certificate {
        Ok(found) => found.to_vec(),
        Err(_) => key().expect("it is a certificate or a key").secret_pkcs8_der().to_vec(),
    }
}
