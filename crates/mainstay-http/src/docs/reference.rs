//! The reference page: what the OpenAPI document says, for people, with a line to copy for each route.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::html::{document, escape};

/// Stands for the service's address in the rendered page.
const BASE: &str = "{{base}}";

/// Renders the document, the service's address left open.
pub(super) fn page(openapi: &Value) -> String {
    let title = text(&openapi["info"]["title"]);
    let page = Page { openapi };
    let mut body =
        format!("<h1>{}</h1>\n<p>{}</p>\n", escape(title), escape(text(&openapi["info"]["description"])));
    body.push_str(
        "<p>The same as a document for programs: <a href=\"/openapi.json\">/openapi.json</a></p>\n",
    );
    for tag in page.tags() {
        body.push_str(&format!("<h2>{}</h2>\n", escape(tag)));
        for (path, method, operation) in page.operations().filter(|(.., op)| op["tags"][0] == tag) {
            body.push_str(&page.operation(path, method, operation));
        }
    }
    body.push_str(&apps(&openapi[APPS]));
    body.push_str("<h2>Schemas</h2>\n");
    for (name, schema) in members(&openapi["components"]["schemas"]) {
        let name = escape(name);
        let schema = linked(schema);
        body.push_str(&format!(
            "<details id=\"schema-{name}\"><summary>{name}</summary><pre>{schema}</pre></details>\n"
        ));
    }
    document(title, &body)
}

/// The page with the address by which its reader came, else the one listened on.
pub(super) fn addressed(page: &str, host: Option<&str>, listen: SocketAddr) -> String {
    let fits = |host: &&str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-_[]".contains(&b));
    let host = host.filter(fits).map_or_else(|| listen.to_string(), str::to_owned);
    page.replace(BASE, &format!("http://{host}"))
}

/// The key of the document under which apps are that requests are passed on to.
pub(super) const APPS: &str = "x-mainstay-apps";

/// The apps, and where they are.
fn apps(apps: &Value) -> String {
    let Some(apps) = apps.as_array() else { return String::new() };
    let mut out = "<h2>apps</h2>\n<p>Requests to these paths, and to everything below them, are passed on to apps.</p>\n<ul>\n".to_owned();
    for app in apps {
        let routes = app["routes"].as_array().into_iter().flatten().map(|route| escape(text(route)));
        let routes: Vec<String> = routes.map(|route| format!("<code>{route}</code>")).collect();
        let (name, about) = (escape(text(&app["name"])), escape(text(&app["description"])));
        out.push_str(&format!("<li>{}: <b>{name}</b> {about}</li>\n", routes.join(", ")));
    }
    out + "</ul>\n"
}

struct Page<'a> {
    openapi: &'a Value,
}

impl<'a> Page<'a> {
    fn operations(&self) -> impl Iterator<Item = (&'a str, &'a str, &'a Value)> {
        let paths = members(&self.openapi["paths"]);
        paths.flat_map(|(path, methods)| {
            members(methods).map(move |(method, operation)| (path, method, operation))
        })
    }

    /// The tags, in the order of the document.
    fn tags(&self) -> Vec<&'a str> {
        let mut tags = Vec::new();
        for (.., operation) in self.operations() {
            let tag = text(&operation["tags"][0]);
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags
    }

    fn operation(&self, path: &str, method: &str, operation: &Value) -> String {
        let method = method.to_ascii_uppercase();
        let mut out = format!(
            "<details id=\"{}\"><summary><b>{method}</b> <code>{}</code> {}</summary>\n",
            escape(text(&operation["operationId"])),
            escape(path),
            escape(text(&operation["summary"])),
        );
        out.push_str(&parameters(&operation["parameters"]));
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        if !body.is_null() {
            out.push_str(&format!("<p>Body</p><pre>{}</pre>\n", linked(body)));
        }
        out.push_str(&responses(&operation["responses"]));
        out.push_str(&format!(
            "<p>Try it</p><pre>{}</pre>\n</details>\n",
            escape(&self.curl(path, &method, body))
        ));
        out
    }

    /// A line that makes a request of the route.
    fn curl(&self, path: &str, method: &str, body: &Value) -> String {
        let path = path.replace(['{', '}'], "");
        let verb = if method == "GET" { String::new() } else { format!(" -X {method}") };
        let mut line = format!("curl -sN{verb} {BASE}{path}");
        if !body.is_null() {
            let sample = Value::Object(self.sample(body));
            line.push_str(&format!(" -H 'content-type: application/json' \\\n  -d '{sample}'"));
        }
        line
    }

    /// The smallest body that fits: the fields that must be there.
    fn sample(&self, schema: &Value) -> Map<String, Value> {
        let schema = self.resolve(schema);
        let required = schema["required"].as_array().into_iter().flatten();
        required.filter_map(Value::as_str).map(|name| (name.to_owned(), example(name))).collect()
    }

    fn resolve(&self, schema: &'a Value) -> &'a Value {
        let pointer = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        pointer.and_then(|pointer| self.openapi.pointer(pointer)).unwrap_or(schema)
    }
}

fn example(field: &str) -> Value {
    match field {
        "query" => json!("What is the capital of France?"),
        "messages" => json!([{ "role": "user", "content": "What is the capital of France?" }]),
        "max_tokens" => json!(256),
        name => json!(name),
    }
}

fn parameters(params: &Value) -> String {
    let row = |param: &Value| {
        format!(
            "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>\n",
            escape(text(&param["name"])),
            escape(text(&param["in"])),
            escape(text(&param["description"])),
        )
    };
    let rows: String = params.as_array().into_iter().flatten().map(row).collect();
    if rows.is_empty() { rows } else { format!("<p>Parameters</p><table>\n{rows}</table>\n") }
}

fn responses(responses: &Value) -> String {
    let row = |(status, response): (&str, &Value)| {
        let kinds: Vec<String> = members(&response["content"])
            .map(|(media_type, content)| format!("{} {}", escape(media_type), reference(&content["schema"])))
            .collect();
        let about = escape(text(&response["description"]));
        format!("<tr><td><code>{status}</code></td><td>{about}</td><td>{}</td></tr>\n", kinds.join("<br>"))
    };
    let rows: String = members(responses).map(row).collect();
    format!("<p>Answers</p><table>\n{rows}</table>\n")
}

/// A link to a named schema.
fn reference(schema: &Value) -> String {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.map(|name| format!("<a href=\"#schema-{0}\">{0}</a>", escape(name))).unwrap_or_default()
}

/// A schema as text, its references as links.
fn linked(schema: &Value) -> String {
    const PREFIX: &str = "&quot;#/components/schemas/";
    let whole = escape(&serde_json::to_string_pretty(schema).unwrap_or_default());
    let mut parts = whole.split(PREFIX);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("&quot;").unwrap_or((part, ""));
        out.push_str(&format!("<a href=\"#schema-{name}\">{name}</a>{rest}"));
    }
    out
}

fn members(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
