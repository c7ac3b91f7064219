//! Heads of HTTP/1.1 messages (RFC 9112): the request's as bytes, the answer's from bytes.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};

use super::Body;
use super::body::More;
use super::framing::Framing;

/// Bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Headers of an answer.
const HEADERS_MAX: usize = 128;

/// A request as it is written: its head, then the pieces of its body.
pub(super) struct Outgoing {
    pub(super) pieces: VecDeque<Bytes>,
    /// What of the body comes while it is sent.
    pub(super) more: Option<More>,
    /// Whether its answer has a head alone.
    pub(super) is_head: bool,
}

impl Outgoing {
    /// Writes the head. The headers of the connection and of the body's length are ours.
    pub(super) fn new(request: Request<Body>, host: &str) -> Self {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let headers = &parts.headers;
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        let mut head = BytesMut::with_capacity(size + path.len() + host.len() + 96);
        for part in [parts.method.as_str(), " ", path, " HTTP/1.1\r\n"] {
            head.put_slice(part.as_bytes());
        }
        if !headers.contains_key(HOST) {
            put(&mut head, HOST.as_str(), host.as_bytes());
        }
        for (name, value) in headers {
            if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING && *name != CONNECTION {
                put(&mut head, name.as_str(), value.as_bytes());
            }
        }
        // A method that usually has content says so when it has none (RFC 9110, section 8.6).
        let has_content = matches!(parts.method, Method::POST | Method::PUT | Method::PATCH);
        match body.length() {
            Some(0) if !has_content => {}
            Some(length) => put(&mut head, CONTENT_LENGTH.as_str(), length.to_string().as_bytes()),
            None => put(&mut head, TRANSFER_ENCODING.as_str(), b"chunked"),
        }
        head.put_slice(b"\r\n");
        let (mut pieces, more) = body.into_parts();
        pieces.push_front(head.freeze());
        Self { pieces, more, is_head: parts.method == Method::HEAD }
    }
}

fn put(head: &mut BytesMut, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.put_slice(part);
    }
}

/// The head of an answer.
pub(super) struct Incoming {
    pub(super) head: Response<()>,
    pub(super) framing: Framing,
    /// Whether the connection takes another request after this answer.
    pub(super) keep: bool,
}

/// Takes the head of an answer from what has come; `None` when more has to come first. Interim answers are passed
/// over. Errors: it is not HTTP/1, too large, or its length cannot be told.
pub(super) fn take(bytes: &mut BytesMut, to_head: bool) -> io::Result<Option<Incoming>> {
    loop {
        let mut fields = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut []);
        let read = httparse::ParserConfig::default()
            .parse_response_with_uninit_headers(&mut parsed, bytes, &mut fields)
            .map_err(|fault| bad(fault.to_string()))?;
        let length = match read {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial if bytes.len() > HEAD_BYTES_MAX => {
                return Err(bad(format!("its head is larger than {HEAD_BYTES_MAX} bytes")));
            }
            httparse::Status::Partial => return Ok(None),
        };
        let status = StatusCode::from_u16(parsed.code.unwrap_or_default())
            .map_err(|_| bad("it has no status".to_owned()))?;
        let version = if parsed.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
        // Where each value stands: it is kept without a copy when the head is cut off.
        let mut values = Vec::with_capacity(parsed.headers.len());
        for field in parsed.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let start = field.value.as_ptr() as usize - bytes.as_ptr() as usize;
            values.push((name.map_err(|fault| bad(fault.to_string()))?, start..start + field.value.len()));
        }
        let cut = bytes.split_to(length).freeze();
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(bad("it changes the protocol, which nobody asked for".to_owned()));
        }
        if status.is_informational() {
            continue;
        }
        let mut headers = HeaderMap::with_capacity(values.len());
        for (name, place) in values {
            let value = HeaderValue::from_maybe_shared(cut.slice(place));
            headers.append(name, value.map_err(|fault| bad(fault.to_string()))?);
        }
        return finish(status, version, headers, to_head).map(Some);
    }
}

fn finish(status: StatusCode, version: Version, headers: HeaderMap, to_head: bool) -> io::Result<Incoming> {
    let no_body = to_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let framing = if no_body { Framing::Over } else { framing(&headers, version)? };
    let closes = tokens(&headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("close"));
    let both = headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH);
    let keep = version == Version::HTTP_11 && !closes && !both && !matches!(framing, Framing::UntilClose);
    let mut head = Response::new(());
    (*head.status_mut(), *head.version_mut(), *head.headers_mut()) = (status, version, headers);
    Ok(Incoming { head, framing, keep })
}

/// How long the body is (RFC 9112, section 6.3).
fn framing(headers: &HeaderMap, version: Version) -> io::Result<Framing> {
    if headers.contains_key(TRANSFER_ENCODING) {
        let mut codings = tokens(headers, &TRANSFER_ENCODING);
        let is_chunked = codings.next().is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"));
        if !is_chunked || codings.next().is_some() || version != Version::HTTP_11 {
            return Err(bad("its transfer coding is not `chunked`".to_owned()));
        }
        return Ok(Framing::chunked());
    }
    let mut length = None;
    for text in tokens(headers, &CONTENT_LENGTH) {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let this = text.parse::<u64>().ok().filter(|_| digits);
        // Lengths that differ are how one answer is smuggled into another.
        if this.is_none() || length.is_some_and(|before| Some(before) != this) {
            return Err(bad("its length is no number".to_owned()));
        }
        length = this;
    }
    Ok(length.map_or(Framing::UntilClose, Framing::of_length))
}

