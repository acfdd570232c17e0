//! A client on its socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::form::{Form, Kind, Protocol};
use crate::net::{Link, Poller, Target};
use crate::options::{Error, Options};
use crate::talk::{Heard, Talk};

/// How long anything may take that should take no time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    pub(crate) talk: Talk,
    pub(crate) link: Link,
    /// What is to be written next.
    pub(crate) out: Vec<u8>,
    /// A short read is not taken for the last one, since the end of the connection may be behind it.
    pub(crate) thorough: bool,
}

impl Client {
    /// The connection is up, and the upgrade asked for.
    pub(crate) fn connect(target: &Target, path: &str, form: &Arc<Form>) -> Result<Self, Error> {
        let mut client = Self { talk: Talk::new(form), link: target.connect()?, out: vec![], thorough: false };
        client.upgrade(target, path, form.protocol)?;
        Ok(client)
    }

    fn upgrade(&mut self, target: &Target, path: &str, protocol: Protocol) -> Result<(), Error> {
        if protocol != Protocol::Raw {
            self.link.send(&protocol.upgrade(path, &target.addr.to_string()))?;
        }
        Ok(())
    }

    /// The connection is cut, and another one made to resume on.
    pub(crate) fn cut(&mut self, target: &Target, path: &str, protocol: Protocol) -> Result<(), Error> {
        self.talk.cut();
        self.out.clear();
        self.link = target.connect()?;
        self.upgrade(target, path, protocol)
    }

    /// Reads what there is. `false` at the end of the connection.
    pub(crate) fn read(&mut self, buffer: &mut [u8], heard: &mut impl FnMut(Heard)) -> Result<bool, Error> {
        while let Some(count) = self.link.read(buffer)? {
            if count == 0 {
                return Ok(false);
            }
            self.talk.input(&buffer[..count], &mut self.out, heard)?;
            if count < buffer.len() && self.link.short_is_empty() && !self.thorough {
                break;
            }
        }
        Ok(true)
    }

    /// Writes what there is to write.
    pub(crate) fn write(&mut self) -> Result<(), Error> {
        if self.out.is_empty() {
            return Ok(self.link.flush()?);
        }
        self.link.send(&self.out)?;
        self.out.clear();
        Ok(())
    }
}

/// The form of messages that the command line describes.
pub(crate) fn form(options: &Options) -> Result<Arc<Form>, Error> {
    let kind = match options.text("kind", "text").as_str() {
        "text" => Kind::Text,
        "json" => Kind::Json,
        "binary" => Kind::Binary,
        kind => return Err(format!("no kind {kind}").into()),
    };
    let protocol = Protocol::named(&options.text("protocol", "plain"))?;
    let fan = options.command == "traffic" && options.get("groups", 0)? > 0;
    let mut form = Form::new(protocol, kind, options.get("size", 100)?, if fan { "m" } else { "e" })?;
    if !fan {
        form.echoed_raw();
    }
    Ok(Arc::new(form))
}

/// So many clients, all of whose sessions are there. At most 64 are on the way at a time.
pub(crate) fn connect_all(
    target: &Target,
    poller: &mut Poller,
    form: &Arc<Form>,
    count: usize,
    path: impl Fn(usize) -> String,
) -> Result<Vec<Client>, Error> {
    let mut clients: Vec<Client> = Vec::with_capacity(count);
    let (mut open, mut ids, mut buffer) = (0, vec![], vec![0; 64 << 10]);
    let mut progress = Instant::now();
    while open < count {
        while clients.len() < count && clients.len() - open < 64 {
            let client = Client::connect(target, &path(clients.len()), form)?;
            poller.add(&client.link, clients.len())?;
            open += usize::from(client.talk.is_open());
            clients.push(client);
            progress = Instant::now();
        }
        poller.wait(Duration::from_millis(100), &mut ids)?;
        for &id in &ids {
            let client = &mut clients[id];
            let before = client.talk.is_open();
            let going_on = client.read(&mut buffer, &mut |_| {}).map_err(|error| format!("client {id}: {error}"))?;
            if !going_on {
                return Err(format!("client {id} was refused").into());
            }
            client.write()?;
            if client.talk.is_open() && !before {
                open += 1;
                progress = Instant::now();
            }
        }
        if progress.elapsed() > PATIENCE {
            return Err(format!("{open} of {count} sessions are there, and no more come").into());
        }
    }
    Ok(clients)
}
