//! What runs, and as whom: images, users, rights, bounds.

mod rights;

use super::dockerfile::exec_form;
use super::subject::{Container, Subject};
use super::{Item, Rule, Verdict};
use super::{literals, terraform};
use crate::{Build, Source};

pub(super) const RULES: &[Rule] = &[
    Rule {
        item: Item::gate(
            "container/non-root",
            "the image runs as a number that is not root",
            "end the last stage with `USER 10001:10001`: what enforces it cannot look up a name",
        ),
        judge: image_user,
    },
    Rule {
        item: Item::gate(
            "container/user",
            "no container runs as root",
            "Kubernetes: `runAsNonRoot: true` and a `runAsUser`; Compose: `user: \"10001:10001\"`",
        ),
        judge: |subject| subject.each_container("every container runs as a numeric user", rights::user),
    },
    Rule {
        item: Item::new(
            "container/no-latest",
            "every image is named by a version or a digest",
            "give each image the tag of a version, never `latest` and never none",
        ),
        judge: no_latest,
    },
    Rule {
        item: Item::new(
            "container/digest",
            "the service's image is named by its digest",
            "ship with `--digest sha256:…` once the image is built: a tag can be moved",
        ),
        judge: digest,
    },
    Rule {
        item: Item::new(
            "container/base-digest",
            "images are built from bases that are named by digest",
            "give the arguments of the bases with a digest when the image is built",
        ),
        judge: base_digest,
    },
    Rule {
        item: Item::new(
            "container/entrypoint",
            "the process itself gets the order to stop",
            "write ENTRYPOINT as a list of words: a shell as process 1 passes no signal on",
        ),
        judge: entrypoint,
    },
    Rule {
        item: Item::new(
            "container/healthcheck",
            "the image's check of health needs no shell and no curl",
            "write `HEALTHCHECK CMD [\"/usr/local/bin/mainstay\", \"healthcheck\"]`",
        ),
        judge: healthcheck,
    },
    Rule {
        item: Item::gate(
            "container/no-secret-in-image",
            "no secret stands in the image's variables and arguments",
            "take it out of ENV and ARG; give it when the container starts, or to the build as a secret mount",
        ),
        judge: no_secret_in_image,
    },
    Rule {
        item: Item::new(
            "container/ignore",
            "nothing secret gets into the image with the folder",
            "let `.dockerignore` name `.env` and `.git`",
        ),
        judge: ignore,
    },
    Rule {
        item: Item::new(
            "container/last-stage",
            "the image that runs has nothing installed into it",
            "install in a stage for building and copy what is needed from there",
        ),
        judge: last_stage,
    },
    Rule {
        item: Item::new(
            "container/lock",
            "an image is built from what is locked",
            "keep a lock file beside the spec, or give every line of `requirements.txt` its version",
        ),
        judge: lock,
    },
    Rule {
        item: Item::new(
            "container/size",
            "the built image is small",
            "measure it: at most 180 MB with a Python app, 40 MB without an app",
        ),
        judge: |_| {
            Verdict::Missing("a look into built images: their size, shells and setuid files".to_owned())
        },
    },
    Rule {
        item: Item::new(
            "container/privilege-escalation",
            "no process can gain rights",
            "Kubernetes: `allowPrivilegeEscalation: false`; Compose: `security_opt: [no-new-privileges:true]`",
        ),
        judge: |subject| subject.each_container("none can gain rights", rights::escalation),
    },
    Rule {
        item: Item::new(
            "container/capabilities",
            "every capability is dropped",
            "Kubernetes: `capabilities: { drop: [ALL] }`; Compose: `cap_drop: [ALL]`",
        ),
        judge: |subject| subject.each_container("all capabilities are dropped", rights::capabilities),
    },
    Rule {
        item: Item::new(
            "container/seccomp",
            "system calls are filtered",
            "set `seccompProfile: { type: RuntimeDefault }`",
        ),
        judge: |subject| subject.each_container("the runtime's filter is on", rights::seccomp),
    },
    Rule {
        item: Item::new(
            "container/read-only-root",
            "the root file system cannot be written",
            "Kubernetes: `readOnlyRootFilesystem: true`; Compose: `read_only: true`; mount what must be written",
        ),
        judge: |subject| subject.each_container("every root is read only", rights::read_only),
    },
    Rule {
        item: Item::gate(
            "container/resources",
            "what a container takes is asked for, and its memory is bounded",
            "give `resources.requests` for cpu and memory and `resources.limits.memory`; Compose: a memory limit",
        ),
        judge: |subject| subject.each_container("requests and memory limits are set", rights::resources),
    },
];

