//! The guide, held against what it is about: the chat that it quotes and explains, the limits that it lists.

use nosphere::testing::TestClient;
use nosphere::{Server, ServerConfig, Side};
use serde_json::Value;

#[path = "../examples/chat.rs"]
#[expect(dead_code, clippy::duplicate_mod, reason = "the program around it")]
mod chat;

const EXAMPLE: &str = include_str!("../examples/chat.rs");
const LIMITS: &str = include_str!("../src/guide/limits.md");
const GUIDE: &str = include_str!("../src/guide/chat.md");

/// What the guide quotes: the visible lines of its Rust blocks, without their indentation.
fn quoted() -> Vec<&'static str> {
    let (mut lines, mut quoting) = (Vec::new(), false);
    for line in GUIDE.lines() {
        match line {
            "```rust" => quoting = true,
            "```" => quoting = false,
            line if quoting && !line.starts_with('#') => lines.push(line.trim()),
            // An attribute is a line of code; what begins with `# ` is hidden.
            line if quoting && line.starts_with("#[") => lines.push(line),
            _ => {}
        }
    }
    lines.retain(|line| !line.is_empty());
    lines
}

#[test]
fn the_guide_quotes_every_line_of_the_chat_as_it_is_and_in_its_order() {
    let vocabulary = EXAMPLE.lines().position(|line| line.starts_with("use nosphere::")).unwrap();
    let code: Vec<_> = EXAMPLE.lines().skip(vocabulary).map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(quoted(), code);
}

#[test]
fn the_guide_lists_every_limit_with_its_default() {
    // A line for each field, those of what is within included.
    let config = format!("{:#?}", ServerConfig::default());
    let fields = config.lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(": "));
    let rows: Vec<_> = LIMITS.lines().filter(|line| line.starts_with("| [`")).collect();
    let mut count = 0;
    for (field, value) in fields {
        let name = format!("[`{field}`](");
        let rows: Vec<_> = rows.iter().filter(|row| row.split('|').nth(1).unwrap().contains(&name)).collect();
        let [row] = rows[..] else { panic!("{field} is in {rows:?}") };
        let listed = row.split('|').nth(2).unwrap().trim().trim_matches('`');
        assert_eq!(listed, written(value), "{field}");
        count += 1;
    }
    assert!(count > 20, "{config}");
}

/// A value as the guide writes it: `120 s`, `4 MiB`, `4,096`.
fn written(value: &str) -> String {
    if value == "0ns" {
        return "0 s".into();
    }
    let Ok(number) = value.parse::<usize>() else {
        return value.strip_suffix('s').map_or_else(|| value.into(), |seconds| format!("{seconds} s"));
    };
    match number {
        _ if number.is_multiple_of(1 << 20) => format!("{} MiB", number >> 20),
        16_384 => "16 KiB".into(),
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

async fn visitor(server: &Server) -> TestClient {
    TestClient::connect(server, "/the-chat").await.unwrap()
}

/// Author and message of the next line, which has a time.
async fn line(client: &mut TestClient) -> [String; 2] {
    let line: Value = client.receive().await.unwrap().json().unwrap();
    let field = |name: &str| line[name].as_str().unwrap().to_owned();
    assert!(field("time").parse::<u64>().is_ok(), "{line}");
    ["author", "message"].map(field)
}

#[tokio::test(start_paused = true)]
async fn the_chat_does_what_the_guide_says() {
    let server = Server::builder().endpoint("/the-chat", |_| chat::Chat).build().unwrap();
    let mut joe = visitor(&server).await;
    assert_eq!(line(&mut joe).await, ["Someone", "joined the room"], "everyone includes the newcomer");
    let mut ann = visitor(&server).await;
    for client in [&mut joe, &mut ann] {
        assert_eq!(line(client).await, ["Someone", "joined the room"]);
    }

    joe.send(serde_json::json!({"author": "joe", "message": "hi", "more": [1]})).unwrap();
    assert_eq!(line(&mut ann).await, ["joe", "hi"]);
    joe.expect_silence().await.unwrap();

    joe.send("hi").unwrap();
    assert_eq!(line(&mut joe).await, ["system", "Only json is allowed"]);
    joe.send(serde_json::json!({"author": "joe"})).unwrap();
    assert_eq!(line(&mut joe).await, ["system", "An author and a message are needed"]);
    ann.expect_silence().await.unwrap();

    assert_eq!(joe.close().await.unwrap().by, Side::Client);
    assert_eq!(line(&mut ann).await, ["Someone", "has left the room"]);

    // Who is lost has not left by themselves.
    let lost = visitor(&server).await;
    assert_eq!(line(&mut ann).await, ["Someone", "joined the room"]);
    drop(lost);
    tokio::time::advance(std::time::Duration::from_secs(200)).await;
    ann.settled().await.unwrap();
    assert_eq!(server.sessions(), 1);
    ann.expect_silence().await.unwrap();
}
