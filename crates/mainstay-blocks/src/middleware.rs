//! What requests pass through, in the order of the file that lists it.

use std::sync::Arc;

use mainstay_core::middleware::{Answer, Middleware, Pieces, Request, Step};
use mainstay_core::{Ctx, Result};

/// Handlers in their order; cheap to clone.
#[derive(Clone, Default)]
pub struct Pipeline(Arc<[Arc<dyn Middleware>]>);

impl std::fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pipeline({})", self.0.len())
    }
}

impl Pipeline {
    /// These, the first of which sees a request first.
    #[must_use]
    pub fn new(handlers: Vec<Arc<dyn Middleware>>) -> Self {
        Self(handlers.into())
    }

    /// Whether requests pass through nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a body can come out as another.
    #[must_use]
    pub fn changes_bodies(&self) -> bool {
        self.0.iter().any(|handler| handler.capabilities().body)
    }

    /// Takes a request through, up to the one that answers it. Errors: those of the port.
    pub async fn request(&self, ctx: &Ctx, request: &mut Request) -> Result<Option<Answer>> {
        for handler in &*self.0 {
            if let Step::Answer(answer) = handler.request(ctx, request).await? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// Takes a body through those that change bodies.
    #[must_use]
    pub fn body(&self, body: Pieces) -> Pieces {
        let changing = self.0.iter().filter(|handler| handler.capabilities().body);
        changing.fold(body, |body, handler| handler.body(body))
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use futures_util::{StreamExt as _, stream};
    use mainstay_core::middleware::Capabilities;

    use super::*;

    /// Adds its name to the path and to each piece of a body, or answers.
    struct Named(&'static str, Option<u16>);

    #[async_trait]
    impl Middleware for Named {
        fn capabilities(&self) -> Capabilities {
            Capabilities { body: self.0 != "silent" }
        }

        async fn request(&self, _: &Ctx, request: &mut Request) -> Result<Step> {
            request.path.push_str(self.0);
            let answer = |status| Step::Answer(Answer { status, ..Answer::default() });
            Ok(self.1.map_or(Step::Next, answer))
        }

        fn body(&self, body: Pieces) -> Pieces {
            let name = self.0;
            body.map(move |piece| piece.map(|piece| [&piece, name.as_bytes()].concat().into())).boxed()
        }
    }

    fn pipeline(handlers: [Named; 3]) -> Pipeline {
        Pipeline::new(handlers.into_iter().map(|one| Arc::new(one) as Arc<dyn Middleware>).collect())
    }

    #[tokio::test]
    async fn requests_and_bodies_pass_in_the_order_of_the_file() {
        let pipeline = pipeline([Named("a", None), Named("silent", None), Named("b", None)]);
        let mut request = Request::new("GET", "/", None, Vec::new());
        assert_eq!(pipeline.request(&Ctx::system(), &mut request).await.unwrap(), None);
        assert_eq!(request.path, "/asilentb");
        let body = stream::iter([Ok(Bytes::from_static(b"1")), Ok(Bytes::from_static(b"2"))]).boxed();
        let pieces: Vec<_> = pipeline.body(body).map(std::result::Result::unwrap).collect().await;
        assert_eq!(pieces, ["1ab", "2ab"]);
    }

    #[tokio::test]
    async fn an_answer_ends_the_way() {
        let pipeline = pipeline([Named("a", None), Named("b", Some(403)), Named("c", None)]);
        let mut request = Request::new("GET", "/", None, Vec::new());
        let answer = pipeline.request(&Ctx::system(), &mut request).await.unwrap().unwrap();
        assert_eq!((answer.status, request.path.as_str()), (403, "/ab"));
        assert!(Pipeline::default().is_empty() && !Pipeline::default().changes_bodies());
    }
}
