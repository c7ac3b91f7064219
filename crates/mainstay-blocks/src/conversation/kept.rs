//! Answers that are kept for requests that are the same.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::model::{Completion, ModelRequest};

/// Answers that are kept at once.
const ANSWERS_MAX: usize = 1_000;

/// The two hashes of a request: with keys of this process, so that no two requests are taken for one by design.
pub(super) type Key = (u64, u64);

/// The key of a request.
pub(super) fn key(request: &ModelRequest) -> Key {
    static HASHERS: LazyLock<(RandomState, RandomState)> = LazyLock::new(Default::default);
    let text = format!("{request:?}");
    (HASHERS.0.hash_one(&text), HASHERS.1.hash_one(&text))
}

/// Answers by their request.
#[derive(Debug)]
pub(super) struct Kept {
    time_ms: u64,
    answers: Mutex<BTreeMap<Key, (u64, Completion)>>,
}

impl Kept {
    pub(super) fn new(time: Duration) -> Self {
        Self { time_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX), answers: Mutex::default() }
    }

    pub(super) fn find(&self, key: Key, now_ms: u64) -> Option<Completion> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(&key).filter(|(end, _)| *end > now_ms).map(|(_, answer)| answer.clone())
    }

    pub(super) fn keep(&self, key: Key, answer: Completion, now_ms: u64) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_MAX {
            answers.retain(|_, (end, _)| *end > now_ms);
        }
        if answers.len() >= ANSWERS_MAX {
            let oldest = answers.iter().min_by_key(|(_, (end, _))| *end).map(|(key, _)| *key);
            oldest.and_then(|key| answers.remove(&key));
        }
        answers.insert(key, (now_ms.saturating_add(self.time_ms), answer));
    }
}
