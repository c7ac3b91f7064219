//! `mainstay new`: a folder to start from.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};

use mainstay_core::Name;

use super::Def;
use crate::{exit, terminal};

pub(super) const DEF: Def = Def { name: "new", command, run };

fn command() -> Command {
    Command::new("new").about("Make a folder with a spec to start from").arg(
        Arg::new("folder")
            .required(true)
            .value_parser(value_parser!(PathBuf))
            .help("The folder to make; its name becomes the service's"),
    )
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let folder = matches.get_one::<PathBuf>("folder").expect("clap demands it");
    let name = service_name(&std::path::absolute(folder).unwrap_or_else(|_| folder.clone()));
    let files = mainstay_config::scaffold(&name);
    if let Some((path, _)) = files.iter().find(|(path, _)| folder.join(path).exists()) {
        anyhow::bail!("`{}` exists; nothing was written", folder.join(path).display());
    }
    for (path, text) in files {
        write(&folder.join(path), &text)?;
    }
    let shown = folder.display().to_string();
    terminal::answer(&format!("{shown}: made. Next:\n\n  mainstay dev {}\n\n", quoted(&shown)))?;
    Ok(ExitCode::from(exit::OK))
}

/// The folder's name with what a service's name cannot hold replaced.
fn service_name(folder: &Path) -> Name {
    let name = folder.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let clean: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let clean: String = clean.trim_matches('-').chars().take(Name::BYTES_MAX).collect();
    Name::parse(&clean.to_lowercase()).or_else(|| Name::parse("my-agent")).expect("the stand-in is a name")
}

/// A word that a shell takes as one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '@' | ':' | ',');
    let word = if word.starts_with('-') { format!("./{word}") } else { word.to_owned() };
    if word.chars().all(plain) { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("make `{}`", parent.display()))?;
    }
    std::fs::write(path, text).with_context(|| format!("write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_quoted_for_the_shell() {
        for (word, shell) in
            [("a/b.c", "a/b.c"), ("bad name!", "'bad name!'"), ("it's", r"'it'\''s'"), ("-x", "./-x")]
        {
            assert_eq!(quoted(word), shell);
        }
    }

    #[test]
    fn a_folder_name_becomes_a_service_name() {
        for (folder, name) in
            [("My Agent", "my-agent"), ("/a/b.c", "b-c"), ("..", "my-agent"), ("___", "my-agent")]
        {
            assert_eq!(service_name(Path::new(folder)).as_str(), name, "{folder}");
        }
    }
}
