//! The surface on a listener of this machine, over components of the tests, and a client of the protocol.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_blocks::pubsub::Scopes;
use mainstay_blocks::state::{Prefix, Rules, Store};
use mainstay_blocks::{App, Blocks, Broker, Opened, Summary, Table};
use mainstay_core::clock::ManualClock;
use mainstay_core::pubsub::{self, Delivery, Message, PubSub, Receipt, Subscription};
use mainstay_core::runtime_config::{ApiRule, SecretScope};
use mainstay_core::secret_store::{Secret, SecretStore};
use mainstay_core::state::{self, Change, Entry, StateStore};
use mainstay_core::{BoxStream, Clock, Ctx, Error, Redacted, Result, codes};
use mainstay_dapr::Apis;
use mainstay_grpc::{About, Parts, Rules as Said, Surface, Ways};
use mainstay_net::server::{ServeOptions, serve};
use mainstay_proto::rpc;
use mainstay_proto::runtime::v1::dapr_client::DaprClient;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::calls;

/// Largest message of the house.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 10;

/// A running surface; it ends with this.
pub(crate) struct House {
    pub(crate) surface: Surface,
    pub(crate) blocks: Blocks,
    pub(crate) address: SocketAddr,
    pub(crate) published: Arc<Mutex<Vec<Message>>>,
    pub(crate) shutdowns: Arc<Mutex<Vec<bool>>>,
    news: Arc<Notify>,
    stop: CancellationToken,
    folder: tempfile::TempDir,
}

impl Drop for House {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a house may have besides.
#[derive(Clone, Copy, Default)]
pub(crate) struct With {
    pub(crate) token: Option<&'static str>,
    pub(crate) reflection: bool,
    /// APIs that may not be used.
    pub(crate) denied: &'static [&'static str],
    /// Without any component.
    pub(crate) bare: bool,
}

impl House {
    pub(crate) async fn new() -> Self {
        Self::with(With::default()).await
    }

    pub(crate) async fn with(with: With) -> Self {
        Self::on(with, Ways::default()).await
    }

    /// A house with ways to apps.
    pub(crate) async fn on(with: With, ways: Ways) -> Self {
        Self::under(with, ways, Said::default()).await
    }

    /// A house with rules besides those of `with`.
    pub(crate) async fn under(with: With, ways: Ways, rules: Said) -> Self {
        let published = Arc::new(Mutex::new(Vec::new()));
        let shutdowns = Arc::new(Mutex::new(Vec::new()));
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000_000));
        let app = App { id: "shop".to_owned(), namespace: None };
        let news = Arc::new(Notify::new());
        let bus = Bus { published: Arc::clone(&published), news: Arc::clone(&news), queue: Arc::default() };
        let folder = tempfile::tempdir().unwrap();
        let items = folder.path().join("items.yaml");
        std::fs::write(&items, "a: { value: 1, version: v1, metadata: { team: blue } }\nb: two\n").unwrap();
        let conf = mainstay_testkit::components::configuration_file(&items, &clock).await.unwrap();
        let mut table = if with.bare { Table::default() } else { table(&clock, &app, bus).await };
        if !with.bare {
            table.configuration.insert("conf".to_owned(), Opened::new(conf, ()));
        }
        let ends = Arc::clone(&shutdowns);
        let rule = |name: &&str| ApiRule {
            name: (*name).to_owned(),
            version: "v1".to_owned(),
            protocol: "grpc".to_owned(),
        };
        let denied: Vec<_> = with.denied.iter().map(rule).collect();
        let blocks = Blocks::new(app, clock, table);
        let surface = Surface::new(Parts {
            blocks: blocks.clone(),
            api_token: with.token.map(|token| Redacted::new(token.to_owned())),
            message_bytes_max: MESSAGE_BYTES_MAX,
            reflection: with.reflection,
            invoke: Arc::new(|request| Box::pin(calls::answer(request))),
            ways,
            rules: Said {
                apis: Apis::of("grpc", &[], &denied),
                about: About { runtime_version: "1.18.3".to_owned(), ..About::default() },
                ..rules
            },
            shutdown: Arc::new(move |force| ends.lock().unwrap().push(force)),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, surface.router(), patient(), stop.clone()));
        Self { surface, blocks, address, published, shutdowns, news, stop, folder }
    }

    /// Waits until something is published to a topic.
    pub(crate) async fn published_to(&self, topic: &str) {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if self.published.lock().unwrap().iter().any(|message| message.topic == topic) {
                return;
            }
            news.await;
        }
    }

    /// Replaces the items of the configuration store.
    pub(crate) fn configure(&self, text: &str) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.folder.path().join("items.yaml")).unwrap();
    }

    pub(crate) async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn client(&self) -> DaprClient<Channel> {
        DaprClient::new(self.channel().await)
    }
}

