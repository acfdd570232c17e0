//! A client of atmosphere.js, as far as a server can tell: what it asks for, and what it makes of the answers.

use std::collections::VecDeque;
use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use nosphere::SessionId;
use nosphere_core::ResumeToken;

use crate::support::{Answer, EventReader, Http, Ws, WsMessage, get, post, request, send, soon};

pub(super) const TRANSPORTS: [&str; 4] = ["websocket", "sse", "streaming", "long-polling"];

/// The transports that POST what the client sends.
pub(super) const OVER_HTTP: [&str; 3] = ["sse", "streaming", "long-polling"];

pub(super) struct Page {
    addr: SocketAddr,
    path: String,
    /// Version, and what else its requests say.
    version: &'static str,
    pub(super) more: String,
    pub(super) transport: &'static str,
    tracked: bool,
    pub(super) id: String,
    pub(super) link: Option<Link>,
    /// Read, and not asked for.
    heard: VecDeque<String>,
    /// The beginning of a tracked message.
    partial: String,
}

pub(super) enum Link {
    Events(EventReader),
    Poll(Incoming),
    Socket(Box<Ws>),
    Stream(Incoming),
}

impl Page {
    pub(super) fn new(addr: SocketAddr, path: &str, transport: &'static str) -> Self {
        Self {
            addr,
            path: path.into(),
            version: "4.0.1",
            more: String::new(),
            transport,
            tracked: false,
            id: "0".into(),
            link: None,
            heard: VecDeque::new(),
            partial: String::new(),
        }
    }

    /// One that is open.
    pub(super) async fn open(addr: SocketAddr, path: &str, transport: &'static str) -> Self {
        let mut page = Self::new(addr, path, transport);
        page.begin().await;
        page
    }

    pub(super) fn tracked(mut self) -> Self {
        self.tracked = true;
        self
    }

    /// Of version 5.
    pub(super) fn modern(mut self) -> Self {
        self.version = "5.0.7";
        self
    }

    fn is_modern(&self) -> bool {
        self.version.starts_with('5')
    }

    /// The session that the application sees.
    pub(super) fn session(&self) -> SessionId {
        let id: SessionId = self.id.parse().expect("an id was given");
        ResumeToken::from_random(*id.as_bytes()).session()
    }

    /// What the client asks for, as it writes it.
    pub(super) fn url(&self) -> String {
        let Self { path, version, transport, id, more, .. } = self;
        let track = if self.tracked { "&X-Atmosphere-TrackMessageSize=true" } else { "" };
        format!(
            "{path}?X-Atmosphere-tracking-id={id}&X-Atmosphere-Framework={version}&X-Atmosphere-Transport={transport}{track}\
             &Content-Type=application%2Fjson&X-atmo-protocol=true{more}"
        )
    }

    /// Opens, as far as `onOpen`.
    #[track_caller]
    pub(super) fn begin(&mut self) -> impl Future<Output = ()> {
        soon(async move {
            if self.transport == "long-polling" {
                let answer = send(self.addr, get(&self.url()), "").await;
                assert_eq!(answer.status, 200, "{answer:?}");
                self.take(answer.text());
                self.attach().await;
                return;
            }
            self.attach().await;
            let words = self.next_unit().await.expect("the first words");
            self.take(&words);
        })
    }

    /// The handshake, which comes by itself.
    fn take(&mut self, words: &str) {
        let words = if self.tracked {
            let (length, rest) = words.trim_start().split_once('|').expect("a length");
            assert_eq!(length.parse(), Ok(rest.encode_utf16().count()), "{words:?}");
            rest
        } else {
            words.trim_start()
        };
        let parts: Vec<_> = words.split('|').collect();
        assert!(matches!(parts[..], [_, _, "X", ""]), "{words:?}");
        self.id = parts[0].into();
    }

    /// Asks for a link.
    #[track_caller]
    pub(super) fn attach(&mut self) -> impl Future<Output = ()> {
        soon(async move {
            let url = self.url();
            if self.transport == "websocket" {
                self.link = Some(Link::Socket(Box::new(Ws::connect(self.addr, &url, None).await)));
                return;
            }
            let response = request(Http::One, self.addr, get(&url).body(Full::default()).expect("a request")).await;
            assert_eq!(response.status(), 200, "{url}");
            let given = response.headers()["x-atmosphere-tracking-id"].to_str().expect("ASCII");
            assert!(self.id == "0" || self.id == given, "{given}");
            self.link = Some(match self.transport {
                "sse" => Link::Events(EventReader::of_atmosphere(response)),
                "streaming" => Link::Stream(response.into_body()),
                _ => Link::Poll(response.into_body()),
            });
        })
    }

