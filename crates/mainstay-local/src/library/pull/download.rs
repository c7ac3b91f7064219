//! One file over HTTP, taken up where an earlier attempt was cut. What the file must be is the caller's to check.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use mainstay_core::{Error, Result};
use reqwest::{Client, Response, StatusCode, Url, header};
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::{Progress, failed, publish};

/// The pause before a broken download is taken up again; it grows with each attempt in vain.
const PAUSE: Duration = Duration::from_millis(300);

/// A file to fetch.
pub(super) struct Fetch<'a> {
    pub(super) client: &'a Client,
    pub(super) url: Url,
    /// Where it is received.
    pub(super) part: &'a Path,
    /// More bytes than this are refused.
    pub(super) bytes_max: u64,
    /// Whether the digest is known, so that a part may be continued without the server's word that the file has not
    /// changed.
    pub(super) pinned: bool,
}

/// Why an attempt ended early.
enum Cut {
    /// Trying again can help.
    Broken(Error),
    /// It cannot.
    Refused(Error),
}

impl Fetch<'_> {
    /// Fetches the file, again after a cut as long as that gets further, and `attempts_max` times when it does not.
    pub(super) async fn run(
        &self,
        attempts_max: u32,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<()> {
        let mut in_vain = 0;
        loop {
            let before = self.received().await;
            let cut = match self.attempt(before, progress).await {
                Ok(()) => return Ok(()),
                Err(Cut::Refused(failure)) => return Err(failure),
                Err(Cut::Broken(failure)) => failure,
            };
            in_vain = if self.received().await > before { 0 } else { in_vain + 1 };
            if in_vain >= attempts_max {
                return Err(cut);
            }
            tokio::time::sleep(PAUSE * (in_vain + 1)).await;
        }
    }

    async fn received(&self) -> u64 {
        tokio::fs::metadata(self.part).await.map_or(0, |metadata| metadata.len())
    }

    async fn attempt(&self, have: u64, progress: &mut (dyn FnMut(Progress) + Send)) -> Result<(), Cut> {
        let version = tokio::fs::read_to_string(publish::validator(self.part)).await.ok();
        let mut request = self.client.get(self.url.clone()).header(header::ACCEPT_ENCODING, "identity");
        if have > 0 && (self.pinned || version.is_some()) {
            request = request.header(header::RANGE, format!("bytes={have}-"));
            if let Some(version) = version.filter(|_| !self.pinned) {
                request = request.header(header::IF_RANGE, version);
            }
        }
        let response = request.send().await.map_err(|e| self.unreachable(e))?;
        let start = match response.status() {
            StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => have,
            StatusCode::OK => 0,
            StatusCode::RANGE_NOT_SATISFIABLE if range_total(&response) == Some(have) => return Ok(()),
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
                publish::discard(self.part);
                return Err(Cut::Broken(self.answered("another part of the file than the one asked for")));
            }
            status if status.is_server_error() => {
                return Err(Cut::Broken(self.answered(&status.to_string())));
            }
            status => return Err(Cut::Refused(self.answered(&status.to_string()))),
        };
        self.note_version(&response).await;
        self.receive(response, start, progress).await
    }

    async fn receive(
        &self,
        response: Response,
        start: u64,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(), Cut> {
        let bytes_total = response.content_length().map(|length| start + length);
        if bytes_total.is_some_and(|total| total > self.bytes_max) {
            return Err(Cut::Refused(self.answered("a file that is larger than it may be")));
        }
        let mut file = self.open(start).await.map_err(|e| Cut::Refused(unwritable(e)))?;
        let (mut bytes, mut body) = (start, response.bytes_stream());
        progress(Progress::Downloading { bytes, bytes_total });
        let outcome = loop {
            let Some(piece) = body.next().await else { break Ok(()) };
            let piece = match piece {
                Ok(piece) => piece,
                Err(e) => break Err(self.unreachable(e)),
            };
            bytes += piece.len() as u64;
            if bytes > self.bytes_max {
                break Err(Cut::Refused(self.answered("a file that is larger than it may be")));
            }
            if let Err(e) = file.write_all(&piece).await {
                break Err(Cut::Refused(unwritable(e)));
            }
            progress(Progress::Downloading { bytes, bytes_total });
        };
        // What came before a cut is worth keeping: the file buffers its writes.
        file.flush().await.map_err(|e| Cut::Refused(unwritable(e)))?;
        outcome?;
        match bytes_total {
            Some(total) if total != bytes => Err(Cut::Broken(self.answered("only a part of the file"))),
            _ => Ok(()),
        }
    }

    async fn open(&self, start: u64) -> std::io::Result<File> {
        match start {
            0 => File::create(self.part).await,
            _ => OpenOptions::new().append(true).open(self.part).await,
        }
    }

    /// Keeps the mark by which a later attempt can ask for the rest of this very version.
    async fn note_version(&self, response: &Response) {
        let headers = response.headers();
        let etag = headers.get(header::ETAG).filter(|etag| !etag.as_bytes().starts_with(b"W/"));
        let version = etag.or_else(|| headers.get(header::LAST_MODIFIED)).and_then(|v| v.to_str().ok());
        let path = publish::validator(self.part);
        let _ = match version {
            Some(version) => tokio::fs::write(path, version).await,
            None => tokio::fs::remove_file(path).await,
        };
    }

    fn host(&self) -> &str {
        self.url.host_str().unwrap_or("?")
    }

    fn unreachable(&self, e: reqwest::Error) -> Cut {
        let message = format!("download the model from `{}`: {}", self.host(), in_words(&e));
        let help = "check the network and the proxy variables; pulling again continues where this stopped";
        Cut::Broken(failed(message).with_help(help).with_source(e.without_url()))
    }

    fn answered(&self, what: &str) -> Error {
        failed(format!("download the model: `{}` answered {what}", self.host()))
    }
}

/// A body as text, refused beyond a bound.
pub(super) async fn read_bounded(response: Response, bytes_max: usize) -> Result<String, String> {
    let mut text = Vec::new();
    let mut body = response.bytes_stream();
    while let Some(piece) = body.next().await {
        text.extend_from_slice(&piece.map_err(|e| in_words(&e))?);
        if text.len() > bytes_max {
            return Err("its page is too large".to_owned());
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The innermost cause, which is the one that says what to do; without the address, which may hold a password.
pub(super) fn in_words(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match std::ptr::addr_eq(cause, error) {
        true => "the connection failed".to_owned(),
        false => cause.to_string(),
    }
}

fn unwritable(e: std::io::Error) -> Error {
    let what = match e.kind() {
        std::io::ErrorKind::StorageFull => "keep the model: the disk is full",
        _ => "keep the model: its folder cannot be written",
    };
    failed(what).with_source(e)
}

/// Where a partial answer begins (`content-range: bytes START-END/TOTAL`).
fn range_start(response: &Response) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

/// How large the whole is, of an answer that refuses a range.
fn range_total(response: &Response) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes */")?.parse().ok()
}
