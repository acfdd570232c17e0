//! The example, as the program that people copy.

use std::path::Path;
use std::process::Stdio;

use lapin::BasicProperties;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::*;

#[tokio::test]
async fn the_example_carries_what_is_published_and_ends_cleanly() {
    let broker = Broker::shared().await;
    let peer = Peer::connect(broker).await;
    // `target/PROFILE/examples`, beside the `deps` that this test is in.
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/amqp");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/amqp.rs");
    let modified = |path: &Path| path.metadata().and_then(|file| file.modified()).ok();
    assert!(
        modified(&program).is_some_and(|built| modified(&source).is_some_and(|written| written <= built)),
        "the example is not built. Build it as this test was: cargo build -p nosphere-amqp --examples"
    );
    let mut command = Command::new(program);
    command.args(["--addr", "127.0.0.1:0"]).env_remove("PORT").env("AMQP_URL", broker.uri());
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut line = String::new();
    soon(BufReader::new(child.stdout.take().unwrap()).read_line(&mut line)).await.unwrap();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    let addr = line["url"].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();

    let mut events = EventSource::connect(addr, "/real-time-buzz").await;
    peer.publish_to("amq.topic", "buzz.1", BasicProperties::default(), b"buzz").await;
    assert_eq!(events.next().await, ("message".into(), "buzz".into()));

    let pid = child.id().unwrap().to_string();
    assert!(Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &pid]).status().await.unwrap().success());
    let status = soon(child.wait()).await.unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(peer.ready("buzz").await, 0);
}
