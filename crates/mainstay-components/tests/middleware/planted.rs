//! The suite over a handler with a planted fault: a check that lets one pass is no check.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use libtest_mimic::Trial;
use mainstay_core::middleware::{Answer, Capabilities, Middleware, Pieces, Request, Step};
use mainstay_core::{Ctx, Error, Result, codes};
use mainstay_testkit::conformance::middleware::{self as suite, Open, Rig};
use tokio::sync::Mutex;

/// A way to break the port.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    ChangesTheMethod,
    LosesHeaders,
    LetsOnePass,
    FailsOnOddHeaders,
    AnswersWithAFailure,
    ChangesBodiesInSecret,
    SaysItChangesBodies,
    HoldsBodiesBack,
    LosesErrors,
}

/// Each fault with one check that must catch it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::ChangesTheMethod, "who_may_pass_passes_with_method_and_other_headers_as_they_were"),
    (Fault::LosesHeaders, "who_may_pass_passes_with_method_and_other_headers_as_they_were"),
    (Fault::LetsOnePass, "requests_pass_side_by_side"),
    (Fault::FailsOnOddHeaders, "odd_requests_are_answered_or_pass"),
    (Fault::AnswersWithAFailure, "odd_requests_are_answered_or_pass"),
    (Fault::ChangesBodiesInSecret, "a_body_that_is_not_changed_comes_out_byte_for_byte"),
    (Fault::ChangesBodiesInSecret, "what_changes_bodies_says_so"),
    (Fault::SaysItChangesBodies, "what_changes_bodies_says_so"),
    (Fault::HoldsBodiesBack, "a_body_goes_on_as_it_comes"),
    (Fault::LosesErrors, "an_error_in_a_body_comes_out_as_it_is"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |&(fault, name): &(Fault, &'static str)| {
        let check = *suite::CHECKS.iter().find(|check| check.name == name).expect("the check is there");
        Trial::test(format!("planted::{fault:?}::{name}"), move || {
            let open: Open = Arc::new(move || {
                Box::pin(async move { Arc::new(Broken(fault, Mutex::new(0))) as Arc<dyn Rig> })
            });
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| suite::prove(check, open)));
            if caught.is_err() { Ok(()) } else { Err("the fault passes".into()) }
        })
    };
    FAULTS.iter().map(trial).collect()
}

struct Broken(Fault, Mutex<usize>);

impl Rig for Broken {
    fn handler(&self) -> Arc<dyn Middleware> {
        Arc::new(Self(self.0, Mutex::new(0)))
    }

    fn pass(&self) -> Option<(&'static str, String)> {
        None
    }
}

#[async_trait]
impl Middleware for Broken {
    fn capabilities(&self) -> Capabilities {
        Capabilities { body: self.0 == Fault::SaysItChangesBodies }
    }

    async fn request(&self, _: &Ctx, request: &mut Request) -> Result<Step> {
        let mut seen = self.1.lock().await;
        *seen += 1;
        match self.0 {
            Fault::ChangesTheMethod => request.method = "GET".to_owned(),
            Fault::LosesHeaders => request.set_header("X-Mine", ""),
            Fault::LetsOnePass if *seen > 1 => return Ok(Step::Answer(Answer::default())),
            Fault::FailsOnOddHeaders if request.header("authorization") == Some("Bearer") => {
                return Err(Error::new(&codes::INTERNAL, "x"));
            }
            Fault::AnswersWithAFailure if request.path.len() > 1_000 => {
                return Ok(Step::Answer(Answer { status: 500, ..Answer::default() }));
            }
            _ => {}
        }
        Ok(Step::Next)
    }

    fn body(&self, body: Pieces) -> Pieces {
        match self.0 {
            Fault::ChangesBodiesInSecret => {
                body.map(|piece| piece.map(|piece| piece.to_ascii_uppercase().into())).boxed()
            }
            Fault::HoldsBodiesBack => stream::once(async move {
                let pieces: Vec<io::Result<Bytes>> = body.collect().await;
                pieces.into_iter().collect::<io::Result<Vec<_>>>().map(|pieces| pieces.concat().into())
            })
            .boxed(),
            Fault::LosesErrors => body.filter(|piece| std::future::ready(piece.is_ok())).boxed(),
            _ => body,
        }
    }
}
