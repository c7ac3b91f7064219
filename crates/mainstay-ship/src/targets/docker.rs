//! A Dockerfile: stages for building, a last one without compiler, package manager or shell, that runs as a number.
//!
//! Written for BuildKit and buildah alike: cache and bind mounts, no here-documents, no `COPY --link`. Every base is an
//! argument, so that a build can pin digests or use a registry of its own. Mounts are named from the root: buildah
//! takes no others.

use std::fmt::Write as _;
use std::path::Path;

use mainstay_core::{Error, Plan, Result, codes};

use super::{Rendered, Target};
use crate::workload::{DATA, FOLDER, PORT, USER};
use crate::{Build, File, Shipment, Source};

pub(super) const TARGET: Target =
    Target { name: "docker", about: "a Dockerfile for the agent and its apps", needs: &[], render };

/// Where the Dockerfile is, from the spec's folder.
pub(super) const PATH: &str = "Dockerfile";

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    runnable(shipment)?;
    let header = shipment.project.header().lines("#");
    let ignored = header + IGNORED + &data_folder(shipment.project.plan);
    let files = vec![File::new(PATH, dockerfile(shipment)), File::new("Dockerfile.dockerignore", ignored)];
    Ok(Rendered { files, notes: Vec::new() })
}

/// The line for a data folder that the spec has beside it, under a name of its own: what runs here keep is not for an
/// image.
fn data_folder(plan: &Plan) -> String {
    let inside = plan.data.folder.strip_prefix(&plan.folder).unwrap_or_else(|_| Path::new(DATA_DEFAULT));
    match inside.to_str() {
        Some(DATA_DEFAULT | "") | None => String::new(),
        Some(inside) => format!("{inside}\n"),
    }
}

/// A command that builds what it starts cannot run where there is no compiler.
fn runnable(shipment: &Shipment<'_>) -> Result<()> {
    for (name, process) in shipment.project.plan.processes() {
        let words = process.command.as_deref().unwrap_or_default().split_whitespace();
        let program = words.into_iter().find(|word| *word != "exec" && !word.contains('='));
        if program == Some("cargo") {
            let message = format!("the command of `{name}` runs cargo, which is not in an image that serves");
            return Err(Error::new(&codes::SHIP_UNSUPPORTED, message).with_help(
                "let `command` be the program itself: `cargo install --path .` puts it on the PATH here, and the image \
                 has it there too",
            ));
        }
    }
    Ok(())
}

/// The data folder where the spec gives none.
const DATA_DEFAULT: &str = ".mainstay";
/// What no image is built from: secrets, what tools leave behind, and what is written here.
const IGNORED: &str = "\
**/.env
**/.env.*
**/*.key
**/*.pem
.git
.github
.gitlab-ci.yml
.mainstay
**/.venv
**/__pycache__
**/*.pyc
**/.pytest_cache
**/node_modules
**/target
deploy
secrets.json
";

fn dockerfile(shipment: &Shipment<'_>) -> String {
    let stages = Stages::of(shipment.workload.build);
    let mut out = shipment.project.header().lines("#");
    let bases = [("MAINSTAY", mainstay_image(shipment.project.version))].into_iter();
    for (argument, image) in
        bases.chain(stages.bases.iter().map(|(name, image)| (*name, (*image).to_owned())))
    {
        let _ = writeln!(out, "ARG {argument}={image}");
    }
    if !stages.build.is_empty() {
        let _ = write!(out, "\n# hadolint ignore=DL3006\nFROM ${{MAINSTAY}} AS mainstay\n\n{}", stages.build);
    }
    let _ = write!(out, "\n# hadolint ignore=DL3006\nFROM ${{{}}}\n", stages.last);
    out.push_str(&stages.copied);
    out.push_str(&labels(shipment));
    let _ = write!(
        out,
        "WORKDIR {FOLDER}\n\
         ENV PATH={} \\\n    MAINSTAY_LISTEN=0.0.0.0:{PORT} \\\n    MAINSTAY_DATA_FOLDER={DATA}{}\n\
         USER {USER}:{USER}\n\
         EXPOSE {PORT}\n\
         STOPSIGNAL SIGTERM\n\
         HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \\\n    \
         CMD [\"/usr/local/bin/mainstay\", \"healthcheck\"]\n\
         ENTRYPOINT [\"/usr/local/bin/mainstay\"]\n\
         CMD [\"serve\", \"{FOLDER}\"]\n",
        stages.path, stages.variables,
    );
    out
}

/// The image that an app is built in: where its tests run, too, where a pipeline's jobs have images.
pub(crate) fn workshop(source: Source) -> &'static str {
    let bases = Stages::app(source).bases;
    let of = bases.iter().find(|(name, _)| name.ends_with("_BUILD"));
    of.map_or("", |(_, image)| *image)
}

/// The image that holds the binary, of the version that writes.
pub(crate) fn mainstay_image(version: &str) -> String {
    format!("ghcr.io/mainstay-run/mainstay:{version}")
}

fn labels(shipment: &Shipment<'_>) -> String {
    let name = &shipment.workload.name;
    let tag = &shipment.workload.tag;
    format!(
        "ARG REVISION=unknown\n\
         LABEL org.opencontainers.image.title=\"{name}\" \\\n      \
         org.opencontainers.image.version=\"{tag}\" \\\n      \
         org.opencontainers.image.revision=\"${{REVISION}}\"\n"
    )
}

/// What differs between languages.
struct Stages {
    /// Arguments for the bases, and their defaults.
    bases: &'static [(&'static str, &'static str)],
    /// The stages before the last one.
    build: String,
    /// The argument that names the base of the last stage.
    last: &'static str,
    /// What the last stage copies.
    copied: String,
    /// The last stage's PATH.
    path: &'static str,
    /// Further variables of the last stage.
    variables: &'static str,
}

