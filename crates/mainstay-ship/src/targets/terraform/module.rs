//! A root module: what stands in each of its files.

use mainstay_core::plan::Environment;

use super::{Ground, Platform, fit};
use crate::hcl::{Body, Expr, object, quoted, raw};
use crate::workload::Workload;
use crate::{File, Header, Secret};

/// What a platform makes of a service.
#[derive(Debug, Default)]
pub(super) struct Module {
    /// The variables, in the order of their file.
    pub(super) variables: Vec<Variable>,
    /// What stands in `main.tf`.
    pub(super) main: Body,
    /// What is shown once it is there: name, what it is, value.
    pub(super) outputs: Vec<(&'static str, &'static str, Expr)>,
    /// What the platform cannot express, or leaves to the user: a sentence each, which begins small.
    pub(super) notes: Vec<String>,
}

/// A variable of a module.
#[derive(Debug)]
pub(super) struct Variable {
    name: &'static str,
    about: String,
    kind: &'static str,
    given: Given,
    /// Conditions, and what is said where one does not hold.
    rules: Vec<(String, String)>,
}

/// Where a variable's value comes from.
#[derive(Debug)]
enum Given {
    /// From the file of the environment; in the order of [`Environment::ALL`].
    Environment(Vec<Expr>),
    /// From the module, until someone says otherwise.
    Default(Expr),
    /// From whoever has the account; this is an example.
    Account(Expr),
}

impl Variable {
    fn new(name: &'static str, kind: &'static str, about: impl Into<String>, given: Given) -> Self {
        Self { name, about: about.into(), kind, given, rules: Vec::new() }
    }

    /// One whose values are those of the environments.
    pub(super) fn each<E: Into<Expr>>(
        ground: &Ground<'_>,
        name: &'static str,
        kind: &'static str,
        about: impl Into<String>,
        value: impl Fn(&Workload) -> E,
    ) -> Self {
        let values = ground.workloads.iter().map(|workload| value(workload).into()).collect();
        Self::new(name, kind, about, Given::Environment(values))
    }

    /// One with a default.
    pub(super) fn default(
        name: &'static str,
        kind: &'static str,
        about: impl Into<String>,
        value: impl Into<Expr>,
    ) -> Self {
        Self::new(name, kind, about, Given::Default(value.into()))
    }

    /// One that the account's owner must give.
    pub(super) fn account(
        name: &'static str,
        kind: &'static str,
        about: impl Into<String>,
        example: impl Into<Expr>,
    ) -> Self {
        Self::new(name, kind, about, Given::Account(example.into()))
    }

    /// With a condition on its value, and what is said where it does not hold: a sentence.
    #[must_use]
    pub(super) fn must(mut self, condition: impl Into<String>, otherwise: impl Into<String>) -> Self {
        self.rules.push((condition.into(), otherwise.into()));
        self
    }

    fn block(&self) -> Body {
        let mut body = Body::new().set("description", self.about.as_str()).set("type", raw(self.kind));
        match &self.given {
            Given::Default(value) => body = body.set("default", value.clone()),
            // One that an environment leaves open may be nothing.
            Given::Environment(values) if values.contains(&raw("null")) => {}
            Given::Environment(_) | Given::Account(_) => body = body.set("nullable", false),
        }
        for (condition, otherwise) in &self.rules {
            let rule = Body::new()
                .set("condition", raw(condition.as_str()))
                .set("error_message", otherwise.as_str());
            body = body.block("validation", rule);
        }
        body
    }
}

/// Variables that every platform has.
pub(super) fn common(ground: &Ground<'_>) -> Vec<Variable> {
    let names: Vec<&str> = Environment::ALL.into_iter().map(Environment::name).collect();
    let among = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    vec![
        Variable::each(ground, "environment", "string", "The environment; names of what is made end in it.", |one| {
            one.environment.name().to_owned()
        })
        .must(
            format!("contains([{among}], var.environment)"),
            format!("The environment is one of {}.", names.join(", ")),
        ),
        Variable::default(
            "image",
            "string",
            "The service's image, by digest where it is known. A pipeline gives the one that it built.",
            ground.workload().image(),
        )
        .must(
            "can(regex(\"(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})$\", var.image)) && !endswith(var.image, \
             \":latest\")",
            "The image is named by a digest or a version, and never by `latest`.",
        ),
    ]
}

