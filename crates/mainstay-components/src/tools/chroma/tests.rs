//! The tool against a server that answers as told. The port's own promises are in the conformance suite; a real server
//! is asked by `cargo xtask test --only vaia`.

use std::sync::Mutex as Log;

use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use mainstay_core::embedding::Embeddings;
use mainstay_core::{Name, RunId};
use mainstay_testkit::loopback::{self, Answer, Loopback, Request};

use super::*;
use crate::secrets::Secrets;

/// Gives one vector, or fails.
struct Fixed(Result<Vec<f32>>);

#[async_trait]
impl Embedder for Fixed {
    async fn embed(&self, _: &Ctx, request: EmbedRequest) -> Result<Embeddings> {
        assert_eq!((request.model.as_str(), request.inputs.len()), ("words", 1));
        match &self.0 {
            Ok(vector) => Ok(Embeddings { vectors: vec![vector.clone()], ..Embeddings::default() }),
            Err(error) => Err(Error::new(error.code(), error.message())),
        }
    }
}

/// A server whose requests are kept (line, body) and answered in turn; the last answer goes on.
async fn server(answers: Vec<(u16, &'static str)>) -> (Loopback, Arc<Log<Vec<(String, Value)>>>) {
    let seen: Arc<Log<Vec<(String, Value)>>> = Arc::default();
    let log = Arc::clone(&seen);
    let service = move |request: Request| -> BoxFuture<'static, Answer> {
        let (log, answers) = (Arc::clone(&log), answers.clone());
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let mut log = log.lock().unwrap();
            let (status, text) = answers[log.len().min(answers.len() - 1)];
            log.push((
                format!("{} {}", head.method, head.uri),
                serde_json::from_slice(&body).unwrap_or_default(),
            ));
            loopback::whole(status, "application/json", text)
        })
    };
    (Loopback::serve(Arc::new(service)).await, seen)
}

