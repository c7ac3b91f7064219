//! The handler beside a server of tokens.

use http_body_util::BodyExt as _;
use mainstay_core::clock::ManualClock;
use mainstay_net::client::ClientOptions;
use mainstay_testkit::loopback::{Loopback, whole};
use parking_lot::Mutex;

use super::*;

/// The `authorization` and the body of a request.
type Seen = (Option<String>, String);
/// The status and the body of an answer, for the number of the request and whether it was authorized.
type Answers = fn(usize, bool) -> (u16, String);

/// What the server was asked, `authorization` first, and how it answers.
struct Server {
    loopback: Loopback,
    asked: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    async fn start(answer: Answers) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&asked);
        let loopback = Loopback::serve(Arc::new(move |request| {
            let told = Arc::clone(&told);
            Box::pin(async move {
                let header = request.headers().get("authorization");
                let header = header.map(|value| value.to_str().unwrap().to_owned());
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let in_header = header.is_some();
                let count = {
                    let mut told = told.lock();
                    told.push((header, String::from_utf8(body.to_vec()).unwrap()));
                    told.len()
                };
                let (status, body) = answer(count, in_header);
                whole(status, "application/json", body)
            })
        }))
        .await;
        Self { loopback, asked }
    }

    async fn open(&self, more: &[(&str, &str)], clock: &Arc<ManualClock>) -> Arc<dyn Middleware> {
        let url = self.loopback.url();
        let mut settings = vec![
            ("clientID", "me & co"),
            ("clientSecret", "hunter2"),
            ("scopes", "read,write"),
            ("tokenURL", url.as_str()),
            ("headerName", "Authorization"),
        ];
        settings.extend_from_slice(more);
        let pairs = settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        let (settings, faults) = parse(&Settings::new(pairs));
        assert_eq!(faults, []);
        let client = Client::new(ClientOptions::default());
        Arc::new(ClientCredentials {
            settings,
            client,
            clock: Arc::clone(clock) as _,
            kept: AsyncMutex::default(),
        })
    }
}

async fn sent(handler: &Arc<dyn Middleware>, path: &str) -> Result<Option<String>> {
    let own = vec![("authorization".to_owned(), Bytes::from_static(b"mine"))];
    let mut request = Request::new("GET", path, None, own);
    assert_eq!(handler.request(&Ctx::system(), &mut request).await?, Step::Next);
    Ok(request.header("authorization").map(str::to_owned))
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(0))
}

#[tokio::test]
async fn a_token_is_asked_for_once_and_again_when_it_ends() {
    let answer = |count: usize, _: bool| {
        (200, format!(r#"{{"access_token":"t{count}","token_type":"bearer","expires_in":"100"}}"#))
    };
    let (server, clock) = (Server::start(answer).await, clock());
    let handler = server.open(&[("authStyle", "2"), ("endpointParamsQuery", "audience=a%20b")], &clock).await;
    let asked = futures_util::future::join_all((0..8).map(|_| sent(&handler, "/a"))).await;
    assert!(asked.into_iter().all(|value| value.unwrap().as_deref() == Some("Bearer t1")));
    {
        let asked = server.asked.lock();
        let [(header, body)] = &asked[..] else { panic!("{} questions", asked.len()) };
        // The pair is form-encoded before it is base64 (RFC 6749, section 2.3.1).
        assert_eq!(
            header.as_deref(),
            Some(format!("Basic {}", STANDARD.encode("me+%26+co:hunter2")).as_str())
        );
        assert_eq!(body, "grant_type=client_credentials&scope=read+write&audience=a+b");
    }
    clock.advance(89_000);
    assert_eq!(sent(&handler, "/a").await.unwrap().as_deref(), Some("Bearer t1"));
    clock.advance(2_000);
    assert_eq!(sent(&handler, "/a").await.unwrap().as_deref(), Some("Bearer t2"));
}

#[tokio::test]
async fn credentials_go_into_the_body_where_the_header_is_refused_or_not_wanted() {
    let answer = |_: usize, in_header: bool| match in_header {
        true => (401, "{}".to_owned()),
        false => (200, r#"{"access_token":"t","token_type":"MAC"}"#.to_owned()),
    };
    for (style, questions) in [("0", 2), ("1", 1)] {
        let server = Server::start(answer).await;
        let handler = server.open(&[("authStyle", style)], &clock()).await;
        assert_eq!(sent(&handler, "/").await.unwrap().as_deref(), Some("MAC t"));
        let asked = server.asked.lock();
        assert_eq!(asked.len(), questions);
        let body = &asked.last().unwrap().1;
        assert!(body.ends_with("client_id=me+%26+co&client_secret=hunter2"), "{body}");
    }
}

#[tokio::test]
async fn only_paths_that_fit_the_filter_get_a_token() {
    let server = Server::start(|_, _| (200, r#"{"access_token":"t"}"#.to_owned())).await;
    let handler = server.open(&[("pathFilter", "^/v1\\.0/invoke/bank/")], &clock()).await;
    assert_eq!(sent(&handler, "/v1.0/state/x").await.unwrap().as_deref(), Some("mine"));
    assert!(server.asked.lock().is_empty());
    let value = sent(&handler, "/v1.0/invoke/bank/method/a").await.unwrap();
    assert_eq!(value.as_deref(), Some("Bearer t"));
}

#[tokio::test]
async fn without_a_token_nothing_goes_on_and_no_secret_is_told() {
    let answers: [Answers; 4] = [
        |_, _| (500, "hunter2".to_owned()),
        |_, _| (200, "hunter2".to_owned()),
        |_, _| (200, r#"{"access_token":""}"#.to_owned()),
        |_, _| (200, r#"{"access_token":"a\nb"}"#.to_owned()),
    ];
    for answer in answers {
        let server = Server::start(answer).await;
        let handler = server.open(&[], &clock()).await;
        let error = sent(&handler, "/").await.unwrap_err();
        assert_eq!(error.code(), &codes::COMPONENT_UNAVAILABLE);
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn a_token_is_kept_as_long_as_it_says_and_not_for_ever() {
    let check =
        |value: serde_json::Value, expect: u64| assert_eq!(lifetime_ms(Some(&value)), expect, "{value}");
    check(3600.into(), 3_590_000);
    check("3600".into(), 3_590_000);
    check(10.into(), 9_000);
    check(0.into(), 290_000);
    check(serde_json::json!(1e18), 86_390_000);
    check("soon".into(), 290_000);
    assert_eq!(lifetime_ms(None), 290_000);
}
