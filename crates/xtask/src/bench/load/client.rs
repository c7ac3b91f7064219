//! One HTTP/1.1 connection that sends the same request again and again and checks each answer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Options;

/// Longest wait for a whole answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A whole answer that is shorter than this is not the mock's.
const ANSWER_BYTES_MIN: usize = 200;

/// Where requests go and what they are.
#[derive(Clone, Debug)]
pub(super) struct Target {
    address: SocketAddr,
    path: Uri,
    headers: HeaderMap,
    keys: Vec<HeaderValue>,
    body: Bytes,
    streamed: bool,
}

/// When an answer came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// Its first body bytes.
    pub(super) first: Instant,
    /// Its end.
    pub(super) whole: Instant,
}

impl Target {
    pub(super) fn new(options: &Options, body: Bytes, streamed: bool) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(&options.address.to_string())?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let keys = options.key.iter().map(|key| HeaderValue::from_str(&format!("Bearer {key}")));
        let keys = keys.collect::<Result<_, _>>().context("read --key")?;
        let path = options.path.parse().context("read --path")?;
        Ok(Self { address: options.address, path, headers, keys, body, streamed })
    }

    /// The same, with the key of connection `number`.
    fn of(mut self, number: usize) -> Self {
        if let Some(key) = self.keys.get(number.checked_rem(self.keys.len()).unwrap_or(0)) {
            self.headers.insert(AUTHORIZATION, key.clone());
        }
        self
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// A connection; it opens anew when the server has closed it.
#[derive(Debug)]
pub(super) struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Connection `number` to the target.
    pub(super) fn new(target: Target, number: usize) -> Self {
        Self { target: target.of(number), sender: None }
    }

    /// Sends one request and reads the answer to its end. An answer that is not a complete 200 is an error.
    pub(super) async fn ask(&mut self) -> anyhow::Result<Timing> {
        let outcome =
            tokio::time::timeout(ANSWER_TIMEOUT, self.exchange()).await.context("no answer in time");
        let outcome = outcome.and_then(|inner| inner);
        if outcome.is_err() {
            self.sender = None;
        }
        outcome
    }

    async fn exchange(&mut self) -> anyhow::Result<Timing> {
        let request = self.target.request();
        let sender = self.ready().await?;
        let response = sender.send_request(request).await.context("send")?;
        anyhow::ensure!(response.status() == 200, "status {}", response.status());
        let (mut first, mut bytes, mut tail) = (None, 0, Bytes::new());
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.context("read the body")?.into_data() else { continue };
            first.get_or_insert_with(Instant::now);
            bytes += data.len();
            tail = data;
        }
        let whole = Instant::now();
        self.check(bytes, &tail)?;
        Ok(Timing { first: first.unwrap_or(whole), whole })
    }

    fn check(&self, bytes: usize, tail: &[u8]) -> anyhow::Result<()> {
        if self.target.streamed {
            anyhow::ensure!(tail.trim_ascii_end().ends_with(b"[DONE]"), "the stream ended without [DONE]");
        } else {
            anyhow::ensure!(bytes >= ANSWER_BYTES_MIN, "an answer of {bytes} bytes");
        }
        Ok(())
    }

    async fn ready(&mut self) -> anyhow::Result<&mut SendRequest<Full<Bytes>>> {
        let usable = match &mut self.sender {
            Some(sender) => sender.ready().await.is_ok(),
            None => false,
        };
        if !usable {
            self.sender = Some(connect(self.target.address).await?);
        }
        Ok(self.sender.as_mut().expect("set above"))
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let socket = TcpStream::connect(address).await.context("connect")?;
    socket.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
