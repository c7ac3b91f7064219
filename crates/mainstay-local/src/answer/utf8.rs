//! Bytes to text across token borders: a character is shown when its last byte is there.

/// The bytes of a character that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    pending: Vec<u8>,
}

impl Utf8 {
    /// Takes bytes and returns the characters that are complete. Bytes that can never become one turn into U+FFFD.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut text = String::new();
        let mut used = 0;
        for chunk in self.pending.utf8_chunks() {
            text.push_str(chunk.valid());
            used += chunk.valid().len();
            let at_end = used + chunk.invalid().len() == self.pending.len();
            let unfinished = at_end && may_continue(chunk.invalid());
            if !(chunk.invalid().is_empty() || unfinished) {
                text.push(char::REPLACEMENT_CHARACTER);
                used += chunk.invalid().len();
            }
        }
        self.pending.drain(..used);
        text
    }

    /// What an unfinished character becomes when nothing follows.
    pub(super) fn finish(&mut self) -> String {
        let rest = String::from_utf8_lossy(&self.pending).into_owned();
        self.pending.clear();
        rest
    }
}

/// Whether the bytes are the beginning of a character rather than a mistake.
fn may_continue(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|e| e.error_len().is_none())
}
