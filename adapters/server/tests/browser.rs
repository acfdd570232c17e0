//! What the server has for browsers: the client's script, and tokens where no header can be set.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use nosphere::{BuildError, Refusal, RequestHead, Server, ServerConfig, handler_fn};

use crate::support::*;

const FILE: &str = include_str!("../src/browser/nosphere.min.js");

async fn fetch(addr: std::net::SocketAddr, method: Method, headers: &[(&str, &str)]) -> Answer {
    let mut asked = Request::builder().method(method).uri("/assets/nosphere.js");
    for (name, value) in headers {
        asked = asked.header(*name, *value);
    }
    let response = request(Http::One, addr, asked.body(Full::new(Bytes::new())).unwrap()).await;
    let (parts, body) = response.into_parts();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

#[tokio::test]
async fn the_script_is_served_whole_and_not_again_to_who_has_it() {
    let served = |builder: nosphere::Builder| builder.browser_client("/assets/nosphere.js");
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, served).await;
    let whole = fetch(server.addr, Method::GET, &[]).await;
    assert_eq!((whole.status, whole.text()), (200, FILE));
    assert_eq!(whole.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(whole.header("cache-control"), Some("no-cache"));
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    let tag = whole.header("etag").unwrap();

    let head = fetch(server.addr, Method::HEAD, &[]).await;
    assert_eq!((head.status, head.text(), head.header("etag")), (200, "", Some(tag)));
    assert_eq!(head.header("content-length"), Some(&*FILE.len().to_string()));

    for known in [tag.to_owned(), format!("\"other\", W/{tag}"), "*".into()] {
        let answer = fetch(server.addr, Method::GET, &[("if-none-match", &known)]).await;
        assert_eq!((answer.status, answer.text(), answer.header("etag")), (304, "", Some(tag)), "{known}");
    }
    assert_eq!(fetch(server.addr, Method::GET, &[("if-none-match", "\"older\"")]).await.text(), FILE);

    let posted = fetch(server.addr, Method::POST, &[]).await;
    assert_eq!((posted.status, posted.header("allow")), (405, Some("GET, HEAD")));
}

#[tokio::test]
async fn without_being_asked_for_there_is_no_script() {
    let server = TestServer::start(ServerConfig::default()).await;
    assert_eq!(fetch(server.addr, Method::GET, &[]).await.status, 404);
}

#[test]
fn the_script_has_a_path_of_its_own_or_there_is_no_server() {
    let build = |endpoint: &str, path: &str| {
        let handler = |_: &RequestHead| handler_fn(|_, _| async { Ok(()) });
        Server::builder().browser_client(path).endpoint(endpoint, handler).build()
    };
    for (endpoint, path) in
        [("/a.js", "/a.js"), ("/a", "/a/"), ("/a", "a.js"), ("/a", "/{name}.js"), ("/a", "/b.js?v=1")]
    {
        let error = build(endpoint, path).unwrap_err();
        assert!(matches!(error, BuildError::Path { .. }), "{path}: {error}");
    }
    for (endpoint, path) in [("/{name}", "/a.js"), ("/{*rest}", "/a.js"), ("/a", "/a/b.js")] {
        build(endpoint, path).unwrap();
    }
}

/// SPEC NEG-5, SES-7.
#[tokio::test]
async fn a_token_from_a_websocket_reaches_admission_and_factory_as_the_header_of_every_other_transport() {
    type Seen = (Option<String>, Option<String>, Option<String>);
    let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let note = |seen: &Arc<Mutex<Vec<Seen>>>, head: &RequestHead| {
        let of = |name| head.header(name).map(str::to_owned);
        let entry = (of("authorization"), of("sec-websocket-protocol"), head.principal().map(str::to_owned));
        seen.lock().unwrap().push(entry);
    };
    let (gate, factory) = (Arc::clone(&seen), Arc::clone(&seen));
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder
            .principal(|head| head.header("authorization")?.strip_prefix("Bearer ").map(str::to_owned))
            .admission(move |head| {
                note(&gate, &head);
                std::future::ready(match head.principal() {
                    Some("joe" | "own") => Ok(()),
                    _ => Err(Refusal::forbidden("who are you?")),
                })
            })
            .endpoint("/guarded", move |head| {
                note(&factory, head);
                handler_fn(|_, _| async { Ok(()) })
            })
    })
    .await;
    let offers = "nosphere.v1.json, nosphere.bearer.am9l";

    let socket = Ws::connect(server.addr, "/guarded", Some(offers)).await;
    assert_eq!(socket.subprotocol.as_deref(), Some("nosphere.v1.json"), "the token is not chosen");
    let expected: Seen = (Some("Bearer joe".into()), Some("nosphere.v1.json".into()), Some("joe".into()));
    assert_eq!(std::mem::take(&mut *seen.lock().unwrap()), vec![expected.clone(), expected]);

    let own = [("authorization", "Bearer own")];
    drop(Ws::ask(server.addr, "/guarded", Some(offers), &own).await.ok().unwrap());
    assert_eq!(std::mem::take(&mut *seen.lock().unwrap())[0].0.as_deref(), Some("Bearer own"));

    for (offers, status) in [
        ("nosphere.v1.json", 403),
        ("nosphere.v1.json, nosphere.bearer.YW5u", 403),
        ("nosphere.v1.json, nosphere.bearer.am9l=", 400),
        ("nosphere.v1.json, nosphere.bearer.YQ0KWDogYg", 400), // a line break, and a header behind it
    ] {
        let refused = Ws::ask(server.addr, "/guarded", Some(offers), &[]).await.err().unwrap();
        assert_eq!(refused.status(), status, "{offers}");
    }

    let polled = get("/guarded").header("nosphere-protocol", "nosphere.v1.json").header("nosphere-attachment", "1");
    let polled = polled.header("authorization", "Bearer joe").body(Full::new(Bytes::new())).unwrap();
    seen.lock().unwrap().clear();
    assert_eq!(request(Http::One, server.addr, polled).await.status(), 200);
    assert_eq!(seen.lock().unwrap()[0].0.as_deref(), Some("Bearer joe"));
}
