//! A plain HTTP client for tests: a connection a request, nothing retried, nothing followed.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::{EventStream, PATIENCE};

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    key: Option<String>,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let shown = || String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("no JSON ({error}): {}", shown()))
    }

    /// The first value of a header, as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Client {
    /// A client of the server at `address`.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, key: None }
    }

    /// The same client with an API key.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// `GET path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path, Bytes::new())).await
    }

    /// `DELETE path`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path, Bytes::new())).await
    }

    /// `POST path` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path, Bytes::from(body.to_string()))).await
    }

    /// `POST path`, answered by a stream of events.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub async fn stream(&self, path: &str, body: &Value) -> EventStream {
        self.open(self.request(Method::POST, path, Bytes::from(body.to_string()))).await
    }

    /// `GET path` of an event stream, continued after event `last_event_id` where one is given.
    ///
    /// # Panics
    /// When the answer is not 200.
    pub async fn resume(&self, path: &str, last_event_id: Option<&str>) -> EventStream {
        let mut request = self.request(Method::GET, path, Bytes::new());
        if let Some(id) = last_event_id {
            request.headers_mut().insert("last-event-id", id.parse().expect("an id is a header value"));
        }
        self.open(request).await
    }

    /// A request as this client sends them: `host`, `content-type: application/json` and the key are set.
    ///
    /// # Panics
    /// When `path` is none.
    #[must_use]
    pub fn request(&self, method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.address.to_string());
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        request.body(Full::new(body)).expect("a test's request is well formed")
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Panics
    /// When no whole answer comes within [`PATIENCE`].
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.exchange(request).await;
        let (head, body) = response.into_parts();
        let body = tokio::time::timeout(PATIENCE, body.collect()).await.expect("the body ends in time");
        let body = body.expect("the body is whole").to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    async fn open(&self, request: Request<Full<Bytes>>) -> EventStream {
        let response = self.exchange(request).await;
        assert_eq!(response.status(), 200, "the stream was refused");
        let (head, body) = response.into_parts();
        EventStream::new(head.headers, body)
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let exchange = async {
            let socket = TcpStream::connect(self.address).await.expect("the server accepts");
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
                .await
                .expect("a fresh connection works");
            tokio::spawn(connection);
            sender.send_request(request).await.expect("the server answers")
        };
        tokio::time::timeout(PATIENCE, exchange).await.expect("the server answers in time")
    }
}
