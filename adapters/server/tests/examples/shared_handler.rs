use nosphere::Json;
use serde_json::{Value, json as value};

use crate::program::Program;
use crate::support::*;

async fn connect(program: &Program, path: &str, token: &str) -> Ws {
    let token = format!("Bearer {token}");
    Ws::ask(program.addr, path, None, &[("authorization", &token)]).await.expect("admitted")
}

async fn next(ws: &mut Ws) -> Value {
    serde_json::from_str(&ws.next_text().await).expect("JSON")
}

#[tokio::test]
async fn nobody_unknown_comes_in_at_any_endpoint() {
    let program = Program::start("shared_handler").await;
    for path in ["/chat", "/counter"] {
        for headers in [&[][..], &[("authorization", "Bearer mallory-token")], &[("authorization", "alice-token")]] {
            let refused = Ws::ask(program.addr, path, None, headers).await.err().expect("not admitted");
            assert_eq!(
                (refused.status().as_u16(), &refused.headers()["nosphere-error"]),
                (403, &"forbidden".parse().unwrap())
            );
        }
        // What the handlers share greets on every endpoint.
        let mut ws = connect(&program, path, "bob-token").await;
        assert_eq!(next(&mut ws).await, value!({ "hello": "bob", "path": path }));
    }
    program.end().await;
}

#[tokio::test]
async fn the_wrapper_stops_and_changes_what_the_handler_gets() {
    let program = Program::start("shared_handler").await;
    let mut alice = connect(&program, "/chat", "alice-token").await;
    assert_eq!(next(&mut alice).await["hello"], "alice");
    let mut bob = connect(&program, "/chat", "bob-token").await;
    assert_eq!(next(&mut bob).await["hello"], "bob");

    for message in [WsMessage::text("hello"), WsMessage::text(r#"{"line":1}"#), WsMessage::binary(&b"x"[..])] {
        bob.send(message).await;
        assert_eq!(next(&mut bob).await, value!({ "error": "you may only read" }));
    }
    alice.text("[1]").await;
    assert_eq!(next(&mut alice).await, value!({ "error": "an object is needed" }));
    // Nothing of Bob's has come through, and the author is not who the client says.
    alice.text(r#"{"line":2,"author":"bob"}"#).await;
    for ws in [&mut alice, &mut bob] {
        assert_eq!(next(ws).await, value!({ "line": 2, "author": "alice" }));
    }
    alice.send(WsMessage::Close(None)).await;
    assert_eq!(next(&mut bob).await, value!({ "left": "alice" }));
    program.end().await;
}

#[tokio::test]
async fn each_endpoint_keeps_its_own_handler_inside() {
    let program = Program::start("shared_handler").await;
    let mut alice = connect(&program, "/counter", "alice-token").await;
    assert_eq!(next(&mut alice).await["hello"], "alice");
    for lines in 1..=3 {
        alice.text("one more").await;
        assert_eq!(next(&mut alice).await, value!({ "lines": lines }));
    }
    // Deeper than JSON may be is text to a plain client.
    let deep = ["[".repeat(100), "]".repeat(100)].concat();
    assert!(Json::from_text(&deep.as_str().into()).is_err());
    alice.text(&deep).await;
    assert_eq!(next(&mut alice).await, value!({ "lines": 4 }));
    program.end().await;
}
