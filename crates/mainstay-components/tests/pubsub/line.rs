//! A line between a broker's client and its server, which can be cut: to the server that is the end of the client's
//! process.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use mainstay_core::Ctx;
use mainstay_core::pubsub::PubSub;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::{AbortHandle, JoinSet};

/// Takes calls at a port of its own and passes them on; it is cut when this is dropped, for good.
pub(crate) struct Line {
    pub(crate) port: u16,
    task: AbortHandle,
}

impl Line {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let passing = async move {
            // Dropped with the task, and every call with it.
            let mut calls = JoinSet::new();
            while let Ok((mut from, _)) = listener.accept().await {
                calls.spawn(async move {
                    let Ok(mut to) = TcpStream::connect(("127.0.0.1", server)).await else { return };
                    // It ends when either side does.
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                });
            }
        };
        Self { port, task: tokio::spawn(passing).abort_handle() }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A broker as a process has it, on a line of its own to the server.
pub(crate) struct Process {
    server: u16,
    open: Opening,
    /// The first one.
    pub(crate) broker: Arc<dyn PubSub>,
    present: Mutex<(Arc<dyn PubSub>, Line)>,
}

/// Opens a broker of the server at this port.
type Opening = Box<dyn Fn(u16) -> BoxFuture<'static, Arc<dyn PubSub>> + Send + Sync>;

impl Process {
    /// Begins one at the server at this port.
    pub(crate) async fn begin<F>(server: u16, open: impl Fn(u16) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Arc<dyn PubSub>> + Send + 'static,
    {
        let open: Opening = Box::new(move |port| Box::pin(open(port)));
        let line = Line::to(server).await;
        let broker = open(line.port).await;
        Self { server, present: Mutex::new((Arc::clone(&broker), line)), broker, open }
    }

    /// Ends the process and begins another one.
    pub(crate) async fn restarted(&self) -> Arc<dyn PubSub> {
        // What the broker has said by now reaches the server: it may answer no acknowledgement.
        let mut present = self.present.lock().await;
        present.0.ready(&Ctx::system()).await.unwrap();
        let line = Line::to(self.server).await;
        let broker = (self.open)(line.port).await;
        *present = (Arc::clone(&broker), line);
        broker
    }
}
