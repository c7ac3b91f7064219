//! What the resource files of a folder say, all kinds together.

use crate::component::Component;
use crate::http_endpoint::HttpEndpoint;
use crate::resiliency::Resiliency;
use crate::runtime_config::RuntimeConfig;
use crate::subscription::Subscription;

/// Resources, each kind in the order of the files. Scopes are kept, not applied: the apps come later.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// Components.
    pub components: Vec<Component>,
    /// Subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Documents of resiliency policies.
    pub resiliencies: Vec<Resiliency>,
    /// External HTTP services.
    pub http_endpoints: Vec<HttpEndpoint>,
    /// The runtime's own configuration, all its documents on top of each other.
    pub runtime: RuntimeConfig,
    /// The names of the models that components may refer to, sorted; `None` where there is no spec to define any.
    pub models: Option<Vec<String>>,
}
