//! What ends write to their links.

use nosphere_core::{Action, AttachRequest, Encoded, Frame, LinkId, Text, Transport, Unit, WireFormat as _};
use nosphere_wire::JSON;

use crate::network::{Posting, Stage};
use crate::{Broken, Dir, Packet, Rule, Sight, Who, World};

/// An end that writes more than this without pause never stops.
const MAX_WRITES: usize = 1_000;

impl World {
    /// An end writes all that its links can take. Whether there was anything.
    pub(crate) fn write(&mut self, who: Who) -> Result<bool, Broken> {
        let mut some = false;
        for id in Vec::from_iter(self.links.keys().copied()) {
            some |= match who {
                Who::Client => self.client_writes(id)?,
                Who::Server => self.server_writes(id)?,
            };
        }
        if who == Who::Client
            && let Some(post) = self.client.connection.poll_post(&JSON)
        {
            self.numbers += 1;
            self.posts.push(Posting { id: self.numbers, post, awaited: true, answer: None });
            some = true;
        }
        Ok(some)
    }

    fn client_writes(&mut self, id: LinkId) -> Result<bool, Broken> {
        let now = self.clock(Who::Client);
        let Self { client, links, .. } = self;
        let Some(link) = links.get_mut(&id).filter(|link| link.has_client) else { return Ok(false) };
        let websocket = link.transport == Transport::WebSocket;
        let mut writes = 0;
        while let Some(action) = client.connection.poll_transmit(id, &JSON, now) {
            let packet = match action {
                Action::Attach(request) if !websocket => Packet::Request(request),
                Action::Attach(AttachRequest::Open(open)) => unit(Frame::Open(open))?,
                Action::Attach(AttachRequest::Resume(offer)) => unit(Frame::Resume(offer))?,
                Action::Send { unit, .. } if websocket => Packet::Unit(own(&unit)),
                Action::Close { reason } => {
                    link.push(Dir::Up, Packet::End(reason));
                    link.has_client = false;
                    link.down.clear();
                    writes += 1;
                    break;
                }
                action => return Err(Broken::new(Rule::Peace, format!("a client does not {action:?}"))),
            };
            link.push(Dir::Up, packet);
            writes += 1;
            endless(writes)?;
        }
        client.clockwork.observe(&client.connection, false, now);
        Ok(writes > 0)
    }

    fn server_writes(&mut self, id: LinkId) -> Result<bool, Broken> {
        let now = self.clock(Who::Server);
        let Self { servers, links, .. } = self;
        let Some(link) = links.get_mut(&id) else { return Ok(false) };
        let Stage::Session(session) = link.stage else { return Ok(false) };
        let server = &mut servers[session];
        let polling = link.transport == Transport::LongPolling;
        let mut writes = 0;
        while let Some(action) = server.connection.poll_transmit(id, &JSON, now) {
            writes += 1;
            endless(writes)?;
            let last = match action {
                Action::Send { unit, .. } if polling => {
                    link.units.push(own(&unit));
                    continue;
                }
                Action::Send { unit, .. } => {
                    link.push(Dir::Down, Packet::Unit(own(&unit)));
                    continue;
                }
                Action::Finish => {
                    let received = server.connection.report_received();
                    Packet::Answer(std::mem::take(&mut link.units), received)
                }
                Action::Close { .. } if polling => {
                    self.sights.see(Sight::Replaced);
                    Packet::Replaced
                }
                Action::Close { reason } => Packet::End(reason),
                action => return Err(Broken::new(Rule::Peace, format!("a native server does not {action:?}"))),
            };
            link.push(Dir::Down, last);
            (link.stage, link.up) = (Stage::Over, Default::default());
            break;
        }
        server.clockwork.observe(&server.connection, false, now);
        Ok(writes > 0)
    }
}

pub(crate) fn unit(frame: Frame) -> Result<Packet, Broken> {
    JSON.encode(frame).map(Packet::Unit).map_err(|error| Broken::new(Rule::Peace, error.to_string()))
}

fn own(unit: &Encoded) -> Unit {
    Text::from_utf8(unit.payload_bytes()).map_or_else(Unit::Binary, Unit::Text)
}

fn endless(writes: usize) -> Result<(), Broken> {
    if writes < MAX_WRITES {
        return Ok(());
    }
    Err(Broken::new(Rule::Progress, "an end writes without end".into()))
}
