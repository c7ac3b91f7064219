//! Data cut into segments, whatever pieces it comes in. One segment and what comes with it are in memory, never more.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use mainstay_core::{Error, Result, codes};

use super::Pieces;
use super::keys::{FileKey, TAG_BYTES};

/// Bytes of a segment of data.
pub(super) const SEGMENT_BYTES: usize = 64 << 10;

/// Data on its way, of which some is here.
pub(super) struct Source {
    here: BytesMut,
    /// None at its end.
    coming: Option<Pieces>,
}

impl Source {
    pub(super) fn new(here: Bytes, coming: Pieces) -> Self {
        Self { here: BytesMut::from(&here[..]), coming: Some(coming) }
    }

    /// Takes what ends with this many line feeds; all there is where it ends before, or is longer than `most`.
    pub(super) async fn until_lines(&mut self, lines: usize, most: usize) -> Result<Bytes> {
        let (mut looked, mut found) = (0, 0);
        loop {
            while looked < self.here.len().min(most) {
                looked += 1;
                found += usize::from(self.here[looked - 1] == b'\n');
                if found == lines {
                    return Ok(self.here.split_to(looked).freeze());
                }
            }
            if looked >= most || !self.more().await? {
                return Ok(self.here.split_to(looked).freeze());
            }
        }
    }

    /// Takes a segment of this many bytes, fewer at the end, and says whether it is the last.
    async fn segment(&mut self, bytes: usize) -> Result<(Vec<u8>, bool)> {
        // One byte beyond shows that another one follows.
        while self.here.len() <= bytes && self.more().await? {}
        let last = self.here.len() <= bytes;
        Ok((self.here.split_to(bytes.min(self.here.len())).to_vec(), last))
    }

    /// Waits for a piece. `false` at the end.
    async fn more(&mut self) -> Result<bool> {
        let Some(coming) = &mut self.coming else { return Ok(false) };
        match coming.next().await {
            Some(piece) => self.here.extend_from_slice(&piece?),
            None => self.coming = None,
        }
        Ok(self.coming.is_some())
    }
}

/// The segments of data that is to be encrypted. Data without a byte has none.
pub(super) fn encrypted(key: FileKey, source: Source) -> Pieces {
    through(source, SEGMENT_BYTES, move |mut segment, number, last| {
        key.seal(&mut segment, number, last)?;
        Ok(segment)
    })
}

/// The data of segments. Errors: `CIPHERTEXT_INVALID`.
pub(super) fn decrypted(key: FileKey, source: Source) -> Pieces {
    through(source, SEGMENT_BYTES + TAG_BYTES, move |segment, number, last| {
        key.open(segment, number, last).ok_or_else(|| {
            let message = format!("error processing segment {number}: failed to decrypt segment");
            Error::new(&codes::CIPHERTEXT_INVALID, message)
        })
    })
}

/// Each segment through a function, in their order, until the last or an error.
fn through<F>(source: Source, bytes: usize, work: F) -> Pieces
where
    F: FnMut(Vec<u8>, u32, bool) -> Result<Vec<u8>> + Send + 'static,
{
    let state = Some(Segments { source, bytes, number: 0, work });
    let segments = stream::unfold(state, |state| async move {
        let mut segments = state?;
        match segments.next().await {
            Ok(None) => None,
            Ok(Some((segment, true))) => Some((Ok(segment), None)),
            Ok(Some((segment, false))) => Some((Ok(segment), Some(segments))),
            Err(error) => Some((Err(error), None)),
        }
    });
    segments.boxed()
}

struct Segments<F> {
    source: Source,
    bytes: usize,
    number: u32,
    work: F,
}

impl<F: FnMut(Vec<u8>, u32, bool) -> Result<Vec<u8>>> Segments<F> {
    /// The next one, and whether it is the last. `None` for data without a byte.
    async fn next(&mut self) -> Result<Option<(Bytes, bool)>> {
        let (segment, last) = self.source.segment(self.bytes).await?;
        let number = self.number;
        if segment.is_empty() && number == 0 {
            return Ok(None);
        }
        if !last {
            let too_large = || Error::new(&codes::INVALID_FIELD, "input stream is too large");
            self.number = number.checked_add(1).ok_or_else(too_large)?;
        }
        Ok(Some(((self.work)(segment, number, last)?.into(), last)))
    }
}
