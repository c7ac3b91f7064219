//! The reference page of `mainstay.yaml`: every key with its type, default, bound and meaning, rendered from the
//! schema. Says nothing that the schema does not say, but for the page's introduction.

mod cell;

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::Kinds;
use crate::schema::{resolve, schema, tagged};

type Schema = Map<String, Value>;

const INTRODUCTION: &str = "\
# `mainstay.yaml`

<!-- Generated from the types of `mainstay-config` and the registries of kinds. Do not edit. -->

Every key of the spec. `mainstay check` reads a spec and reports every fault at once; editors that know JSON Schema can
use `mainstay.schema.json`.

- An unknown key is an error, and so is a key that stands twice.
- Durations are a whole number and a unit: `250ms`, `30s`, `5m`, `1h`, `7d`.
- Sizes are bytes, alone or with a unit: `1048576`, `64KiB`, `1MiB`, `10MB`.
- Secrets are references, never values: `env:NAME` reads an environment variable, `file:PATH` a file.
- Names are letters, digits, `.`, `_` and `-`, a letter or digit first, 63 at most.
- A section without content has its defaults.
- Relative paths start in the folder of the spec.
- `--listen` and `MAINSTAY_LISTEN` stand above `server.listen`, `MAINSTAY_DATA_FOLDER` above `data.folder`.

YAML is version 1.2, one document: `yes` and `on` are text, `true` and `false` are not. Anchors and aliases work; tags,
merge keys (`<<`) and directives do not.

Not accepted yet, and therefore unknown keys: `models.NAME.tiers`, `models.NAME.cache`, `agents.NAME.budget`, and tools
of kind `mcp`.
";

/// The page, in Markdown, for these registries.
#[must_use]
pub fn reference(kinds: &Kinds<'_>) -> String {
    let root = schema(kinds);
    let mut page = Page { root: &root, out: INTRODUCTION.to_owned() };
    let top = root.as_object().cloned().unwrap_or_default();
    page.section("", "Top level", &top, 0);
    page.out
}

/// Sections within sections.
const DEPTH_MAX: usize = 8;

struct Page<'s> {
    root: &'s Value,
    out: String,
}

impl Page<'_> {
    /// A section and what is within it.
    fn section(&mut self, path: &str, title: &str, schema: &Schema, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let level = "#".repeat((depth + 2).min(4));
        self.write(format_args!("\n{level} {title}\n"));
        if let Some(about) = cell::text(schema.get("description")).filter(|_| !path.is_empty()) {
            self.write(format_args!("\n{about}\n"));
        }
        let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        if !properties.is_empty() {
            self.table(&properties, schema);
        }
        let deeper = if path.is_empty() { depth } else { depth + 1 };
        for (key, property) in &properties {
            let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            self.within(&inner, &self.resolved(property), deeper);
        }
    }

    fn table(&mut self, properties: &Schema, schema: &Schema) {
        self.write(format_args!("\n| key | type | default | bound | meaning |\n|---|---|---|---|---|\n"));
        for (key, property) in properties {
            let resolved = self.resolved(property);
            let required = schema
                .get("required")
                .and_then(Value::as_array)
                .is_some_and(|r| r.contains(&key.as_str().into()));
            let kind = cell::kind(self.root, &resolved);
            let default = cell::default(&resolved, required);
            let (bound, meaning) = (cell::bound(self.root, &resolved), cell::meaning(self.root, &resolved));
            self.write(format_args!("| `{key}` | {kind} | {default} | {bound} | {meaning} |\n"));
        }
    }

    /// The sections of a key's value, if it has any.
    fn within(&mut self, path: &str, schema: &Schema, depth: usize) {
        if schema.contains_key("x-kinds") {
            return self.kinds(path, schema, depth);
        }
        if schema.get("properties").and_then(Value::as_object).is_some_and(|all| !all.is_empty()) {
            return self.section(path, &format!("`{path}`"), schema, depth);
        }
        if let Some(members) = schema.get("additionalProperties").filter(|inner| inner.is_object()) {
            return self.within(&format!("{path}.NAME"), &self.resolved(members), depth);
        }
        if let Some(items) = schema.get("items").filter(|inner| inner.is_object()) {
            return self.within(&format!("{path}[]"), &self.resolved(items), depth);
        }
        for branch in cell::branches(schema) {
            match tagged(branch) {
                Some((word, settings)) => {
                    let mut settings = self.resolved(settings);
                    if let Some(about) = branch.get("description") {
                        settings.entry("description").or_insert_with(|| about.clone());
                    }
                    self.within(&format!("{path}.{word}"), &settings, depth);
                }
                None => self.within(path, &self.resolved(branch), depth),
            }
        }
    }

    /// One section a kind.
    fn kinds(&mut self, path: &str, schema: &Schema, depth: usize) {
        let properties = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        for (kind, settings) in &properties {
            self.section(
                &format!("{path}.{kind}"),
                &format!("`{path}.{kind}`"),
                &self.resolved(settings),
                depth,
            );
        }
    }

    fn resolved(&self, schema: &Value) -> Schema {
        schema.as_object().map(|map| resolve(self.root, map)).unwrap_or_default()
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("writing to a string cannot fail");
    }
}
