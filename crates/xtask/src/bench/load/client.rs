//! One HTTP/1.1 connection that sends the same request again and again and checks each answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Options, Payload, payload, redis};

/// Longest wait for a whole answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where requests go and what they are.
#[derive(Clone, Debug)]
pub(super) struct Target {
    address: SocketAddr,
    method: Method,
    /// One of these after the other, each connection beginning at another place.
    requests: Arc<[(Uri, Bytes)]>,
    headers: HeaderMap,
    keys: Vec<HeaderValue>,
    good: Good,
    /// The key that a bare client of Redis reads instead.
    redis: Option<String>,
}

/// What a good answer is.
#[derive(Clone, Copy, Debug)]
struct Good {
    status: u16,
    bytes_min: usize,
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
    pub(super) fn new(options: &Options, streamed: bool) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(&options.address.to_string())?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let keys = options.key.iter().map(|key| HeaderValue::from_str(&format!("Bearer {key}")));
        let keys = keys.collect::<Result<_, _>>().context("read --key")?;
        let requests = (0..options.keys.max(1)).map(|number| request(options, number, streamed));
        Ok(Self {
            address: options.address,
            method: if options.payload == Payload::Get { Method::GET } else { Method::POST },
            requests: requests.collect::<anyhow::Result<Vec<_>>>()?.into(),
            headers,
            keys,
            good: Good { status: options.status, bytes_min: options.answer_bytes_min, streamed },
            redis: (options.payload == Payload::Redis).then(|| options.path.clone()),
        })
    }

    /// The same, with the key of connection `number`.
    fn of(mut self, number: usize) -> Self {
        if let Some(key) = self.keys.get(number.checked_rem(self.keys.len()).unwrap_or(0)) {
            self.headers.insert(AUTHORIZATION, key.clone());
        }
        self
    }

    /// The request with this number, counted over and over.
    fn request(&self, number: usize) -> Request<Full<Bytes>> {
        let (path, body) = &self.requests[number % self.requests.len()];
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = path.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

fn request(options: &Options, number: u32, streamed: bool) -> anyhow::Result<(Uri, Bytes)> {
    let body = match options.payload {
        Payload::Chat => payload::chat(&options.model, options.body_bytes, streamed),
        Payload::Get | Payload::Redis => Bytes::new(),
        Payload::Save => payload::save(number, options.body_bytes),
        Payload::Event => payload::event(options.body_bytes),
    };
    if options.payload == Payload::Redis {
        return Ok((Uri::default(), body));
    }
    let path = options.path.replace("{n}", &number.to_string());
    Ok((path.parse().context("read --path")?, body))
}

impl Good {
    fn check(self, bytes: usize, tail: &[u8]) -> anyhow::Result<()> {
        if self.streamed {
            anyhow::ensure!(tail.trim_ascii_end().ends_with(b"[DONE]"), "the stream ended without [DONE]");
        } else {
            anyhow::ensure!(bytes >= self.bytes_min, "an answer of {bytes} bytes");
        }
        Ok(())
    }
}

/// A connection; it opens anew when the server has closed it.
#[derive(Debug)]
pub(super) struct Connection {
    target: Target,
    /// The number of the next request.
    next: usize,
    sender: Option<SendRequest<Full<Bytes>>>,
    redis: Option<redis::Client>,
}

impl Connection {
    /// Connection `number` to the target.
    pub(super) fn new(target: Target, number: usize) -> Self {
        // Connections are not to ask for the same key at the same time.
        Self { target: target.of(number), next: number * 37, sender: None, redis: None }
    }

    /// Sends one request and reads the answer to its end. An answer that is not a complete 200 is an error.
    pub(super) async fn ask(&mut self) -> anyhow::Result<Timing> {
        let outcome =
            tokio::time::timeout(ANSWER_TIMEOUT, self.exchange()).await.context("no answer in time");
        let outcome = outcome.and_then(|inner| inner);
        if outcome.is_err() {
            (self.sender, self.redis) = (None, None);
        }
        outcome
    }

    async fn exchange(&mut self) -> anyhow::Result<Timing> {
        if let Some(key) = self.target.redis.clone() {
            return self.read(&key).await;
        }
        let (request, good) = (self.target.request(self.next), self.target.good);
        self.next += 1;
        let sender = self.ready().await?;
        let response = sender.send_request(request).await.context("send")?;
        anyhow::ensure!(response.status() == good.status, "status {}", response.status());
        let (mut first, mut bytes, mut tail) = (None, 0, Bytes::new());
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.context("read the body")?.into_data() else { continue };
            first.get_or_insert_with(Instant::now);
            bytes += data.len();
            tail = data;
        }
        let whole = Instant::now();
        good.check(bytes, &tail)?;
        Ok(Timing { first: first.unwrap_or(whole), whole })
    }

    /// Reads from Redis instead.
    async fn read(&mut self, key: &str) -> anyhow::Result<Timing> {
        let client = match self.redis.take() {
            Some(client) => client,
            None => redis::Client::connect(self.target.address).await?,
        };
        let bytes = self.redis.insert(client).read(key).await?;
        self.target.good.check(bytes, &[])?;
        let whole = Instant::now();
        Ok(Timing { first: whole, whole })
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
