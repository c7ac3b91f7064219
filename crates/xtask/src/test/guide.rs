//! The commands in `README.md` and `docs/guide/` do what the pages say.
//!
//! Run is what stands in a fence marked `console`: each line `$ COMMAND`, in order, page by page, in a fresh copy of
//! the examples. Lines below a command are what it prints: each must appear in its output, in order (`…` stands for
//! anything). A command must end with 0, or with N where its line ends in `# exit N`. `mainstay dev` and `mainstay
//! serve` stay up for the rest of the page, on a free port, which replaces the page's `127.0.0.1:8080`. Other fences
//! are prose.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::{House, Outcome};
use crate::server::{self, Server};
use crate::{project, shell};

/// A command and what the page says of it.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    command: String,
    exit: i32,
    prints: Vec<String>,
}

/// The address in the pages.
const PRINTED_ADDRESS: &str = "127.0.0.1:8080";
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) fn run(house: &House) -> anyhow::Result<Outcome> {
    if shell::output(Command::new("curl").arg("--version")).is_err() {
        return Ok(Outcome::NotRun("curl is not installed, and the pages use it".to_owned()));
    }
    let binary = house.binary()?;
    let (mut count, mut pages) = (0, 0);
    for page in pages_with_commands()? {
        println!("{}:", page.display());
        let text = std::fs::read_to_string(project::root().join(&page))?;
        let steps = steps(&text);
        count += steps.len();
        pages += 1;
        run_page(binary, &steps).with_context(|| page.display().to_string())?;
    }
    anyhow::ensure!(count > 0, "no page has a console fence");
    Ok(Outcome::Passed(format!("{count} commands on {pages} pages")))
}

fn pages_with_commands() -> anyhow::Result<Vec<PathBuf>> {
    let mut pages = vec![PathBuf::from("README.md")];
    for entry in std::fs::read_dir(project::root().join("docs/guide")).into_iter().flatten() {
        pages.push(Path::new("docs/guide").join(entry?.file_name()));
    }
    pages.sort();
    let has_steps = |page: &PathBuf| {
        std::fs::read_to_string(project::root().join(page)).is_ok_and(|text| !steps(&text).is_empty())
    };
    Ok(pages.into_iter().filter(has_steps).collect())
}

fn run_page(binary: &Path, steps: &[Step]) -> anyhow::Result<()> {
    let home = tempfile::tempdir()?;
    shell::run(Command::new("cp").arg("-r").arg(project::root().join("examples")).arg(home.path()))?;
    let models = project::tools_folder().join("models");
    let mut server: Option<Server> = None;
    for step in steps {
        println!("  $ {}", step.command);
        let words: Vec<&str> = step.command.split_whitespace().collect();
        if let ["mainstay", "dev" | "serve", rest @ ..] = &words[..] {
            let mut command = server::command(binary, home.path(), &models);
            command.arg(words[1]).args(without_listen(rest)).current_dir(home.path());
            server = Some(Server::start(&mut command, PATIENCE)?);
            continue;
        }
        let mut command = shell_command(binary, home.path(), &models, step, server.as_ref())?;
        check(step, &command.output()?).with_context(|| format!("line {}", step.line))?;
    }
    Ok(())
}

fn without_listen<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let listen = words.iter().position(|word| *word == "--listen").unwrap_or(words.len());
    let before = words.iter().take(listen);
    before.chain(words.iter().skip(listen + 2)).copied().collect()
}

fn shell_command(
    binary: &Path,
    home: &Path,
    models: &Path,
    step: &Step,
    server: Option<&Server>,
) -> anyhow::Result<Command> {
    let folder = binary.parent().context("the binary is in a folder")?;
    let address = server.map_or_else(|| PRINTED_ADDRESS.to_owned(), |server| server.address.to_string());
    let mut command = server::command(Path::new("sh"), home, models);
    command.arg("-c").arg(step.command.replace(PRINTED_ADDRESS, &address)).current_dir(home);
    command.env("PATH", format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default()));
    // What a client command of ours asks when it is not told where.
    command.env("MAINSTAY_LISTEN", address);
    Ok(command)
}

fn check(step: &Step, out: &std::process::Output) -> anyhow::Result<()> {
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let code = out.status.code();
    anyhow::ensure!(
        code == Some(step.exit),
        "`{}` ended with {code:?}, not {}: {said}",
        step.command,
        step.exit
    );
    if let Some(missing) = missing_line(&step.prints, &said) {
        anyhow::bail!("`{}` does not print `{missing}`; it printed: {said}", step.command);
    }
    Ok(())
}

/// The first of `prints` that does not follow the ones before it in `said`.
fn missing_line<'a>(prints: &'a [String], said: &str) -> Option<&'a str> {
    let mut rest = said;
    for line in prints {
        for piece in line.split('…').map(str::trim).filter(|piece| !piece.is_empty()) {
            let Some(at) = rest.find(piece) else { return Some(line) };
            rest = &rest[at + piece.len()..];
        }
    }
    None
}

fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut inside = false;
    for (at, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = !inside && line.trim() == "```console";
            continue;
        }
        if !inside {
            continue;
        }
        if let Some(command) = line.strip_prefix("$ ") {
            let (command, exit) = command.rsplit_once("# exit ").unwrap_or((command, "0"));
            let exit = exit.trim().parse().unwrap_or(0);
            steps.push(Step { line: at + 1, command: command.trim().to_owned(), exit, prints: Vec::new() });
        } else if let Some(step) = steps.last_mut() {
            if let Some(more) = step.command.strip_suffix('\\') {
                step.command = format!("{}{}", more, line.trim());
            } else if !line.trim().is_empty() {
                step.prints.push(line.to_owned());
            }
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_the_commands_of_console_fences() {
        let page = "```sh\n$ no\n```\n```console\n$ mainstay check x   # exit 78\n… two faults\n\n$ curl \\\n  -d y\nok\n```\n";
        let step = |line, command: &str, exit, print: &str| Step {
            line,
            command: command.into(),
            exit,
            prints: vec![print.into()],
        };
        assert_eq!(
            steps(page),
            [step(5, "mainstay check x", 78, "… two faults"), step(8, "curl -d y", 0, "ok")]
        );
    }

    #[test]
    fn what_a_page_says_must_be_printed_in_order() {
        let prints = ["a … c".to_owned(), "d".to_owned()];
        assert_eq!(missing_line(&prints, "a b c\nd\n"), None);
        assert_eq!(missing_line(&prints, "d\na b c\n"), Some("d"));
        assert_eq!(missing_line(&prints, "a b\nd\n"), Some("a … c"));
    }

    #[test]
    fn a_wrong_exit_is_a_fault() {
        let step = Step { line: 1, command: "false".into(), exit: 0, prints: vec![] };
        assert!(check(&step, &Command::new("false").output().unwrap()).is_err());
        assert!(check(&step, &Command::new("true").output().unwrap()).is_ok());
    }
}
