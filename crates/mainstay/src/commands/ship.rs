//! `mainstay ship`: writes deployment files, shows what would change, or hands them over for good.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use mainstay_core::plan::Environment;
use mainstay_core::{Error, Plan, SecretRef, codes};
use mainstay_ship::{File, Pins, Project, Target, Workload, targets};

use super::{Def, client_runtime, spec_argument};
use crate::ship::{self, Written};
use crate::wire::sidecar::plugged;
use crate::{exit, spec, surroundings, terminal};

pub(super) const DEF: Def = Def { name: "ship", command, run };

/// The word for every target.
const ALL: &str = "all";
/// Where files go, from the spec's folder.
const OUT: &str = "deploy";

fn command() -> Command {
    let targets: String =
        targets::ALL.iter().map(|target| format!("  {:<12}{}\n", target.name, target.about)).collect();
    Command::new("ship")
        .about("Write what deploys the service: images, Compose, Kubernetes and the rest, from the spec")
        .after_help(format!("Targets:\n{targets}  {ALL:<12}every one of them"))
        .arg(Arg::new("target").value_name("TARGET").required(true).num_args(1..).help(
            "What to write; `diff TARGET…` shows what would change, `eject TARGET…` makes the files yours",
        ))
        .arg(spec_argument())
        .arg(
            Arg::new("env")
                .long("env")
                .value_name("ENVIRONMENT")
                .default_value("prod")
                .value_parser(Environment::ALL.map(Environment::name))
                .help("The environment that single files are for"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FOLDER")
                .value_parser(value_parser!(PathBuf))
                .help("Where to write, a folder a target; `deploy` beside the spec by default"),
        )
        .arg(
            Arg::new("digest")
                .long("digest")
                .value_name("DIGEST")
                .value_parser(digest)
                .help("The image's digest (sha256:…), to name it by what it is instead of by its tag"),
        )
        .arg(
            Arg::new("pins").long("pins").value_name("FILE").value_parser(value_parser!(PathBuf)).help(
                "Newer commits and digests of what pipelines run: a line each with name, version and pin",
            ),
        )
        .arg(
            Arg::new("force")
                .long("force")
                .action(ArgAction::SetTrue)
                .help("Write files, too, that were changed by hand since"),
        )
}

/// The table of pins, with the lines of a file in place of those that come along.
fn pins(path: &Path) -> anyhow::Result<Pins> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
    Ok(Pins::with(&text)?)
}

/// A digest as registries write it.
fn digest(text: &str) -> Result<String, String> {
    let hex = text.strip_prefix("sha256:").unwrap_or_default();
    let fits = hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if fits { Ok(text.to_owned()) } else { Err("a digest is `sha256:` and 64 hexadecimal digits".to_owned()) }
}

