//! Gives paths another name: what fits a template goes on under its alias, the parts that `{name}` stands for as
//! parameters of the query.
//! <https://docs.dapr.io/reference/components-reference/supported-middleware/middleware-routeralias/>

use std::sync::Arc;

use async_trait::async_trait;
use mainstay_core::middleware::{Capabilities, Middleware, Request, Step};
use mainstay_core::{Ctx, Fault, Result};
use percent_encoding::percent_decode_str;
use regex::Regex;
use serde_json::{Map, Value};

use crate::def::{Def, SettingDef};
use crate::settings::{Settings, fault};

/// The type.
pub const DEF: Def<dyn Middleware> = Def {
    kind: "middleware.http.routeralias",
    aliases: &[],
    versions: &["v1"],
    about: "Takes requests for some paths to others.",
    settings: &[SettingDef {
        name: "routes",
        about: "Paths and what they become, as a JSON object or as lines of YAML (`/path: /other`). In a path, `{name}` \
                stands for one part and `{name:pattern}` for what fits the pattern; both become parameters of the query. \
                The first path that fits is taken.",
        required: false,
        secret: false,
    }],
    check: |settings| parse(settings).1,
    open: |opening| {
        let (routes, _) = parse(opening.settings);
        Box::pin(async move { Ok(Arc::new(RouterAlias { routes }) as Arc<dyn Middleware>) })
    },
};

/// Routes of one setting.
const ROUTES_MAX: usize = 1024;
/// Bytes of a compiled path.
const PATTERN_BYTES_MAX: usize = 1 << 20;

struct RouterAlias {
    routes: Vec<Route>,
}

struct Route {
    path: Regex,
    names: Vec<String>,
    alias: String,
}

fn parse(settings: &Settings) -> (Vec<Route>, Vec<Fault>) {
    let Some(text) = settings.text("routes") else { return (Vec::new(), Vec::new()) };
    let pairs = match pairs(text) {
        Ok(pairs) if pairs.len() <= ROUTES_MAX => pairs,
        Ok(_) => {
            return (
                Vec::new(),
                vec![fault("routes", format!("`routes` has more than {ROUTES_MAX} paths"), None)],
            );
        }
        Err(message) => {
            return (Vec::new(), vec![fault("routes", message, Some("give them as a JSON object"))]);
        }
    };
    let (mut routes, mut faults) = (Vec::new(), Vec::new());
    for (path, alias) in pairs {
        match Route::new(&path, &alias) {
            Ok(route) => routes.push(route),
            Err(why) => faults.push(fault("routes", format!("`routes`: the path `{path}` {why}"), None)),
        }
    }
    (routes, faults)
}

/// Names and values of a JSON object, or of lines `name: value`, whose parts may stand in quotes.
fn pairs(text: &str) -> std::result::Result<Vec<(String, String)>, String> {
    if text.trim_start().starts_with('{') {
        let object: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| format!("`routes` is no JSON object: {error}"))?;
        let pair = |(name, value): (String, Value)| match value {
            Value::String(value) => Ok((name, value)),
            _ => Err(format!("`routes`: what `{name}` becomes is no text")),
        };
        return object.into_iter().map(pair).collect();
    }
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#') && *line != "---");
    lines
        .map(|line| pair(line).ok_or_else(|| format!("`routes`: the line `{line}` is no `path: path`")))
        .collect()
}

fn pair(line: &str) -> Option<(String, String)> {
    let (name, rest) = match line.chars().next()? {
        quote @ ('"' | '\'') => line[1..].split_once(quote)?,
        // A pattern in the path may hold a colon, but none with a space behind.
        _ => {
            let at = line.find(": ")?;
            (&line[..at], &line[at..])
        }
    };
    let value = rest.trim_start().strip_prefix(':')?.trim();
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].strip_suffix(quote)?,
        _ => value.split(" #").next()?.trim_end(),
    };
    let plain = |text: &str| !text.is_empty() && !text.contains(['"', '\'', '\\']);
    (plain(value) && !name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
}

