//! Which APIs an app may use: the lists `api.allowed` and `api.denied` of a Configuration.

use mainstay_core::runtime_config::ApiRule;

/// The lists for one protocol. The default allows everything.
#[derive(Clone, Debug, Default)]
pub struct Apis {
    allowed: Vec<(String, String)>,
    denied: Vec<(String, String)>,
}

/// The methods of the runtime's service, by their API and its version. What is in no list is not part of an API.
const METHODS: &[(&str, &str, &[&str])] = &[
    ("invoke", "v1", &["InvokeService"]),
    (
        "state",
        "v1",
        &[
            "GetState",
            "GetBulkState",
            "SaveState",
            "DeleteState",
            "DeleteBulkState",
            "ExecuteStateTransaction",
        ],
    ),
    ("state", "v1alpha1", &["QueryStateAlpha1"]),
    ("publish", "v1", &["PublishEvent", "BulkPublishEvent"]),
    ("publish", "v1alpha1", &["BulkPublishEventAlpha1"]),
    ("subscribe", "v1alpha1", &["SubscribeTopicEventsAlpha1"]),
    ("bindings", "v1", &["InvokeBinding"]),
    ("secrets", "v1", &["GetSecret", "GetBulkSecret"]),
    (
        "actors",
        "v1",
        &[
            "RegisterActorTimer",
            "UnregisterActorTimer",
            "RegisterActorReminder",
            "UnregisterActorReminder",
            "UnregisterActorRemindersByType",
            "GetActorReminder",
            "ListActorReminders",
            "GetActorState",
            "ExecuteActorStateTransaction",
            "InvokeActor",
        ],
    ),
    ("actors", "v1alpha1", &["SubscribeActorEventsAlpha1"]),
    ("metadata", "v1", &["GetMetadata", "SetMetadata"]),
    (
        "configuration",
        "v1alpha1",
        &["GetConfigurationAlpha1", "SubscribeConfigurationAlpha1", "UnsubscribeConfigurationAlpha1"],
    ),
    ("configuration", "v1", &["GetConfiguration", "SubscribeConfiguration", "UnsubscribeConfiguration"]),
    ("lock", "v1alpha1", &["TryLockAlpha1"]),
    ("unlock", "v1alpha1", &["UnlockAlpha1"]),
    ("crypto", "v1alpha1", &["EncryptAlpha1", "DecryptAlpha1"]),
    (
        "subtlecrypto",
        "v1alpha1",
        &[
            "SubtleGetKeyAlpha1",
            "SubtleEncryptAlpha1",
            "SubtleDecryptAlpha1",
            "SubtleSignAlpha1",
            "SubtleVerifyAlpha1",
            "SubtleWrapKeyAlpha1",
            "SubtleUnwrapKeyAlpha1",
        ],
    ),
    (
        "workflows",
        "v1alpha1",
        &[
            "StartWorkflowAlpha1",
            "GetWorkflowAlpha1",
            "TerminateWorkflowAlpha1",
            "RaiseEventWorkflowAlpha1",
            "PurgeWorkflowAlpha1",
            "PauseWorkflowAlpha1",
            "ResumeWorkflowAlpha1",
        ],
    ),
    (
        "workflows",
        "v1beta1",
        &[
            "StartWorkflowBeta1",
            "GetWorkflowBeta1",
            "TerminateWorkflowBeta1",
            "RaiseEventWorkflowBeta1",
            "PurgeWorkflowBeta1",
            "PauseWorkflowBeta1",
            "ResumeWorkflowBeta1",
        ],
    ),
    ("jobs", "v1", &["ScheduleJob", "GetJob", "DeleteJob", "DeleteJobsByPrefix", "ListJobs"]),
    (
        "jobs",
        "v1alpha1",
        &[
            "ScheduleJobAlpha1",
            "GetJobAlpha1",
            "DeleteJobAlpha1",
            "DeleteJobsByPrefixAlpha1",
            "ListJobsAlpha1",
        ],
    ),
    ("conversation", "v1alpha1", &["ConverseAlpha1"]),
    ("conversation", "v1alpha2", &["ConverseAlpha2"]),
    ("shutdown", "v1", &["Shutdown"]),
];

impl Apis {
    /// The lists for a protocol, `http` or `grpc`.
    #[must_use]
    pub fn of(protocol: &str, allowed: &[ApiRule], denied: &[ApiRule]) -> Self {
        let ours = |rules: &[ApiRule]| {
            let ours = rules.iter().filter(|rule| rule.protocol == protocol);
            ours.map(|rule| (rule.name.clone(), version(&rule.version))).collect()
        };
        Self { allowed: ours(allowed), denied: ours(denied) }
    }

    /// Whether a path behind its version may be used. Without a place of its own in a list, a path is as the API that
    /// its beginning names.
    #[must_use]
    pub fn allows_path(&self, of_version: &str, path: &str) -> bool {
        let of_version = version(of_version);
        let names =
            |(name, named): &(String, String)| *named == of_version && path.starts_with(name.as_str());
        !self.denied.iter().any(names) && (self.allowed.is_empty() || self.allowed.iter().any(names))
    }

    /// Whether a method of the runtime's service may be used.
    #[must_use]
    pub fn allows_method(&self, method: &str) -> bool {
        let group = METHODS.iter().find(|(.., methods)| methods.contains(&method));
        let names = |(name, named): &(String, String)| {
            group.is_some_and(|(group, version, _)| name == group && named == version)
        };
        !self.denied.iter().any(names) && (self.allowed.is_empty() || self.allowed.iter().any(names))
    }
}

/// Versions have two spellings: `v1.0-alpha1`, as in paths, and `v1alpha1`.
fn version(text: &str) -> String {
    text.replacen("v1.0", "v1", 1).replace('-', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, version: &str, protocol: &str) -> ApiRule {
        ApiRule { name: name.to_owned(), version: version.to_owned(), protocol: protocol.to_owned() }
    }

    #[test]
    fn what_is_denied_or_not_allowed_is_not_there() {
        let denied = [rule("state", "v1.0", "http"), rule("state", "v1", "grpc")];
        let http = Apis::of("http", &[], &denied);
        assert!(!http.allows_path("v1.0", "state/{store}/{key}"));
        assert!(
            http.allows_path("v1.0-alpha1", "state/{store}/query") && http.allows_path("v1.0", "publish/x")
        );
        let grpc = Apis::of("grpc", &[], &denied);
        assert!(!grpc.allows_method("SaveState") && grpc.allows_method("QueryStateAlpha1"));
        let allowed = [rule("publish", "v1", "http"), rule("lock", "v1.0-alpha1", "grpc")];
        let http = Apis::of("http", &allowed, &[]);
        assert!(
            http.allows_path("v1.0", "publish/{broker}/{*topic}") && !http.allows_path("v1.0", "secrets/x")
        );
        let grpc = Apis::of("grpc", &allowed, &[]);
        assert!(grpc.allows_method("TryLockAlpha1") && !grpc.allows_method("GetState"));
        assert!(Apis::default().allows_method("AnyThing") && Apis::default().allows_path("v1.0", "any"));
    }

    #[test]
    fn a_method_is_of_one_api() {
        let mut all: Vec<_> = METHODS.iter().flat_map(|(.., methods)| methods.iter()).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
