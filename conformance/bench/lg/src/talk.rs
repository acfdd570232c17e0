//! A client of one WebSocket, without I/O: bytes in, bytes out. It answers pings, acknowledges by the window and resumes.

use std::sync::Arc;

use crate::form::{Form, Protocol, digits, frame, parse};
use crate::options::Error;

/// What this client can take; it acknowledges at the half of it.
const WINDOW: (u64, usize) = (256, 1 << 20);

pub(crate) enum Heard {
    /// The session is there.
    Opened,
    /// It goes on, and so many of the client's messages have arrived.
    Resumed(u64),
    /// The server knows nothing of it.
    Reset,
    Message {
        publisher: u8,
        number: u32,
    },
    Ping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The answer to the upgrade is awaited.
    Head,
    /// A frame of the protocol that says that the session is there.
    Greeting,
    Open,
    Closed,
}

pub(crate) struct Talk {
    form: Arc<Form>,
    state: State,
    /// The start of a frame whose rest has not come.
    rest: Vec<u8>,
    pub(crate) sent: u32,
    pub(crate) received: u64,
    acknowledged: u64,
    /// Bytes of units since the last acknowledgement.
    bytes: usize,
    session: Option<Session>,
}

/// What resuming needs: id and token as they were written, in JSON as text and in MessagePack as bytes.
struct Session {
    id: Vec<u8>,
    token: Vec<u8>,
    attachment: u64,
    resuming: bool,
}