const COLLECTION: (u16, &str) = (200, r#"{"id":"0b6e-1","name":"handbook"}"#);
const FOUND: (u16, &str) =
    (200, r#"{"ids":[["p1"]],"documents":[["Kettles boil."]],"metadatas":[[null]],"distances":[[0.25]]}"#);
const GONE: (u16, &str) =
    (404, r#"{"error":"NotFoundError","message":"Collection [handbook] does not exist"}"#);

fn opened(url: &str, changes: Value, vector: Result<Vec<f32>>) -> Arc<dyn ToolSource> {
    let mut settings = json!({
        "description": "The handbook.", "url": url, "collection": "hand book", "model": "words",
        "allow_private": true,
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    settings.as_object_mut().unwrap().extend(changes);
    assert_eq!(check::check(&settings), [], "the test's settings are valid");
    let embedder: Arc<dyn Embedder> = Arc::new(Fixed(vector));
    let (name, secrets) = (Name::parse("handbook").unwrap(), Secrets::new("."));
    open(Opening { name: &name, settings: &settings, secrets: &secrets, embedder: &embedder }).unwrap()
}

async fn ask(tool: &Arc<dyn ToolSource>) -> Result<ToolOutput> {
    let call = ToolInvocation {
        run: RunId::generate(),
        name: "handbook".to_owned(),
        arguments: json!({"query": "kettle"}).as_object().unwrap().clone(),
        idempotency_key: "k".to_owned(),
    };
    tool.call(&Ctx::system(), &call).await
}

#[tokio::test]
async fn a_question_is_looked_up_in_the_collection_by_its_vector() {
    let (server, log) = server(vec![COLLECTION, FOUND]).await;
    let changes = json!({"tenant": "acme", "passages_max": 2, "where": {"lang": "en"}});
    let tool = opened(&server.url(), changes, Ok(vec![0.5, 0.25]));
    let expect = r#"{"passages":[{"id":"p1","text":"Kettles boil.","distance":0.25}]}"#;
    for _ in 0..2 {
        assert_eq!(ask(&tool).await.unwrap(), ToolOutput { content: expect.to_owned(), is_error: false });
    }
    let log = log.lock().unwrap();
    let base = "/api/v2/tenants/acme/databases/default_database/collections";
    let lines: Vec<_> = log.iter().map(|(line, _)| line.as_str()).collect();
    let query = format!("POST {base}/0b6e-1/query");
    assert_eq!(
        lines,
        [format!("GET {base}/hand%20book").as_str(), &query, &query],
        "the id is asked for once"
    );
    assert_eq!(log[1].1["query_embeddings"], json!([[0.5, 0.25]]));
    assert_eq!((&log[1].1["n_results"], &log[1].1["where"]), (&json!(2), &json!({"lang": "en"})));
}

#[tokio::test]
async fn a_collection_that_was_made_anew_is_found_again() {
    let (server, log) = server(vec![COLLECTION, FOUND, GONE, COLLECTION, FOUND]).await;
    let tool = opened(&server.url(), json!({}), Ok(vec![0.5]));
    assert!(!ask(&tool).await.unwrap().is_error);
    assert!(!ask(&tool).await.unwrap().is_error);
    assert_eq!(log.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn what_the_server_refuses_is_told_in_its_words() {
    let mismatch = r#"{"error":"InvalidArgumentError","message":"Collection expecting embedding with dimension of 3, got 1"}"#;
    for (answers, part) in [
        (vec![GONE], "404 Not Found: Collection [handbook] does not exist"),
        (
            vec![COLLECTION, (400, mismatch)],
            "400 Bad Request: Collection expecting embedding with dimension of 3, got 1",
        ),
        (vec![COLLECTION, (500, "<html>a long page</html>")], "500 Internal Server Error"),
    ] {
        let (server, _) = server(answers).await;
        let output = ask(&opened(&server.url(), json!({}), Ok(vec![0.5]))).await.unwrap();
        assert!(output.is_error && output.content.contains(part), "{output:?}");
        assert!(!output.content.contains("html"), "{output:?}");
    }
}

#[tokio::test]
async fn a_question_that_cannot_be_embedded_asks_no_server() {
    let (server, log) = server(vec![COLLECTION, FOUND]).await;
    let tool = opened(&server.url(), json!({}), Err(Error::new(&codes::PROVIDER_QUOTA, "nothing left")));
    assert_eq!(ask(&tool).await.unwrap_err().code().id, "PROVIDER_QUOTA");
    assert!(log.lock().unwrap().is_empty());
}

#[tokio::test]
async fn another_server_than_a_chroma_is_seen() {
    let (server, _) = server(vec![(200, "{}")]).await;
    let error = ask(&opened(&server.url(), json!({}), Ok(vec![0.5]))).await.unwrap_err();
    assert_eq!(error.code().id, "TOOL_UNAVAILABLE");
    assert!(error.message().contains("is it a Chroma?"), "{error}");
}

#[tokio::test]
async fn a_private_address_is_refused_unless_it_is_allowed() {
    let (server, log) = server(vec![COLLECTION]).await;
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    let tool = opened(&format!("http://localhost:{port}"), json!({}), Ok(vec![0.5]));
    assert!(tool.ready(&Ctx::system()).await.unwrap().is_ok());
    let count = log.lock().unwrap().len();
    let mut settings = json!({"description": "d", "url": server.url(), "collection": "c", "model": "words"});
    // The check refuses it; a name that resolves to such an address gets this far.
    settings["allow_private"] = json!(false);
    let embedder: Arc<dyn Embedder> = Arc::new(Fixed(Ok(vec![0.5])));
    let (name, secrets) = (Name::parse("handbook").unwrap(), Secrets::new("."));
    let opening = Opening { name: &name, settings: &settings, secrets: &secrets, embedder: &embedder };
    let tool = open(opening).unwrap();
    assert_eq!(ask(&tool).await.unwrap_err().code().id, "TOOL_ADDRESS_REFUSED");
    assert_eq!(tool.ready(&Ctx::system()).await.unwrap().unwrap_err().code().id, "TOOL_ADDRESS_REFUSED");
    assert_eq!(log.lock().unwrap().len(), count, "a guarded call got through");
}

#[tokio::test]
async fn it_is_ready_while_the_server_answers() {
    let (server, log) = server(vec![(200, r#"{"nanosecond heartbeat":1}"#), (503, "")]).await;
    let tool = opened(&server.url(), json!({}), Ok(vec![0.5]));
    assert!(tool.ready(&Ctx::system()).await.unwrap().is_ok());
    assert_eq!(log.lock().unwrap()[0].0, "GET /api/v2/heartbeat");
    assert_eq!(tool.ready(&Ctx::system()).await.unwrap().unwrap_err().code().id, "TOOL_UNAVAILABLE");
    let gone = opened("http://127.0.0.1:1", json!({}), Ok(vec![0.5]));
    assert_eq!(gone.ready(&Ctx::system()).await.unwrap().unwrap_err().code().id, "TOOL_UNAVAILABLE");
}
