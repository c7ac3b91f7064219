//! The documents are whole, valid and true.

use std::collections::BTreeSet;

use http::{Method, Request};
use mainstay_core::codes;
use serde_json::Value;

use crate::house::{Body, House, empty, with};

fn browser(path: &str) -> Request<Body> {
    with(Request::get(path).body(empty()).unwrap(), "accept", "text/html,application/xhtml+xml,*/*;q=0.8")
}

async fn openapi(house: &House) -> Value {
    house.get("/openapi.json").await.json()
}

/// Every `$ref` in the document.
fn references<'a>(value: &'a Value, out: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(members) => {
            out.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, out));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, out)),
        _ => {}
    }
}

fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((path.clone(), method.to_ascii_uppercase(), operation));
        }
    }
    all
}

#[tokio::test]
async fn every_reference_resolves_and_every_schema_is_used() {
    let document = openapi(&House::new()).await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 10, "{found:?}");
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(found.contains(format!("#/components/schemas/{name}").as_str()), "{name} is not used");
    }
}

#[tokio::test]
async fn every_operation_is_whole() {
    let document = openapi(&House::new()).await;
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert!(!operation["summary"].as_str().unwrap().is_empty());
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let params = operation["parameters"].as_array().unwrap();
        let declared: BTreeSet<&str> =
            params.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(declared, in_path, "{path}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.contains_key("500"), "{method} {path}");
        assert!(responses.values().all(|response| response["description"].is_string()));
        assert_eq!(operation["requestBody"].is_object(), responses.contains_key("415"), "{method} {path}");
    }
}

#[tokio::test]
async fn the_router_answers_exactly_what_the_document_lists() {
    let house = House::new();
    let document = openapi(&house).await;
    let listed: BTreeSet<(String, String)> =
        operations(&document).into_iter().map(|(path, method, _)| (path, method)).collect();
    assert!(listed.len() > 25);
    for path in document["paths"].as_object().unwrap().keys() {
        let concrete = path.replace("{agent}", "echo").replace(['{', '}'], "");
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::TRACE] {
            let request = Request::builder().method(method.clone()).uri(&concrete).body(empty()).unwrap();
            let answer = house.send(request).await;
            let is_listed = listed.contains(&(path.clone(), method.to_string()));
            assert_eq!(answer.status.as_u16() != 405, is_listed, "{method} {concrete}: {answer:?}");
            if is_listed {
                let responses = &document["paths"][path][method.as_str().to_ascii_lowercase()]["responses"];
                assert!(!responses[answer.status.as_str()].is_null(), "{method} {concrete}: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn answers_have_the_types_that_the_document_declares() {
    let house = House::new();
    let document = openapi(&house).await;
    for (path, _, operation) in operations(&document).into_iter().filter(|(_, method, _)| method == "GET") {
        let concrete = path.replace("{code}", "INTERNAL").replace("{model}", "gpt").replace(['{', '}'], "");
        let answer = house.get(&concrete).await;
        let content = &operation["responses"][answer.status.as_str()]["content"];
        let found = answer.header("content-type").unwrap().split(';').next().unwrap();
        assert!(content.get(found).is_some(), "{path}: {found} is not in {content}");
    }
}

#[tokio::test]
async fn requests_have_their_bounds_in_the_document() {
    let document = openapi(&House::new()).await;
    let short = &document["components"]["schemas"]["ShortRequest"];
    assert_eq!(
        (&short["properties"]["query"]["maxLength"], &short["required"]),
        (&10_000.into(), &vec!["query"].into())
    );
    assert_eq!(short["properties"]["max_tokens"]["maximum"], 4_096);
    let infer = &document["components"]["schemas"]["InferRequest"]["properties"];
    assert_eq!(
        (&infer["query"]["maxLength"], &infer["context"]["maxLength"]),
        (&4_096.into(), &8_192.into())
    );
}

#[tokio::test]
async fn the_reference_page_shows_every_operation_and_needs_nothing_from_elsewhere() {
    let house = House::new();
    let document = openapi(&house).await;
    let request = Request::get("/docs").header("host", "agents.example:81");
    let page = house.send(request.body(empty()).unwrap()).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for (_, _, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(page.body.contains(&format!("id=\"{id}\"")), "{id}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(page.body.contains(&format!("id=\"schema-{name}\"")), "{name}");
    }
    assert!(page.body.contains("curl -sN -X POST http://agents.example:81/v1/agents/agent/invoke"));
    assert!(
        page.body.contains("-d &#39;{&quot;query&quot;:&quot;What is the capital of France?&quot;}&#39;")
    );
    let forged = Request::get("/docs").header("host", "<script>").body(empty()).unwrap();
    let forged = house.send(forged).await.body;
    assert!(forged.contains("http://127.0.0.1:8080/v1/invoke") && !forged.contains("<script"));
    for foreign in ["<script", "http://cdn", "https://", "style=\"", "onclick"] {
        assert!(!page.body.contains(foreign), "{foreign}");
    }
    assert_eq!(house.get("/docs/style.css").await.header("content-type"), Some("text/css; charset=utf-8"));
}

#[tokio::test]
async fn every_error_code_has_its_page() {
    let house = House::new();
    for code in codes::ALL {
        let path = format!("/docs/errors/{}", code.id);
        let plain = house.get(&path).await;
        assert_eq!((plain.status.as_u16(), plain.body.as_str()), (200, code.page));
        let page = house.send(browser(&path)).await;
        assert!(page.body.contains(&format!("<h1>{}</h1>", code.id)), "{}", page.body);
        assert!(page.header("content-security-policy").is_some());
    }
    assert_eq!(house.get("/docs/errors/NOPE").await.status, 404);
    let list = house.get("/docs/errors").await.json();
    assert_eq!(list["codes"].as_array().unwrap().len(), codes::ALL.len());
    assert!(house.send(browser("/docs/errors")).await.body.contains("/docs/errors/INVALID_JSON"));
}

#[tokio::test]
async fn the_index_leads_on() {
    let house = House::new();
    let index = house.get("/").await.json();
    assert_eq!((&index["service"], &index["version"]), (&"test-service".into(), &"9.8.7".into()));
    for link in index["links"].as_array().unwrap() {
        assert_eq!(house.get(link["href"].as_str().unwrap()).await.status, 200, "{link}");
    }
    assert!(house.send(browser("/")).await.body.contains("<h1>test-service</h1>"));
}