/// The members of a header that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    values.flat_map(|value| value.to_str().unwrap_or("?").split(',').map(str::trim))
}

fn bad(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer is not sound HTTP: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(wire: &str, to_head: bool) -> io::Result<Option<(Incoming, BytesMut)>> {
        let mut bytes = BytesMut::from(wire);
        Ok(take(&mut bytes, to_head)?.map(|answer| (answer, bytes)))
    }

    /// What follows the head, how the body ends, and whether the connection is kept.
    fn check(wire: &str, to_head: bool, status: u16, framing: &str, keep: bool) {
        for part in 0..wire.rfind("\r\n\r\n").unwrap() {
            assert!(read(&wire[..part], to_head).unwrap().is_none(), "{wire:?} after {part} bytes");
        }
        let (answer, rest) = read(&format!("{wire}rest"), to_head).unwrap().unwrap();
        let found = match answer.framing {
            Framing::Length(length) => length.to_string(),
            Framing::Chunked(_) => "chunked".to_owned(),
            Framing::UntilClose => "close".to_owned(),
            Framing::Over => "over".to_owned(),
        };
        assert_eq!(
            (answer.head.status().as_u16(), found.as_str(), answer.keep),
            (status, framing, keep),
            "{wire:?}"
        );
        assert_eq!(rest, "rest");
    }

    fn check_refused(head: &str, about: &str) {
        let error = read(&format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"), false).err().expect("it is refused");
        assert!(error.to_string().contains(about), "{head:?}: {error}");
    }

    #[test]
    fn the_head_tells_where_the_body_ends() {
        check("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", false, 200, "5", true);
        check("HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\n", false, 200, "5", true);
        check("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false, 200, "over", true);
        check("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", false, 200, "chunked", true);
        check("HTTP/1.1 200 OK\r\n\r\n", false, 200, "close", false);
        check("HTTP/1.1 204 No Content\r\n\r\n", false, 204, "over", true);
        check("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", false, 304, "over", true);
        check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true, 200, "over", true);
    }

    #[test]
    fn the_head_tells_whether_the_connection_is_kept() {
        let length = "content-length: 1\r\n\r\n";
        check(&format!("HTTP/1.1 200 OK\r\nconnection: x, Close\r\n{length}"), false, 200, "1", false);
        check(&format!("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\n{length}"), false, 200, "1", false);
        // Whoever sends both may have been tricked into it by the sender before it.
        check(
            &format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n{length}"),
            false,
            200,
            "chunked",
            false,
        );
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let wire = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\nx: z\r\ncontent-length: 1\r\n\r\n";
        let (answer, _) = read(wire, false).unwrap().unwrap();
        let values: Vec<_> = answer.head.headers().get_all("x").iter().collect();
        assert_eq!(values, ["y", "z"]);
        assert!(!answer.head.headers().contains_key("link"));
        assert!(read("HTTP/1.1 101 Switching Protocols\r\n\r\n", false).is_err());
    }

    #[test]
    fn a_head_that_could_be_read_in_two_ways_is_refused() {
        check_refused("content-length: 5\r\ncontent-length: 6", "length");
        check_refused("content-length: 5, 6", "length");
        check_refused("content-length: +5", "length");
        check_refused("content-length:", "length");
        check_refused("content-length: 99999999999999999999", "length");
        check_refused("transfer-encoding: gzip, chunked", "coding");
        check_refused("transfer-encoding: identity", "coding");
        check_refused("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "coding");
        check_refused("x : y", "header name");
        check_refused("x: a\r\n b", "header");
        let many = "x: y\r\n".repeat(HEADERS_MAX + 1);
        check_refused(many.trim_end(), "header");
        assert!(read("SMTP ready\r\n\r\n", false).is_err());
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX));
        assert!(read(&endless, false).err().unwrap().to_string().contains("larger"));
    }

    #[test]
    fn a_request_states_its_host_and_its_length_once() {
        let request = Request::post("http://me@a.example:81/p?q=1")
            .header("content-length", "99")
            .header("connection", "upgrade")
            .header("transfer-encoding", "chunked")
            .header("x", "1")
            .header("x", "2")
            .body(Body::from(Bytes::from_static(b"abc")))
            .unwrap();
        let outgoing = Outgoing::new(request, "a.example:81");
        let wire: Vec<u8> = outgoing.pieces.iter().flatten().copied().collect();
        let wanted =
            "POST /p?q=1 HTTP/1.1\r\nhost: a.example:81\r\nx: 1\r\nx: 2\r\ncontent-length: 3\r\n\r\nabc";
        assert_eq!(String::from_utf8(wire).unwrap(), wanted);
        let bare = |method: Method| {
            let request = Request::builder().method(method).uri("http://a").body(Body::default()).unwrap();
            String::from_utf8(Outgoing::new(request, "a").pieces[0].to_vec()).unwrap()
        };
        assert_eq!(bare(Method::GET), "GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(bare(Method::PUT), "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    }
}