/// How many replicas there are, and when there are more.
pub(super) fn scaling(ground: &Ground<'_>, most: u32, in_flight: &str, in_flight_max: u32) -> Vec<Variable> {
    vec![
        Variable::each(ground, "replicas_min", "number", "The fewest replicas.", |one| fit::replicas(one).0)
            .must(
                "var.replicas_min >= 0 && floor(var.replicas_min) == var.replicas_min",
                "Replicas are counted.",
            ),
        Variable::each(ground, "replicas_max", "number", "The most replicas.", |one| {
            fit::replicas(one).1.min(most)
        })
        .must(
            format!("var.replicas_max >= max(1, var.replicas_min) && var.replicas_max <= {most}"),
            format!("The most replicas are at least the fewest, and at most {most}."),
        ),
        Variable::each(ground, "in_flight", "number", in_flight, |one| {
            one.sizing.in_flight.min(in_flight_max)
        })
        .must(
            format!("var.in_flight >= 1 && var.in_flight <= {in_flight_max}"),
            format!("Requests in flight are 1 to {in_flight_max}."),
        ),
    ]
}

/// What stands in the environment of the container. `kept` says where a secret is kept, and `example` gives that of a
/// key.
pub(super) fn settings(ground: &Ground<'_>, kept: &str, example: impl Fn(&str) -> String) -> Vec<Variable> {
    let mut variables = vec![Variable::each(
        ground,
        "variables",
        "map(string)",
        "Variables of the service that are no secrets.",
        |one| {
            Expr::Map(
                one.variables.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect(),
            )
        },
    )];
    if !has_secrets(ground) {
        return variables;
    }
    variables.push(Variable::each(
        ground,
        "secret_variables",
        "list(object({ variable = string, key = string }))",
        "Variables of the service that hold secrets, and the key of each in `secrets`.",
        |one| {
            let each = one.secrets.iter().filter_map(|secret| match secret {
                Secret::Variable { variable, key } => {
                    Some(object([("variable", variable.as_str()), ("key", key.as_str())]))
                }
                Secret::File { .. } => None,
            });
            Expr::List(each.collect())
        },
    ));
    let files = !fit::files(ground).is_empty();
    if files {
        variables.push(Variable::each(
            ground,
            "secret_files",
            "list(object({ folder = string, file = string, key = string }))",
            "Files that the service reads secrets from, and the key of each in `secrets`.",
            |one| Expr::List(one.secrets.iter().filter_map(file).collect()),
        ));
    }
    let mut keys: Vec<&str> = ground.workloads.iter().flat_map(|one| &one.secrets).map(Secret::key).collect();
    keys.sort_unstable();
    keys.dedup();
    let examples = keys.into_iter().map(|key| (key.to_owned(), example(key).into())).collect();
    let used = if files {
        "concat(var.secret_variables[*].key, var.secret_files[*].key)"
    } else {
        "var.secret_variables[*].key"
    };
    variables.push(
        Variable::account(
            "secrets",
            "map(string)",
            format!("Where each secret is kept, by key: {kept}. Never a value."),
            Expr::Map(examples),
        )
        .must(
            format!("length(setsubtract({used}, keys(var.secrets))) == 0"),
            "Say for each key of `secret_variables` and `secret_files` where its secret is kept.",
        ),
    );
    variables
}

/// Whether the service reads a secret in any environment.
pub(super) fn has_secrets(ground: &Ground<'_>) -> bool {
    ground.workloads.iter().any(|workload| !workload.secrets.is_empty())
}

fn file(secret: &Secret) -> Option<Expr> {
    let Secret::File { path, key } = secret else { return None };
    let (folder, name) = path.rsplit_once('/')?;
    Some(object([("folder", folder), ("file", name), ("key", key.as_str())]))
}

/// Whether callers come from outside: the variable.
pub(super) fn public(ground: &Ground<'_>) -> Variable {
    Variable::each(
        ground,
        "public",
        "bool",
        "Whether the service is reached from outside; by default where the spec names a `host`. It asks for its own keys \
         either way.",
        |one| one.sizing.host.is_some(),
    )
}

/// What keeps the values of one environment from the state of another: a block for the resource that is the service.
pub(super) fn guard() -> Body {
    Body::new().block(
        "precondition",
        Body::new()
            .set(
                "condition",
                raw("contains([\"default\", var.environment, local.name], terraform.workspace)"),
            )
            .set(
                "error_message",
                raw(
                    "\"The values are those of ${var.environment}, and the workspace is ${terraform.workspace}: select the \
                     one of that name.\"",
                ),
            ),
    )
}

