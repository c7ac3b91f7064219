//! The subscriptions at work, for whoever asks what there is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mainstay_core::subscription::Subscription;

/// Where a subscription comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// A file.
    Declared,
    /// The app, when it was asked.
    Asked,
    /// A stream of the app.
    Streaming,
}

/// The list; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known(Arc<Mutex<List>>);

#[derive(Debug, Default)]
struct List {
    next: u64,
    all: BTreeMap<u64, (Subscription, Sort)>,
}

impl Known {
    pub(crate) fn note(&self, subscription: Subscription, sort: Sort) -> Noted {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.next += 1;
        let id = list.next;
        list.all.insert(id, (subscription, sort));
        Noted { id, of: self.clone() }
    }

    pub(crate) fn all(&self) -> Vec<(Subscription, Sort)> {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.all.values().cloned().collect()
    }
}

/// A subscription in the list, until it is dropped.
#[derive(Debug)]
pub struct Noted {
    id: u64,
    of: Known,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.of.0.lock().unwrap_or_else(PoisonError::into_inner).all.remove(&self.id);
    }
}
