//! Stop texts: the answer ends before the first of them, even when it comes in pieces.

use super::overlap;

/// The texts, and what may be the beginning of one.
#[derive(Debug)]
pub(super) struct Stops {
    texts: Vec<String>,
    held: String,
    stopped: bool,
}

impl Stops {
    /// Ends at any of `texts`; empty ones are ignored.
    pub(super) fn new(texts: &[String]) -> Self {
        let texts = texts.iter().filter(|text| !text.is_empty()).cloned().collect();
        Self { texts, held: String::new(), stopped: false }
    }

    /// Takes more text and returns what is certainly part of the answer, and whether the answer is over.
    pub(super) fn push(&mut self, text: &str) -> (String, bool) {
        if self.stopped {
            return (String::new(), true);
        }
        self.held.push_str(text);
        if let Some(at) = self.texts.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.stopped = true;
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let keep = self.texts.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back for a stop text that did not come.
    pub(super) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}
