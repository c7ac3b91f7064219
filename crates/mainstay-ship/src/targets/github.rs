//! GitHub Actions: a workflow from the pull request to production, one that gives a version its name, and the cluster's
//! side.
//!
//! No job can do more than its part: the token has no right that a job does not name, the job that scans has none at
//! all, a pull request reaches neither registry nor cluster, and the cluster is reached by a token that says of which
//! environment the job is, never by a key. What others wrote is named by commit (`pins.txt`); where plain commands do,
//! there is none.

mod jobs;

use serde_json::{Value, json};

use mainstay_core::Result;

use super::pipeline::access::{self, Forge};
use super::pipeline::{Pipeline, scripts};
use super::{Rendered, Target};
use crate::value::dense;
use crate::{File, Shipment};

pub(super) const TARGET: Target = Target {
    name: "github",
    about: "GitHub Actions: test, build, scan, push, deploy by digest, smoke test, roll back",
    needs: &["docker", "kustomize"],
    render,
};

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let pipeline = Pipeline::of(shipment)?;
    let header = shipment.project.header();
    let file = |name: &str, value: Value| {
        let file = File::scripted(format!("workflows/{name}.yaml"), &header, dense(value));
        File { text: pipeline.pins().explained(&file.text), ..file }
    };
    let mut files = vec![file("ship", ship(&pipeline)), file("release", release(&pipeline))];
    let forge = Forge {
        name: "github",
        issuer: "https://token.actions.githubusercontent.com".to_owned(),
        claim: "repository",
        of_branch: format!("claims.ref == 'refs/heads/{}'", pipeline.branch()),
    };
    files.extend(access::files(&pipeline, &forge));
    files.push(File::new("README.md", header.lines("<!--") + "\n" + &readme(&pipeline)));
    let mut notes = pipeline.notes();
    if let Some(repository) = pipeline.repository.filter(|repository| repository.host != "github.com") {
        notes.push(format!(
            "The repository is on {}, where another server than GitHub's issues the tokens: change `issuer.url` in \
             `cluster/authentication.yaml`.",
            repository.host
        ));
    }
    Ok(Rendered { files, notes })
}

/// From the pull request to production.
fn ship(pipeline: &Pipeline<'_>) -> Value {
    let branch = pipeline.branch();
    json!({
        "name": "ship",
        "on": { "pull_request": { "branches": [branch] }, "push": { "branches": [branch] } },
        "permissions": {},
        "concurrency": {
            // A newer commit of a pull request makes the older one's run pointless. A run of the branch may wait for a
            // reviewer and must hold up no other: there, the environments take one at a time.
            "group": "${{ github.workflow }}-${{ github.event_name == 'pull_request' && github.ref || github.sha }}",
            "cancel-in-progress": "${{ github.event_name == 'pull_request' }}",
        },
        "defaults": { "run": { "shell": "bash" } },
        "env": { "IMAGE": pipeline.image, "REGISTRY": pipeline.registry },
        "jobs": jobs::all(pipeline),
    })
}

/// Names the image of a commit after the version that was tagged there.
fn release(pipeline: &Pipeline<'_>) -> Value {
    json!({
        "name": "release",
        "on": { "push": { "tags": ["v[0-9]+.[0-9]+.[0-9]+*"] } },
        "permissions": {},
        "concurrency": { "group": "release", "cancel-in-progress": false },
        "defaults": { "run": { "shell": "bash" } },
        "env": { "IMAGE": pipeline.image, "REGISTRY": pipeline.registry },
        "jobs": { "release": {
            "name": "name the version",
            "runs-on": jobs::RUNNER,
            "timeout-minutes": 45,
            "environment": jobs::registry_environment(pipeline),
            "permissions": { "attestations": "read", "contents": "read", "packages": jobs::packages(pipeline, "write") },
            "steps": [
                jobs::login(pipeline),
                {
                    "name": "wait for the image of this commit, and see where it comes from",
                    "id": "image",
                    "env": { "GH_TOKEN": "${{ github.token }}" },
                    "run": FIND,
                },
                {
                    "name": "name it after the version",
                    "env": { "FROM": "${{ steps.image.outputs.name }}", "TAG": "${{ github.ref_name }}" },
                    "run": scripts::NAME_VERSION,
                },
            ],
        } },
    })
}