fn image_user(subject: &Subject<'_>) -> Verdict {
    subject.each_dockerfile("the last USER is a number and not 0", |file| {
        let Some(user) = file.last_stage("USER").next_back() else {
            return vec![(None, "the last stage has no USER and runs as root".to_owned())];
        };
        let number = user.rest.split(':').next().and_then(|text| text.parse::<u32>().ok());
        let what = match number {
            None => format!("USER `{}` is a name, not a number", user.rest),
            Some(0) => "USER is root".to_owned(),
            Some(_) => return Vec::new(),
        };
        vec![(Some(user.line), what)]
    })
}

/// Whether an image has a version: a digest, or a tag that is not `latest`.
fn has_version(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or_default();
    image.contains("@sha256:")
        || name.split_once(':').is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest")
}

fn no_latest(subject: &Subject<'_>) -> Verdict {
    let bases = subject.each_dockerfile("", |file| {
        let without = file.bases().into_iter().filter(|(_, image)| !has_version(image));
        without.map(|(line, image)| (Some(line), format!("base `{image}` has no version"))).collect()
    });
    let run = subject.each_container("every image has a version", |one| {
        let image = one.value["image"].as_str()?;
        (!has_version(image)).then(|| ("image", format!("has image `{image}` without a version")))
    });
    let modules = terraform::images(subject, |_, image| {
        (!has_version(image)).then(|| format!("image `{image}` has no version"))
    });
    let modules = Verdict::unless(modules, "");
    let faults = [&bases, &run, &modules].into_iter().filter_map(|verdict| match verdict {
        Verdict::Fail(found) => Some(found.clone()),
        _ => None,
    });
    let found: Vec<_> = faults.flatten().collect();
    if found.is_empty() { run } else { Verdict::Fail(found) }
}

fn digest(subject: &Subject<'_>) -> Verdict {
    let Ok(workload) = subject.workload() else { return subject.nothing("") };
    let ours = |one: &&Container<'_>| {
        let image = one.value["image"].as_str().unwrap_or_default();
        // What Compose builds on the machine that runs it has no digest that could be written down.
        image.starts_with(&workload.repository) && one.value["build"].is_null()
    };
    let containers = subject.containers();
    let tagged: Vec<&Container<'_>> = containers
        .iter()
        .filter(ours)
        .filter(|one| !one.value["image"].as_str().unwrap_or_default().contains("@sha256:"))
        .collect();
    if containers.is_empty() {
        return subject.nothing("no container is described under `deploy/`");
    }
    if tagged.iter().any(|one| !one.artifact.on_disk) {
        return Verdict::Unknown("the files are not written, and the image may not be built yet".to_owned());
    }
    let found = tagged.iter().map(|one| {
        let image = one.value["image"].as_str().unwrap_or_default();
        one.artifact.finding("image", format!("container `{}` has image `{image}`, by tag", one.name))
    });
    let mut found: Vec<_> = found.collect();
    found.extend(terraform::images(subject, |artifact, image| {
        let ours = artifact.on_disk && image.starts_with(&workload.repository) && !image.contains("@sha256:");
        ours.then(|| format!("image `{image}` is named by a tag"))
    }));
    Verdict::unless(found, "the image is named by its digest")
}

fn base_digest(subject: &Subject<'_>) -> Verdict {
    let judged = subject.each_dockerfile("every base is named by its digest", |file| {
        let without = file.bases().into_iter().filter(|(_, image)| !image.contains("@sha256:"));
        without.map(|(line, image)| (Some(line), image)).collect()
    });
    match judged {
        Verdict::Fail(_) => {
            Verdict::Missing("digests for the bases of images; they are tags of versions".to_owned())
        }
        other => other,
    }
}

fn entrypoint(subject: &Subject<'_>) -> Verdict {
    subject.each_dockerfile("ENTRYPOINT is a list of words", |file| {
        let last = |word| file.last_stage(word).next_back();
        match last("ENTRYPOINT").or_else(|| last("CMD")) {
            None => vec![(None, "there is no ENTRYPOINT".to_owned())],
            Some(one) if exec_form(&one.rest).is_none_or(|words| is_shell(&words)) => {
                vec![(Some(one.line), format!("{} is run by a shell", one.word))]
            }
            Some(_) => Vec::new(),
        }
    })
}

fn is_shell(words: &[String]) -> bool {
    let program = words.first().map_or("", |first| first.rsplit('/').next().unwrap_or_default());
    matches!(program, "sh" | "bash" | "ash" | "dash")
}

