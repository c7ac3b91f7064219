//! `mainstay new`: a folder to start from.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgMatches, Command, value_parser};

use mainstay_config::ScaffoldModel;
use mainstay_core::{KindDef, Name};

use super::Def;
use crate::{exit, spec, terminal};

pub(super) const DEF: Def = Def { name: "new", command, run };

fn command() -> Command {
    Command::new("new")
        .about("Make a folder with a spec to start from")
        .arg(
            Arg::new("folder")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The folder to make; its name becomes the service's"),
        )
        .arg(Arg::new("model").long("model").value_name("PROVIDER/MODEL").help(
            "Begin for production: with this model, e.g. openai/gpt-5-mini, a key for callers, and what `ship` needs",
        ))
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let folder = matches.get_one::<PathBuf>("folder").expect("clap demands it");
    let name = service_name(&std::path::absolute(folder).unwrap_or_else(|_| folder.clone()));
    let kinds = spec::provider_kinds();
    let model = match matches.get_one::<String>("model").map(|given| model(&kinds, given)) {
        Some(Ok(model)) => Some(model),
        Some(Err(fault)) => {
            terminal::complain(&fault);
            return Ok(ExitCode::from(exit::USAGE));
        }
        None => None,
    };
    let files = mainstay_config::scaffold(&name, model.as_ref().map(Asked::scaffold));
    if let Some((path, _)) = files.iter().find(|(path, _)| folder.join(path).exists()) {
        anyhow::bail!("`{}` exists; nothing was written", folder.join(path).display());
    }
    for (path, text) in files {
        write(&folder.join(path), &text)?;
    }
    let shown = folder.display().to_string();
    let first = model.as_ref().map_or_else(String::new, Asked::first);
    terminal::answer(&format!("{shown}: made. Next:\n\n{first}  mainstay dev {}\n\n", quoted(&shown)))?;
    Ok(ExitCode::from(exit::OK))
}

/// A model that was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    provider: &'static str,
    model: &'a str,
    /// A reference to the provider's key, where it takes one: the example that its settings give.
    key: Option<String>,
}

impl Asked<'_> {
    fn scaffold(&self) -> ScaffoldModel<'_> {
        ScaffoldModel { provider: self.provider, model: self.model, key: self.key.as_deref() }
    }

    /// What must be set before the service can start.
    fn first(&self) -> String {
        let keys =
            self.key.as_deref().and_then(|key| key.strip_prefix("env:")).into_iter().chain(["WEB_KEY"]);
        keys.map(|key| format!("  export {key}=…\n")).collect()
    }
}

/// A model as `PROVIDER/MODEL`. Errors: what to say of one that is none.
fn model<'a>(kinds: &[KindDef], given: &'a str) -> Result<Asked<'a>, String> {
    let (provider, model) = given.split_once('/').unwrap_or((given, ""));
    let Some(kind) = kinds.iter().find(|kind| kind.kind == provider) else {
        let help =
            mainstay_config::nearest_help(provider, kinds.iter().map(|kind| kind.kind)).unwrap_or_default();
        return Err(format!("mainstay: there is no kind of provider `{provider}`\n  help: {help}\n"));
    };
    if model.is_empty() || model.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let help = format!("write it as PROVIDER/MODEL, e.g. `--model {provider}/NAME`");
        return Err(format!("mainstay: `{given}` names no model\n  help: {help}\n"));
    }
    let key = (kind.schema)()["properties"]["api_key"]["examples"][0].as_str().map(str::to_owned);
    Ok(Asked { provider: kind.kind, model, key })
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
    fn a_model_is_of_a_kind_of_provider_and_brings_its_key() {
        let kinds = spec::provider_kinds();
        let openai = model(&kinds, "openai/gpt-5-mini").unwrap();
        assert_eq!((openai.model, openai.key.as_deref()), ("gpt-5-mini", Some("env:OPENAI_API_KEY")));
        assert!(model(&kinds, "opnai/gpt-5-mini").unwrap_err().contains("`openai`"));
        for nothing in ["openai", "openai/", "openai/a b"] {
            assert!(model(&kinds, nothing).unwrap_err().contains("PROVIDER/MODEL"), "{nothing}");
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
