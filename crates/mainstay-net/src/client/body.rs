//! The body of a request: pieces that are written one after the other, not joined first. A large body with a small cut
//! in it (another model's name) is sent without being copied.

use std::collections::VecDeque;

use bytes::Bytes;

/// A body of known length.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// None is empty.
    pieces: VecDeque<Bytes>,
}

impl Body {
    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.len() as u64).sum()
    }

    pub(super) fn into_pieces(self) -> VecDeque<Bytes> {
        self.pieces
    }
}

impl From<Bytes> for Body {
    fn from(whole: Bytes) -> Self {
        Self::from_iter([whole])
    }
}

impl FromIterator<Bytes> for Body {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        Self { pieces: pieces.into_iter().filter(|piece| !piece.is_empty()).collect() }
    }
}
