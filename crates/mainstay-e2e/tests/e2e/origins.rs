//! Which pages in browsers may call (`--allowed-origins`), as a browser asks: the preflight, and then the call.

use bytes::Bytes;
use http::Method;
use mainstay_e2e::sidecar::{STORE_AND_BROKER, launch, start};
use mainstay_testkit::process::{Answer, Server};

const PATH: &str = "/v1.0/state/orders/k";
const SHOP: &str = "https://shop.example";

async fn call(server: &Server, method: Method, headers: &[(&'static str, &str)]) -> Answer {
    let client = server.client();
    let mut request = client.request(method, PATH, Bytes::new());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("it is a header's value"));
    }
    client.send(request).await
}

async fn preflight(server: &Server, origin: &str, method: &str) -> Answer {
    let asked = [
        ("origin", origin),
        ("access-control-request-method", method),
        ("access-control-request-headers", "content-type,dapr-api-token"),
    ];
    call(server, Method::OPTIONS, &asked).await
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_is_told_what_it_may_and_reads_the_answer() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let list = "https://shop.example,https://*.shop.example";
    let server = start(folder.path(), STORE_AND_BROKER, &["--allowed-origins", list]).await;
    for origin in [SHOP, "https://eu.shop.example"] {
        let asked = preflight(&server, origin, "DELETE").await;
        assert_eq!(asked.status, 200, "{origin}");
        for (name, value) in [
            ("access-control-allow-origin", origin),
            ("access-control-allow-methods", "DELETE"),
            ("access-control-allow-headers", "content-type,dapr-api-token"),
        ] {
            assert_eq!(asked.header(name), Some(value), "{origin}");
        }
        let read = call(&server, Method::GET, &[("origin", origin)]).await;
        assert_eq!((read.status, read.header("access-control-allow-origin")), (204, Some(origin)));
        // Caches keep the answers of different pages apart.
        let vary = |answer: &Answer| {
            answer.headers.get_all("vary").iter().any(|name| name.as_bytes().eq_ignore_ascii_case(b"origin"))
        };
        assert!(vary(&asked) && vary(&read), "{origin}");
    }
}

#[tokio::test]
async fn a_page_of_another_origin_is_told_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = start(folder.path(), STORE_AND_BROKER, &["--allowed-origins", SHOP]).await;
    for origin in ["https://shop.example.evil", "http://shop.example", "null"] {
        let asked = preflight(&server, origin, "GET").await;
        let read = call(&server, Method::GET, &[("origin", origin)]).await;
        for answer in [&asked, &read] {
            let shown: Vec<_> =
                answer.headers.keys().filter(|name| name.as_str().starts_with("access-")).collect();
            assert!(shown.is_empty(), "{origin}: {shown:?}");
        }
    }
    let asked = preflight(&server, SHOP, "TRACE").await;
    assert_eq!(asked.header("access-control-allow-methods"), None, "no page may use that method");
}

#[tokio::test]
async fn every_page_may_read_where_all_are_allowed_and_none_where_nothing_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = start(folder.path(), STORE_AND_BROKER, &["--allowed-origins", "*"]).await;
    let read = call(&server, Method::GET, &[("origin", SHOP)]).await;
    assert_eq!(read.header("access-control-allow-origin"), Some("*"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = start(folder.path(), STORE_AND_BROKER, &[]).await;
    let read = call(&server, Method::GET, &[("origin", SHOP)]).await;
    assert_eq!((read.status, read.header("access-control-allow-origin")), (204, None));
}

#[tokio::test]
async fn a_page_asks_without_the_token_and_calls_with_it() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let launch = launch(folder.path(), STORE_AND_BROKER, &["--allowed-origins", SHOP]);
    let server = launch.variable("DAPR_API_TOKEN", "secret").start().await;
    let asked = preflight(&server, SHOP, "GET").await;
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (200, Some(SHOP)));
    let refused = call(&server, Method::GET, &[("origin", SHOP)]).await;
    assert_eq!(refused.status, 401);
    let read = call(&server, Method::GET, &[("origin", SHOP), ("dapr-api-token", "secret")]).await;
    assert_eq!((read.status, read.header("access-control-allow-origin")), (204, Some(SHOP)));
}
