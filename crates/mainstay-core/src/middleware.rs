//! The port of what requests pass through on their way: it looks at a request, changes it, or answers in its place.

use std::io;
use std::net::IpAddr;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{BoxStream, Ctx, Result};

/// What a handler does. The conformance suite holds both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Whether [`Middleware::body`] changes bodies.
    pub body: bool,
}

/// A body as it comes. An error in it is the end of it, and of the request.
pub type Pieces = BoxStream<io::Result<Bytes>>;

/// A request without its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Its method, upper case.
    pub method: String,
    /// Its path, encoded as it came, beginning with `/`.
    pub path: String,
    /// What stands behind `?`.
    pub query: Option<String>,
    /// Who sent it, where that is known.
    pub peer: Option<IpAddr>,
    headers: Vec<(String, Bytes)>,
    set: Vec<(String, String)>,
}

impl Request {
    /// A request with these headers, their names in lower case.
    #[must_use]
    pub fn new(method: &str, path: &str, query: Option<&str>, headers: Vec<(String, Bytes)>) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { method, path, query: query.map(str::to_owned), headers, ..Self::default() }
    }

    /// The first header of this name, in lower case, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        if let Some((_, value)) = self.set.iter().find(|(set, _)| set == name) {
            return Some(value);
        }
        let (_, value) = self.headers.iter().find(|(given, _)| given == name)?;
        std::str::from_utf8(value).ok()
    }

    /// How often a header of this name, in lower case, is given.
    #[must_use]
    pub fn count(&self, name: &str) -> usize {
        self.headers.iter().filter(|(given, _)| given == name).count()
    }

    /// Sets a header in place of all of its name.
    pub fn set_header(&mut self, name: &str, value: &str) {
        let name = name.to_ascii_lowercase();
        self.headers.retain(|(given, _)| *given != name);
        self.set.retain(|(set, _)| *set != name);
        self.set.push((name, value.to_owned()));
    }

    /// The headers that were set.
    #[must_use]
    pub fn set_headers(&self) -> &[(String, String)] {
        &self.set
    }
}

/// An answer in place of the one that the request was for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It goes on.
    Next,
    /// It is answered so and goes no further.
    Answer(Answer),
}

/// The port of a handler. Requests pass it side by side, each once.
///
/// What a handler refuses it answers; an error is a failure of its own, and the request goes no further either. Dropped
/// futures leave nothing behind that lasts.
#[async_trait]
pub trait Middleware: Send + Sync {
    /// What it does. Constant for its lifetime.
    fn capabilities(&self) -> Capabilities;

    /// Looks at a request before its body. It may change the path, the query and headers, never the method. Errors:
    /// `COMPONENT_UNAVAILABLE` where it depends on a server that does not answer.
    async fn request(&self, ctx: &Ctx, request: &mut Request) -> Result<Step>;

    /// The body in place of the one that comes; the same where the capability says so. Pieces go on as they come, and
    /// an error in the body comes out as it is.
    fn body(&self, body: Pieces) -> Pieces {
        body
    }
}
