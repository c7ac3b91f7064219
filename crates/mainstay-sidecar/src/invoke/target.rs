//! Whom a call is for, and its URL there.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, Uri};
use mainstay_blocks::App;
use mainstay_dapr::{Fault, Grpc, invoke as wire};
use mainstay_net::client::Client;
use mainstay_net::sockets::Sockets;

use super::{Neighbours, Targets};
use crate::rules::Rules;

/// Somebody who can be called.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// `http://` or `https://`, a host, perhaps a path.
    pub base: String,
    /// Headers of the target's file, sent with each call.
    pub headers: HeaderMap,
    /// What speaks to it, where that is not what speaks to everybody.
    pub client: Option<Client>,
}

/// Who is called.
pub(super) enum Found<'a> {
    /// The app beside us.
    Own,
    /// Another app on this host, by the name of its sockets.
    Neighbour(&'a Neighbours, String),
    /// Somebody else.
    Other(Cow<'a, Target>),
}

/// What a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// An app's id, an external service's name, or a URL.
    pub(crate) id: String,
    /// The path there, encoded as it came, without its first slash.
    pub(crate) path: String,
}

/// What a request asks for, if it is an invocation: by its path, by the header `dapr-app-id`, or by credentials.
pub(crate) fn asked(parts: &Parts) -> Option<Asked> {
    let path = parts.uri.path().trim_start_matches('/');
    if let Some(rest) = path.strip_prefix("v1.0/invoke/") {
        let (id, method) = match rest.split_once("/method/") {
            Some(found) => found,
            None => (rest.strip_suffix("/method")?, ""),
        };
        return Some(Asked { id: decoded(id).into_owned(), path: method.to_owned() });
    }
    let by_header = parts.headers.get("dapr-app-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let id = by_header.or_else(|| of_credentials(&parts.headers))?;
    Some(Asked { id, path: path.to_owned() })
}

/// The target that credentials name: the user is `dapr-app-id`, the password the target.
pub(super) fn of_credentials(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let pair = String::from_utf8(STANDARD.decode(text.strip_prefix("Basic ")?.trim()).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    (user == "dapr-app-id" && !password.is_empty()).then(|| password.to_owned())
}

/// Who has this id. Errors: `ERR_DIRECT_INVOKE`.
pub(super) fn find<'a>(
    targets: &'a Targets,
    rules: &'a Rules,
    me: &App,
    id: &str,
) -> Result<Found<'a>, Fault> {
    if id.is_empty() {
        let message = "failed getting app id either from the URL path or the header dapr-app-id";
        return Err(Fault::new(404, Grpc::NotFound, "ERR_DIRECT_INVOKE", message));
    }
    if id.starts_with("http://") || id.starts_with("https://") {
        return Ok(Found::Other(Cow::Owned(Target { base: id.to_owned(), ..Target::default() })));
    }
    if let Some(endpoint) = rules.endpoints.get(id) {
        return Ok(Found::Other(Cow::Borrowed(endpoint)));
    }
    let here = me.namespace.as_deref().unwrap_or(wire::NAMESPACE);
    // A namespace stands after a point, which no app's id has.
    let (app, namespace) = id.split_once('.').unwrap_or((id, here));
    if id == me.id || (app, namespace) == (me.id.as_str(), here) {
        return Ok(Found::Own);
    }
    let name = Sockets::name(namespace, app);
    match &targets.neighbours {
        Some(neighbours) if neighbours.sockets.has(&name) => Ok(Found::Neighbour(neighbours, name)),
        _ => Err(super::failed(id, &format!("couldn't find service: {id}"))),
    }
}

/// The URL of a call. Errors: why there is none.
pub(super) fn url(base: &str, path: &str, query: Option<&str>) -> Result<Uri, String> {
    let mut url = format!("{}/{path}", base.trim_end_matches('/'));
    if let Some(query) = query {
        url.push('?');
        url.push_str(query);
    }
    url.parse().map_err(|_| "its URL is none".to_owned())
}