pub(crate) fn patient() -> ServeOptions {
    let long = Duration::from_secs(60);
    ServeOptions {
        header_timeout: long,
        idle_timeout: long,
        write_timeout: long,
        connections_max: 64,
        close_timeout: long,
    }
}

async fn table(clock: &Arc<dyn Clock>, app: &App, bus: Bus) -> Table {
    let rules = |name: &str| Rules { prefix: Prefix::of(None, name, app), ..Rules::default() };
    let orders = mainstay_testkit::components::state_store(clock).await;
    let broken: Arc<dyn StateStore> = Arc::new(Broken);
    let keys = mainstay_testkit::components::key_vault(clock).await;
    let scopes = Scopes::of(|name| match name {
        "publishingScopes" => Some("shop=orders,broken,half; other=secret"),
        "subscriptionScopes" => Some("shop=orders"),
        _ => None,
    });
    let bus: Arc<dyn PubSub> = Arc::new(bus);
    let vault: Arc<dyn SecretStore> = Arc::new(Vault);
    let locks = mainstay_testkit::components::lock_store(clock).await;
    let llm = mainstay_testkit::components::echo(clock).await;
    let llm = Opened::new(llm, mainstay_blocks::conversation::Rules::default());
    let locks = Opened::new(locks, mainstay_blocks::lock::Rules::of(None, "locks", app));
    let scope = Arc::new(SecretScope { denied: vec!["hidden".to_owned()], ..SecretScope::default() });
    let summary = Summary {
        name: "orders".to_owned(),
        kind: "state.in-memory".to_owned(),
        version: "v1".to_owned(),
        capabilities: vec!["ETAG", "TRANSACTIONAL"],
    };
    Table {
        stores: BTreeMap::from([
            ("orders".to_owned(), Store::new(orders, rules("orders"))),
            ("broken".to_owned(), Store::new(broken, rules("broken"))),
        ]),
        brokers: BTreeMap::from([("bus".to_owned(), Broker::new(bus, scopes))]),
        secrets: BTreeMap::from([("vault".to_owned(), Opened::new(vault, scope))]),
        locks: BTreeMap::from([("locks".to_owned(), locks)]),
        configuration: BTreeMap::new(),
        conversations: BTreeMap::from([("llm".to_owned(), llm)]),
        summaries: vec![summary],
        vaults: BTreeMap::from([("keys".to_owned(), Opened::new(keys, ()))]),
        ..Table::default()
    }
}

/// A store that cannot be reached, and can do nothing besides; a read of `slow` never ends, one of `panic` panics.
struct Broken;

#[async_trait]
impl StateStore for Broken {
    fn capabilities(&self) -> state::Capabilities {
        state::Capabilities {
            transaction_changes_max: None,
            scan: false,
            scan_reserved: false,
            query: false,
            durable: false,
        }
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        Err(down())
    }

    async fn get(&self, _: &Ctx, key: &str) -> Result<Option<Entry>> {
        assert_ne!(key, "shop||panic", "a test of panics");
        if key == "shop||slow" {
            std::future::pending::<()>().await;
        }
        Err(down())
    }

    async fn apply(&self, _: &Ctx, _: Change) -> Result<()> {
        Err(down())
    }
}