/// The probe's numbers: seconds between two questions, seconds to wait, failures in a row.
pub(super) const LIVENESS: (u64, u64, u64) = (10, 3, 3);
/// The same of readiness.
pub(super) const READINESS: (u64, u64, u64) = (5, 3, 3);
/// Seconds between two questions while it starts.
pub(super) const STARTUP_PERIOD: u64 = 5;

impl Module {
    /// The files.
    pub(super) fn files(&self, platform: &Platform, header: &Header<'_>) -> Vec<File> {
        let mut top = header.lines("#");
        if let Some(closed) = platform.closed {
            top.push_str(&format!("# WARNING: {closed}\n"));
        }
        let at = |name: &str| format!("{}/{name}", platform.name);
        let code = |name: &str, body: &Body| File::new(at(name), format!("{top}\n{}", body.written()));
        let mut variables = Body::new();
        for one in &self.variables {
            variables = variables.labelled("variable", &[one.name], one.block());
        }
        let mut outputs = Body::new();
        for (name, about, value) in &self.outputs {
            let body = Body::new().set("description", *about).set("value", value.clone());
            outputs = outputs.labelled("output", &[name], body);
        }
        let mut files = vec![
            code("versions.tf", &versions(platform)),
            code("variables.tf", &variables),
            code("main.tf", &self.main),
            code("outputs.tf", &outputs),
        ];
        for (n, environment) in Environment::ALL.into_iter().enumerate() {
            files.push(code(&format!("{environment}.tfvars"), &self.values(n)));
        }
        let about = "# What only you know: copy this file to `account.tfvars` and put yours in. It holds no secret.\n";
        files.push(File::new(
            at("account.tfvars.example"),
            format!("{top}{about}\n{}", self.account().written()),
        ));
        files.push(File::new(at("README.md"), header.lines("<!--") + "\n" + &self.readme(platform)));
        files
    }

    /// What an environment gives.
    fn values(&self, environment: usize) -> Body {
        let mut body = Body::new();
        for one in &self.variables {
            if let Given::Environment(values) = &one.given
                && let Some(value) = values.get(environment)
            {
                body = body.set(one.name, value.clone());
            }
        }
        body
    }

    fn account(&self) -> Body {
        let mut body = Body::new();
        for one in &self.variables {
            if let Given::Account(example) = &one.given {
                body = body.set(one.name, example.clone());
            }
        }
        body
    }

    fn readme(&self, platform: &Platform) -> String {
        let (first, after) = platform.steps;
        let mut out = format!("# {}\n\n", platform.title);
        if let Some(closed) = platform.closed {
            out.push_str(&format!("**Warning:** {closed}\n\n"));
        }
        out.push_str(
            "A root module of its own. Where its state is kept is yours to say, in a `backend.tf` beside these files. Each\n\
             environment has a workspace, whose name is checked against its values. What the spec cannot say goes into an\n\
             `override.tf`, which Terraform puts over these files.\n\n",
        );
        out.push_str(&format!(
            "```sh\n{first}cp account.tfvars.example account.tfvars   # and put yours in\n\
             terraform init\n\
             terraform workspace select -or-create prod\n\
             terraform plan -var-file=prod.tfvars -var-file=account.tfvars -out=plan\n\
             terraform apply plan\n{after}```\n"
        ));
        if !self.notes.is_empty() {
            out.push_str("\n## Worth knowing\n\n");
            for note in &self.notes {
                out.push_str(&format!("- {}\n", sentence(note)));
            }
        }
        out
    }
}

/// A sentence that begins large.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn versions(platform: &Platform) -> Body {
    let (name, source, version) = platform.provider;
    let demanded =
        Expr::Map(vec![("source".to_owned(), source.into()), ("version".to_owned(), version.into())]);
    let providers = Body::new().set(name, demanded);
    Body::new().block(
        "terraform",
        Body::new().set("required_version", ">= 1.9.0, < 2.0.0").block("required_providers", providers),
    )
}

/// What each folder is.
pub(super) fn index(platforms: &[&Platform]) -> String {
    let rows: String = platforms
        .iter()
        .map(|one| format!("| [`{0}`]({0}/README.md) | {1} |\n", one.name, one.title))
        .collect();
    format!(
        "# Terraform\n\nA root module for each platform, of which you need one. `dev.tfvars`, `staging.tfvars` and\n\
         `prod.tfvars` are what the spec gives an environment; `account.tfvars` is what only you know.\n\n\
         | folder | platform |\n|---|---|\n{rows}"
    )
}
