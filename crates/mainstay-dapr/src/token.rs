//! The token that callers show.

use mainstay_core::Redacted;
use sha2::{Digest as _, Sha256};

/// What callers must show. Its hash is kept: comparing hashes says nothing about how much of a guess was right.
#[derive(Clone, Debug, Default)]
pub struct Token(Option<[u8; 32]>);

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// No token was shown.
    Missing,
    /// Another one.
    Wrong,
}

impl Token {
    /// The header, and the metadata, in which it is shown.
    pub const HEADER: &str = "dapr-api-token";

    /// What must be shown; nothing where there is none, or an empty one.
    #[must_use]
    pub fn new(token: Option<&Redacted<String>>) -> Self {
        let token = token.filter(|token| !token.expose().is_empty());
        Self(token.map(|token| Sha256::digest(token.expose().as_bytes()).into()))
    }

    /// Lets a caller in who shows this.
    pub fn admit(&self, shown: Option<&[u8]>) -> Result<(), Denied> {
        let Some(wanted) = &self.0 else { return Ok(()) };
        let shown = shown.ok_or(Denied::Missing)?;
        if Sha256::digest(shown).as_slice() == wanted { Ok(()) } else { Err(Denied::Wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_shows_the_token_is_let_in() {
        let token = Token::new(Some(&Redacted::new("secret".to_owned())));
        assert_eq!(token.admit(Some(b"secret")), Ok(()));
        assert_eq!(token.admit(Some(b"secre")), Err(Denied::Wrong));
        assert_eq!(token.admit(None), Err(Denied::Missing));
        for open in [Token::new(None), Token::new(Some(&Redacted::new(String::new())))] {
            assert_eq!((open.admit(None), open.admit(Some(b"x"))), (Ok(()), Ok(())));
        }
    }
}