/// The path with `.` and `..` resolved, also where they are encoded, so that what is allowed by a path's look is what
/// is called. Errors: it leads out of the target.
pub(crate) fn without_dots(path: &str) -> Result<String, String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match decoded(part).as_ref() {
            "." => {}
            ".." => {
                parts.pop().ok_or("its path leads out of the app")?;
            }
            text if text.contains("/../") || text.starts_with("../") || text.ends_with("/..") => {
                return Err("its path hides another".to_owned());
            }
            _ => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

fn decoded(text: &str) -> Cow<'_, str> {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, header: Option<(&str, &str)>) -> Option<(String, String)> {
        let mut request = http::Request::get(path);
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let asked = asked(&request.body(()).unwrap().into_parts().0)?;
        Some((asked.id, asked.path))
    }

    #[test]
    fn a_call_names_its_target_in_one_of_three_ways() {
        let is = |id: &str, path: &str| Some((id.to_owned(), path.to_owned()));
        assert_eq!(of("/v1.0/invoke/bank/method/a/b%20c", None), is("bank", "a/b%20c"));
        assert_eq!(of("/v1.0/invoke/bank/method/", None), is("bank", ""));
        assert_eq!(
            of("/v1.0/invoke/https://x.example:8443/method/a", None),
            is("https://x.example:8443", "a")
        );
        assert_eq!(of("/v1.0/invoke/http%3A%2F%2Fx/method/a", None), is("http://x", "a"));
        assert_eq!(of("/any/path", Some(("dapr-app-id", "bank"))), is("bank", "any/path"));
        let credentials = format!("Basic {}", STANDARD.encode("dapr-app-id:bank"));
        assert_eq!(of("/any", Some(("authorization", &credentials))), is("bank", "any"));
        assert_eq!(of("/any", Some(("authorization", "Basic bWU6eA=="))), None);
        assert_eq!(of("/v1.0/state/orders", None), None);
    }

    #[test]
    fn no_path_leads_out_of_its_target() {
        let check = |path: &str, expect: Option<&str>| {
            assert_eq!(without_dots(path).ok().as_deref(), expect, "{path}");
        };
        check("a/./b/../c", Some("a/c"));
        check("a/%2e%2E/c", Some("c"));
        check("a//b/", Some("a//b/"));
        check("../x", None);
        check("a/%2e%2e/%2e%2e/x", None);
        check("a/..%2f..%2fx", None);
    }

    #[test]
    fn targets_are_found_by_id_name_or_url() {
        let folder = tempfile::tempdir().unwrap();
        let sockets = Sockets::open(&folder.path().join("run")).unwrap();
        std::fs::create_dir_all(folder.path().join("run/default.bank")).unwrap();
        std::fs::write(folder.path().join("run/default.bank/1-0.sock"), "").unwrap();
        let endpoint = Target { base: "https://api.example/v1/".to_owned(), ..Target::default() };
        let targets = Targets { neighbours: Some(Neighbours::new(sockets)), ..Targets::default() };
        let rules = Rules { endpoints: [("api".to_owned(), endpoint)].into(), ..Rules::default() };
        let me = App { id: "shop".to_owned(), namespace: None };
        let check = |id: &str, expect: Result<&str, (u16, &str)>| {
            let found = match find(&targets, &rules, &me, id) {
                Ok(Found::Own) => Ok("own".to_owned()),
                Ok(Found::Neighbour(_, name)) => Ok(name),
                Ok(Found::Other(target)) => Ok(url(&target.base, "x", Some("b=1")).unwrap().to_string()),
                Err(fault) => Err((fault.http, fault.code)),
            };
            assert_eq!(found, expect.map(str::to_owned), "{id}");
        };
        check("shop", Ok("own"));
        check("shop.default", Ok("own"));
        check("bank", Ok("default.bank"));
        check("api", Ok("https://api.example/v1/x?b=1"));
        check("http://y", Ok("http://y/x?b=1"));
        check("bank.other", Err((500, "ERR_DIRECT_INVOKE")));
        check("shop.other", Err((500, "ERR_DIRECT_INVOKE")));
        check("", Err((404, "ERR_DIRECT_INVOKE")));
    }
}
