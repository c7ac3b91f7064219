//! Turns the letters of bodies into capitals, for trying a pipeline out. Text in UTF-8 goes through as it comes, also
//! where a piece ends within a character; what is no UTF-8 stays as it is.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mainstay_core::middleware::{Capabilities, Middleware, Pieces, Request, Step};
use mainstay_core::{Ctx, Result};

use crate::def::Def;

/// The type.
pub const DEF: Def<dyn Middleware> = Def {
    kind: "middleware.http.uppercase",
    aliases: &[],
    versions: &["v1"],
    about: "Turns the letters of request bodies into capitals, for trying a pipeline out.",
    settings: &[],
    check: |_| Vec::new(),
    open: |_| Box::pin(async { Ok(Arc::new(Uppercase) as Arc<dyn Middleware>) }),
};

struct Uppercase;

#[async_trait]
impl Middleware for Uppercase {
    fn capabilities(&self) -> Capabilities {
        Capabilities { body: true }
    }

    async fn request(&self, _: &Ctx, _: &mut Request) -> Result<Step> {
        Ok(Step::Next)
    }

    fn body(&self, body: Pieces) -> Pieces {
        let state = (Some(body), Vec::new());
        let pieces = stream::unfold(state, |(body, mut rest)| async move {
            let mut body = body?;
            let piece: io::Result<Bytes> = match body.next().await {
                Some(Ok(piece)) => {
                    rest.extend_from_slice(&piece);
                    Ok(raised(&mut rest, false))
                }
                Some(error) => return Some((error, (None, rest))),
                None if rest.is_empty() => return None,
                None => return Some((Ok(raised(&mut rest, true)), (None, rest))),
            };
            Some((piece, (Some(body), rest)))
        });
        pieces.boxed()
    }
}

/// Takes the bytes in capitals; those of a character that is not whole yet stay, but at the end.
fn raised(rest: &mut Vec<u8>, last: bool) -> Bytes {
    let mut made = Vec::with_capacity(rest.len());
    let mut kept = 0;
    for chunk in rest.utf8_chunks() {
        made.extend_from_slice(chunk.valid().to_uppercase().as_bytes());
        let end = chunk.valid().len() + chunk.invalid().len();
        // Only what stands at the very end can be the beginning of a character.
        if !last && kept + end == rest.len() && is_begun(chunk.invalid()) {
            let from = kept + chunk.valid().len();
            rest.drain(..from);
            return made.into();
        }
        made.extend_from_slice(chunk.invalid());
        kept += end;
    }
    rest.clear();
    made.into()
}

/// Whether these bytes, none of which makes a character, begin one.
fn is_begun(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn through(pieces: &[&[u8]]) -> Vec<u8> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let out: Vec<_> = Uppercase.body(stream::iter(pieces).boxed()).collect().await;
        out.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect()
    }

    #[tokio::test]
    async fn letters_become_capitals_wherever_a_piece_ends() {
        let text = "grüße, Жизнь ﬁ 1 😀 ß";
        assert_eq!(through(&[text.as_bytes()]).await, text.to_uppercase().as_bytes());
        let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        assert_eq!(through(&bytes).await, text.to_uppercase().as_bytes());
        assert_eq!(through(&[]).await, b"");
    }

    #[tokio::test]
    async fn what_is_no_text_stays_as_it_is() {
        assert_eq!(through(&[b"a\xff\xfeb", b"\xc3"]).await, b"A\xff\xfeB\xc3");
        assert_eq!(through(&[b"\xc3", b"\xff", b"z"]).await, b"\xc3\xffZ");
    }
}
