//! Examples as programs.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nosphere::{Close, Frame, Text};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::support::*;

/// An example that listens. Killed when dropped.
pub(crate) struct Program {
    pub(crate) url: String,
    pub(crate) addr: SocketAddr,
    /// What it has printed.
    pub(crate) line: Value,
    child: Child,
    stdout: BufReader<ChildStdout>,
    _log: Log,
}

/// What a program says on standard error. Shown when a test fails.
struct Log {
    text: Arc<Mutex<String>>,
    reader: JoinHandle<()>,
}

impl Program {
    /// Starts an example on a free port.
    pub(crate) async fn start(name: &str) -> Self {
        Self::with(name, &["--addr", "127.0.0.1:0"], &[]).await
    }

    pub(crate) async fn with(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = spawn(name, arguments, variables);
        let log = Log::of(&mut child);
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        soon(stdout.read_line(&mut line)).await.expect("UTF-8");
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a line of JSON: {line:?}"));
        let url = line["url"].as_str().expect("a URL").to_owned();
        let (scheme, addr) = url.split_once("://").expect("a URL");
        assert_eq!(scheme, if name == "tls" { "https" } else { "http" });
        let addr = addr.parse().expect("an address");
        Self { url, addr, line, child, stdout, _log: log }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        // The shell's own `kill`: there is one everywhere.
        let sent = std::process::Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid]).status();
        assert!(sent.expect("a shell").success());
    }

    /// Waits for the end, which must be a clean one, with nothing but the one line on standard output.
    pub(crate) async fn ended(mut self) {
        let status = soon(self.child.wait()).await.expect("a child");
        assert_eq!(status.code(), Some(0), "{status}");
        let mut rest = String::new();
        soon(self.stdout.read_to_string(&mut rest)).await.expect("UTF-8");
        assert_eq!(rest, "", "more than one line on standard output");
    }

    /// Tells it to end, and waits until it has.
    pub(crate) async fn end(self) {
        self.signal("TERM");
        self.ended().await;
    }
}

/// Ends a session by its client. A program waits for sessions that nobody ends, a few seconds.
pub(crate) async fn leave(mut client: Native) {
    let close = Close { code: 1000, reason: Text::new(), received: client.received };
    client.frame(Frame::Close(close)).await;
    if matches!(client.carrier, Carrier::Ws(_)) {
        assert_eq!(client.close_frame().await.code, 1000);
    }
}

/// What a program that does not listen says and returns.
pub(crate) async fn refusal(
    name: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (ExitStatus, String, String) {
    let output = soon(spawn(name, arguments, variables).wait_with_output()).await.expect("a child");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (output.status, text(output.stdout), text(output.stderr))
}

fn spawn(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    let mut command = Command::new(executable(name));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Whatever configures whoever runs the tests.
    for name in ["PORT", "RUST_LOG", "BOARD_ADDR", "BOARD_LOG", "BOARD_MAX_NOTES", "BOARD_MAX_SESSIONS", "BOARD_ORIGIN"]
    {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).kill_on_drop(true).spawn().expect("a program that runs")
}

/// Where cargo has put an example: `target/PROFILE/examples`, beside the `deps` that this test is in.
fn executable(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let path = test.parent().and_then(Path::parent).expect("target/PROFILE/deps").join("examples").join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name).with_extension("rs");
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    assert!(
        modified(&path).is_some_and(|built| modified(&source).is_some_and(|written| written <= built)),
        "{} is missing or older than its source. Build it as this test was built: cargo build -p nosphere --examples",
        path.display()
    );
    path
}

impl Log {
    fn of(child: &mut Child) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
        let written = Arc::clone(&text);
        let reader = tokio::spawn(async move {
            let mut line = String::new();
            while stderr.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                written.lock().expect("nobody panics with it").push_str(&std::mem::take(&mut line));
            }
        });
        Self { text, reader }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.reader.abort();
        if std::thread::panicking() {
            eprintln!("the example's log:\n{}", self.text.lock().expect("nobody panics with it"));
        }
    }
}

#[tokio::test]
async fn every_example_ends_cleanly_by_either_signal_and_says_so_to_its_clients() {
    for (name, path) in [
        ("axum", None),
        ("custom_format", Some("/echo")),
        ("hyper", Some("/echo")),
        ("routes", Some("/echo")),
        ("shared_handler", None),
        ("single_binary", Some("/board")),
        ("tls", None),
    ] {
        for signal in ["INT", "TERM"] {
            let program = Program::start(name).await;
            // Something that hyper would wait for: an idle connection.
            let idle = tokio::net::TcpStream::connect(program.addr).await.unwrap();
            if let Some(path) = path {
                let mut ws = Ws::connect(program.addr, path, None).await;
                // When it is answered the session is open.
                ws.text("hello").await;
                assert!(ws.next().await.is_some());
                program.signal(signal);
                assert_eq!(ws.closed().await, (1001, "going-away".into()), "{name}, SIG{signal}");
            } else {
                program.signal(signal);
            }
            program.ended().await;
            drop(idle);
        }
    }
}

#[tokio::test]
async fn an_option_that_does_not_exist_is_refused() {
    for name in ["axum", "custom_format", "hyper", "routes", "shared_handler", "single_binary", "tls"] {
        let (status, stdout, stderr) = refusal(name, &["--adr", "127.0.0.1:0"], &[]).await;
        assert!(!status.success() && stdout.is_empty(), "{name}: {stdout}");
        assert!(stderr.contains("--adr"), "{name}: {stderr}");
    }
}
