//! A command that runs beside a sidecar: once, to its end, with everything that it starts. Nothing starts it again, and
//! nobody asks for its health.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use mainstay_core::Redacted;

use crate::output::Sink;
use crate::process::{Process, Recipe};

/// What to run beside a sidecar.
#[derive(Debug)]
pub struct Command {
    /// The app's id: it comes with each line of the output.
    pub app: String,
    /// The program, looked for as a shell does, and its arguments, as they are.
    pub words: Vec<String>,
    /// Where it runs.
    pub folder: PathBuf,
    /// Variables on top of ours.
    pub env: Vec<(String, String)>,
    /// Variables of ours that it does not inherit.
    pub withheld: BTreeSet<String>,
}

/// A command at work. Dropping it kills it, and what it has started.
pub struct Beside {
    process: Process,
    id: Option<u32>,
}

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Beside").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Beside {
    /// Starts the command. Must be called within a runtime. Errors: its folder is not there, or no process can be had;
    /// a program that is not there ends with 127, as in a shell.
    pub async fn start(command: Command, sink: &Sink) -> io::Result<Self> {
        let quoted: Vec<String> = command.words.iter().map(|word| quoted(word)).collect();
        let recipe = Recipe {
            app: command.app,
            // Instead of the shell, so that the command's id and its end are its own.
            command: format!("exec {}", quoted.join(" ")),
            folder: command.folder,
            env: command.env.into_iter().map(|(name, value)| (name, Redacted::new(value))).collect(),
            withheld: command.withheld,
        };
        let process = Process::start(&recipe, sink).await?;
        let id = process.id();
        Ok(Self { process, id })
    }

    /// The id of its process.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.id
    }

    /// Waits for it to end of itself, and leaves nothing of what it has started. May be dropped and called again.
    pub async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.process.ended().await
    }

    /// Asks it to end, waits up to `grace`, then kills what is left.
    pub async fn stop(&mut self, grace: Duration) {
        self.process.stop(grace).await;
    }
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    async fn run(words: &[&str]) -> (Option<i32>, Vec<String>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let sink: Sink = Arc::new(move |line| kept.lock().unwrap().push(line.text.to_owned()));
        let command = Command {
            app: "a".to_owned(),
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            folder: ".".into(),
            env: vec![("APP_ID".to_owned(), "a".to_owned())],
            withheld: BTreeSet::new(),
        };
        let code = Beside::start(command, &sink).await.unwrap().ended().await.unwrap().code();
        let lines = lines.lock().unwrap().clone();
        (code, lines)
    }

    #[tokio::test]
    async fn words_arrive_as_they_are_and_the_exit_code_is_the_commands() {
        let (code, lines) = run(&["sh", "-c", "echo \"$0 $APP_ID\"; exit 7", "it's $HOME; *"]).await;
        assert_eq!((code, lines), (Some(7), vec!["it's $HOME; * a".to_owned()]));
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_ends_with_127() {
        assert_eq!(run(&["no-such-program-anywhere"]).await.0, Some(127));
    }
}
