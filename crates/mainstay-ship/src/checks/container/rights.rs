//! What a container may do, and how much it takes: one setting each, as Kubernetes and as Compose write it.

use serde_json::Value;

use crate::checks::subject::Container;

/// The key at fault, and what is wrong.
type Fault = Option<(&'static str, String)>;

/// It runs as a number, and not as root.
pub(super) fn user(one: &Container<'_>) -> Fault {
    if one.pod.is_some() {
        if one.security("runAsNonRoot") != &Value::Bool(true) {
            return Some(("runAsNonRoot", "may run as root: `runAsNonRoot` is not true".to_owned()));
        }
        let zero = one.security("runAsUser").as_u64() == Some(0);
        return zero.then(|| ("runAsUser", "runs as root".to_owned()));
    }
    let name = one.value["user"].to_string();
    let number = name.trim_matches('"').split(':').next().and_then(|text| text.parse::<u32>().ok());
    (number.is_none_or(|number| number == 0))
        .then(|| ("user", "has no numeric `user` other than root".to_owned()))
}

/// It cannot gain rights.
pub(super) fn escalation(one: &Container<'_>) -> Fault {
    if one.pod.is_some() {
        let off = one.value["securityContext"]["allowPrivilegeEscalation"] == Value::Bool(false);
        let privileged = one.value["securityContext"]["privileged"] == Value::Bool(true);
        return (!off || privileged).then(|| {
            (
                "allowPrivilegeEscalation",
                "can gain rights: `allowPrivilegeEscalation` is not false".to_owned(),
            )
        });
    }
    let options = one.value["security_opt"].as_array();
    let set = |option: &Value| option.as_str().is_some_and(|text| text.starts_with("no-new-privileges"));
    let off = options.is_some_and(|options| options.iter().any(set))
        && one.value["privileged"] != Value::Bool(true);
    (!off).then(|| ("security_opt", "can gain rights: `no-new-privileges` is not set".to_owned()))
}

/// It has no capability.
pub(super) fn capabilities(one: &Container<'_>) -> Fault {
    let (dropped, needle) = match one.pod {
        Some(_) => (&one.value["securityContext"]["capabilities"]["drop"], "capabilities"),
        None => (&one.value["cap_drop"], "cap_drop"),
    };
    let all = dropped.as_array().is_some_and(|list| list.iter().any(|name| name == "ALL"));
    (!all).then(|| (needle, "keeps capabilities".to_owned()))
}

/// Its system calls are filtered.
pub(super) fn seccomp(one: &Container<'_>) -> Fault {
    let filtered = match one.pod {
        Some(_) => {
            matches!(one.security("seccompProfile")["type"].as_str(), Some("RuntimeDefault" | "Localhost"))
        }
        None => {
            let options = one.value["security_opt"].as_array().into_iter().flatten();
            !options.filter_map(Value::as_str).any(|option| option == "seccomp:unconfined")
        }
    };
    (!filtered).then(|| ("seccompProfile", "may make any system call".to_owned()))
}

/// Its root cannot be written.
pub(super) fn read_only(one: &Container<'_>) -> Fault {
    let (set, needle) = match one.pod {
        Some(_) => (&one.value["securityContext"]["readOnlyRootFilesystem"], "readOnlyRootFilesystem"),
        None => (&one.value["read_only"], "read_only"),
    };
    (set != &Value::Bool(true)).then(|| (needle, "can write to its root".to_owned()))
}

/// What it takes is asked for and bounded.
pub(super) fn resources(one: &Container<'_>) -> Fault {
    let (missing, needle) = match one.pod {
        Some(_) => {
            let given = &one.value["resources"];
            let wanted = [
                (&given["requests"]["cpu"], "a request for cpu"),
                (&given["requests"]["memory"], "a request for memory"),
                (&given["limits"]["memory"], "a limit of memory"),
            ];
            (wanted.into_iter().find(|(value, _)| value.is_null()).map(|(_, name)| name), "resources")
        }
        None => {
            let limit = &one.value["deploy"]["resources"]["limits"]["memory"];
            let bounded = !limit.is_null() || !one.value["mem_limit"].is_null();
            ((!bounded).then_some("a limit of memory"), "deploy")
        }
    };
    missing.map(|name| (needle, format!("has not {name}")))
}
