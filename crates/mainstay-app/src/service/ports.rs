//! A service of the user's as the core ports ask for it: an agent's app, and an app that requests are passed on to.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use mainstay_core::app::{App, AppEvent, AppRequest};
use mainstay_core::forward::{Answer, Forward, Request};
use mainstay_core::{BoxStream, Ctx, Result};

use super::{AppService, Entry};
use crate::{forward, health};

#[async_trait]
impl App for AppService {
    async fn invoke(&self, ctx: &Ctx, request: AppRequest) -> Result<BoxStream<Result<AppEvent>>> {
        let call = match self.enter(ctx).await? {
            Entry::Here(call) => call,
            Entry::Elsewhere(successor) => return successor.invoke(ctx, request).await,
        };
        let Some(channel) = &self.channel else { return Err(self.unavailable("is no agent's any more")) };
        let outcome = channel.ask(ctx, &request).await;
        self.note(&outcome);
        outcome.map(|answer| call.with(answer))
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.standing()?;
        let left = ctx.remaining(Instant::now()).unwrap_or(health::PROBE_TIMEOUT);
        let probe = health::probe(&self.client, &self.health, left.min(health::PROBE_TIMEOUT)).await;
        probe.map_err(|why| self.unavailable(&why))
    }

    async fn stop(&self, grace: Duration) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.stop(grace).await;
        }
    }
}

#[async_trait]
impl Forward for AppService {
    async fn forward(&self, ctx: &Ctx, request: Request) -> Result<Answer> {
        let call = match self.enter(ctx).await? {
            Entry::Here(call) => call,
            Entry::Elsewhere(successor) => return successor.forward(ctx, request).await,
        };
        let outcome = forward::forward((&self.client, &self.base), ctx, request, &self.title).await;
        self.note(&outcome);
        let answer = outcome?;
        Ok(Answer { body: call.with(answer.body), ..answer })
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        App::ready(self, ctx).await
    }
}
