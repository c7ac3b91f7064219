//! Which modules are made of a service, and what is refused; what stands in them is judged in `tests/ship`.

use mainstay_core::plan::{Deploy, Environment, Sizing};

use super::*;
use crate::fixture::{deploy, rendered};

fn text(deploy: Deploy, path: &str) -> String {
    let files = rendered("terraform", deploy).unwrap().files;
    files.into_iter().find(|file| file.path == path).unwrap_or_else(|| panic!("no {path}")).text
}

fn named(platforms: &[&str]) -> Deploy {
    Deploy { platforms: platforms.iter().map(|name| (*name).to_owned()).collect(), ..deploy() }
}

#[test]
fn platforms_are_in_order_and_their_own() {
    let names = platforms();
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
}

#[test]
fn environments_differ_in_values_alone() {
    for platform in PLATFORMS {
        let image = Some("public.ecr.aws/acme/desk".to_owned());
        let files = rendered("terraform", Deploy { image, ..named(&[platform.name]) }).unwrap().files;
        for environment in Environment::ALL {
            let path = format!("{}/{environment}.tfvars", platform.name);
            let values = &files.iter().find(|file| file.path == path).unwrap().text;
            assert!(values.contains(&format!("= \"{environment}\"")), "{values}");
        }
        let code = files.iter().filter(|file| file.path.ends_with("main.tf"));
        for file in code {
            assert!(!file.text.contains("\"staging\""), "{}", file.text);
        }
    }
}

#[test]
fn a_volume_is_refused_where_replicas_keep_nothing() {
    let kept = Sizing { storage_bytes: Some(1 << 30), ..Environment::Prod.sizing() };
    let environments = [(Environment::Prod, kept)].into_iter().collect();
    let error = rendered("terraform", Deploy { environments, ..named(&["gcp-cloud-run"]) }).unwrap_err();
    assert_eq!(error.code().id, "SHIP_UNSUPPORTED");
    assert!(error.message().contains("1Gi in prod"), "{error:?}");
}

#[test]
fn what_takes_no_new_customers_is_written_only_where_it_is_named_and_warns() {
    let image = Some("111122223333.dkr.ecr.eu-central-1.amazonaws.com/desk".to_owned());
    let all = rendered("terraform", Deploy { image: image.clone(), ..deploy() }).unwrap();
    assert!(!all.files.iter().any(|file| file.path.starts_with("aws-app-runner/")));
    let named = Deploy { image, ..named(&["aws-app-runner"]) };
    let files = rendered("terraform", named).unwrap().files;
    for file in files.iter().filter(|file| file.path.starts_with("aws-app-runner/")) {
        assert!(file.text.contains("takes no new customers since 2026-04-30"), "{}", file.path);
    }
}

#[test]
fn what_a_platform_cannot_do_is_an_error_where_it_is_named_and_said_where_it_is_not() {
    let error = rendered("terraform", named(&["aws-app-runner"])).unwrap_err();
    assert!(error.message().contains("pulls from ECR alone"), "{error:?}");
    let large = Sizing { memory_bytes: 64 << 30, ..Environment::Prod.sizing() };
    let environments = [(Environment::Prod, large)].into_iter().collect();
    let rendered = rendered("terraform", Deploy { environments, ..deploy() }).unwrap();
    let folders: Vec<&str> =
        rendered.files.iter().filter_map(|file| file.path.strip_suffix("/main.tf")).collect();
    assert_eq!(folders, ["aws-fargate"]);
    for name in ["aws-ecs-express", "azure-container-apps", "digitalocean-kubernetes", "gcp-cloud-run"] {
        let said =
            rendered.notes.iter().any(|note| note.starts_with(&format!("`terraform/{name}` is not written")));
        assert!(said, "{:?}", rendered.notes);
    }
}

#[test]
fn no_file_names_an_image_by_latest_and_every_provider_stands_by_its_version() {
    for file in rendered("terraform", deploy()).unwrap().files {
        assert!(!file.text.contains("desk:latest"), "{}", file.path);
        if file.path.ends_with("versions.tf") {
            let exact = file
                .text
                .lines()
                .any(|line| line.trim().starts_with("version = \"") && !line.contains(['~', '>']));
            assert!(exact, "{}", file.text);
        }
    }
}

#[test]
fn an_image_is_pulled_through_a_mirror_where_cloud_run_would_not_find_it() {
    let main = text(named(&["gcp-cloud-run"]), "gcp-cloud-run/main.tf");
    assert!(main.contains("uri = \"https://ghcr.io\""), "{main}");
    let near = Deploy {
        image: Some("europe-docker.pkg.dev/acme/agents/desk".to_owned()),
        ..named(&["gcp-cloud-run"])
    };
    let main = text(near, "gcp-cloud-run/main.tf");
    assert!(!main.contains("mirror"), "{main}");
}
