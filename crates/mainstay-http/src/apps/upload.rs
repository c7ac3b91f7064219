//! The body of a request as it is passed on: piece by piece, within the bounds that every body has.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, header};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use mainstay_core::middleware::Pieces;
use mainstay_core::{Error, Result, codes};

use crate::body::{RequestBody, discard, late, too_large};

/// Bounds of a body.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes_max: u64,
    pub(super) time_max: Duration,
}

/// Why a body broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    TooLarge { bytes_max: u64 },
    Late { time_max: Duration },
    Broken,
}

impl Cut {
    /// The error for the caller.
    pub(super) fn again(self) -> Error {
        match self {
            Self::TooLarge { bytes_max } => too_large(bytes_max),
            Self::Late { time_max } => late(time_max),
            Self::Broken => {
                Error::new(&codes::INVALID_REQUEST, "read the body: it ended before its declared length")
            }
        }
    }
}

/// A body to pass on, its length where that is known, and why it broke off, once it has. Errors: `BODY_TOO_LARGE` where
/// the headers tell.
pub(super) async fn of(
    body: RequestBody,
    headers: &HeaderMap,
    bounds: Bounds,
) -> Result<(Pieces, Option<u64>, Arc<OnceLock<Cut>>)> {
    let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    if length.is_some_and(|length| length > bounds.bytes_max) {
        discard(body, headers).await;
        return Err(too_large(bounds.bytes_max));
    }
    let cut = Arc::new(OnceLock::new());
    let waits = headers.contains_key(header::EXPECT);
    let upload = Upload {
        body,
        bounds,
        until: Instant::now() + bounds.time_max,
        seen: 0,
        cut: Arc::clone(&cut),
        waits,
    };
    Ok((upload.pieces(), length, cut))
}

/// A body on its way.
struct Upload {
    body: RequestBody,
    bounds: Bounds,
    until: Instant,
    seen: u64,
    cut: Arc<OnceLock<Cut>>,
    /// Whether the caller waits for a sign to send.
    waits: bool,
}

impl Upload {
    fn pieces(self) -> Pieces {
        let step = |upload: Option<Self>| async move {
            let mut upload = upload?;
            match upload.next().await {
                Ok(piece) => piece.map(|piece| (Ok(piece), Some(upload))),
                Err(cut) => {
                    let _ = upload.cut.set(cut);
                    if matches!(cut, Cut::TooLarge { .. }) && !upload.waits {
                        // So that the refusal reaches a caller who is still sending.
                        discard(upload.body, &HeaderMap::new()).await;
                    }
                    Some((Err(io::Error::other("the caller's body broke off")), None))
                }
            }
        };
        stream::unfold(Some(self), step).boxed()
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Cut> {
        loop {
            let Bounds { bytes_max, time_max } = self.bounds;
            let frame = tokio::time::timeout_at(self.until.into(), self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| Cut::Late { time_max })? else { return Ok(None) };
            // Trailers stay behind, as an intermediary may leave them (RFC 9110, section 6.5.1).
            let Ok(piece) = frame.map_err(|_| Cut::Broken)?.into_data() else { continue };
            self.seen += piece.len() as u64;
            if self.seen > bytes_max {
                return Err(Cut::TooLarge { bytes_max });
            }
            return Ok(Some(piece));
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};

    use super::*;

    const BOUNDS: Bounds = Bounds { bytes_max: 8, time_max: Duration::from_secs(30) };

    fn chunked(pieces: &[&'static str]) -> RequestBody {
        let frames =
            pieces.iter().map(|piece| Ok(http_body::Frame::data(Bytes::from_static(piece.as_bytes()))));
        RequestBody::Other(StreamBody::new(stream::iter(frames.collect::<Vec<_>>())).boxed_unsync())
    }

    async fn passed(body: RequestBody) -> (Vec<Result<Bytes, ()>>, Option<Cut>) {
        let (pieces, _, cut) = of(body, &HeaderMap::new(), BOUNDS).await.unwrap();
        let pieces = pieces.map(|piece| piece.map_err(drop)).collect().await;
        (pieces, cut.get().copied())
    }

    #[tokio::test]
    async fn pieces_go_on_as_they_come() {
        let (pieces, cut) = passed(chunked(&["one", "two"])).await;
        assert_eq!(pieces, [Ok("one".into()), Ok("two".into())]);
        assert_eq!(cut, None);
    }

    #[tokio::test]
    async fn a_body_that_grows_too_large_breaks_off() {
        let (pieces, cut) = passed(chunked(&["12345678", "9"])).await;
        assert_eq!(pieces, [Ok("12345678".into()), Err(())]);
        assert_eq!(cut, Some(Cut::TooLarge { bytes_max: 8 }));
    }

    #[tokio::test]
    async fn a_body_that_says_it_is_too_large_is_not_begun() {
        let body = Full::new(Bytes::from_static(b"123456789")).map_err(|never| match never {}).boxed_unsync();
        let error = of(RequestBody::Other(body), &HeaderMap::new(), BOUNDS).await.err().unwrap();
        assert_eq!(error.code(), &codes::BODY_TOO_LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_breaks_off() {
        let body = StreamBody::new(stream::pending::<Result<http_body::Frame<Bytes>, crate::BoxError>>());
        let (pieces, cut) = passed(RequestBody::Other(body.boxed_unsync())).await;
        assert_eq!(pieces, [Err(())]);
        assert_eq!(cut, Some(Cut::Late { time_max: BOUNDS.time_max }));
    }
}
