//! `mainstay image build`: an image of this binary and a declared agent, made and pushed without a container engine.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use mainstay_core::plan::Environment;
use mainstay_core::{Error, codes};
use mainstay_ship::image::{self, Image, Parts};
use mainstay_ship::{Build, Workload};

use super::{Def, client_runtime, spec_argument};
use crate::image::registry::{Reference, Registry};
use crate::image::{binary, layout};
use crate::wire::sidecar::plugged;
use crate::{exit, spec, terminal};

pub(super) const DEF: Def = Def { name: "image", command, run };

fn command() -> Command {
    Command::new("image")
        .about("Make an image of a service whose agents are declared, without a container engine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(build())
}

fn build() -> Command {
    Command::new("build")
        .about("Build the image: this binary, the spec and the files it names; the same files give the same digest")
        .arg(spec_argument())
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("PATH")
                .value_parser(value_parser!(PathBuf))
                .required_unless_present("push")
                .help("Write an OCI image layout there: a folder, or one file if the name ends in `.tar`"),
        )
        .arg(
            Arg::new("push")
                .long("push")
                .action(ArgAction::SetTrue)
                .help("Push it to the registry of `deploy.image`, with the credentials of Docker's configuration"),
        )
        .arg(
            Arg::new("binary")
                .long("binary")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The binary to put in, statically linked; this one by default"),
        )
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (_, matches) = matches.subcommand().expect("clap demands it");
    let given = matches.get_one::<PathBuf>("spec").expect("it has a default");
    let plugged = client_runtime()?.block_on(plugged())?;
    let loaded = spec::load(given, &spec::Flags::default(), &plugged).map_err(spec::Fault::explain)?;
    let workload = super::ship::workload(given, &loaded.plan, Environment::Prod)?;
    if workload.build != Build::Bare {
        let message = "an agent of this spec is an app, whose image needs a build of its own";
        let help = "`mainstay ship docker` writes a Dockerfile for it";
        return Err(Error::new(&codes::SHIP_UNSUPPORTED, message).with_help(help).into());
    }
    let path = match matches.get_one::<PathBuf>("binary") {
        Some(path) => path.clone(),
        None => std::env::current_exe().context("find this binary")?,
    };
    let (binary, architecture) = binary::read(&path)?;
    let read: Vec<PathBuf> = loaded.files.iter().map(|stamp| stamp.path().to_path_buf()).collect();
    let files = layout::files(&loaded.plan.folder, &read)?;
    let made = image::image(Parts { binary, architecture, files }, &workload)?;
    let name = format!("{}:{}", workload.repository, workload.tag);
    if let Some(out) = matches.get_one::<PathBuf>("out") {
        layout::write(out, &made, &workload.tag)?;
    }
    if matches.get_flag("push") {
        push(&name, &made)?;
    }
    terminal::answer(&told(&workload, &made))?;
    Ok(ExitCode::from(exit::OK))
}

fn push(name: &str, image: &Image) -> anyhow::Result<()> {
    let reference = Reference::parse(name)?;
    client_runtime()?.block_on(async {
        let mut registry = Registry::new(reference)?;
        registry.push(image).await
    })
}

fn told(workload: &Workload, image: &Image) -> String {
    let megabytes = |bytes: u64| format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000);
    format!(
        "{}@{}\n{} unpacked, {} packed, linux/{}\n",
        workload.repository,
        image.manifest.digest,
        megabytes(image.unpacked),
        megabytes(image.packed()),
        image.architecture,
    )
}
