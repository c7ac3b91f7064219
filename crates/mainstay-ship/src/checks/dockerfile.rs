//! A Dockerfile as instructions with their lines; enough of its grammar to judge it by.

/// An instruction.
pub(super) struct Instruction {
    /// The line that it begins on, from 1.
    pub(super) line: usize,
    /// Its word, in capitals.
    pub(super) word: String,
    /// What follows, its lines joined.
    pub(super) rest: String,
}

/// A Dockerfile.
pub(super) struct Dockerfile {
    all: Vec<Instruction>,
}

impl Dockerfile {
    /// The instructions of a text.
    pub(super) fn parse(text: &str) -> Self {
        let mut all: Vec<Instruction> = Vec::new();
        let mut open = false;
        for (n, line) in text.lines().enumerate() {
            let line_text = line.trim();
            if line_text.starts_with('#') || (line_text.is_empty() && !open) {
                continue;
            }
            let (content, more) = match line_text.strip_suffix('\\') {
                Some(content) => (content.trim_end(), true),
                None => (line_text, false),
            };
            match all.last_mut() {
                Some(last) if open => {
                    last.rest.push(' ');
                    last.rest.push_str(content);
                }
                _ => {
                    let (word, rest) = content.split_once(char::is_whitespace).unwrap_or((content, ""));
                    let word = word.to_ascii_uppercase();
                    all.push(Instruction { line: n + 1, word, rest: rest.trim().to_owned() });
                }
            }
            open = more;
        }
        Self { all }
    }

    /// The instructions of this word in the last stage.
    pub(super) fn last_stage(&self, word: &'static str) -> impl DoubleEndedIterator<Item = &Instruction> {
        let start = self.all.iter().rposition(|one| one.word == "FROM").unwrap_or(0);
        self.all[start..].iter().filter(move |one| one.word == word)
    }

    /// Every instruction of this word.
    pub(super) fn every(&self, word: &'static str) -> impl Iterator<Item = &Instruction> {
        self.all.iter().filter(move |one| one.word == word)
    }

    /// The default of an argument.
    fn argument(&self, name: &str) -> Option<&str> {
        self.every("ARG")
            .find_map(|one| one.rest.split_once('=').filter(|(key, _)| *key == name).map(|(_, v)| v))
    }

    /// The images that stages begin from, and their lines: arguments filled in, earlier stages left out.
    pub(super) fn bases(&self) -> Vec<(usize, String)> {
        let mut stages: Vec<String> = Vec::new();
        let mut bases = Vec::new();
        for one in self.every("FROM") {
            let words: Vec<&str> =
                one.rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let Some(first) = words.first() else { continue };
            let image = first.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            let image = image.or_else(|| first.strip_prefix('$')).and_then(|name| self.argument(name));
            let image = image.unwrap_or(first).to_owned();
            if !stages.contains(&image) && image != "scratch" {
                bases.push((one.line, image));
            }
            if let [_, _, name] = words.as_slice() {
                stages.push((*name).to_owned());
            }
        }
        bases
    }
}

/// The words of a command in exec form; `None` for the form that a shell reads.
pub(super) fn exec_form(text: &str) -> Option<Vec<String>> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# about\nARG BASE=debian:12\nFROM ${BASE} AS build\nRUN a \\\n    && b\n\nFROM build AS last\n\
                        USER 1\nFROM x@sha256:0\nuser 10001:10001\nENTRYPOINT [\"/a\"]\n";

    #[test]
    fn instructions_have_their_lines_and_stages() {
        let file = Dockerfile::parse(TEXT);
        assert_eq!(file.bases(), [(3, "debian:12".to_owned()), (9, "x@sha256:0".to_owned())]);
        let run = file.every("RUN").next().map(|one| (one.line, one.rest.as_str()));
        assert_eq!(run, Some((4, "a && b")));
        let users: Vec<_> = file.last_stage("USER").map(|one| (one.line, one.rest.as_str())).collect();
        assert_eq!(users, [(10, "10001:10001")]);
        assert_eq!(exec_form("[\"/a\", \"b\"]"), Some(vec!["/a".to_owned(), "b".to_owned()]));
        assert_eq!(exec_form("/a b"), None);
    }
}
