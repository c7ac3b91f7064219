//! Instructions: the text itself, or a file of the spec.

use std::path::{Component, Path};

use mainstay_core::codes;

use super::Lowering;
use crate::diagnostic::short;

/// Bytes of instructions.
const BYTES_MAX: usize = 256 * 1024;

impl Lowering<'_, '_> {
    /// The instructions' text; `None`, with a fault, when they cannot be read.
    pub(super) fn instructions(&mut self, pointer: &str, written: String) -> Option<String> {
        if !names_a_file(&written) {
            if looks_like_a_path(&written) {
                let message =
                    format!("`{}` looks like a path and is taken as the text itself", short(&written));
                let help = "a file of instructions ends in `.md` or `.txt`";
                self.warn(pointer, &codes::CONFIG_VALUE, message, Some(help.to_owned()));
            }
            return self.bounded(pointer, written, "the instructions are");
        }
        let path = Path::new(&written);
        let inside = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !inside {
            let message = format!("`{}` is not a path inside the spec's folder", short(&written));
            let help =
                "use a relative path without `..`, so that the folder holds all that the service needs";
            self.fault(pointer, &codes::CONFIG_FILE, message, Some(help.to_owned()));
            return None;
        }
        match self.inputs.files.read(&self.inputs.source.folder.join(path)) {
            Ok(text) if text.trim().is_empty() => {
                let message = format!("`{}` is empty", short(&written));
                self.fault(
                    pointer,
                    &codes::CONFIG_FILE,
                    message,
                    Some("write the instructions into it".to_owned()),
                );
                None
            }
            Ok(text) => self.bounded(pointer, text, &format!("`{}` is", short(&written))),
            Err(error) => {
                let message = format!("cannot read `{}`: {error}", short(&written));
                let help = "the path is relative to the spec's folder";
                self.fault(pointer, &codes::CONFIG_FILE, message, Some(help.to_owned()));
                None
            }
        }
    }

    fn bounded(&mut self, pointer: &str, text: String, subject: &str) -> Option<String> {
        if text.len() <= BYTES_MAX {
            return Some(text);
        }
        let message = format!("{subject} larger than {BYTES_MAX} bytes");
        let help =
            "models forget what is far up in long instructions; keep what matters, give the rest as a tool";
        self.fault(pointer, &codes::CONFIG_FILE, message, Some(help.to_owned()));
        None
    }
}

/// Whether instructions are a path: one word that ends in `.md` or `.txt`.
fn names_a_file(written: &str) -> bool {
    let ends = [".md", ".txt"].iter().any(|end| written.len() > end.len() && written.ends_with(end));
    ends && !written.contains(char::is_whitespace)
}

/// Whether a text is one word with a slash in it or an ending of a file.
fn looks_like_a_path(written: &str) -> bool {
    const ENDING_BYTES_MAX: usize = 10;
    let ending = written.rsplit_once('.').is_some_and(|(name, end)| {
        let plain = end.bytes().all(|b| b.is_ascii_alphanumeric());
        !name.is_empty() && !end.is_empty() && end.len() <= ENDING_BYTES_MAX && plain
    });
    let word = !written.contains(char::is_whitespace);
    word && (ending || written.contains(['/', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_with_a_slash_or_an_ending_looks_like_a_path() {
        for path in ["prompts/assistant.markdown", "/etc/prompt", "assistant.prompt", "..\\a"] {
            assert!(looks_like_a_path(path), "{path}");
        }
        for text in ["", "Answer.", "Answer yes/no.", "Help!", "You are e.g. helpful"] {
            assert!(!looks_like_a_path(text), "{text}");
        }
    }

    #[test]
    fn only_one_word_with_the_ending_is_a_file() {
        for file in ["prompts/a.md", "a.txt", "../a.md"] {
            assert!(names_a_file(file), "{file}");
        }
        for text in ["", ".md", "Answer from notes.md", "Be brief.", "a.md\n"] {
            assert!(!names_a_file(text), "{text}");
        }
    }
}
