//! Policies around calls of another app's own services.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use mainstay_blocks::Table;
use mainstay_blocks::layers::Layers;
use mainstay_core::resiliency::{AppTarget, Backoff, Breaker, Policies, PolicyNames, Retry};
use mainstay_grpc::Ways;
use mainstay_net::client::ClientOptions;
use mainstay_net::multiplexed;
use mainstay_net::server::serve;
use mainstay_net::sockets::Sockets;
use mainstay_proto::components::v1::pub_sub_client::PubSubClient;
use mainstay_proto::components::v1::pub_sub_server::{PubSub, PubSubServer};
use mainstay_proto::components::v1::{
    PublishRequest, PublishResponse, PullMessagesRequest, PullMessagesResponse,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::codegen::BoxStream;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

use crate::house::{House, With, patient};

/// An app that fails with these codes, one after the other, and is then well; for [`Code::Cancelled`] it does not
/// answer. It answers each message of a stream, and counts its calls.
#[derive(Clone, Default)]
struct Flaky {
    codes: Arc<Mutex<Vec<Code>>>,
    asked: Arc<AtomicUsize>,
}

impl Flaky {
    async fn fail(&self) -> Result<(), Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut codes = std::mem::take(&mut *self.codes.lock().unwrap()).into_iter();
        let code = codes.next();
        *self.codes.lock().unwrap() = codes.collect();
        match code {
            Some(Code::Cancelled) => std::future::pending().await,
            Some(code) => Err(Status::new(code, "no")),
            None => Ok(()),
        }
    }
}

#[tonic::async_trait]
impl PubSub for Flaky {
    async fn publish(
        &self,
        request: tonic::Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        assert_eq!(request.get_ref().topic, "t", "each attempt has the whole message");
        self.fail().await.map(|()| Response::new(PublishResponse {}))
    }

    async fn pull_messages(
        &self,
        request: tonic::Request<Streaming<PullMessagesRequest>>,
    ) -> Result<Response<BoxStream<PullMessagesResponse>>, Status> {
        self.fail().await?;
        let answers = request
            .into_inner()
            .map(|asked| Ok(PullMessagesResponse { id: asked?.ack_message_id, ..Default::default() }));
        Ok(Response::new(Box::pin(answers)))
    }
}

/// What keeps an app, its runtime and its caller's at work.
struct Town {
    app: Flaky,
    channel: Channel,
    _houses: [House; 2],
    _folder: tempfile::TempDir,
    _stop: DropGuard,
}

/// An app that another calls under these policies.
async fn town(codes: &[Code], policies: Policies) -> Town {
    let folder = tempfile::tempdir().unwrap();
    let sockets = Sockets::open(&folder.path().join("run")).unwrap();
    let app = Flaky { codes: Arc::new(Mutex::new(codes.to_vec())), ..Flaky::default() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, PubSubServer::new(app.clone()), patient(), stop.clone()));
    let channel = multiplexed::Channel::new(url, ClientOptions::default(), None);
    let callee = House::on(With::default(), Ways { app: Some(channel), ..Ways::default() }).await;
    let socket = sockets.listen("default.bank").unwrap();
    tokio::spawn(serve(socket, callee.surface.inbound(), patient(), stop.clone()));
    let caller = House::on(With::default(), Ways { neighbours: Some(sockets), ..Ways::default() }).await;
    let mut table = Table::default();
    table.guard(Layers::new(policies).unwrap());
    caller.blocks.reload(table);
    let channel = caller.channel().await;
    Town { app, channel, _houses: [callee, caller], _folder: folder, _stop: stop.drop_guard() }
}

impl Town {
    async fn call(&self) -> Code {
        let mut client = PubSubClient::new(self.channel.clone());
        let request = to_bank(PublishRequest { topic: "t".to_owned(), ..PublishRequest::default() });
        client.publish(request).await.map_or_else(|status| status.code(), |_| Code::Ok)
    }

    fn asked(&self) -> usize {
        self.app.asked.load(Ordering::SeqCst)
    }
}

fn to_bank<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("dapr-app-id", "bank".parse().unwrap());
    request
}

