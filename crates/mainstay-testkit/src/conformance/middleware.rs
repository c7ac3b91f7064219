//! What every `Middleware` must do, whatever it is for. To add a check: an `async fn` below and its name in
//! `promises!`.
//!
//! What a member lets pass, changes or answers it tests itself.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use futures_util::{StreamExt as _, stream};
use libtest_mimic::Trial;
use mainstay_core::Ctx;
use mainstay_core::middleware::{Middleware, Request, Step};
use tokio::sync::mpsc;

use super::suite;
pub use super::suite::prove;

/// A handler, and a request that passes it.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The handler under test.
    fn handler(&self) -> Arc<dyn Middleware>;
    /// A header without which nobody passes.
    fn pass(&self) -> Option<(&'static str, String)>;
}

/// Opens a handler that lets forty requests pass at once.
pub type Open = Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn Rig>> + Send + Sync>;

/// One promise of the port.
pub type Check = suite::Check<Open>;

macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        /// Every check.
        pub const CHECKS: &[Check] = &[$(Check { name: stringify!($name), run: |open| Box::pin(async move { $name(open().await).await }) }),*];
    };
}
promises! {
    who_may_pass_passes_with_method_and_other_headers_as_they_were,
    requests_pass_side_by_side,
    odd_requests_are_answered_or_pass,
    a_body_that_is_not_changed_comes_out_byte_for_byte,
    a_body_goes_on_as_it_comes,
    an_error_in_a_body_comes_out_as_it_is,
    what_changes_bodies_says_so,
}

/// The suite as tests named `<member>::<promise>`.
pub fn trials(member: &str, open: &Open) -> Vec<Trial> {
    suite::trials(member, open, CHECKS.iter().copied(), &[])
}

fn ctx() -> Ctx {
    Ctx::system().with_deadline(Instant::now() + Duration::from_secs(30))
}

fn request(rig: &Arc<dyn Rig>) -> Request {
    let mut headers = vec![("x-mine".to_owned(), Bytes::from_static(b"1"))];
    headers.extend(rig.pass().map(|(name, value)| (name.to_owned(), value.into())));
    Request::new("PATCH", "/v1.0/nothing/of/anybody", Some("a=b"), headers)
}

async fn who_may_pass_passes_with_method_and_other_headers_as_they_were(rig: Arc<dyn Rig>) {
    let mut request = request(&rig);
    let step = rig.handler().request(&ctx(), &mut request).await.expect("it works");
    assert_eq!(step, Step::Next);
    assert_eq!((request.method.as_str(), request.header("x-mine")), ("PATCH", Some("1")));
    assert!(request.path.starts_with('/'));
}

async fn requests_pass_side_by_side(rig: Arc<dyn Rig>) {
    let (handler, ctx) = (rig.handler(), ctx());
    let each = (0..40).map(|_| {
        let (handler, ctx, mut request) = (&handler, &ctx, request(&rig));
        async move { handler.request(ctx, &mut request).await.expect("it works") }
    });
    assert!(join_all(each).await.iter().all(|step| *step == Step::Next));
}

async fn odd_requests_are_answered_or_pass(rig: Arc<dyn Rig>) {
    let long = "x".repeat(1 << 20);
    for value in ["", " ", "Bearer", "Bearer ", "bearer a.b", "Bearer ..", "\u{e9}", &long] {
        for path in ["/", "//", "/%", "/%ff%00", &format!("/{long}")] {
            let headers = ["authorization", "x-forwarded-for", "x-real-ip", "host"];
            let headers = headers.map(|name| (name.to_owned(), Bytes::copy_from_slice(value.as_bytes())));
            let twice =
                headers.iter().chain(&headers).cloned().chain([("x-raw".to_owned(), vec![0xff].into())]);
            let mut request = Request::new("GET", path, None, twice.collect());
            match rig.handler().request(&ctx(), &mut request).await.expect("it works") {
                Step::Next => {}
                Step::Answer(answer) => assert!((400..500).contains(&answer.status), "{}", answer.status),
            }
        }
    }
}

async fn through(handler: &Arc<dyn Middleware>, pieces: Vec<io::Result<Bytes>>) -> Vec<io::Result<Bytes>> {
    handler.body(stream::iter(pieces).boxed()).collect().await
}

fn mixed() -> Vec<Bytes> {
    [&b"abc"[..], b"", b"\xff\x00\xc3", b"\xa9z"].map(Bytes::from_static).to_vec()
}

async fn a_body_that_is_not_changed_comes_out_byte_for_byte(rig: Arc<dyn Rig>) {
    if rig.handler().capabilities().body {
        return;
    }
    let out = through(&rig.handler(), mixed().into_iter().map(Ok).collect()).await;
    let out: Vec<u8> = out.into_iter().flat_map(|piece| piece.expect("it works").to_vec()).collect();
    assert_eq!(out, mixed().concat());
}

async fn a_body_goes_on_as_it_comes(rig: Arc<dyn Rig>) {
    let (pieces, mut coming) = mpsc::channel(1);
    let mut out = rig.handler().body(stream::poll_fn(move |context| coming.poll_recv(context)).boxed());
    for piece in ["one", "two", "three"] {
        pieces.send(Ok(Bytes::from_static(piece.as_bytes()))).await.expect("it works");
        // The next piece is not sent before this one is out.
        let mut seen = 0;
        while seen < piece.len() {
            let next = tokio::time::timeout(Duration::from_secs(10), out.next()).await;
            seen +=
                next.expect("a piece goes on in time").expect("there is more").expect("it is sound").len();
        }
    }
    drop(pieces);
    let rest: Vec<_> = out.collect().await;
    assert!(rest.iter().all(|piece| piece.as_ref().expect("it works").is_empty()));
}

async fn an_error_in_a_body_comes_out_as_it_is(rig: Arc<dyn Rig>) {
    let cut = io::Error::new(io::ErrorKind::UnexpectedEof, "cut");
    let pieces = vec![Ok(Bytes::from_static(b"a")), Err(cut)];
    let out = through(&rig.handler(), pieces).await;
    let error = out.last().expect("it works").as_ref().expect_err("it is refused");
    assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::UnexpectedEof, "cut"));
}

async fn what_changes_bodies_says_so(rig: Arc<dyn Rig>) {
    let out = through(&rig.handler(), mixed().into_iter().map(Ok).collect()).await;
    let out: Vec<u8> = out.into_iter().flat_map(|piece| piece.expect("it works").to_vec()).collect();
    assert_eq!(out != mixed().concat(), rig.handler().capabilities().body);
}
