//! The GitLab pipeline's shape: who waits for whom, and who may do what. What the files say to tools of others is
//! checked in `tests/ship`.

use mainstay_core::plan::Deploy;

use super::*;
use crate::fixture::{deploy, needs, with};

fn pipeline() -> Value {
    with(deploy(), |shipment| dense(file(&Pipeline::of(shipment).unwrap())))
}

/// Whether a job waits for another, by whatever way.
fn waits(jobs: &Value, job: &str, other: &str) -> bool {
    needs(&jobs[job]).into_iter().any(|need| need == other || waits(jobs, need, other))
}

/// The names of the jobs.
fn names(pipeline: &Value) -> Vec<&str> {
    let is_job = |(_, value): &(&String, &Value)| value.get("stage").is_some();
    pipeline.as_object().unwrap().iter().filter(is_job).map(|(name, _)| name.as_str()).collect()
}

#[test]
fn every_environment_waits_for_the_gates_and_the_one_before_it() {
    let pipeline = pipeline();
    for (job, other) in [
        ("build", "check"),
        ("scan", "build"),
        ("push", "scan"),
        ("sign", "push"),
        ("deploy-dev", "sign"),
        ("deploy-staging", "deploy-dev"),
        ("deploy-prod", "deploy-staging"),
        ("deploy-prod", "check"),
    ] {
        assert!(waits(&pipeline, job, other), "{job} does not wait for {other}");
    }
    assert_eq!(pipeline["deploy-prod"]["rules"][0]["when"], "manual");
}

#[test]
fn secrets_and_tokens_are_where_they_are_used() {
    let pipeline = pipeline();
    for name in names(&pipeline) {
        let job = &pipeline[name];
        let outside = ["push", "sign", "release"].contains(&name) || name.starts_with("deploy-");
        assert_eq!(job.get("environment").is_some(), outside, "{name}");
        assert_eq!(job.get("id_tokens").is_some(), name == "sign" || name.starts_with("deploy-"), "{name}");
        let text = job.to_string();
        assert_eq!(text.contains("PASSWORD"), ["push", "sign", "release"].contains(&name), "{name}");
    }
    assert!(!pipeline["scan"].to_string().contains("KUBE"));
}

#[test]
fn a_merge_request_neither_pushes_nor_deploys() {
    let pipeline = pipeline();
    for name in names(&pipeline) {
        let runs =
            pipeline[name]["rules"].as_array().unwrap().iter().any(|rule| rule["if"] == jobs::OF_A_REQUEST);
        assert_eq!(runs, ["check", "build", "scan"].contains(&name), "{name}");
    }
}

#[test]
fn every_job_has_an_image_of_a_version_and_a_stage_that_is_declared() {
    let pipeline = pipeline();
    let stages = pipeline["stages"].as_array().unwrap();
    for name in names(&pipeline) {
        let job = &pipeline[name];
        assert!(stages.contains(&job["stage"]), "{name}");
        let image = job["image"]["name"].as_str().unwrap();
        let tag = image.split('@').next().unwrap().rsplit_once(':').unwrap().1;
        assert!(tag.bytes().any(|b| b.is_ascii_digit()) && tag != "latest", "{name}: {image}");
    }
}

#[test]
fn the_registry_of_gitlab_needs_no_secret() {
    let own = Deploy { image: Some("registry.gitlab.com/acme/desk".to_owned()), ..deploy() };
    let text = with(own, |shipment| file(&Pipeline::of(shipment).unwrap()).to_string());
    assert!(text.contains("$CI_REGISTRY_PASSWORD") && !text.contains("$REGISTRY_PASSWORD"), "{text}");
}

#[test]
fn a_version_is_named_only_after_what_the_branch_pushed_and_signed() {
    let script = pipeline()["release"]["script"].to_string();
    let (verified, named) = (script.find("cosign verify").unwrap(), script.find("skopeo copy").unwrap());
    assert!(verified < named, "{script}");
    assert!(script.contains("$CI_CONFIG_PATH@refs/heads/$BRANCH"), "{script}");
}

#[test]
fn where_nobody_gives_certificates_nothing_is_signed_and_that_is_said() {
    let elsewhere =
        || Deploy { repository: Some("https://git.example.com/group/desk.git".to_owned()), ..deploy() };
    let pipeline = with(elsewhere(), |shipment| dense(file(&Pipeline::of(shipment).unwrap())));
    assert!(pipeline.get("sign").is_none() && !pipeline.to_string().contains("cosign verify"));
    assert!(waits(&pipeline, "deploy-dev", "push"));
    let made = with(elsewhere(), |shipment| render(shipment).unwrap());
    assert!(made.notes.iter().any(|note| note.starts_with("Images are not signed")), "{:?}", made.notes);
}

#[test]
fn an_image_without_a_known_digest_is_named() {
    let notes = with(deploy(), |shipment| render(shipment).unwrap().notes);
    let note = notes.iter().find(|note| note.contains("--pins FILE")).unwrap();
    assert!(note.contains("quay.io/buildah/stable:") && !note.contains("skopeo"), "{note}");
}

#[test]
fn the_cluster_takes_the_tokens_of_the_instance_that_has_the_repository() {
    let repository = Some("https://git.example.com/group/desk.git".to_owned());
    let made = with(Deploy { repository, ..deploy() }, |shipment| render(shipment).unwrap());
    let found = made.files.iter().find(|file| file.path == "cluster/authentication.yaml").unwrap();
    assert!(found.text.contains("https://git.example.com"), "{}", found.text);
    assert!(found.text.contains("claims.project_path == 'group/desk'"), "{}", found.text);
}
