//! How commands are started: by `sh` where there is one, and without where an image has none.
//!
//! Images that serve hold no shell, so that whoever breaks into an app finds none. Without one, a command is read here:
//! its words, quotes, variables before the program and `$NAME` mean what they mean to a shell, and what only a shell
//! can do (`|`, `&&`, `>`, patterns) is refused with what it was. The guard is then this very program, under a name of
//! its own.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tokio::process::Command;

use super::Recipe;

/// The shell that every system has that has one.
const SHELL: &str = "/bin/sh";
/// What the guard does. It outlives what the group is asked to end by, says when it does, and has none of our
/// variables.
const GUARD: &str = "trap '' HUP INT QUIT TERM; echo; read -r _; kill -KILL 0";
/// What this program is called as to be a guard.
pub(super) const GUARD_NAME: &str = "mainstay-guard";

/// Whether commands are run by a shell here.
pub(super) fn present() -> bool {
    let executable = |meta: std::fs::Metadata| meta.is_file() && meta.permissions().mode() & 0o111 != 0;
    Path::new(SHELL).metadata().is_ok_and(executable)
}

/// The process that keeps a group from outliving us. Errors: this program cannot be found any more.
pub(super) fn guard(shell: bool) -> io::Result<Command> {
    if shell {
        let mut guard = Command::new(SHELL);
        guard.args(["-c", GUARD, GUARD_NAME]);
        return Ok(guard);
    }
    let mut guard = Command::new(std::env::current_exe()?);
    guard.arg0(GUARD_NAME);
    Ok(guard)
}

/// Variables that stand before a program.
type Variables = Vec<(String, String)>;

/// A command of the spec, and the variables that it gives itself. Errors: it needs a shell, and there is none.
pub(super) fn command(recipe: &Recipe, shell: bool) -> io::Result<(Command, Variables)> {
    if shell {
        let mut command = Command::new(SHELL);
        command.args(["-c", &recipe.command]);
        return Ok((command, Variables::new()));
    }
    let variable = |name: &str| {
        let given =
            recipe.env.iter().find(|(given, _)| given == name).map(|(_, value)| value.expose().clone());
        let ours = || std::env::var(name).ok().filter(|_| !recipe.withheld.contains(name));
        given.or_else(ours).unwrap_or_default()
    };
    let invalid = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
    let Words { variables, words } = read(&recipe.command, &variable).map_err(invalid)?;
    let mut words = words.into_iter();
    let program = words.next().ok_or_else(|| invalid("the command is empty".to_owned()))?;
    let mut command = Command::new(program);
    command.args(words);
    Ok((command, variables))
}

/// A command without a shell: variables for it, the program and its arguments.
#[derive(Debug, Default, PartialEq, Eq)]
struct Words {
    variables: Variables,
    words: Vec<String>,
}

/// Reads a simple command as a POSIX shell does (2.9.1).
fn read(text: &str, variable: &dyn Fn(&str) -> String) -> Result<Words, String> {
    let mut found = Words::default();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.peek().is_none_or(|c| *c == '#') {
            return Ok(found);
        }
        let word = word(&mut rest, variable)?;
        let assigned = word.text.split_once('=').filter(|(name, _)| word.plain_head && named(name));
        match assigned {
            Some((name, value)) if found.words.is_empty() => {
                found.variables.push((name.to_owned(), value.to_owned()));
            }
            _ if found.words.is_empty() && word.text == "exec" => {}
            _ => found.words.push(word.text),
        }
    }
}

/// A word, and whether it begins without quotes, as the name of a variable must.
struct Word {
    text: String,
    plain_head: bool,
}

type Chars<'t> = std::iter::Peekable<std::str::Chars<'t>>;

fn word(rest: &mut Chars<'_>, variable: &dyn Fn(&str) -> String) -> Result<Word, String> {
    let mut text = String::new();
    let plain_head = rest.peek().is_some_and(|c| c.is_ascii_alphabetic() || *c == '_');
    while let Some(c) = rest.next_if(|c| !c.is_whitespace()) {
        match c {
            '\'' => loop {
                match rest.next() {
                    Some('\'') => break,
                    Some(c) => text.push(c),
                    None => return Err("a quote (') is not closed".to_owned()),
                }
            },
            '"' => quoted(rest, variable, &mut text)?,
            '\\' => text.extend(rest.next()),
            '$' => text.push_str(&expanded(rest, variable)?),
            '|' | '&' | ';' | '<' | '>' | '(' | ')' | '`' | '*' | '?' | '[' | '~' => return Err(needs(c)),
            c => text.push(c),
        }
    }
    Ok(Word { text, plain_head })
}

