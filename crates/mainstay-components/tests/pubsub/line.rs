//! A line between a broker's client and its server, which can be cut: to the server that is the end of the client's process.

use tokio::net::{TcpListener, TcpStream};
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
