//! The embedded journal: segmented log, recovery, redb view.