fn quoted(rest: &mut Chars<'_>, variable: &dyn Fn(&str) -> String, text: &mut String) -> Result<(), String> {
    loop {
        match rest.next() {
            Some('"') => return Ok(()),
            Some('$') => text.push_str(&expanded(rest, variable)?),
            Some('`') => return Err(needs('`')),
            Some('\\') => match rest.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => text.push(c),
                Some(c) => text.extend(['\\', c]),
                None => return Err("a quote (\") is not closed".to_owned()),
            },
            Some(c) => text.push(c),
            None => return Err("a quote (\") is not closed".to_owned()),
        }
    }
}

/// What stands for `$NAME` or `${NAME}`. An empty value is none: nothing is split into words.
fn expanded(rest: &mut Chars<'_>, variable: &dyn Fn(&str) -> String) -> Result<String, String> {
    let braced = rest.next_if_eq(&'{').is_some();
    let mut name = String::new();
    while let Some(c) = rest.next_if(|c| c.is_ascii_alphanumeric() || *c == '_') {
        name.push(c);
    }
    let closed = !braced || rest.next_if_eq(&'}').is_some();
    if closed && named(&name) { Ok(variable(&name)) } else { Err(needs('$')) }
}

fn named(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn needs(sign: char) -> String {
    format!("the command needs a shell (`{sign}`), and there is no {SHELL} here")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, variables: &[(&str, &str)], words: &[&str]) {
        let lookup = |name: &str| if name == "PATH" { "/bin".to_owned() } else { String::new() };
        let found = read(text, &lookup).unwrap();
        let pairs: Vec<(&str, &str)> =
            found.variables.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            (pairs.as_slice(), found.words),
            (variables, words.iter().map(|w| (*w).to_owned()).collect()),
            "{text}"
        );
    }

    #[test]
    fn simple_commands_are_read_as_a_shell_reads_them() {
        check("uvicorn app:app --port 8000", &[], &["uvicorn", "app:app", "--port", "8000"]);
        check(
            r#"PATH=".venv/bin:$PATH" exec uvicorn app:app"#,
            &[("PATH", ".venv/bin:/bin")],
            &["uvicorn", "app:app"],
        );
        check(r#"a 'b c' "d \"e\" ${PATH}" f\ g"#, &[], &["a", "b c", "d \"e\" /bin", "f g"]);
        check("run A=1 '' # why", &[], &["run", "A=1", ""]);
        check("'A'=1 b", &[], &["A=1", "b"]);
    }

    #[test]
    fn what_only_a_shell_can_do_is_refused_with_its_sign() {
        for (text, sign) in [
            ("a | b", "`|`"),
            ("a && b", "`&`"),
            ("a > b", "`>`"),
            ("ls *.py", "`*`"),
            ("echo $(date)", "`$`"),
            ("echo \"`date`\"", "```"),
            ("cd x; y", "`;`"),
        ] {
            let why = read(text, &|_| String::new()).unwrap_err();
            assert!(why.contains(sign), "{text}: {why}");
        }
        assert!(read("a 'b", &|_| String::new()).unwrap_err().contains("not closed"));
    }

    #[tokio::test]
    async fn a_command_runs_without_a_shell() {
        let recipe = Recipe {
            app: "a".to_owned(),
            command: "GREETING=\"good day, $WHO\" exec env".to_owned(),
            folder: ".".into(),
            env: vec![("WHO".to_owned(), mainstay_core::Redacted::new("all".to_owned()))],
            withheld: std::collections::BTreeSet::new(),
        };
        let (mut command, variables) = command(&recipe, false).unwrap();
        let output = command.envs(variables).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.lines().any(|line| line == "GREETING=good day, all"), "{said}");
    }
}
