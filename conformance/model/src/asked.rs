//! What the server makes of who wants a session.

use nosphere_core::{
    Attach, AttachRequest, Connection, Frame, LinkId, Opening, Protocol, Reason, ResumeToken, SessionId, State, Text,
    Transport,
};

use crate::network::Stage;
use crate::reads::{end_socket, refuse};
use crate::writes::unit;
use crate::{Broken, Dir, End, Packet, Rule, Sight, Who, World};

impl World {
    /// A session that the server still knows.
    pub(crate) fn living(&self, session: SessionId) -> Option<usize> {
        self.find(session).filter(|&at| !self.servers[at].dead && !self.servers[at].connection.is_finished())
    }

    /// A link wants a session, or its own again.
    pub(crate) fn asked(&mut self, id: LinkId, request: AttachRequest) -> Result<(), Broken> {
        let now = self.clock(Who::Server);
        let (mut session, mut remembered) = (None, false);
        if let AttachRequest::Resume(offer) = request {
            session = self.living(offer.session);
            let known = self.find(offer.session).map(|at| &self.servers[at]).filter(|server| !server.dead);
            remembered = known.is_some_and(|server| server.clockwork.is_remembered(&self.config, now));
        }
        let Some(link) = self.links.get_mut(&id) else { return Ok(()) };
        let transport = link.transport;
        let at = match (request, session) {
            (AttachRequest::Open(open), _) => {
                let random = (self.servers.len() as u128 + 1).to_be_bytes();
                let opening = Opening {
                    session: SessionId::from_random(random),
                    token: ResumeToken::from_random(random),
                    attachment: open.attachment,
                    window: open.window,
                    link: id,
                    transport,
                };
                let connection = Connection::server(&self.config, Protocol::Native, opening, now);
                self.servers.push(End::new(connection, self.scope.sorts, now));
                self.servers.len() - 1
            }
            (AttachRequest::Resume(offer), Some(at)) => {
                let server = &mut self.servers[at];
                if !server.connection.verifies(&offer.token) {
                    return Err(Broken::new(Rule::Peace, "a token is wrong".into()));
                }
                let (attachment, received) = (Some(offer.attachment), Some(offer.received));
                let attach = Attach { link: id, transport, attachment, received };
                let next = offer.attachment > server.connection.attachment();
                self.sights.see_if(Sight::Tombstone, server.connection.state() == State::Closed);
                self.sights.see_if(Sight::ReplayDown, next && server.connection.queued() > 0);
                self.sights.see_if(Sight::ReplayUp, next && self.client.connection.queued() > 0);
                self.sights.see_if(Sight::EarlyAgain, next && (server.is_ahead() || self.client.is_ahead()));
                let kept = |server: &End| server.connection.acknowledged() + server.connection.queued() as u64;
                let before = kept(server);
                if let Err(fault) = server.connection.handle_attach(attach, now) {
                    self.sights.see_fault(fault);
                    match transport {
                        Transport::WebSocket => end_socket(link, fault.reason()),
                        _ => refuse(link, Packet::Refused(fault)),
                    }
                    return Ok(());
                }
                self.sights.see_resume(transport);
                self.sights.see_if(Sight::LeftOut, next && kept(server) < before);
                server.clockwork.observe(&server.connection, true, now);
                at
            }
            (AttachRequest::Resume(_), _) => {
                if remembered {
                    return Err(Broken::new(Rule::Clock, "a session is forgotten before its time".into()));
                }
                match transport {
                    Transport::WebSocket => {
                        let text = Text::from_static("unknown session");
                        link.push(Dir::Down, unit(Frame::Reset { text })?);
                        end_socket(link, Reason::UnknownSession);
                    }
                    _ => refuse(link, Packet::Unknown),
                }
                return Ok(());
            }
        };
        link.stage = Stage::Session(at);
        Ok(())
    }
}
