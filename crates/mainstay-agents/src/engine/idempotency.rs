//! Idempotency keys: a second start with the same key, agent and principal is the same run. Kept in memory for the
//! latest starts only: a key is forgotten after [`KEYS_MAX`] later ones, and by a restart.

use std::collections::{HashMap, VecDeque};

use mainstay_core::{Name, Result, RunId};
use parking_lot::Mutex;

/// Keys remembered.
const KEYS_MAX: usize = 10_000;

/// What a key is unique within, and the key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    pub(crate) principal: String,
    pub(crate) agent: Name,
    pub(crate) key: String,
}

/// The runs that were started under a key, latest last.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Keys>);

#[derive(Debug, Default)]
struct Keys {
    runs: HashMap<Slot, RunId>,
    order: VecDeque<Slot>,
}

/// What a start under a key comes to.
pub(crate) enum Claim<T> {
    /// The key was free; this was started.
    First(T),
    /// This run was started under the key.
    Known(RunId),
}

impl Known {
    /// Starts under the key, unless a run was. `start` gives the new run's id and must not wait.
    pub(crate) fn claim<T>(
        &self,
        slot: &Slot,
        start: impl FnOnce() -> Result<(RunId, T)>,
    ) -> Result<Claim<T>> {
        let mut keys = self.0.lock();
        if let Some(run) = keys.runs.get(slot) {
            return Ok(Claim::Known(run.clone()));
        }
        let (run, started) = start()?;
        keys.runs.insert(slot.clone(), run);
        keys.order.push_back(slot.clone());
        if keys.order.len() > KEYS_MAX
            && let Some(oldest) = keys.order.pop_front()
        {
            keys.runs.remove(&oldest);
        }
        Ok(Claim::First(started))
    }

    /// Frees the key if it is this run's: the run was refused, or is no longer on record.
    pub(crate) fn forget(&self, slot: &Slot, run: &RunId) {
        let mut keys = self.0.lock();
        if keys.runs.get(slot) == Some(run) {
            keys.runs.remove(slot);
            keys.order.retain(|known| known != slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(principal: &str, key: &str) -> Slot {
        Slot { principal: principal.into(), agent: Name::parse("a").unwrap(), key: key.into() }
    }

    fn claim(known: &Known, slot: &Slot) -> Option<RunId> {
        match known.claim(slot, || Ok((RunId::generate(), ()))).unwrap() {
            Claim::First(()) => None,
            Claim::Known(run) => Some(run),
        }
    }

    #[test]
    fn a_key_is_one_principals() {
        let known = Known::default();
        assert_eq!(claim(&known, &slot("p", "k")), None);
        assert!(claim(&known, &slot("p", "k")).is_some());
        assert_eq!(claim(&known, &slot("q", "k")), None);
    }

    #[test]
    fn the_oldest_key_is_forgotten_first() {
        let known = Known::default();
        for n in 0..=KEYS_MAX {
            assert_eq!(claim(&known, &slot("p", &n.to_string())), None);
        }
        assert!(claim(&known, &slot("p", &KEYS_MAX.to_string())).is_some());
        assert_eq!(claim(&known, &slot("p", "0")), None);
        let keys = known.0.lock();
        assert_eq!((keys.runs.len(), keys.order.len()), (KEYS_MAX, KEYS_MAX));
    }

    #[test]
    fn a_refused_run_frees_its_key_and_no_other() {
        let known = Known::default();
        assert_eq!(claim(&known, &slot("p", "k")), None);
        let run = claim(&known, &slot("p", "k")).unwrap();
        known.forget(&slot("p", "k"), &RunId::generate());
        assert!(claim(&known, &slot("p", "k")).is_some());
        known.forget(&slot("p", "k"), &run);
        assert_eq!(claim(&known, &slot("p", "k")), None);
    }
}
