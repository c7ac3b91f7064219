//! `mainstay models`: the library of local models: what is known, what is here, and fetching.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use mainstay_core::Error;
use mainstay_local::library::{self, Library, ListedModel, Progress, PullOptions, Source};

use super::{Def, client_runtime};
use crate::{environment, exit, terminal};

pub(super) const DEF: Def = Def { name: "models", command, run };

fn command() -> Command {
    Command::new("models")
        .about("List and fetch local models")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("list").about("Show the models that are known and those that are here"))
        .subcommand(
            Command::new("pull")
                .about("Fetch a model; goes on where it stopped, checks its SHA-256")
                .arg(
                    Arg::new("model")
                        .required(true)
                        .help("A name from `models list`, the URL of a GGUF file, or a file"),
                )
                .arg(
                    Arg::new("sha256")
                        .long("sha256")
                        .value_name("HEX")
                        .help("The SHA-256 that the file of a URL must have"),
                ),
        )
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let library = Library::new(environment::models_folder());
    match matches.subcommand() {
        Some(("pull", arguments)) => {
            let text = arguments.get_one::<String>("model").expect("clap demands it");
            let source = match (Source::parse(text)?, arguments.get_one::<String>("sha256")) {
                (Source::Url(url, _), Some(sum)) => Source::Url(url, Some(sum.clone())),
                (source, _) => source,
            };
            client_runtime()?.block_on(fetch(&library, &source))?;
        }
        _ => list(&library)?,
    }
    Ok(ExitCode::from(exit::OK))
}

fn list(library: &Library) -> anyhow::Result<()> {
    let mut text = format!("models in {}\n\n", library.folder().display());
    for ListedModel { name, bytes, entry, .. } in library.list()? {
        let state = bytes.map_or("not here".to_owned(), |bytes| HumanBytes(bytes).to_string());
        let about = entry.map(|entry| format!("{} ({})", entry.about, entry.licence)).unwrap_or_default();
        text.push_str(format!("  {name:<28} {state:>12}   {about}").trim_end());
        text.push('\n');
    }
    terminal::answer(&text)
}

/// Fetches a model with a progress bar on standard error, and says where it is.
pub(crate) async fn fetch(library: &Library, source: &Source) -> Result<(), Error> {
    let style =
        ProgressStyle::with_template("  {msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::no_length().with_style(style.expect("the template is sound"));
    bar.set_message(source.model_name());
    let options = PullOptions {
        index_url: environment::package_index().unwrap_or_else(|| library::INDEX_URL_DEFAULT.to_owned()),
        ..PullOptions::default()
    };
    let shown = bar.clone();
    let mut progress = move |step: Progress| match step {
        Progress::Locating => shown.set_message("locating"),
        Progress::Downloading { bytes, bytes_total } => {
            shown.set_message("fetching");
            if let Some(total) = bytes_total {
                shown.set_length(total);
            }
            shown.set_position(bytes);
        }
        Progress::Verifying => shown.set_message("checking"),
        Progress::Done => shown.finish_and_clear(),
    };
    let file = library::pull(library, source, &options, &mut progress).await;
    bar.finish_and_clear();
    terminal::complain(&format!("  {} is in {}\n", source.model_name(), file?.display()));
    Ok(())
}
