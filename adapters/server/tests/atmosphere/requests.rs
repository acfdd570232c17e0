//! What requests ask for, and what is on the answers.

use nosphere::{Event, OriginPolicy, ServerConfig};

use super::{Page, TRANSPORTS};
use crate::support::{Probe, Serving, TestServer, Ws, get, post, request, send};

const ID: &str = "24f98d6b-c271-4169-8f9c-217343b62aa7";

/// SPEC ATM-5.
const NO_CACHE: [(&str, &str); 4] = [
    ("cache-control", "no-store, no-cache, must-revalidate"),
    ("pragma", "no-cache"),
    ("expires", "-1"),
    ("x-accel-buffering", "no"),
];

/// SPEC ATM-6.
#[tokio::test]
async fn what_cannot_be_had_is_refused_with_501_and_says_why() {
    let server = TestServer::start(ServerConfig::default()).await;
    let first = "/echo?X-Atmosphere-tracking-id=0&X-atmo-protocol=true";
    for (url, why) in [
        ("/echo?X-Atmosphere-tracking-id=0&X-Atmosphere-Transport=jsonp&jsonpTransport=f", "JSONP is not supported"),
        ("/echo?X-Atmosphere-tracking-id=0&X-Atmosphere-Transport=websocket", "Websocket protocol not supported"),
        (&format!("{first}&X-Atmosphere-Framework=2.0.3"), "Atmosphere Protocol version not supported."),
        (&format!("{first}&X-Atmosphere-Framework=2.2.0-jquery"), "Atmosphere Protocol version not supported."),
        (&format!("{first}&X-Atmosphere-Framework=4.0"), "Atmosphere Protocol version not supported."),
        (first, "Atmosphere Protocol version not supported."),
    ] {
        let answer = send(server.addr, get(url), "").await;
        assert_eq!((answer.status, answer.header("x-atmosphere-error")), (501, Some(why)), "{url}");
    }
    for version in ["2.2.1", "2.2.12-jquery", "4.0.1", "5.0.7", "10.0.0"] {
        let answer = send(server.addr, get(&format!("{first}&X-Atmosphere-Framework={version}")), "").await;
        assert_eq!(answer.status, 200, "{version}");
    }
    let answer = send(server.addr, post("/echo?X-Atmosphere-tracking-id=0"), "a").await;
    assert_eq!(
        (answer.status, answer.header("x-atmosphere-error")),
        (400, Some("a message needs the id of its session"))
    );
    let refused = send(server.addr, get(&Page::new(server.addr, "/refused", "sse").url()), "").await;
    assert_eq!((refused.status, refused.header("x-atmosphere-error")), (403, Some("not you")));
    let refused = send(server.addr, get(&Page::new(server.addr, "/refused", "long-polling").url()), "").await;
    assert_eq!(refused.status, 403, "the first poll, too");
}

/// SPEC ATM-5.
#[tokio::test]
async fn no_answer_may_be_kept_or_held_back_and_each_names_the_session() {
    let server = TestServer::start(ServerConfig::default()).await;
    for transport in ["sse", "streaming", "long-polling"] {
        for id in ["0", ID] {
            let mut page = Page::new(server.addr, "/echo", transport);
            page.id = id.into();
            let asked = get(&page.url()).body(http_body_util::Full::default()).unwrap();
            let answer = request(crate::support::Http::One, server.addr, asked).await;
            let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap());
            assert_eq!(NO_CACHE.map(|(name, _)| header(name)), NO_CACHE.map(|(_, value)| Some(value)));
            assert_eq!(header("x-atmosphere-first-request"), (id == "0").then_some("true"), "{transport}");
            assert!(header("x-atmosphere-tracking-id").is_some_and(|given| id == "0" || given == ID));
            let kind = if transport == "sse" { "text/event-stream;charset=utf-8" } else { "text/plain;charset=utf-8" };
            assert_eq!(header("content-type"), Some(kind));
        }
    }
}

