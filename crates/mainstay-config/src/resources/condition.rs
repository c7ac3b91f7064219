//! Conditions that files hold: whether they can be read as such. What they speak of is for whoever evaluates them.

use cel::Program;
use mainstay_core::codes;

use super::section::{Said, Section};
use crate::diagnostic::short;

/// Finds fault with a text that is no condition. One of blanks alone is none at all.
pub(super) fn check(section: &Section<'_, '_>, key: &str, said: Option<&Said<String>>) {
    let Some(said) = said.filter(|said| !said.value.trim().is_empty()) else { return };
    let Err(faults) = Program::compile(&said.value) else { return };
    let first = faults.errors.first();
    let why = first.map(|fault| fault.msg.trim_start_matches("Syntax error: "));
    let why = why.map_or_else(String::new, |why| format!(": {}", short(why)));
    let message = format!("`{}` cannot be read as a condition{why}", section.path(key));
    let place = first.map(|fault| fault.pos).filter(|(line, column)| *line > 0 && *column > 0);
    let help = place.map_or_else(
        || "write it in the Common Expression Language (CEL)".to_owned(),
        |(line, column)| format!("it is written in CEL; look at character {column} of its line {line}"),
    );
    section.fault(said.span, &codes::CONFIG_VALUE, message, Some(help));
}