impl Talk {
    pub(crate) fn new(form: &Arc<Form>) -> Self {
        let state = if form.protocol == Protocol::Raw { State::Open } else { State::Head };
        let form = Arc::clone(form);
        Self { form, state, rest: vec![], sent: 0, received: 0, acknowledged: 0, bytes: 0, session: None }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Nothing of a head is read: the carrier has its own.
    pub(crate) fn without_head(&mut self, out: &mut Vec<u8>) {
        self.greet(out);
    }

    /// The connection is lost; the next one continues the session.
    pub(crate) fn cut(&mut self) {
        self.rest.clear();
        self.state = State::Head;
        if let Some(session) = &mut self.session {
            session.resuming = true;
            session.attachment += 1;
        }
    }

    /// Appends messages.
    pub(crate) fn publish(&mut self, publisher: u8, count: u32, out: &mut Vec<u8>) {
        for _ in 0..count {
            self.sent += 1;
            self.form.write(out, publisher, self.sent);
        }
    }

    /// Appends what the server has not received before the connection was lost.
    pub(crate) fn replay(&self, publisher: u8, received: u64, out: &mut Vec<u8>) {
        for number in received as u32 + 1..=self.sent {
            self.form.write(out, publisher, number);
        }
    }

    pub(crate) fn input(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        heard: &mut impl FnMut(Heard),
    ) -> Result<(), Error> {
        if self.form.protocol == Protocol::Raw {
            self.raw(bytes.len(), heard);
            return Ok(());
        }
        if self.rest.is_empty() {
            let taken = self.frames(bytes, out, heard)?;
            self.rest.extend_from_slice(&bytes[taken..]);
        } else {
            let mut all = std::mem::take(&mut self.rest);
            all.extend_from_slice(bytes);
            let taken = self.frames(&all, out, heard)?;
            all.drain(..taken);
            self.rest = all;
        }
        Ok(())
    }

    fn raw(&mut self, count: usize, heard: &mut impl FnMut(Heard)) {
        self.bytes += count;
        while self.bytes >= self.form.raw {
            self.bytes -= self.form.raw;
            self.received += 1;
            heard(Heard::Message { publisher: 0, number: self.received as u32 });
        }
    }

    fn frames(&mut self, bytes: &[u8], out: &mut Vec<u8>, heard: &mut impl FnMut(Heard)) -> Result<usize, Error> {
        let mut at = 0;
        if self.state == State::Head {
            let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else { return Ok(0) };
            if !bytes.starts_with(b"HTTP/1.1 101") {
                return Err(format!("no upgrade: {}", String::from_utf8_lossy(&bytes[..end])).into());
            }
            at = end + 4;
            self.greet(out);
            if self.state == State::Open {
                heard(Heard::Opened);
            }
        }
        while let Some((opcode, payload)) = parse(&bytes[at..]) {
            let unit = &bytes[at + payload.start..at + payload.end];
            match opcode {
                1 | 2 => self.unit(opcode, unit, out, heard)?,
                8 => {
                    if self.state != State::Closed {
                        let code = unit.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code));
                        let why = String::from_utf8_lossy(unit.get(2..).unwrap_or(&[])).into_owned();
                        return Err(format!("the server closed: {code} {why}").into());
                    }
                }
                9 => {
                    heard(Heard::Ping);
                    frame(out, 10, unit);
                }
                10 => {}
                _ => return Err(format!("a frame with the opcode {opcode}").into()),
            }
            at += payload.end;
        }
        Ok(at)
    }

    /// What is said once the connection is up.
    fn greet(&mut self, out: &mut Vec<u8>) {
        self.state = State::Greeting;
        let json = self.form.protocol == Protocol::Json;
        match (&self.session, self.form.protocol) {
            (_, Protocol::Raw | Protocol::Plain) => self.state = State::Open,
            (_, Protocol::SocketIo) => {}
            (Some(session), _) if session.resuming => {
                let Session { id, token, attachment, .. } = session;
                let received = self.received;
                if json {
                    let (id, token) = (String::from_utf8_lossy(id), String::from_utf8_lossy(token));
                    let ids = format!("\"session\":\"{id}\",\"token\":\"{token}\"");
                    let unit = format!("{{\"resume\":{{{ids},\"attachment\":{attachment},\"received\":{received}}}}}");
                    frame(out, 1, unit.as_bytes());
                } else {
                    let mut unit = [&[0x95, 2, 0xc4, 16][..], id, &[0xc4, 16], token].concat();
                    integer(&mut unit, *attachment);
                    integer(&mut unit, received);
                    frame(out, 2, &unit);
                }
            }
            _ if json => {
                let window = format!("{{\"messages\":{},\"bytes\":{}}}", WINDOW.0, WINDOW.1);
                frame(out, 1, format!("{{\"open\":{{\"attachment\":1,\"window\":{window}}}}}").as_bytes());
            }
            _ => {
                let mut unit = vec![0x94, 0];
                for field in [1, WINDOW.0, WINDOW.1 as u64] {
                    integer(&mut unit, field);
                }
                frame(out, 2, &unit);
            }
        }
    }

    fn unit(&mut self, opcode: u8, unit: &[u8], out: &mut Vec<u8>, heard: &mut impl FnMut(Heard)) -> Result<(), Error> {
        let message = match self.form.protocol {
            Protocol::Raw | Protocol::Plain => true,
            Protocol::Json => matches!(unit.get(2), Some(b't' | b'j' | b'b')),
            Protocol::MessagePack => matches!(unit.get(1), Some(5..=7)),
            Protocol::SocketIo => opcode == 2 || unit.starts_with(b"42"),
        };
        if !message {
            return self.control(unit, out, heard);
        }
        if self.state != State::Open {
            return Err("a message before the session is there".into());
        }
        let Some((publisher, number)) = digits(unit, self.form.offset) else {
            return Err(format!("not what was sent: {}", String::from_utf8_lossy(&unit[..unit.len().min(80)])).into());
        };
        self.received += 1;
        heard(Heard::Message { publisher, number });
        if self.form.protocol.native() {
            self.bytes += unit.len();
            if self.received - self.acknowledged >= WINDOW.0 / 2 || self.bytes >= WINDOW.1 / 2 {
                self.say(8, "ack", out);
            }
        }
        Ok(())
    }

    fn control(&mut self, unit: &[u8], out: &mut Vec<u8>, heard: &mut impl FnMut(Heard)) -> Result<(), Error> {
        match self.form.protocol {
            Protocol::Raw | Protocol::Plain => {}
            Protocol::SocketIo => match unit {
                [b'0', b'{', ..] => drop(frame(out, 1, b"40")),
                [b'4', b'0', ..] => self.open(heard),
                [b'2'] => {
                    heard(Heard::Ping);
                    frame(out, 1, b"3");
                }
                [b'4', b'5', ..] => {}
                _ => return Err(format!("what is {}?", String::from_utf8_lossy(unit)).into()),
            },
            Protocol::Json | Protocol::MessagePack => match Control::read(self.form.protocol, unit)? {
                Control::Opened { id, token } => {
                    self.session = Some(Session { id, token, attachment: 1, resuming: false });
                    // Shows that this client has the token.
                    self.say(8, "ack", out);
                    self.open(heard);
                }
                Control::Resumed(received) => {
                    self.state = State::Open;
                    self.acknowledged = self.received;
                    self.bytes = 0;
                    heard(Heard::Resumed(received));
                }
                Control::Reset => {
                    self.state = State::Closed;
                    heard(Heard::Reset);
                }
                Control::Ping => {
                    heard(Heard::Ping);
                    self.say(10, "pong", out);
                }
                Control::Nothing => {}
            },
        }
        Ok(())
    }

    fn open(&mut self, heard: &mut impl FnMut(Heard)) {
        self.state = State::Open;
        heard(Heard::Opened);
    }

    /// An `ack` or a `pong`.
    fn say(&mut self, kind: u8, name: &str, out: &mut Vec<u8>) {
        self.acknowledged = self.received;
        self.bytes = 0;
        if self.form.protocol == Protocol::Json {
            frame(out, 1, format!("{{\"{name}\":{}}}", self.received).as_bytes());
        } else {
            let mut unit = vec![0x92, kind];
            integer(&mut unit, self.received);
            frame(out, 2, &unit);
        }
    }
}