/// SPEC ATM-1, ATM-3: old proxies, clients that send headers alone, and whatever has been seen in the wild.
#[tokio::test]
async fn names_have_no_case_headers_win_and_unknown_transports_are_polls() {
    let mut server = TestServer::start(ServerConfig::default()).await;
    let shout = "/echo?X-ATMOSPHERE-TRACKING-ID=0&x-atmosphere-framework=4%2E0%2E1&X-ATMO-PROTOCOL=true";
    for transport in ["ajax", "undefined", "LONG-POLLING", "long%2Dpolling", "close-not"] {
        let answer = send(server.addr, get(&format!("{shout}&x-atmosphere-transport={transport}")), "").await;
        assert!(answer.text().ends_with("|0|X|"), "{transport}");
    }
    let headers = get("/echo?X-Atmosphere-Transport=jsonp")
        .header("X-Atmosphere-Transport", "long-polling")
        .header("X-Atmosphere-tracking-id", "0")
        .header("X-Atmosphere-Framework", "3.1.3-javascript")
        .header("X-atmo-protocol", "true");
    assert!(send(server.addr, headers, "").await.text().ends_with("|0|X|"));
    // An event stream by what it accepts.
    let mut page = Page::new(server.addr, "/echo", "sse");
    let url = page.url().replace("&X-Atmosphere-Transport=sse", "");
    let asked = get(&url).header("accept", "text/event-stream").body(http_body_util::Full::default()).unwrap();
    let answer = request(crate::support::Http::One, server.addr, asked).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream;charset=utf-8");
    // A message in a GET.
    page = Page::open(server.addr, "/echo", "sse").await;
    let push = format!(
        "/echo?X-Atmosphere-tracking-id={}&X-Atmosphere-Transport=polling&X-Atmosphere-Post-Body=a%20%7Cb%2B+c",
        page.id
    );
    assert_eq!(send(server.addr, get(&push), "").await.text(), "");
    assert_eq!(page.message().await, "a |b+ c");
    // A client that subscribes with `polling` never opens.
    let nothing = send(server.addr, get("/echo?X-Atmosphere-tracking-id=0&X-Atmosphere-Transport=polling"), "").await;
    assert_eq!((nothing.status, nothing.text()), (200, ""));
    // A name that is no id: the client has made it up, and expects nothing.
    page = Page::new(server.addr, "/echo", "websocket");
    page.id = "1795304438184".into();
    page.attach().await;
    assert_eq!(page.next_unit().await.unwrap(), " ");
    page.push("a").await;
    assert_eq!(page.message().await, "a");
    assert_eq!(send(server.addr, get("/echo").method("PUT").header("x-atmo-protocol", "true"), "").await.status, 405);
    server.log.rest();
}

/// A WebSocket without a sign of any dialect stays plain, and one that expects no handshake gets none.
#[tokio::test]
async fn who_does_not_ask_for_a_handshake_gets_none() {
    let server = TestServer::start(ServerConfig::default()).await;
    for url in
        ["/echo", "/echo?X-Atmosphere-tracking-id=0&X-Atmosphere-Framework=5.0.7&X-Atmosphere-Transport=websocket"]
    {
        let mut socket = Ws::connect(server.addr, url, None).await;
        socket.text("echo").await;
        assert_eq!(socket.next_text_but_pings().await, "echo");
    }
}

/// SPEC ATM-4.
#[tokio::test]
async fn the_application_does_not_see_the_protocol() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        let (log, _) = crate::support::Log::new();
        builder.endpoint("/seen", move |head| {
            let pairs = head.query_pairs().map(|(name, value)| format!("{name}={value}"));
            drop(sender.send((head.uri().to_string(), pairs.collect::<Vec<_>>())));
            Probe::new(&log, &Probe::quiet())
        })
    })
    .await;
    for transport in TRANSPORTS {
        let mut page = Page::new(server.addr, "/seen", transport);
        page.more = "&room=a%26b&X-Heartbeat-Server=60&_=1795304484847&x-atmosphere-anything=1&plain".into();
        page.begin().await;
        let (uri, pairs) = seen.recv().await.unwrap();
        assert_eq!(uri, "/seen?room=a%26b&plain", "{transport}");
        assert_eq!(pairs, ["room=a&b", "plain="]);
        while seen.try_recv().is_ok() {}
    }
}