/// The other workflow may still be at work on the same commit.
const FIND: &str = r#"tries=60
until
  digest="$(skopeo inspect --format '{{ .Digest }}' "docker://$IMAGE:sha-$GITHUB_SHA")" &&
    gh attestation verify "oci://$IMAGE@$digest" --repo "$GITHUB_REPOSITORY" \
      --signer-workflow "$GITHUB_REPOSITORY/.github/workflows/ship.yaml" --source-digest "$GITHUB_SHA"
do
  tries=$((tries - 1))
  if [ "$tries" -eq 0 ]; then
    echo "There is no image of this commit that the pipeline pushed and attested."
    exit 1
  fi
  sleep 30
done
echo "name=$IMAGE@$digest" >> "$GITHUB_OUTPUT"
"#;

fn readme(pipeline: &Pipeline<'_>) -> String {
    let (name, branch, workflows) = (pipeline.name(), pipeline.branch(), pipeline.file("github/workflows"));
    let mut out = format!(
        "# {name} on GitHub Actions\n\n\
         GitHub reads workflows from one folder. At the root of the repository:\n\n\
         ```sh\nmkdir -p .github/workflows\ncp {workflows}/*.yaml .github/workflows/\n```\n\n\
         `ship.yaml` runs for pull requests and for `{branch}`: `check` and `test`, then `build` (one image, kept as a file), \
         `scan` (ends the run for a HIGH or CRITICAL finding that has a fix). For `{branch}` alone it goes on: `push` (as \
         `sha-` and the commit, with attested provenance), then {}, each by digest, with a smoke test, and back to what ran \
         before where it fails.\n\
         `release.yaml` runs for tags like `v1.4.0` and gives the image of that commit the names `1.4.0` and `1.4`: nothing \
         is built twice.\n\n\
         ## Once, in the repository's settings\n\n",
        chain(pipeline),
    );
    let names: Vec<String> =
        pipeline.environments.iter().map(|workload| format!("`{}`", workload.environment)).collect();
    out.push_str(&format!(
        "- Environments {}: in each the variables `KUBE_SERVER` (the API server's address) and `KUBE_CA` (its authority, as \
         PEM). Let only `{branch}` deploy, and ask for a reviewer before `prod`.\n",
        names.join(", ")
    ));
    if jobs::on_github(pipeline) {
        out.push_str("- The package needs no secret: the job's own token may write to it.\n");
    } else {
        out.push_str(&format!(
            "- An environment `registry`, for `{branch}` and tags `v*`, with the secrets `REGISTRY_USERNAME` and \
             `REGISTRY_PASSWORD`, which may write to {}. The same environment's name is not given to any job that builds, \
             tests or scans.\n- In each environment the same two secrets, of an account that may only read.\n",
            pipeline.registry
        ));
    }
    out.push_str(&cluster(pipeline));
    out
}

fn chain(pipeline: &Pipeline<'_>) -> String {
    let names: Vec<&str> = pipeline.environments.iter().map(|workload| workload.environment.name()).collect();
    names.join(", then ")
}

fn cluster(pipeline: &Pipeline<'_>) -> String {
    if pipeline.repository.is_none() {
        return String::new();
    }
    "\n## Once, on each cluster\n\n\
     No key of the cluster is kept anywhere. The API server is started with \
     `--authentication-config=cluster/authentication.yaml` (Kubernetes 1.34; managed clusters take the same issuer, audience \
     and claims in a form of their own), and its owner applies what the pipeline of an environment may do:\n\n\
     ```sh\nkubectl apply -f cluster/prod-0-namespace.yaml -f cluster/prod-1-role.yaml -f cluster/prod-2-role-binding.yaml\n```\n\n\
     It may not read secrets, delete, or change the namespace. Put the service's secret there as the README of the target \
     `kubernetes` says.\n"
        .to_owned()
}

#[cfg(test)]
mod tests;