fn healthcheck(subject: &Subject<'_>) -> Verdict {
    subject.each_dockerfile("HEALTHCHECK runs a program of the image", |file| {
        let Some(one) = file.last_stage("HEALTHCHECK").next_back() else {
            return vec![(None, "there is no HEALTHCHECK".to_owned())];
        };
        let words = one.rest.split_once("CMD").and_then(|(_, command)| exec_form(command.trim()));
        let what = match words {
            None => "HEALTHCHECK needs a shell, or is none",
            Some(words) if is_shell(&words) => "HEALTHCHECK needs a shell",
            Some(words) if words.iter().any(|word| word.ends_with("curl") || word.ends_with("wget")) => {
                "HEALTHCHECK needs a client that the image does not have"
            }
            Some(_) => return Vec::new(),
        };
        vec![(Some(one.line), what.to_owned())]
    })
}

fn no_secret_in_image(subject: &Subject<'_>) -> Verdict {
    subject.each_dockerfile("no ENV or ARG holds one", |file| {
        let mut found = Vec::new();
        for one in file.every("ENV").chain(file.every("ARG")) {
            // `ENV NAME VALUE` is the old form of one variable; else there are pairs.
            let old = one.rest.split_once(char::is_whitespace).filter(|(name, _)| !name.contains('='));
            let pairs: Vec<(&str, &str)> = match old {
                Some(pair) => vec![pair],
                None => one.rest.split_whitespace().filter_map(|word| word.split_once('=')).collect(),
            };
            for (name, value) in pairs {
                if literals::is_literal(name, value) {
                    found.push((Some(one.line), format!("{} `{name}` holds a secret", one.word)));
                }
            }
        }
        found
    })
}

fn ignore(subject: &Subject<'_>) -> Verdict {
    let files: Vec<_> =
        subject.artifacts.iter().filter(|artifact| artifact.file.path.ends_with(".dockerignore")).collect();
    if files.is_empty() && subject.of_target("docker").next().is_none() {
        return subject.nothing("there is no Dockerfile under `deploy/`");
    }
    if files.is_empty() {
        return Verdict::fail("there is no `.dockerignore` beside the Dockerfile");
    }
    let mut found = Vec::new();
    for artifact in files {
        for name in [".env", ".git"] {
            let names = |line: &str| line.trim().trim_start_matches("**/").trim_end_matches('/') == name;
            if !artifact.file.text.lines().any(names) {
                found.push(artifact.finding("", format!("`{name}` is not left out")));
            }
        }
    }
    Verdict::unless(found, "`.env` and `.git` are left out")
}

fn last_stage(subject: &Subject<'_>) -> Verdict {
    const INSTALLERS: [&str; 7] = ["apt", "apt-get", "apk", "dnf", "yum", "pip", "npm"];
    subject.each_dockerfile("the last stage installs nothing", |file| {
        let mut found = Vec::new();
        for one in file.last_stage("RUN") {
            if let Some(word) = one.rest.split_whitespace().find(|word| INSTALLERS.contains(word)) {
                found.push((Some(one.line), format!("the last stage runs `{word}`")));
            }
        }
        found
    })
}

fn lock(subject: &Subject<'_>) -> Verdict {
    let workload = match subject.workload() {
        Ok(workload) => workload,
        Err(refused) => return refused,
    };
    let good = match workload.build {
        Build::Bare => return Verdict::Pass("no app is built".to_owned()),
        Build::App(Source::Uv) => "`uv.lock`",
        Build::App(Source::Npm) => "`package-lock.json`",
        Build::App(Source::Cargo) => "`Cargo.lock`",
        Build::App(Source::Pip) => return pinned(subject),
    };
    Verdict::Pass(format!("{good} says what is built"))
}

/// Lines of `requirements.txt` that name no version.
fn pinned(subject: &Subject<'_>) -> Verdict {
    let Some(file) = subject.sources.iter().find(|file| file.path == "requirements.txt") else {
        return Verdict::Unknown("`requirements.txt` was not read".to_owned());
    };
    let mut found = Vec::new();
    for (n, line) in file.text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let plain = !line.is_empty() && !line.starts_with('-');
        if plain && !line.contains("==") && !line.contains('@') {
            let place = Some(super::Place { file: file.path.clone(), line: Some(n + 1) });
            found.push(super::Finding { place, what: format!("`{line}` names no version") });
        }
    }
    Verdict::unless(found, "`requirements.txt` names versions")
}