/// SPEC ATM-4: the tracking id is the only secret there is.
#[tokio::test]
async fn nobody_is_shown_the_tracking_id() {
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        let (log, _) = crate::support::Log::new();
        builder.endpoint("/seen", move |head| {
            drop(sender.send(format!("{head:?} {} {:?}", head.uri(), head.headers())));
            Probe::new(&log, &Probe::quiet())
        })
    })
    .await;
    let in_header = get("/seen?X-Atmosphere-Transport=sse").header("X-Atmosphere-tracking-id", ID);
    let mut page = Page::new(server.addr, "/seen", "sse");
    page.id = ID.into();
    for asked in [in_header, get(&page.url())] {
        let asked = asked.body(http_body_util::Full::default()).unwrap();
        assert_eq!(request(crate::support::Http::One, server.addr, asked).await.status(), 200);
        let shown = seen.recv().await.unwrap();
        assert!(!shown.contains(&ID[..8]), "{shown}");
    }
}

/// SPEC ATM-7, SEC-2: off until origins are listed, and never reflected.
#[tokio::test]
async fn pages_of_other_origins_are_served_if_they_are_listed_and_not_otherwise() {
    const PAGE: &str = "https://app.example";
    let listed = OriginPolicy::same_origin().allow(PAGE).unwrap();
    for allowed in [false, true] {
        let policy = if allowed { listed.clone() } else { OriginPolicy::same_origin() };
        let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| builder.origins(policy)).await;
        let mut page = Page::new(server.addr, "/echo", "long-polling");
        let preflight = get(&page.url())
            .method("OPTIONS")
            .header("origin", PAGE)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type");
        let answer = send(server.addr, preflight, "").await;
        if !allowed {
            assert_eq!(answer.status, 403);
            assert_eq!(answer.header("access-control-allow-origin"), None);
            let refused = send(server.addr, get(&page.url()).header("origin", PAGE), "").await;
            assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, None));
            continue;
        }
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, Some(PAGE)));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        let names = answer.header("access-control-allow-headers").unwrap();
        for name in [
            "content-type",
            "authtoken",
            "x-atmosphere-framework",
            "x-requested-with",
            "x-atmosphere-tracking-id",
            "x-heartbeat-server",
            "x-atmosphere-transport",
            "x-atmosphere-trackmessagesize",
            "x-atmo-protocol",
        ] {
            assert!(names.split(", ").any(|listed| listed == name), "{name}");
        }
        page.begin().await;
        let url = format!("/echo?X-Atmosphere-tracking-id={}&X-Atmosphere-Transport=polling", page.id);
        let answer = send(server.addr, post(&url).header("origin", PAGE), "a").await;
        assert_eq!((answer.status, answer.headers.get_all("access-control-allow-origin").iter().count()), (200, 1));
        let exposed = answer.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("x-atmosphere-tracking-id"), "{exposed}");
        // By a header of the dialect alone.
        let by_header = get("/echo")
            .method("OPTIONS")
            .header("origin", PAGE)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "x-atmosphere-tracking-id, x-mine");
        assert_eq!(send(server.addr, by_header, "").await.status, 204);
    }
}

#[tokio::test]
async fn a_server_may_leave_this_dialect_out() {
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| builder.atmosphere(false)).await;
    let page = Page::new(server.addr, "/echo", "long-polling");
    assert_eq!(send(server.addr, get(&page.url()), "").await.status, 404);
    let mut socket = Ws::connect(server.addr, &page.url(), None).await;
    socket.text("plain").await;
    assert_eq!(socket.next_text().await, "plain");
}