/// What to do with the files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Write,
    Diff,
    Eject,
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let words: Vec<&str> =
        matches.get_many::<String>("target").into_iter().flatten().map(String::as_str).collect();
    let (verb, words) = match words.as_slice() {
        ["diff", rest @ ..] => (Verb::Diff, rest),
        ["eject", rest @ ..] => (Verb::Eject, rest),
        all => (Verb::Write, all),
    };
    let Some(asked) = asked(words) else { return Ok(ExitCode::from(exit::USAGE)) };
    let given = matches.get_one::<PathBuf>("spec").expect("it has a default");
    let plugged = client_runtime()?.block_on(plugged())?;
    let loaded = spec::load(given, &spec::Flags::default(), &plugged).map_err(spec::Fault::explain)?;
    let out = matches.get_one::<PathBuf>("out").map_or_else(|| loaded.plan.folder.join(OUT), Clone::clone);
    let out = std::path::absolute(&out)?;
    let environment = matches.get_one::<String>("env").and_then(|name| Environment::parse(name));
    let environment = environment.expect("clap knows the names");
    let pins = matches.get_one::<PathBuf>("pins").map_or_else(|| Ok(Pins::default()), |path| pins(path))?;
    let around = Around { pins, ..Around::of(given, &loaded.plan, &out)? };
    let project = Project {
        digest: matches.get_one::<String>("digest").map(String::as_str),
        ..around.project(&loaded.plan)
    };
    // All are rendered before anything is written: a target that refuses leaves no half of the others.
    let (mut rendered, mut notes) = (Vec::new(), Vec::<String>::new());
    for (target, found) in mainstay_ship::ship(&project, asked.iter().copied(), environment)? {
        match found {
            Ok(found) => rendered.push((target, found)),
            // Every one of them is every one that the spec says enough for, and that can run the service; what others
            // rest on must be there.
            Err(error) if words == [ALL] && can_be_left_out(target.name, &asked, &error) => {
                let help = error.help().map(|help| format!("; {help}")).unwrap_or_default();
                notes.push(format!("`{}` was not written: {}{help}.", target.name, error.message()));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let mut told = Told { out: &out, verb, force: matches.get_flag("force"), differs: false };
    for (target, found) in rendered {
        told.target(target, &found.files)?;
        notes.extend(found.notes.into_iter().filter(|note| !notes.contains(note)).collect::<Vec<_>>());
    }
    if verb == Verb::Write && !notes.is_empty() {
        let lines: String = notes.iter().map(|note| format!("  - {note}\n")).collect();
        terminal::complain(&format!("worth knowing:\n{lines}"));
    }
    Ok(ExitCode::from(if told.differs { exit::FAILED } else { exit::OK }))
}

/// Whether a target that refused may be missing among all.
fn can_be_left_out(name: &str, all: &[&Target], error: &Error) -> bool {
    let is_needed = all.iter().any(|target| target.needs.contains(&name));
    let unsupported = error.code() == &codes::SHIP_UNSUPPORTED && !is_needed;
    error.code() == &codes::SHIP_INCOMPLETE || unsupported
}

/// What stands around a plan when it is shipped.
pub(super) struct Around {
    secrets: Vec<SecretRef>,
    files: Vec<String>,
    library_models: Vec<(String, String)>,
    hash: String,
    context: String,
    out: String,
    pins: Pins,
}

impl Around {
    pub(super) fn of(given: &Path, plan: &Plan, out: &Path) -> anyhow::Result<Self> {
        let text = spec::text(given)?;
        let canonical = mainstay_config::canonical(&text).unwrap_or(text);
        Ok(Self {
            secrets: surroundings::references_of(plan),
            files: ship::beside(&plan.folder)?,
            library_models: surroundings::library_models(plan),
            hash: mainstay_ship::sha256_hex(canonical.as_bytes()),
            context: ship::way(&out.join("target"), &plan.folder),
            out: ship::way(&plan.folder, out),
            pins: Pins::default(),
        })
    }

    pub(super) fn project<'a>(&'a self, plan: &'a Plan) -> Project<'a> {
        Project {
            plan,
            secrets: &self.secrets,
            files: &self.files,
            library_models: &self.library_models,
            hash: &self.hash,
            version: env!("CARGO_PKG_VERSION"),
            context: &self.context,
            out: &self.out,
            pins: &self.pins,
            digest: None,
        }
    }
}

/// The service of a spec in an environment. Errors: as [`mainstay_ship::ship`].
pub(super) fn workload(given: &Path, plan: &Plan, environment: Environment) -> anyhow::Result<Workload> {
    let around = Around::of(given, plan, &plan.folder.join(OUT))?;
    Ok(Workload::of(&around.project(plan), environment)?)
}

/// The targets of these names and those that they use. Says which name is none.
fn asked(words: &[&str]) -> Option<Vec<&'static Target>> {
    if words == [ALL] {
        return Some(targets::ALL.iter().collect());
    }
    let mut found = Vec::new();
    for word in words {
        let Some(target) = targets::find(word) else {
            let names = targets::ALL.iter().map(|target| target.name).chain([ALL]);
            let help = mainstay_config::nearest_help(word, names).unwrap_or_default();
            terminal::complain(&format!("mainstay: there is no target `{word}`\n  help: {help}\n"));
            return None;
        };
        found.push(target);
    }
    if found.is_empty() {
        terminal::complain("mainstay: name a target, or `all`\n");
        return None;
    }
    Some(targets::with_needs(&found))
}

/// Writes or compares, and says what it did.
struct Told<'a> {
    out: &'a Path,
    verb: Verb,
    force: bool,
    /// Whether files on the disk are not what would be written, and stay so.
    differs: bool,
}

impl Told<'_> {
    fn target(&mut self, target: &Target, files: &[File]) -> anyhow::Result<()> {
        let folder = self.out.join(target.name);
        let shown = folder.display();
        match self.verb {
            Verb::Diff => {
                let text = ship::difference(&folder, target.name, files)?;
                self.differs |= !text.is_empty();
                terminal::answer(&text)
            }
            Verb::Eject => {
                let count = ship::eject(&folder)?;
                terminal::answer(&format!("{shown}: {count} files are yours now\n"))
            }
            Verb::Write => {
                let Written { new, same, kept, gone } = ship::write(&folder, files, self.force)?;
                let gone = if gone == 0 { String::new() } else { format!(", {gone} removed") };
                terminal::answer(&format!("{shown}: {new} written, {same} unchanged{gone}\n"))?;
                for path in &kept {
                    self.differs = true;
                    terminal::complain(&format!(
                        "mainstay: {shown}/{path} was changed by hand and is left as it is (`ship diff {}` shows how, \
                         `--force` writes it)\n",
                        target.name
                    ));
                }
                Ok(())
            }
        }
    }
}
