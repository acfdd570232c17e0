use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::PATIENCE;

/// A RabbitMQ of our own. `broker.sh` runs it, and ends it with this process at the latest.
pub(crate) struct Broker {
    dir: PathBuf,
    /// AMQP's, that of Erlang's distribution, and that of its port mapper.
    ports: [u16; 3],
    process: Option<Child>,
    password: &'static str,
}

impl Broker {
    /// One for all tests that do nothing to it but publish and consume.
    pub(crate) async fn shared() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    pub(crate) async fn start() -> Self {
        // A port that was free may be somebody else's when the broker wants it.
        for _ in 0..ATTEMPTS {
            let mut broker = Self::away();
            if broker.try_rise().await {
                return broker;
            }
        }
        panic!("RabbitMQ does not start; see what is above")
    }

    /// One that does not run.
    pub(crate) fn away() -> Self {
        let ports = [free_port(), free_port(), free_port()];
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rabbitmq-{}", ports[0]));
        drop(fs::remove_dir_all(&dir));
        Self { dir, ports, process: None, password: "guest" }
    }

    /// Starts it, for the first time or again.
    pub(crate) async fn rise(&mut self) {
        for _ in 0..ATTEMPTS {
            if self.try_rise().await {
                return;
            }
        }
        panic!("RabbitMQ does not start on the same ports; see what is above")
    }

    /// Kills it, as a power cut would. What it has confirmed it has on disk.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("it runs");
        // It may have ended by itself.
        drop(process.stdin.take().expect("a pipe").write_all(b"keep\n"));
        process.wait().expect("a child");
    }

    /// Loses everything on its disk, while it does not run, and has another password from then on.
    pub(crate) fn forget(&mut self, password: &'static str) {
        assert!(self.process.is_none());
        fs::remove_dir_all(&self.dir).expect("it has run");
        self.password = password;
    }

    pub(crate) fn uri(&self) -> String {
        self.uri_at(self.port())
    }

    /// The same for whoever reaches it by another port.
    pub(crate) fn uri_at(&self, port: u16) -> String {
        format!("amqp://guest:{}@127.0.0.1:{port}/%2f", self.password)
    }

    pub(crate) fn port(&self) -> u16 {
        self.ports[0]
    }

    async fn try_rise(&mut self) -> bool {
        assert!(
            Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server").exists(),
            "RabbitMQ is missing. Install it: apt-get install -y --no-install-recommends rabbitmq-server"
        );
        fs::create_dir_all(&self.dir).expect("a directory for the broker");
        let mut command = Command::new("sh");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/broker.sh")).arg(&self.dir);
        command.args(self.ports.map(|port| port.to_string())).arg(self.password);
        let uri = self.uri();
        let process = self.process.insert(command.stdin(Stdio::piped()).spawn().expect("sh"));
        let listens = timeout(PATIENCE, async {
            loop {
                let connecting = Connection::connect(&uri, ConnectionProperties::default());
                if timeout(PATIENCE / 10, connecting).await.is_ok_and(|connected| connected.is_ok()) {
                    return true;
                }
                if process.try_wait().expect("a child").is_some() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let listens = listens.await.unwrap_or(false);
        if !listens {
            self.kill();
            eprintln!("{}", fs::read_to_string(self.dir.join("output")).unwrap_or_default());
        }
        listens
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.stdin.take());
            drop(process.wait());
        } else {
            drop(fs::remove_dir_all(&self.dir));
        }
    }
}

static SHARED: OnceCell<Broker> = OnceCell::const_new();

/// A port of the loopback interface that is free at the moment, and was not given before. RabbitMQ cannot say which port it
/// got, so port 0 is no use. These are below those that systems give away by themselves.
fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(RandomState::new().hash_one(0) as u16));
    loop {
        let port = 15_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 15_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

const ATTEMPTS: usize = 5;
