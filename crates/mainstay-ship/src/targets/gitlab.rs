//! GitLab CI: the same way from a merge request to production as on GitHub, in one file.
//!
//! GitLab hands the variables of a project to every job, so secrets belong into environments: `registry` for the job
//! that pushes, and one for each place that is deployed to. The cluster is reached by a token that says of which
//! environment the job is.

mod jobs;

use serde_json::{Map, Value, json};

use mainstay_core::Result;

use super::pipeline::Pipeline;
use super::pipeline::access::{self, Forge};
use super::{Rendered, Target};
use crate::value::dense;
use crate::{File, Shipment};

pub(super) const TARGET: Target = Target {
    name: "gitlab",
    about: "GitLab CI: test, build, scan, push, deploy by digest, smoke test, roll back",
    needs: &["docker", "kustomize"],
    render,
};

/// The instance, where the spec does not name one.
const HOST: &str = "gitlab.com";
/// Where a repository is that has no GitLab.
const OF_ANOTHER_FORGE: &str = "github.com";

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let pipeline = Pipeline::of(shipment)?;
    let header = shipment.project.header();
    let mut files = vec![File::scripted("gitlab-ci.yaml", &header, dense(file(&pipeline)))];
    let host = host(&pipeline);
    let forge = Forge {
        name: "gitlab",
        issuer: format!("https://{host}"),
        claim: "project_path",
        of_branch: format!("claims.ref_type == 'branch' && claims.ref == '{}'", pipeline.branch()),
    };
    files.extend(access::files(&pipeline, &forge));
    files.push(File::new("README.md", header.lines("<!--") + "\n" + &readme(&pipeline)));
    let mut notes = pipeline.notes();
    if pipeline.repository.is_some_and(|repository| repository.host == OF_ANOTHER_FORGE) {
        notes.push(format!(
            "The repository is on {OF_ANOTHER_FORGE}; these files take its mirror to be on {HOST}, under the same name."
        ));
    }
    if !jobs::signs(&pipeline) {
        notes.push(format!(
            "Images are not signed: Sigstore's public authority gives certificates to pipelines of {HOST} alone, and the \
             repository is on {host}. With an authority of your own, add a job `sign` between `push` and `deploy-dev`."
        ));
    }
    let by_version = pipeline.pins().by_version(&jobs::IMAGES);
    if !by_version.is_empty() {
        notes.push(format!(
            "Named by version alone, since the digest is not known here: {}. `--pins FILE` takes digests.",
            by_version.join(", ")
        ));
    }
    Ok(Rendered { files, notes })
}

/// The instance that runs the pipeline: that of the repository, unless it is of another forge.
fn host<'a>(pipeline: &Pipeline<'a>) -> &'a str {
    let host = pipeline.repository.map(|repository| repository.host);
    host.filter(|&host| host != OF_ANOTHER_FORGE).unwrap_or(HOST)
}

fn file(pipeline: &Pipeline<'_>) -> Value {
    let mut file = Map::new();
    let rules = json!([
        { "if": jobs::OF_A_REQUEST }, { "if": jobs::OF_THE_BRANCH }, { "if": jobs::OF_A_VERSION },
    ]);
    file.insert("workflow".to_owned(), json!({ "rules": rules }));
    file.insert("stages".to_owned(), json!(["test", "build", "scan", "push", "deploy", "release"]));
    file.insert(
        "variables".to_owned(),
        json!({ "IMAGE": pipeline.image, "REGISTRY": pipeline.registry, "BRANCH": pipeline.branch() }),
    );
    file.insert("default".to_owned(), json!({ "interruptible": true, "timeout": "30m" }));
    file.extend(jobs::all(pipeline));
    Value::Object(file)
}

fn readme(pipeline: &Pipeline<'_>) -> String {
    let (name, branch) = (pipeline.name(), pipeline.branch());
    let mut out = format!(
        "# {name} on GitLab CI\n\n\
         Under Settings, CI/CD, General pipelines, give the configuration file `{}`; or include it:\n\n\
         ```yaml\ninclude: {{ local: {} }}\n```\n\n\
         For merge requests and for `{branch}`: `check` and `test`, then `build` (one image, kept as a file), `scan` (ends \
         the pipeline for a HIGH or CRITICAL finding that has a fix). For `{branch}` alone it goes on: `push` (as `sha-` and \
         the commit), {}then an environment after the other, by digest, each with a smoke test, and back to what ran \
         before where it fails; `prod` waits for someone to start it. A tag like `v1.4.0` gives the image of that commit the \
         names `1.4.0` and `1.4`: nothing is built twice.\n\n\
         ## Once, in the project's settings\n\n\
         - Protect `{branch}` and tags `v*`. Protect the environment `prod` and name who may deploy there.\n\
         - For each environment the variables `KUBE_SERVER` (the API server's address) and `KUBE_CA` (its authority, as \
         PEM), protected and with that environment as their scope.\n",
        pipeline.file("gitlab/gitlab-ci.yaml"),
        pipeline.file("gitlab/gitlab-ci.yaml"),
        if jobs::signs(pipeline) { "`sign`, " } else { "" },
    );
    if pipeline.registry == jobs::OWN_REGISTRY {
        out.push_str("- The registry needs no secret: the job's own token may write to it.\n");
    } else {
        out.push_str(&format!(
            "- `REGISTRY_USERNAME` and `REGISTRY_PASSWORD`, which may write to {}: masked, protected, and with the \
             environment `registry` as their scope, so that no job that builds, tests or scans has them.\n",
            pipeline.registry
        ));
    }
    if pipeline.repository.is_some() {
        out.push_str(
            "\n## Once, on each cluster\n\n\
             The API server is started with `--authentication-config=cluster/authentication.yaml` (Kubernetes 1.34; managed \
             clusters take the same issuer, audience and claims in a form of their own), and its owner applies \
             `cluster/ENVIRONMENT-*.yaml`: what the pipeline of that environment may do. It may not read secrets, delete, or \
             change the namespace. Put the service's secret there as the README of the target `kubernetes` says.\n",
        );
    }
    out
}

#[cfg(test)]
mod tests;
