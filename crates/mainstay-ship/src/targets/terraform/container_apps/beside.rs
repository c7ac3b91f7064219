//! Dapr beside the app, which Container Apps brings: off until someone asks for it, since the binary serves the same
//! building blocks itself.

use mainstay_core::component::{Component, SettingValue, admits};

use super::super::Ground;
use super::super::module::Variable;
use super::IDENTITY;
use crate::hcl::{Body, Expr, list, quoted, raw};
use crate::label::slug;
use crate::stores::backend;
use crate::targets::dapr;
use crate::workload::PORT;

/// Characters of a component's name.
const NAME_MAX: usize = 60;

/// What a sidecar would be given.
pub(super) struct Beside {
    app_id: String,
    app_port: u16,
    /// Name, type and all else of each component.
    components: Vec<(String, Body)>,
    /// Secrets that component files refer to themselves, each as the secret's name and the key in it.
    own: Vec<String>,
    notes: Vec<String>,
}

/// What is in the spec for a sidecar.
pub(super) fn of(ground: &Ground<'_>) -> Beside {
    let plan = ground.shipment.project.plan;
    let app_id = dapr::app_id(plan);
    let app_port = dapr::app(plan).map_or(PORT, |(_, process)| dapr::port(&process.url));
    let mut beside = Beside { app_id, app_port, components: Vec::new(), own: Vec::new(), notes: Vec::new() };
    if plan.sidecar.is_none() {
        return beside;
    }
    if dapr::ids(plan) > 1 {
        let note = "Dapr's sidecar is not offered: Container Apps gives a replica one, and each app here has one of its own.";
        beside.notes.push(note.to_owned());
        return beside;
    }
    let mut left = Vec::new();
    for component in &plan.resources.components {
        let known = beside.components.iter().any(|(name, _)| *name == component.name);
        if dapr::resources::INSIDE.contains(&backend(&component.kind))
            || known
            || !admits(&component.scopes, dapr::id(plan).as_str())
        {
            left.push(format!("`{}`", component.name));
            continue;
        }
        let body = beside.component(component, ground);
        beside.components.push((component.name.clone(), body));
    }
    if !left.is_empty() {
        beside
            .notes
            .push(format!("with `dapr = true`, these components are not the app's: {}.", left.join(", ")));
    }
    let resources = &plan.resources;
    let others =
        resources.subscriptions.len() + resources.resiliencies.len() + resources.http_endpoints.len();
    if others > 0 && beside.is_offered() {
        beside.notes.push(
            "with `dapr = true`, the files of subscriptions, resiliency and external services do not apply: Container Apps \
             takes components alone, so the app subscribes by code."
                .to_owned(),
        );
    }
    beside
}

impl Beside {
    fn is_offered(&self) -> bool {
        !self.components.is_empty()
    }

    fn component(&mut self, component: &Component, ground: &Ground<'_>) -> Body {
        let version = if component.version.is_empty() { "v1" } else { &component.version };
        let mut body = Body::new()
            .set("count", raw("var.dapr ? 1 : 0"))
            .set("name", slug(&component.name, NAME_MAX))
            .set("container_app_environment_id", raw("azurerm_container_app_environment.service.id"))
            .set("component_type", component.kind.as_str())
            .set("version", version)
            .set("init_timeout", format!("{}s", component.init_timeout.as_secs().max(1)))
            .set("ignore_errors", component.ignore_errors)
            .set("scopes", list([self.app_id.as_str()]));
        let mut secrets: Vec<(String, String)> = Vec::new();
        for setting in &component.settings {
            let metadata = Body::new().set("name", setting.name.as_str());
            let reference = match &setting.value {
                SettingValue::Text(text) => {
                    body = body.block("metadata", metadata.set("value", text.as_str()));
                    continue;
                }
                // What one environment gives in plain comes from there in all of them.
                SettingValue::Env(name)
                    if ground.workloads.iter().any(|one| one.variables.contains_key(name)) =>
                {
                    let value = raw(format!("var.variables[{}]", quoted(name)));
                    body = body.block("metadata", metadata.set("value", value));
                    continue;
                }
                SettingValue::Env(name) => format!("var.secrets[{}]", quoted(name)),
                SettingValue::Secret { name, key } => {
                    let both = format!("{name}/{key}");
                    let address = format!("var.component_secrets[{}]", quoted(&both));
                    self.own.push(both);
                    address
                }
            };
            let name = slug(&setting.name, NAME_MAX);
            body = body.block("metadata", metadata.set("secret_name", name.as_str()));
            secrets.push((name, reference));
        }
        for (name, address) in secrets {
            let secret = Body::new()
                .set("name", name)
                .set("key_vault_secret_id", raw(address))
                .set("identity", raw(IDENTITY));
            body = body.block("secret", secret);
        }
        body
    }

    /// The plain variables: an expression.
    pub(super) fn plain(&self) -> &'static str {
        if self.is_offered() { "merge(var.variables, local.beside)" } else { "var.variables" }
    }

    /// The variables of the module.
    pub(super) fn variables(&self) -> Vec<Variable> {
        let mut variables = Vec::new();
        if self.is_offered() {
            variables.push(Variable::default(
                "dapr",
                "bool",
                "Whether Dapr's sidecar serves the building blocks instead of Mainstay itself.",
                false,
            ));
        }
        let mut own = self.own.clone();
        own.sort();
        own.dedup();
        if !own.is_empty() {
            let wanted: Vec<String> = own.iter().map(|key| quoted(key)).collect();
            variables.push(
                Variable::default(
                    "component_secrets",
                    "map(string)",
                    format!(
                        "The address in Key Vault of each secret that component files refer to: {}. For `dapr = true` alone.",
                        own.join(", ")
                    ),
                    Expr::Map(Vec::new()),
                )
                .must(
                    format!(
                        "!var.dapr || length(setsubtract([{}], keys(var.component_secrets))) == 0",
                        wanted.join(", ")
                    ),
                    "Say for each secret of the components where it is kept.",
                ),
            );
        }
        variables
    }

    /// With the components.
    pub(super) fn resources(&self, mut body: Body) -> Body {
        if !self.is_offered() {
            return body;
        }
        let (name, value) = dapr::OFF;
        let off = Expr::Map(vec![(name.to_owned(), value.into())]);
        body = body
            .note("What tells the binary that a sidecar serves the building blocks.")
            .block("locals", Body::new().set("off", off).set("beside", raw("var.dapr ? local.off : {}")));
        for (name, component) in &self.components {
            let label = slug(name, NAME_MAX).replace('-', "_");
            body =
                body.resource("azurerm_container_app_environment_dapr_component", &label, component.clone());
        }
        body
    }

    /// With the sidecar, where it is asked for.
    pub(super) fn on_app(&self, body: Body) -> Body {
        if !self.is_offered() {
            return body;
        }
        let sidecar = Body::new()
            .set("app_id", self.app_id.as_str())
            .set("app_port", self.app_port)
            .set("app_protocol", "http");
        body.dynamic("dapr", "var.dapr ? [true] : []", sidecar)
    }

    /// What is worth knowing of it.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.notes.clone();
        if self.is_offered() {
            notes.push(
                "Mainstay serves the building blocks of the spec's components itself, in the app's own container. With `dapr = \
                 true` Dapr's sidecar does, of the version that Azure chooses, over the same components as resources of the \
                 environment that this app alone may use; Mainstay's are off then, and types that Azure does not support \
                 fail. Change it where no call is on its way."
                    .to_owned(),
            );
        }
        notes
    }
}