/// The binary and the folder that it may write to, from its own image.
const BINARY: &str = "\
COPY --from=mainstay /usr/local/bin/mainstay /usr/local/bin/mainstay
COPY --from=mainstay --chown=10001:10001 /data /data
COPY --from=build /app /app
";

const PYTHON: &[(&str, &str)] = &[
    ("PYTHON_BUILD", "docker.io/library/python:3.11-slim-bookworm"),
    ("PYTHON", "gcr.io/distroless/python3-debian12:nonroot"),
];
const PYTHON_UV: &[(&str, &str)] = &[
    ("UV", "ghcr.io/astral-sh/uv:0.9"),
    ("PYTHON_BUILD", "docker.io/library/python:3.11-slim-bookworm"),
    ("PYTHON", "gcr.io/distroless/python3-debian12:nonroot"),
];
const PYTHON_PATH: &str = "/app/.venv/bin:/usr/local/bin:/usr/bin:/bin";
const PYTHON_VARIABLES: &str = " \\\n    PYTHONDONTWRITEBYTECODE=1 \\\n    PYTHONUNBUFFERED=1";

const PIP: &str = "\
# hadolint ignore=DL3006
FROM ${PYTHON_BUILD} AS build
WORKDIR /app
RUN python3 -m venv --without-pip .venv
RUN --mount=type=cache,target=/root/.cache/pip \\
    --mount=type=bind,source=requirements.txt,target=/app/requirements.txt \\
    python3 -m pip --python .venv/bin/python install --disable-pip-version-check --requirement requirements.txt
";

const UV: &str = "\
# hadolint ignore=DL3006
FROM ${UV} AS uv

# hadolint ignore=DL3006
FROM ${PYTHON_BUILD} AS build
WORKDIR /app
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
RUN --mount=type=cache,target=/root/.cache/uv \\
    --mount=type=bind,source=pyproject.toml,target=/app/pyproject.toml \\
    --mount=type=bind,source=uv.lock,target=/app/uv.lock \\
    uv sync --locked --no-dev --no-install-project
";

const NPM: &str = "\
# hadolint ignore=DL3006
FROM ${NODE_BUILD} AS build
WORKDIR /app
RUN --mount=type=cache,target=/root/.npm \\
    --mount=type=bind,source=package.json,target=/app/package.json \\
    --mount=type=bind,source=package-lock.json,target=/app/package-lock.json \\
    npm ci
COPY . .
RUN npm run build --if-present && npm prune --omit=dev
";

const CARGO: &str = "\
# hadolint ignore=DL3006
FROM ${RUST_BUILD} AS build
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \\
    --mount=type=cache,target=/source/target \\
    cargo install --locked --path . --root /app
RUN cp mainstay.yaml /app/ && for file in components prompts; do if [ -e \"$file\" ]; then cp -r \"$file\" /app/; fi; done
";

/// The interpreter is found elsewhere in the last stage than in the one that builds.
const RELINK: &str = "\
RUN ln -sfn /usr/bin/python3 .venv/bin/python \\
    && ln -sfn /usr/bin/python3 .venv/bin/python3 \\
    && sed -i 's|^home = .*|home = /usr/bin|' .venv/pyvenv.cfg
COPY . .
";

impl Stages {
    fn of(build: Build) -> Self {
        match build {
            Build::Bare => Self {
                bases: &[],
                build: String::new(),
                last: "MAINSTAY",
                copied: "COPY . /app\n".to_owned(),
                path: "/usr/local/bin",
                variables: "",
            },
            Build::App(source) => Self::app(source),
        }
    }

    fn app(source: Source) -> Self {
        let copied = BINARY.to_owned();
        match source {
            Source::Pip => Self {
                bases: PYTHON,
                build: [PIP, RELINK].concat(),
                last: "PYTHON",
                copied,
                path: PYTHON_PATH,
                variables: PYTHON_VARIABLES,
            },
            Source::Uv => Self {
                bases: PYTHON_UV,
                build: [UV, RELINK].concat(),
                last: "PYTHON",
                copied,
                path: PYTHON_PATH,
                variables: PYTHON_VARIABLES,
            },
            Source::Npm => Self {
                bases: &[
                    ("NODE_BUILD", "docker.io/library/node:22-bookworm-slim"),
                    ("NODE", "gcr.io/distroless/nodejs22-debian12:nonroot"),
                ],
                build: NPM.to_owned(),
                last: "NODE",
                copied,
                path: "/app/node_modules/.bin:/usr/local/bin:/nodejs/bin:/usr/bin:/bin",
                variables: " \\\n    NODE_ENV=production",
            },
            Source::Cargo => Self {
                bases: &[
                    ("RUST_BUILD", "docker.io/library/rust:1.95-slim-bookworm"),
                    ("RUNTIME", "gcr.io/distroless/cc-debian12:nonroot"),
                ],
                build: CARGO.to_owned(),
                last: "RUNTIME",
                copied,
                path: "/app/bin:/usr/local/bin:/usr/bin:/bin",
                variables: "",
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn what_runs_here_keep_is_in_no_image() {
        let mut plan = fixture::plan(fixture::deploy());
        for (folder, expect) in [
            ("/spec/.mainstay", ""),
            ("/spec/data", "data\n"),
            ("/spec/var/kept", "var/kept\n"),
            ("/kept", ""),
        ] {
            plan.data.folder = folder.into();
            assert_eq!(data_folder(&plan), expect, "{folder}");
        }
    }
}
