use nosphere::Transport;
use serde_json::{Value, json as value};

use crate::program::{Program, leave, refusal};
use crate::support::*;

async fn next(ws: &mut Ws) -> Value {
    serde_json::from_str(&ws.next_text().await).expect("JSON")
}

#[tokio::test]
async fn the_page_comes_out_of_the_binary_wherever_it_runs() {
    let program = Program::start("single_binary").await;
    let page = send(program.addr, get("/"), "").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html;charset=utf-8")));
    // Everything that the page asks for is there, and it asks for nothing else.
    let scripts: Vec<_> = page.text().split("src=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(scripts, ["board.js"]);
    let script = send(program.addr, get("/board.js"), "").await;
    assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript;charset=utf-8")));
    assert!(script.text().contains("new WebSocket"));
    assert_eq!(send(program.addr, get("/health"), "").await.text(), r#"{"sessions":0}"#);
    assert_eq!(send(program.addr, get("/nowhere"), "").await.status, 404);
    program.end().await;
}

#[tokio::test]
async fn notes_reach_everybody_and_whoever_comes_later() {
    let arguments = ["--addr", "127.0.0.1:0", "--max-notes", "2"];
    let program = Program::with("single_binary", &arguments, &[]).await;
    let mut first = Ws::connect(program.addr, "/board", None).await;
    assert_eq!(next(&mut first).await, value!({ "notes": 0 }));
    for note in ["one", "two", "three"] {
        first.text(note).await;
        assert_eq!(next(&mut first).await, value!({ "note": note }));
    }
    first.text(&"x".repeat(501)).await;
    assert!(next(&mut first).await["error"].is_string());
    for transport in TRANSPORTS {
        let mut later = Native::open(program.addr, "/board", transport, FORMATS[0]).await;
        for expected in [value!({ "notes": 2 }), value!({ "note": "two" }), value!({ "note": "three" })] {
            assert_eq!(later.message().await, json(&expected), "{transport}");
        }
        leave(later).await;
    }
    program.end().await;
}

#[tokio::test]
async fn flags_come_before_the_environment_and_the_environment_before_the_defaults() {
    let sessions = [("BOARD_MAX_SESSIONS", "1"), ("BOARD_ADDR", "127.0.0.1:0"), ("BOARD_LOG", "")];
    let by_environment = Program::with("single_binary", &[], &sessions).await;
    let by_flag = Program::with("single_binary", &["--max-sessions", "2"], &sessions).await;
    for (program, room) in [(by_environment, 1), (by_flag, 2)] {
        let mut inside = Vec::new();
        for _ in 0..room {
            let mut ws = Ws::connect(program.addr, "/board", None).await;
            assert_eq!(next(&mut ws).await, value!({ "notes": 0 }));
            inside.push(ws);
        }
        let refused = Ws::ask(program.addr, "/board", None, &[]).await.err().expect("full");
        assert_eq!(refused.status(), 503);
        program.end().await;
    }
    // PORT sets the port alone.
    let program = Program::with("single_binary", &[], &[("PORT", "0")]).await;
    assert!(program.addr.ip().is_loopback() && program.addr.port() != 8080, "{}", program.url);
    program.end().await;
}

#[tokio::test]
async fn a_foreign_page_connects_only_if_it_is_named() {
    let named = ["--addr", "127.0.0.1:0", "--origin", "https://app.example"];
    let program = Program::with("single_binary", &named, &[]).await;
    let ask = async |origin: &str| Ws::ask(program.addr, "/board", None, &[("origin", origin)]).await;
    assert!(ask("https://app.example").await.is_ok());
    assert!(ask(&program.url).await.is_ok());
    assert_eq!(ask("https://evil.example").await.err().expect("refused").status(), 403);
    program.end().await;
}

#[tokio::test]
async fn a_configuration_that_cannot_be_is_told_and_not_run() {
    let refused: [(&[&str], &str); 5] = [
        (&["--addr", "here"], "--help"),
        (&["--max-sessions", "many"], "--help"),
        (&["--max-notes", "1001"], "no more than 1000"),
        (&["--origin", "app.example"], "--help"),
        (&["--log"], "--log"),
    ];
    for (arguments, said) in refused {
        let (status, stdout, stderr) = refusal("single_binary", arguments, &[]).await;
        assert_eq!((status.code(), stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(stderr.contains(said), "{arguments:?}: {stderr}");
    }
    let (status, stdout, _) = refusal("single_binary", &["--help"], &[]).await;
    assert_eq!(status.code(), Some(0));
    assert!(stdout.contains("BOARD_MAX_SESSIONS"));
}

#[tokio::test]
async fn a_client_without_a_socket_is_told_of_the_end() {
    let program = Program::start("single_binary").await;
    let mut stream = Native::open(program.addr, "/board", Transport::ServerSentEvents, FORMATS[0]).await;
    assert_eq!(stream.message().await, json(&value!({ "notes": 0 })));
    let mut polls = Native::open(program.addr, "/board", Transport::LongPolling, FORMATS[0]).await;
    assert_eq!(polls.message().await, json(&value!({ "notes": 0 })));
    program.signal("TERM");
    assert_eq!(stream.close_frame().await.code, 1001);
    // Its session is still there to be asked: the program waits for it.
    assert_eq!(polls.close_frame().await.code, 1001);
    // New ones are not let in meanwhile.
    let refused = Ws::ask(program.addr, "/board", None, &[]).await.err().expect("refused");
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["nosphere-error"]),
        (503, &"going-away".parse().unwrap())
    );
    leave(stream).await;
    leave(polls).await;
    program.ended().await;
}
