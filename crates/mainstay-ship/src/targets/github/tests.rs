//! The GitHub workflow's shape: who waits for whom, and who may do what. What the files say to tools of others is
//! checked in `tests/ship`.

use mainstay_core::plan::Deploy;

use super::*;
use crate::fixture::{deploy, needs, rendered, with};

fn workflow() -> Value {
    with(deploy(), |shipment| dense(ship(&Pipeline::of(shipment).unwrap())))
}

/// Whether a job waits for another, by whatever way.
fn waits(jobs: &Value, job: &str, other: &str) -> bool {
    needs(&jobs[job]).into_iter().any(|need| need == other || waits(jobs, need, other))
}

#[test]
fn every_environment_waits_for_the_gates_and_the_one_before_it() {
    let workflow = workflow();
    let jobs = &workflow["jobs"];
    for (job, other) in [
        ("build", "check"),
        ("scan", "build"),
        ("push", "scan"),
        ("deploy-dev", "push"),
        ("deploy-staging", "deploy-dev"),
        ("deploy-prod", "deploy-staging"),
        ("deploy-prod", "check"),
    ] {
        assert!(waits(jobs, job, other), "{job} does not wait for {other}");
    }
    assert!(!waits(jobs, "push", "report"), "a report is no gate");
}

#[test]
fn the_scan_has_no_right_no_secret_and_no_way_to_deploy() {
    let job = &workflow()["jobs"]["scan"];
    assert_eq!(job["permissions"], json!({}));
    let text = job.to_string();
    for word in ["secrets.", "github.token", "environment", "KUBE", "vars."] {
        assert!(!text.contains(word), "{word}: {text}");
    }
    let last = job["steps"][1]["run"].as_str().unwrap().lines().last().unwrap();
    assert!(last.contains("--severity HIGH,CRITICAL") && last.contains("--exit-code 1"), "{last}");
    assert!(job["steps"][1]["env"]["TRIVY"].as_str().unwrap().contains("@sha256:"));
}

#[test]
fn rights_are_named_by_the_jobs_alone_and_tokens_of_identity_only_where_they_are_used() {
    let workflow = workflow();
    assert_eq!(workflow["permissions"], json!({}));
    for (name, job) in workflow["jobs"].as_object().unwrap() {
        assert!(job["permissions"].is_object() && job["timeout-minutes"].is_u64(), "{name}");
        let identity = job["permissions"]["id-token"] == "write";
        assert_eq!(identity, name == "push" || name.starts_with("deploy-"), "{name}");
        let writes = job["permissions"]["packages"] == "write";
        assert_eq!(writes, name == "push", "{name}");
        assert_eq!(job["environment"].is_string(), name.starts_with("deploy-"), "{name}");
    }
}

#[test]
fn a_pull_request_neither_pushes_nor_deploys() {
    let workflow = workflow();
    let condition = workflow["jobs"]["push"]["if"].as_str().unwrap();
    assert!(
        condition.contains("event_name == 'push'") && condition.contains("refs/heads/main"),
        "{condition}"
    );
    // A job whose need was skipped is skipped, unless its own condition says otherwise.
    for environment in ["dev", "staging", "prod"] {
        assert!(workflow["jobs"][format!("deploy-{environment}")].get("if").is_none());
    }
}

#[test]
fn actions_are_named_by_commit_and_their_version_is_told() {
    for file in rendered("github", deploy()).unwrap().files {
        for line in file.text.lines().filter(|line| line.contains("uses: ")) {
            let (_, reference) = line.split_once('@').unwrap();
            let (commit, version) = reference.split_once(" # ").unwrap_or_else(|| panic!("{line}"));
            assert!(commit.len() == 40 && version.contains('.'), "{line}");
        }
    }
}

#[test]
fn what_others_can_write_reaches_no_script_but_by_variables() {
    for workflow in [workflow(), with(deploy(), |shipment| release(&Pipeline::of(shipment).unwrap()))] {
        for (name, job) in workflow["jobs"].as_object().unwrap() {
            for step in job["steps"].as_array().unwrap() {
                let run = step["run"].as_str().unwrap_or_default();
                assert!(!run.contains("${{"), "{name}: {run}");
                let checkout =
                    step["uses"].as_str().is_some_and(|uses| uses.starts_with("actions/checkout@"));
                assert!(!checkout || step["with"]["persist-credentials"] == false, "{name}");
            }
        }
    }
}

#[test]
fn a_registry_elsewhere_has_its_secrets_in_an_environment() {
    let elsewhere = Deploy { image: Some("registry.example.com/desk".to_owned()), ..deploy() };
    let workflow = with(elsewhere, |shipment| dense(ship(&Pipeline::of(shipment).unwrap())));
    let push = &workflow["jobs"]["push"];
    assert_eq!(push["environment"], "registry");
    assert!(push["permissions"].get("packages").is_none());
    assert!(push.to_string().contains("secrets.REGISTRY_PASSWORD"));
    for name in ["check", "build", "scan", "report"] {
        assert!(!workflow["jobs"][name].to_string().contains("secrets."), "{name}");
    }
}

#[test]
fn the_pipeline_may_do_in_its_namespace_what_its_objects_need_and_read_no_secret() {
    let files = rendered("github", deploy()).unwrap().files;
    let text =
        |name: &str| &files.iter().find(|file| file.path == name).unwrap_or_else(|| panic!("{name}")).text;
    let role = text("cluster/prod-1-role.yaml");
    for resource in ["deployments", "horizontalpodautoscalers", "networkpolicies", "poddisruptionbudgets"] {
        assert!(role.contains(resource), "{role}");
    }
    for not in ["secrets", "namespaces", "delete", "*"] {
        assert!(!role.contains(not), "{not}: {role}");
    }
    assert!(text("cluster/prod-2-role-binding.yaml").contains("github:acme/desk:prod"));
    assert!(text("cluster/authentication.yaml").contains("claims.repository == 'acme/desk'"));
}

#[test]
fn a_spec_without_an_image_or_a_repository_is_told_what_is_missing() {
    let error = rendered("github", Deploy { image: None, ..deploy() }).unwrap_err();
    assert_eq!(error.code().id, "SHIP_INCOMPLETE");
    let made = rendered("github", Deploy { repository: None, ..deploy() }).unwrap();
    assert!(made.files.iter().all(|file| !file.path.starts_with("cluster/")));
    assert!(made.notes.iter().any(|note| note.contains("deploy.repository")), "{:?}", made.notes);
}
