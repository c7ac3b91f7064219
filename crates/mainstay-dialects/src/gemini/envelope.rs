//! The outside of a generate request: it has no model and no stream flag, and its answers always report usage.

use mainstay_core::Result;

use crate::scan::members;
use crate::{Envelope, origin};

/// Reads a request for passing it through; see [`crate::Codec::envelope`].
pub fn envelope(body: &[u8]) -> Result<Envelope<'_>> {
    members(body, |_, _| Ok(()))?;
    Ok(Envelope { is_mixed: origin::is_mixed_base64(body), ..Envelope::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_checked_and_nothing_is_asked_of_it() {
        let found = envelope(br#"{"contents":[{"parts":[{"text":"hi"}]}]}"#).unwrap();
        assert_eq!(found, Envelope::default());
        assert_eq!(envelope(br#"{"contents":[}"#).unwrap_err().code().id, "INVALID_JSON");
    }
}