impl Route {
    /// Errors: what the path does wrong.
    fn new(path: &str, alias: &str) -> std::result::Result<Self, &'static str> {
        if !path.starts_with('/') {
            return Err("does not begin with `/`");
        }
        if !alias.starts_with('/') || alias.contains(['?', '#', ' ']) {
            return Err("becomes what is no path");
        }
        let (mut pattern, mut names, mut rest) = ("^".to_owned(), Vec::new(), path);
        while let Some((before, after)) = rest.split_once('{') {
            let (template, behind) = after.split_at(closing(after).ok_or("has a `{` without its `}`")?);
            let (name, fits) = template.split_once(':').unwrap_or((template, "[^/]+"));
            if name.is_empty() || fits.is_empty() {
                return Err("has a `{}` without a name or a pattern");
            }
            pattern.push_str(&regex::escape(before));
            // Groups within a pattern are not ours to count.
            pattern.push_str(&format!("(?P<p{}>{fits})", names.len()));
            names.push(name.to_owned());
            rest = &behind[1..];
        }
        pattern.push_str(&regex::escape(rest));
        pattern.push('$');
        let path = regex::RegexBuilder::new(&pattern).size_limit(PATTERN_BYTES_MAX).build();
        Ok(Self { path: path.map_err(|_| "has a pattern that is none")?, names, alias: alias.to_owned() })
    }

    /// What is to be added to the query, if the path fits.
    fn parameters(&self, path: &str) -> Option<String> {
        let found = self.path.captures(path)?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (at, name) in self.names.iter().enumerate() {
            query.append_pair(name, found.name(&format!("p{at}")).map_or("", |part| part.as_str()));
        }
        Some(query.finish())
    }
}

/// Where the brace closes that was opened before this text.
fn closing(text: &str) -> Option<usize> {
    let mut open = 1;
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

#[async_trait]
impl Middleware for RouterAlias {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn request(&self, _: &Ctx, request: &mut Request) -> Result<Step> {
        let path = percent_decode_str(&request.path).decode_utf8_lossy().into_owned();
        let found = self.routes.iter().find_map(|route| Some((route, route.parameters(&path)?)));
        if let Some((route, parameters)) = found {
            request.path.clone_from(&route.alias);
            request.query = match (request.query.take(), parameters) {
                (query, added) if added.is_empty() => query,
                (Some(query), added) if !query.is_empty() => Some(format!("{query}&{added}")),
                (_, added) => Some(added),
            };
        }
        Ok(Step::Next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Settings {
        Settings::new([("routes".to_owned(), Some(text.to_owned()))])
    }

    async fn check(routes: &str, path: &str, query: Option<&str>, expect: (&str, Option<&str>)) {
        let (routes, faults) = parse(&settings(routes));
        assert_eq!(faults, []);
        let mut request = Request::new("GET", path, query, Vec::new());
        RouterAlias { routes }.request(&Ctx::system(), &mut request).await.unwrap();
        assert_eq!((request.path.as_str(), request.query.as_deref()), expect, "{path}");
    }

    const JSON: &str = r#"{"/v1.0/mall/{id}/info": "/v1.0/invoke/srv.default/method/mall/info",
        "/num/{n:[0-9]{2}}": "/two", "/num/{n}": "/any", "/plain": "/other"}"#;

    #[tokio::test]
    async fn a_path_becomes_its_alias_and_its_parts_parameters() {
        let mall = "/v1.0/invoke/srv.default/method/mall/info";
        check(JSON, "/v1.0/mall/7/info", None, (mall, Some("id=7"))).await;
        check(JSON, "/v1.0/mall/a%2Bb/info", Some("x=1"), (mall, Some("x=1&id=a%2Bb"))).await;
        check(JSON, "/v1.0/mall/7/8/info", None, ("/v1.0/mall/7/8/info", None)).await;
        check(JSON, "/num/42", None, ("/two", Some("n=42"))).await;
        check(JSON, "/num/421", None, ("/any", Some("n=421"))).await;
        check(JSON, "/plain", Some("a=b"), ("/other", Some("a=b"))).await;
        check(JSON, "/plain/more", None, ("/plain/more", None)).await;
    }

    #[tokio::test]
    async fn lines_of_yaml_say_the_same() {
        let yaml = "# ours\n/a/{id}: /b\n\"/c\": \"/d\"\n'/e' : /f # more\n";
        check(yaml, "/a/1", None, ("/b", Some("id=1"))).await;
        check(yaml, "/c", None, ("/d", None)).await;
        check(yaml, "/e", None, ("/f", None)).await;
    }

    #[test]
    fn what_is_no_route_is_a_fault() {
        let texts = [
            r#"{"a": "/b"}"#,
            r#"{"/a": 1}"#,
            r#"{"/a": "b"}"#,
            r#"{"/a": "/b?c=d"}"#,
            r#"{"/a/{": "/b"}"#,
            r#"{"/a/{x:[}": "/b"}"#,
            r#"{"/a/{}": "/b"}"#,
            "{",
            "/a",
            "- /a: [/b]",
            "/a: |",
        ];
        for text in texts {
            assert_eq!(parse(&settings(text)).1.len(), 1, "{text}");
        }
    }
}
