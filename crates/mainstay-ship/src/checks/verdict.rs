//! An item of the checklist, and what is found of it.

use std::fmt;

/// What an item is about. Also for items that a running service alone can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id: the group, a slash, a name. Stable.
    pub id: &'static str,
    /// What holds when it passes.
    pub title: &'static str,
    /// What to do when it does not.
    pub fix: &'static str,
    /// Whether nothing goes to production without it.
    pub gate: bool,
}

impl Item {
    /// An item.
    #[must_use]
    pub const fn new(id: &'static str, title: &'static str, fix: &'static str) -> Self {
        Self { id, title, fix, gate: false }
    }

    /// An item without which nothing goes to production.
    #[must_use]
    pub const fn gate(id: &'static str, title: &'static str, fix: &'static str) -> Self {
        Self { id, title, fix, gate: true }
    }

    /// The name of its group.
    #[must_use]
    pub fn group(&self) -> &'static str {
        self.id.split('/').next().unwrap_or_default()
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds; what shows it.
    Pass(String),
    /// It does not; what shows it, one thing each.
    Fail(Vec<Finding>),
    /// It could not be judged, and why.
    Unknown(String),
    /// Mainstay cannot do this yet; what is missing.
    Missing(String),
}

impl Verdict {
    /// A failure that stands nowhere in particular.
    #[must_use]
    pub fn fail(what: impl Into<String>) -> Self {
        Self::Fail(vec![Finding { place: None, what: what.into() }])
    }

    /// A pass unless something was found.
    #[must_use]
    pub fn unless(found: Vec<Finding>, good: impl Into<String>) -> Self {
        if found.is_empty() { Self::Pass(good.into()) } else { Self::Fail(found) }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Option<Place>,
    /// What. Never a secret's value.
    pub what: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's path, from the spec's folder where it is below it.
    pub file: String,
    /// The line, from 1.
    pub line: Option<usize>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.file),
            None => f.write_str(&self.file),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}
