//! Faults of a spec as people and programs read them. Finds none itself.
//!
//! `render` quotes the lines at fault, for a terminal; `Display` is one line a fault without quoting, for a log;
//! `to_json` is for programs. Values that may be secrets are masked in every form.

mod render;

use std::fmt;

use mainstay_core::Code;
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::place::{Lines, Position, Span};

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Its code, `CONFIG_*`.
    pub code: &'static Code,
    /// What is wrong: a lowercase fragment, values in backticks.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
    /// Where it is.
    pub place: Place,
}

/// Where a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the spec's text.
    Text(Span),
    /// In a flag or environment variable, named here.
    Override(&'static str),
}

/// Every fault of a spec, in the order of its text, and of the files that it names.
#[derive(Clone, Debug)]
pub struct Diagnostics {
    file: Box<str>,
    text: Box<str>,
    faults: Vec<Diagnostic>,
    beyond: usize,
    secrets: Vec<Span>,
    /// Whether none of them stands in the way.
    harmless: bool,
    /// Those of further files.
    further: Vec<Diagnostics>,
}

impl Diagnostics {
    /// The warnings among what was found.
    pub(crate) fn warnings(file: &str, text: &str, found: Faults) -> Self {
        let warnings = Faults { list: found.warnings, secrets: found.secrets, ..Faults::default() };
        Self { harmless: true, ..Self::new(file, text, warnings) }
    }

    pub(crate) fn new(file: &str, text: &str, mut found: Faults) -> Self {
        found.list.sort_by_key(|fault| match fault.place {
            Place::Override(_) => (0, Span::default()),
            Place::Text(span) => (1, span),
        });
        found.list.dedup();
        Self {
            file: file.into(),
            text: text.into(),
            faults: found.list,
            beyond: found.beyond,
            secrets: found.secrets,
            harmless: false,
            further: Vec::new(),
        }
    }

    /// These and those of further files.
    pub(crate) fn with(self, further: Vec<Self>) -> Self {
        Self { further, ..self }
    }

    /// One file after another, this one first; only files that have faults.
    pub fn files(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.further).filter(|file| !file.faults.is_empty())
    }

    /// The faults of this file alone, in the order of the text. Very many are cut off; [`Diagnostics::count`] counts
    /// those too.
    #[must_use]
    pub fn faults(&self) -> &[Diagnostic] {
        &self.faults
    }

    /// How many faults there are, in all files.
    #[must_use]
    pub fn count(&self) -> usize {
        self.own_count() + self.further.iter().map(Self::count).sum::<usize>()
    }

    fn own_count(&self) -> usize {
        self.faults.len() + self.beyond
    }

    /// Whether there is none, in any file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files().next().is_none()
    }

    /// The file's name, as it was given.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// Line and column of a fault of this file; `None` when it is not in the text.
    #[must_use]
    pub fn position(&self, fault: &Diagnostic) -> Option<Position> {
        match fault.place {
            Place::Text(span) => Some(Lines::of(&self.text).position(span.start)),
            Place::Override(_) => None,
        }
    }

    /// The faults with the lines they are in, for a terminal; coloured if asked. Ends with a line break.
    #[must_use]
    pub fn render(&self, coloured: bool) -> String {
        self.files().map(|file| render::render(file, coloured)).collect()
    }

    /// The faults for programs: `{"file", "count", "faults": [{"code", "message", "help", "file", "line", "column",
    /// "end_line", "end_column", "override"}]}`. Lines and columns count from 1 and are null for a fault outside the
    /// text; the end is the place after the last character.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let faults: Vec<Value> = self.files().flat_map(Self::own_to_json).collect();
        json!({ "file": self.file, "count": self.count(), "faults": faults })
    }

    fn own_to_json(&self) -> Vec<Value> {
        let lines = Lines::of(&self.text);
        self.faults.iter().map(|fault| one_to_json(fault, &self.file, &lines)).collect()
    }
}

fn one_to_json(fault: &Diagnostic, file: &str, lines: &Lines<'_>) -> Value {
    let (start, end, origin) = match fault.place {
        Place::Text(span) => (Some(lines.position(span.start)), Some(lines.position(span.end)), None),
        Place::Override(origin) => (None, None, Some(origin)),
    };
    json!({
        "code": fault.code.id,
        "message": fault.message,
        "help": fault.help,
        "file": file,
        "line": start.map(|p| p.line),
        "column": start.map(|p| p.column),
        "end_line": end.map(|p| p.line),
        "end_column": end.map(|p| p.column),
        "override": origin,
    })
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for file in self.files() {
            let lines = Lines::of(&file.text);
            for fault in &file.faults {
                let (code, message) = (fault.code.id, &fault.message);
                match fault.place {
                    Place::Text(span) => {
                        let Position { line, column } = lines.position(span.start);
                        write!(f, "{before}{}:{line}:{column}: {code}: {message}", file.file)?;
                    }
                    Place::Override(origin) => write!(f, "{before}{origin}: {code}: {message}")?,
                }
                before = "\n";
            }
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// A value of the user's, cut to what a message can hold, on one line and without control characters.
pub(crate) fn short(text: &str) -> String {
    const CHARACTERS_MAX: usize = 48;
    let mut shown: String = text.chars().take(CHARACTERS_MAX).map(render::visible).collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
