//! The way in (Service, route), and what may come in and go out.

use serde_json::{Value, json};

use mainstay_core::plan::Route;

use super::{Object, metadata, selector};
use crate::workload::{PORT, Workload};

/// Addresses that tell a machine's secrets to whoever asks: no pod of ours may.
const METADATA_V4: &str = "169.254.0.0/16";
const METADATA_V6: &str = "fd00:ec2::254/128";
/// Where names are looked up on clusters with a cache on each machine: an address of the machine, which no selector of
/// pods covers.
const DNS_OF_A_MACHINE: &str = "169.254.20.10/32";

pub(super) fn service(workload: &Workload) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(workload, &workload.name),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(workload),
            "sessionAffinity": workload.several().then_some("ClientIP"),
            "ports": [{ "name": "http", "port": 80, "targetPort": "http", "protocol": "TCP" }],
        },
    })
}

/// What gives each replica of a StatefulSet a name of its own.
pub(super) fn headless(workload: &Workload) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(workload, &format!("{}-replicas", workload.name)),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": true,
            "selector": selector(workload),
            "ports": [{ "name": "http", "port": PORT, "targetPort": "http", "protocol": "TCP" }],
        },
    })
}

pub(super) fn objects(workload: &Workload) -> Vec<Object> {
    let mut objects = vec![Object { file: "network-policy", value: policy(workload) }];
    if let Some(host) = &workload.sizing.host {
        objects.push(match workload.sizing.route {
            Route::Gateway => Object { file: "route", value: http_route(workload, host) },
            Route::Ingress => Object { file: "ingress", value: ingress(workload, host) },
        });
    }
    objects
}

pub(super) fn notes(workload: &Workload) -> Vec<String> {
    let mut notes = Vec::new();
    if workload.sizing.host.is_none() {
        notes.push(
            "There is no way in from outside the cluster: give `deploy.base.host` a name to have one."
                .to_owned(),
        );
    } else if workload.sizing.route == Route::Gateway {
        notes.push(
            "The route attaches to a Gateway named `public` in the namespace `gateway-system`; change `parentRefs` if \
             yours has another name, or a listener without TLS that does more than send callers to the one with it."
                .to_owned(),
        );
    } else {
        notes.push(format!(
            "The Ingress is of the cluster's default class, and its certificate is in the secret `{}-tls`, which is not \
             made here. How long it lets a stream last is a setting of its controller.",
            workload.name
        ));
    }
    notes.push(
        "Any pod of the cluster may call; what goes out may go to DNS and to the ports that the spec names."
            .to_owned(),
    );
    notes
}

/// Streams last as long as they last, so the gateway must not end a request by its age.
fn http_route(workload: &Workload, host: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(workload, &workload.name),
        "spec": {
            "parentRefs": [{ "name": "public", "namespace": "gateway-system" }],
            "hostnames": [host],
            "rules": [{
                "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }],
                "timeouts": { "request": "0s", "backendRequest": "0s" },
                "backendRefs": [{ "name": workload.name, "port": 80 }],
            }],
        },
    })
}

fn ingress(workload: &Workload, host: &str) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(workload, &workload.name),
        "spec": {
            "tls": [{ "hosts": [host], "secretName": format!("{}-tls", workload.name) }],
            "rules": [{
                "host": host,
                "http": { "paths": [{
                    "path": "/",
                    "pathType": "Prefix",
                    "backend": { "service": { "name": workload.name, "port": { "name": "http" } } },
                }] },
            }],
        },
    })
}

/// Nothing but the port comes in; names are looked up, and what goes out goes to the ports that the spec names.
fn policy(workload: &Workload) -> Value {
    let ports: Vec<Value> =
        workload.outward.iter().map(|port| json!({ "port": port, "protocol": "TCP" })).collect();
    let anywhere = json!([
        { "ipBlock": { "cidr": "0.0.0.0/0", "except": [METADATA_V4] } },
        { "ipBlock": { "cidr": "::/0", "except": [METADATA_V6] } },
    ]);
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(workload, &workload.name),
        "spec": {
            "podSelector": { "matchLabels": selector(workload) },
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{
                "from": [{ "namespaceSelector": {} }],
                "ports": [{ "port": "http", "protocol": "TCP" }],
            }],
            "egress": [
                { "to": [{ "namespaceSelector": {} }, { "ipBlock": { "cidr": DNS_OF_A_MACHINE } }], "ports": [
                    { "port": 53, "protocol": "UDP" }, { "port": 53, "protocol": "TCP" },
                ] },
                { "to": anywhere, "ports": ports },
            ],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::workload;

    #[test]
    fn what_an_ingress_leaves_open_is_said() {
        let sizing = mainstay_core::plan::Sizing {
            host: Some("desk.example.com".to_owned()),
            route: Route::Ingress,
            ..workload().sizing
        };
        let notes = notes(&Workload { sizing, ..workload() });
        assert!(notes.iter().any(|note| note.contains("`desk-tls`")), "{notes:?}");
    }

    #[test]
    fn names_are_looked_up_in_the_cluster_and_on_the_machine_and_credentials_of_the_machine_are_out_of_reach()
    {
        let policy = policy(&Workload { outward: vec![443], ..workload() });
        let egress = &policy["spec"]["egress"];
        assert_eq!(egress[0]["to"][1]["ipBlock"]["cidr"], DNS_OF_A_MACHINE);
        assert!(egress[0]["ports"].as_array().unwrap().iter().all(|port| port["port"] == 53));
        assert_eq!(egress[1]["to"][0]["ipBlock"]["except"][0], METADATA_V4);
        assert_eq!(egress[1]["ports"], json!([{ "port": 443, "protocol": "TCP" }]));
    }
}
