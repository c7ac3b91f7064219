//! ★ `test`: everything that shows that the house stands. To add a part: a function in `test/` and a line in `PARTS`.
//!
//! Parts run in order; each passes, fails, or is *not run* with a reason that the closing table shows. A part installs
//! what it needs into the target folder, never into the system; only servers come from the system's
//! packages. The last line counts the parts.

mod examples;
mod goldens;
mod guide;
mod images;
mod live;
mod node;
mod openapi;
mod opinions;
mod python;
mod rust;
mod rust_sdk;
mod servers;
mod ship;
mod task_api;
mod vaia;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::project;

/// Which parts.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this part; may be given again
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// List the parts and do nothing
    #[arg(long)]
    list: bool,
}

/// A part of the test.
struct Part {
    name: &'static str,
    about: &'static str,
    run: fn(&House) -> anyhow::Result<Outcome>,
}

/// How a part ended, unless it failed.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// It passed; what it did, in a few words.
    Passed(String),
    /// It could not be run here, for this reason.
    NotRun(String),
}

static PARTS: &[Part] = &[
    Part { name: "tidy", about: "the house rules", run: rust::tidy },
    Part { name: "format", about: "cargo fmt --check", run: rust::format },
    Part { name: "lints", about: "clippy on everything, warnings denied", run: rust::lints },
    Part { name: "servers", about: "the servers that backends are tested on", run: servers::install },
    Part {
        name: "rust",
        about: "unit, conformance and documentation tests of every crate",
        run: rust::tests,
    },
    Part { name: "e2e", about: "the real binary over the wire", run: rust::end_to_end },
    Part { name: "reference", about: "generated pages are current", run: rust::reference },
    Part { name: "guide", about: "the commands in the README and the guide", run: guide::run },
    Part {
        name: "hello",
        about: "the README's first command, answered by the local model",
        run: examples::hello,
    },
    Part { name: "python-example", about: "the FastAPI example behind the binary", run: examples::python },
    Part { name: "rust-example", about: "the Rust example behind the binary", run: examples::rust },
    Part { name: "sdk-older", about: "official Python SDKs, an older major each", run: python::older },
    Part { name: "sdk-newer", about: "official Python SDKs, the newest major each", run: python::newer },
    Part { name: "dapr-older", about: "the Dapr SDK for Python, an older version", run: python::dapr_older },
    Part {
        name: "dapr-newer",
        about: "the Dapr SDK for Python, the newest version",
        run: python::dapr_newer,
    },
    Part { name: "dapr-js", about: "the Dapr SDK for JavaScript", run: node::dapr },
    Part { name: "dapr-rust", about: "the Dapr SDK for Rust", run: rust_sdk::dapr },
    Part { name: "task-api", about: "the Task API on each set of components", run: task_api::run },
    Part { name: "vaia", about: "the VAIA agent beside a real Chroma, and its load test", run: vaia::run },
    Part {
        name: "goldens",
        about: "the examples' specs are sound, their deployment files current",
        run: goldens::current,
    },
    Part { name: "checklist", about: "the production checklist on the examples", run: goldens::ready },
    Part { name: "live", about: "the production checklist on running examples", run: live::run },
    Part { name: "ship", about: "what `ship` writes, judged by tools of others", run: ship::run },
    Part {
        name: "images",
        about: "images and Compose, built and run without a Docker engine",
        run: images::run,
    },
    Part { name: "opinions", about: "second opinions on the same, and what was decided", run: opinions::run },
    Part { name: "openapi", about: "schemathesis on /openapi.json", run: openapi::run },
    Part { name: "deny", about: "licences, bans and sources of dependencies", run: rust::deny },
];

/// What parts share.
struct House {
    binary: std::cell::OnceCell<PathBuf>,
}

impl House {
    /// The binary: `$MAINSTAY_BIN`, or built once, as development builds it.
    fn binary(&self) -> anyhow::Result<&PathBuf> {
        if let Some(path) = self.binary.get() {
            return Ok(path);
        }
        let path = project::given_binary().map_or_else(rust::build_binary, Ok)?;
        Ok(self.binary.get_or_init(|| path))
    }
}

/// A part that was run, or not.
struct Done {
    name: &'static str,
    outcome: anyhow::Result<Outcome>,
    took: Duration,
}

/// Runs the parts; false when one failed.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    if options.list {
        for part in PARTS {
            println!("{:<15} {}", part.name, part.about);
        }
        return Ok(true);
    }
    for name in &options.only {
        anyhow::ensure!(PARTS.iter().any(|part| part.name == name), "there is no part `{name}`; see --list");
    }
    let house = House { binary: std::cell::OnceCell::new() };
    let wanted = |part: &&Part| options.only.is_empty() || options.only.iter().any(|name| name == part.name);
    let mut done = Vec::new();
    for part in PARTS.iter().filter(wanted) {
        println!("\n──── {} · {}", part.name, part.about);
        let begin = Instant::now();
        let outcome = (part.run)(&house);
        if let Err(error) = &outcome {
            println!("FAILED: {error:#}");
        }
        done.push(Done { name: part.name, outcome, took: begin.elapsed() });
    }
    println!("\n{}", summary(&done));
    Ok(done.iter().all(|part| part.outcome.is_ok()))
}

/// The table of parts and the line that counts them.
fn summary(done: &[Done]) -> String {
    let mut lines = Vec::new();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for part in done {
        let (word, note) = match &part.outcome {
            Ok(Outcome::Passed(note)) => {
                passed += 1;
                ("passed", note.clone())
            }
            Ok(Outcome::NotRun(reason)) => {
                skipped += 1;
                ("not run", reason.clone())
            }
            Err(error) => {
                failed += 1;
                ("FAILED", first_line(&format!("{error:#}")))
            }
        };
        lines.push(
            format!("{:<15} {word:<8} {:>5} s  {note}", part.name, part.took.as_secs()).trim_end().to_owned(),
        );
    }
    lines.push(String::new());
    lines.push(format!("{passed} passed, {failed} failed, {skipped} skipped"));
    lines.join("\n")
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_counts_what_the_table_shows() {
        let part = |name, outcome| Done { name, outcome, took: Duration::ZERO };
        let text = summary(&[
            part("a", Ok(Outcome::Passed("12 tests".into()))),
            part("b", Ok(Outcome::NotRun("no python3".into()))),
            part("c", Err(anyhow::anyhow!("it broke\nwith details"))),
        ]);
        assert!(text.contains("not run"), "{text}");
        assert!(text.contains("no python3") && text.contains("it broke") && !text.contains("details"));
        assert_eq!(text.lines().last(), Some("1 passed, 1 failed, 1 skipped"));
    }

    #[test]
    fn parts_have_names_of_their_own() {
        let mut names: Vec<_> = PARTS.iter().map(|part| part.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), PARTS.len());
    }
}