/// What a native server says beside messages.
pub(crate) enum Control {
    Opened { id: Vec<u8>, token: Vec<u8> },
    Resumed(u64),
    Reset,
    Ping,
    Nothing,
}

impl Control {
    pub(crate) fn read(protocol: Protocol, unit: &[u8]) -> Result<Self, Error> {
        let unknown = || format!("what is {}?", String::from_utf8_lossy(&unit[..unit.len().min(200)]));
        if protocol == Protocol::Json {
            let frame: serde_json::Value = serde_json::from_slice(unit)?;
            let (name, value) = frame.as_object().and_then(|frame| frame.iter().next()).ok_or_else(unknown)?;
            let text = |name: &str| value[name].as_str().unwrap_or_default().as_bytes().to_vec();
            return Ok(match name.as_str() {
                "opened" => Self::Opened { id: text("session"), token: text("token") },
                "resumed" => Self::Resumed(value["received"].as_u64().ok_or_else(unknown)?),
                "reset" => Self::Reset,
                "ping" => Self::Ping,
                "ack" | "pong" => Self::Nothing,
                _ => return Err(unknown().into()),
            });
        }
        Ok(match unit {
            [_, 1, 0xc4, 16, rest @ ..] if rest.len() > 34 => {
                Self::Opened { id: rest[..16].to_vec(), token: rest[18..34].to_vec() }
            }
            [_, 3, count @ ..] => Self::Resumed(read_integer(count).ok_or_else(unknown)?),
            [_, 4, ..] => Self::Reset,
            [_, 9, ..] => Self::Ping,
            [_, 8 | 10, ..] => Self::Nothing,
            _ => return Err(unknown().into()),
        })
    }
}

fn integer(out: &mut Vec<u8>, value: u64) {
    match value {
        0..128 => out.push(value as u8),
        128..65536 => {
            out.push(0xcd);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

fn read_integer(bytes: &[u8]) -> Option<u64> {
    let rest = bytes.get(1..)?;
    Some(match bytes[0] {
        small @ ..128 => small.into(),
        0xcc => (*rest.first()?).into(),
        0xcd => u16::from_be_bytes(*rest.first_chunk()?).into(),
        0xce => u32::from_be_bytes(*rest.first_chunk()?).into(),
        0xcf => u64::from_be_bytes(*rest.first_chunk()?),
        _ => return None,
    })
}
