use http::Response;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::soon;

/// A reader of event streams, by the rules of the HTML standard as far as servers of ours use them.
pub(crate) struct EventReader {
    body: Incoming,
    buffer: Vec<u8>,
}

/// What a server sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerEvent {
    /// `message` where the server names none; `:` for a comment.
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

impl EventReader {
    pub(crate) fn new(response: Response<Incoming>) -> Self {
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().expect("ASCII").to_owned();
        assert_eq!(header("content-type"), "text/event-stream;charset=utf-8");
        assert_eq!(header("cache-control"), "no-store, no-transform");
        assert_eq!(header("x-accel-buffering"), "no");
        Self { body: response.into_body(), buffer: Vec::new() }
    }

    /// A stream for a client of atmosphere.js, whose events end as those of the original do.
    pub(crate) fn of_atmosphere(response: Response<Incoming>) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream;charset=utf-8");
        Self { body: response.into_body(), buffer: Vec::new() }
    }

    /// The next event; `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn next(&mut self) -> impl Future<Output = Option<ServerEvent>> {
        soon(async move {
            loop {
                if let Some(at) = self.buffer.windows(4).position(|end| end == b"\r\n\r\n") {
                    let block: Vec<u8> = self.buffer.drain(..at + 4).collect();
                    let block = String::from_utf8(block).expect("UTF-8");
                    // A line that is white space alone is a field without a meaning.
                    let lines: Vec<_> = block.split(['\r', '\n']).filter(|line| !line.trim().is_empty()).collect();
                    return Some(parse(&lines.join("\n")));
                }
                if let Some(at) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                    let block: Vec<u8> = self.buffer.drain(..at + 2).collect();
                    return Some(parse(str::from_utf8(&block[..at]).expect("UTF-8")));
                }
                let frame = self.body.frame().await?.ok()?;
                self.buffer.extend_from_slice(&frame.into_data().expect("no trailers"));
            }
        })
    }
}

fn parse(block: &str) -> ServerEvent {
    let mut event = ServerEvent { name: "message".into(), ..ServerEvent::default() };
    let mut data: Option<String> = None;
    for line in block.split('\n') {
        assert!(!line.contains('\r'), "{line:?}");
        let (field, value) = line.split_once(':').expect("a field");
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => event.name = ":".into(),
            "event" => event.name = value.into(),
            "id" => event.id = Some(value.into()),
            "data" => match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.into()),
            },
            other => panic!("a field that is not sent: {other}"),
        }
    }
    event.data = data.unwrap_or_default();
    event
}