fn policies(timeout: Option<Duration>, retries: Option<u32>, trip: Option<&str>) -> Policies {
    let mut policies = Policies::default();
    let name = |is_there: bool| is_there.then(|| "p".to_owned());
    let names = PolicyNames {
        timeout: name(timeout.is_some()),
        retry: name(retries.is_some()),
        breaker: name(trip.is_some()),
    };
    policies.named.timeouts.extend(timeout.map(|time| ("p".to_owned(), time)));
    policies.named.retries.extend(retries.map(|most| {
        let backoff = Backoff::Constant(Duration::from_millis(1));
        let retry =
            Retry { backoff, retries_max: Some(most), statuses: None, codes: Some(vec![(1, 4), (14, 14)]) };
        ("p".to_owned(), retry)
    }));
    policies.named.breakers.extend(trip.map(|trip| {
        let breaker = Breaker {
            requests_max: 1,
            interval: Duration::ZERO,
            timeout: Duration::from_secs(60),
            trip: Some(trip.to_owned()),
        };
        ("p".to_owned(), breaker)
    }));
    policies.targets.apps.insert("bank".to_owned(), AppTarget { policies: names, breakers_max: 9 });
    policies
}

#[tokio::test]
async fn a_call_is_made_again_where_its_code_matches() {
    let down = Code::Unavailable;
    let check = async |codes: &[Code], expect: (Code, usize)| {
        let town = town(codes, policies(None, Some(2), None)).await;
        assert_eq!((town.call().await, town.asked()), expect, "{codes:?}");
    };
    check(&[], (Code::Ok, 1)).await;
    check(&[down, down], (Code::Ok, 3)).await;
    check(&[down, down, down], (down, 3)).await;
    check(&[Code::NotFound], (Code::NotFound, 1)).await;
    check(&[down, Code::NotFound], (Code::NotFound, 2)).await;
}

#[tokio::test]
async fn an_attempt_has_its_time_and_another_may_follow() {
    let short = Some(Duration::from_millis(200));
    let late = town(&[Code::Cancelled], policies(short, None, None)).await;
    assert_eq!((late.call().await, late.asked()), (Code::DeadlineExceeded, 1));
    let again = town(&[Code::Cancelled], policies(Some(Duration::from_secs(2)), Some(1), None)).await;
    assert_eq!((again.call().await, again.asked()), (Code::Ok, 2));
}

#[tokio::test]
async fn a_breaker_keeps_calls_away() {
    let town = town(&[Code::Internal; 2], policies(None, None, Some("consecutiveFailures > 1"))).await;
    assert_eq!([town.call().await, town.call().await], [Code::Internal; 2]);
    let mut client = PubSubClient::new(town.channel.clone());
    let kept_away = client.publish(to_bank(PublishRequest::default())).await.unwrap_err();
    let told = (kept_away.code(), kept_away.message(), town.asked());
    assert_eq!(told, (Code::Unknown, "circuit breaker is open", 2));
}

#[tokio::test]
async fn a_stream_is_passed_on_under_retries_only_where_it_says_that_it_is_one() {
    for (said, expect) in
        [(Some("true"), Code::Ok), (Some("0"), Code::FailedPrecondition), (None, Code::FailedPrecondition)]
    {
        let town = town(&[], policies(None, Some(2), None)).await;
        let (questions, asked) = tokio::sync::mpsc::channel(1);
        let asked = stream::unfold(asked, |mut asked| async move { Some((asked.recv().await?, asked)) });
        let mut request = to_bank(asked);
        if let Some(said) = said {
            request.metadata_mut().insert("dapr-stream", said.parse().unwrap());
        }
        let question = |id: &str| PullMessagesRequest { ack_message_id: id.to_owned(), ..Default::default() };
        questions.send(question("a")).await.unwrap();
        let mut client = PubSubClient::new(town.channel.clone());
        let mut answers = client.pull_messages(request).await.unwrap().into_inner();
        assert_eq!(answers.message().await.unwrap().unwrap().id, "a");
        questions.send(question("b")).await.unwrap();
        let second = answers.message().await;
        assert_eq!(second.map_or_else(|status| status.code(), |_| Code::Ok), expect, "{said:?}");
        assert_eq!(town.asked(), 1);
    }
}

#[tokio::test]
async fn of_a_stream_only_the_connection_has_the_policys_time() {
    let town = town(&[Code::Unavailable], policies(Some(Duration::from_millis(200)), Some(2), None)).await;
    let mut request = to_bank(stream::pending());
    request.metadata_mut().insert("dapr-stream", "1".parse().unwrap());
    let mut client = PubSubClient::new(town.channel.clone());
    // What the app fails with is the caller's affair.
    assert_eq!(client.pull_messages(request).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(town.asked(), 1);
    let mut request = to_bank(stream::pending());
    request.metadata_mut().insert("dapr-stream", "1".parse().unwrap());
    let mut answers = client.pull_messages(request).await.unwrap().into_inner();
    let cut = tokio::time::timeout(Duration::from_millis(400), answers.message()).await;
    assert!(cut.is_err(), "a stream outlasts the policy's time");
}
