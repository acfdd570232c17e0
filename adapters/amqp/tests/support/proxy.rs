use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is between the source and the broker: a network that can fail.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    stalled: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stalled = watch::Sender::new(false);
        let mut proxy =
            Self { port: listener.local_addr().unwrap().port(), stalled: stalled.clone(), tasks: JoinSet::new() };
        proxy.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut stalled = stalled.subscribe();
                connections.spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    let stall = tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => false,
                        stalled = stalled.wait_for(|stalled| *stalled) => stalled.is_ok(),
                    };
                    if stall {
                        std::future::pending().await
                    }
                });
            }
        });
        proxy
    }

    /// Cuts what goes through, and takes no more.
    pub(crate) async fn cut(mut self) {
        self.tasks.shutdown().await;
    }

    /// Keeps all connections, and moves nothing any more.
    pub(crate) fn stall(&self) {
        self.stalled.send_replace(true);
    }
}
