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
        let files = rendered("terraform", named(&[platform.name])).unwrap().files;
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