fn down() -> Error {
    Error::new(&codes::STORE_UNAVAILABLE, "reach the store: it is down").with_internal("10.0.0.7")
}

/// A broker that keeps what it is given, and delivers `orders` to whoever subscribes; the topic `broken` fails, and
/// every second message of `half`.
struct Bus {
    published: Arc<Mutex<Vec<Message>>>,
    news: Arc<Notify>,
    queue: Arc<Queue>,
}

/// Messages that are to be delivered.
#[derive(Default)]
struct Queue {
    messages: Mutex<VecDeque<Message>>,
    more: Notify,
}

impl Queue {
    fn put(&self, message: Message) {
        self.messages.lock().unwrap().push_back(message);
        self.more.notify_one();
    }

    async fn take(&self) -> Message {
        loop {
            let first = self.messages.lock().unwrap().pop_front();
            match first {
                Some(message) => return message,
                None => self.more.notified().await,
            }
        }
    }
}

/// Puts its message back unless it is settled.
struct Slip(Option<Message>, Arc<Queue>);

impl Drop for Slip {
    fn drop(&mut self) {
        if let Some(message) = self.0.take() {
            self.1.put(message);
        }
    }
}

#[async_trait]
impl Receipt for Slip {
    async fn done(mut self: Box<Self>) -> Result<()> {
        self.0 = None;
        Ok(())
    }

    async fn again(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl PubSub for Bus {
    fn capabilities(&self) -> pubsub::Capabilities {
        pubsub::Capabilities { ttl: false, ordered: true, metadata: true, durable: false }
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn publish(&self, _: &Ctx, message: Message) -> Result<()> {
        let mut kept = self.published.lock().unwrap();
        if message.topic == "broken" || message.topic == "half" && kept.len() == 1 {
            return Err(Error::new(&codes::BROKER_UNAVAILABLE, "reach the broker: it is down"));
        }
        if message.topic == "orders" {
            self.queue.put(message.clone());
        }
        kept.push(message);
        self.news.notify_waiters();
        Ok(())
    }

    async fn subscribe(&self, _: &Ctx, _: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        let queue = Arc::clone(&self.queue);
        Ok(Box::pin(futures_util::stream::unfold(queue, |queue| async move {
            let message = queue.take().await;
            let receipt = Box::new(Slip(Some(message.clone()), Arc::clone(&queue)));
            Some((Ok(Delivery { message, lane: None, attempts: 0, receipt }), queue))
        })))
    }
}

/// A store of two secrets.
struct Vault;

#[async_trait]
impl SecretStore for Vault {
    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn get(&self, ctx: &Ctx, name: &str, metadata: &BTreeMap<String, String>) -> Result<Secret> {
        Ok(self.all(ctx, metadata).await?.remove(name).unwrap_or_default())
    }

    async fn all(&self, _: &Ctx, _: &BTreeMap<String, String>) -> Result<BTreeMap<String, Secret>> {
        let secret = |name: &str| {
            let value = Redacted::new(format!("{name} value"));
            (name.to_owned(), Secret::from([(name.to_owned(), value)]))
        };
        Ok(["password", "hidden"].map(secret).into())
    }
}

/// The details of a failure.
pub(crate) fn details(status: &Status) -> Vec<(String, Vec<u8>)> {
    let said = rpc::Status::decode(status.details()).unwrap();
    assert_eq!((said.code, said.message.as_str()), (status.code() as i32, status.message()));
    let short = |url: &str| url.rsplit('.').next().unwrap_or_default().to_owned();
    said.details.into_iter().map(|any| (short(&any.type_url), any.value)).collect()
}

/// The reason among the details; empty without.
pub(crate) fn reason(status: &Status) -> String {
    if status.details().is_empty() {
        return String::new();
    }
    let info = details(status).into_iter().find(|(kind, _)| kind == "ErrorInfo");
    info.map(|(_, bytes)| rpc::ErrorInfo::decode(&*bytes).unwrap().reason).unwrap_or_default()
}

/// Expects a failure.
#[track_caller]
pub(crate) fn check<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, because: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (code, because), "{}", status.message());
}