    /// The link breaks.
    pub(super) fn cut(&mut self) {
        self.link = None;
        self.partial.clear();
    }

    /// What comes next over the link, whole; for polls, the whole answer. `None` at its end.
    #[track_caller]
    pub(super) fn next_unit(&mut self) -> impl Future<Output = Option<String>> {
        soon(async move {
            match self.link.as_mut().expect("a link") {
                Link::Events(events) => Some(events.next().await?.data),
                Link::Poll(body) => {
                    let mut answer = Vec::new();
                    while let Some(frame) = body.frame().await {
                        answer.extend(frame.ok()?.into_data().expect("no trailers"));
                    }
                    self.link = None;
                    Some(String::from_utf8(answer).expect("UTF-8"))
                }
                Link::Socket(socket) => loop {
                    match socket.next().await? {
                        WsMessage::Text(text) => return Some(text.as_str().to_owned()),
                        WsMessage::Binary(bytes) => return Some(format!("{bytes:?}")),
                        WsMessage::Close(_) => return None,
                        _ => {}
                    }
                },
                Link::Stream(body) => {
                    let data = body.frame().await?.ok()?.into_data().expect("no trailers");
                    Some(String::from_utf8(data.to_vec()).expect("UTF-8"))
                }
            }
        })
    }

    /// Whether the poll was answered.
    pub(super) fn next_unit_is_over(&self) -> bool {
        self.link.is_none()
    }

    /// The next message that the page is shown. A client polls again by itself.
    #[track_caller]
    pub(super) fn message(&mut self) -> impl Future<Output = String> {
        soon(async move {
            loop {
                if let Some(message) = self.heard.pop_front() {
                    return message;
                }
                if self.link.is_none() {
                    assert_eq!(self.transport, "long-polling");
                    self.attach().await;
                }
                let unit = self.next_unit().await.expect("the link lasts");
                self.hear(&unit);
            }
        })
    }

    fn hear(&mut self, unit: &str) {
        if !self.tracked {
            let shown = if self.is_modern() { unit } else { unit.trim() };
            if !shown.is_empty() && shown != "X" {
                self.heard.push_back(shown.into());
            }
            return;
        }
        let mut rest = std::mem::take(&mut self.partial) + unit.trim_start();
        while let Some((length, text)) = rest.split_once('|') {
            let length: usize = length.trim().parse().expect("message length is not a number");
            let units: Vec<u16> = text.encode_utf16().collect();
            if units.len() < length {
                break;
            }
            let message = String::from_utf16(&units[..length]).expect("whole characters");
            rest = String::from_utf16(&units[length..]).expect("whole characters");
            if message != "X" {
                self.heard.push_back(message);
            }
        }
        self.partial = rest;
    }

    /// Sends as the client does, and gives the answer to a POST.
    #[track_caller]
    pub(super) fn push(&mut self, text: &str) -> impl Future<Output = Option<Answer>> {
        let text = text.to_owned();
        soon(async move {
            if let Some(Link::Socket(socket)) = &mut self.link {
                socket.text(&text).await;
                return None;
            }
            let transport = if self.is_modern() { self.transport } else { "polling" };
            let url = format!("{}?X-Atmosphere-tracking-id={}&X-Atmosphere-Transport={transport}", self.path, self.id);
            let answer = send(self.addr, post(&url), &text).await;
            assert_eq!((answer.status, answer.text()), (200, ""), "what is in a body is shown to the page");
            Some(answer)
        })
    }

    pub(super) fn close_url(&self) -> String {
        format!("{}?X-Atmosphere-Transport=close&X-Atmosphere-tracking-id={}", self.path, self.id)
    }

    /// The close request.
    #[track_caller]
    pub(super) fn leave(&self) -> impl Future<Output = ()> {
        let asked = get(&(self.close_url() + "&_=1795304438184")).header("content-type", "text/plain");
        let answer = send(self.addr, asked, "");
        async {
            let answer = answer.await;
            assert_eq!((answer.status, answer.text()), (200, ""));
        }
    }
}