/// The next poll of somebody whom the application would refuse by now is served, and a new link is not.
#[tokio::test]
async fn admission_is_asked_for_every_attachment() {
    let open = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let gate = std::sync::Arc::clone(&open);
    let mut server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.admission(move |_| {
            let open = gate.load(std::sync::atomic::Ordering::Relaxed);
            async move { if open { Ok(()) } else { Err(nosphere::Refusal::forbidden("closed by now")) } }
        })
    })
    .await;
    let mut page = Page::open(server.addr, "/echo", "long-polling").await;
    server.log.find(page.session(), |event| matches!(event, Event::Connected { .. })).await;
    open.store(false, std::sync::atomic::Ordering::Relaxed);
    for text in ["a", "b"] {
        page.push(text).await;
        assert_eq!(page.message().await, text);
    }
    for transport in ["sse", "streaming"] {
        page.transport = transport;
        assert_eq!(send(server.addr, get(&page.url()), "").await.status, 403);
    }
}

/// SPEC SES-7: a poll that takes the place of one that waits begins an attachment (SPEC ATM-8), as one behind a broken one does.
#[tokio::test]
async fn admission_is_asked_for_a_poll_that_is_not_the_next_of_its_run() {
    let open = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let gate = std::sync::Arc::clone(&open);
    let server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| {
        builder.admission(move |_| {
            let open = gate.load(std::sync::atomic::Ordering::Relaxed);
            async move { if open { Ok(()) } else { Err(nosphere::Refusal::forbidden("closed by now")) } }
        })
    })
    .await;
    let mut page = Page::open(server.addr, "/echo", "long-polling").await;
    open.store(false, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(send(server.addr, get(&page.url()), "").await.status, 403);
    page.push("still here").await;
    assert_eq!(page.message().await, "still here");
}

/// SPEC ATM-5, ATM-6: whoever refuses, and however early.
#[tokio::test]
async fn every_refusal_says_why_and_is_not_kept() {
    let mut config = ServerConfig::default();
    config.max_head_bytes = 2000;
    let server = TestServer::start(config).await;
    let first = "/echo?X-Atmosphere-tracking-id=0&X-Atmosphere-Transport=";
    let long = "a".repeat(3000);
    for (asked, status) in [
        (get(&format!("{first}jsonp")), 501),
        (get(&format!("{first}sse")).header("origin", "https://evil.example"), 403),
        (get(&format!("{first}sse")).header("x-long", &long), 431),
        (get(&format!("{first}sse")).method("PUT"), 405),
        (get(&format!("{first}sse").replace("echo", "refused")), 403),
        (post(&format!("{first}polling")), 400),
    ] {
        let answer = send(server.addr, asked, "").await;
        assert_eq!(answer.status, status);
        assert!(answer.header("x-atmosphere-error").is_some_and(|why| !why.is_empty()), "{status}");
        for (name, value) in NO_CACHE {
            assert_eq!(answer.header(name), Some(value), "{status}");
        }
    }
}

/// SPEC ATM-7: the image of any page is a GET without `Origin`, and brings the cookies along.
#[tokio::test]
async fn no_other_site_sends_a_message_by_an_image() {
    const PAGE: &str = "https://app.example";
    let listed = OriginPolicy::same_origin().allow(PAGE).unwrap();
    let mut server = TestServer::with(ServerConfig::default(), Serving::Auto, |builder| builder.origins(listed)).await;
    let push = format!("/quiet?X-Atmosphere-tracking-id={ID}&X-Atmosphere-Transport=polling&X-Atmosphere-Post-Body=a");
    for site in ["cross-site", "same-site"] {
        let answer = send(server.addr, get(&push).header("sec-fetch-site", site), "").await;
        assert_eq!((answer.status, answer.header("nosphere-error")), (403, Some("origin")), "{site}");
    }
    assert!(server.log.rest().is_empty());
    for asked in [
        get(&push),
        get(&push).header("sec-fetch-site", "same-origin"),
        get(&push).header("sec-fetch-site", "cross-site").header("origin", PAGE),
    ] {
        assert_eq!(send(server.addr, asked, "").await.status, 200);
    }
}
