//! The command line: `lg COMMAND [--name value]… [--flag]…`.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

/// Whatever goes wrong ends the program with one line, and the driver reports it.
pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

const FLAGS: [&str; 5] = ["batch", "cut", "hold", "tls", "unordered"];

pub(crate) struct Options {
    pub(crate) command: String,
    values: HashMap<String, String>,
}

impl Options {
    pub(crate) fn read() -> Result<Self, Error> {
        let mut arguments = std::env::args().skip(1);
        let command = arguments.next().ok_or("a command is missing")?;
        let mut values = HashMap::new();
        while let Some(argument) = arguments.next() {
            let name = argument.strip_prefix("--").ok_or_else(|| format!("what is {argument}?"))?;
            let value = if FLAGS.contains(&name) { Some(String::new()) } else { arguments.next() };
            values.insert(name.to_owned(), value.ok_or_else(|| format!("{argument} has no value"))?);
        }
        Ok(Self { command, values })
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> String {
        self.values.get(name).map_or(default, String::as_str).to_owned()
    }

    pub(crate) fn get<T: FromStr<Err: Display>>(&self, name: &str, default: T) -> Result<T, Error> {
        let Some(value) = self.values.get(name) else { return Ok(default) };
        value.parse().map_err(|error| format!("--{name} {value}: {error}").into())
    }

    pub(crate) fn seconds(&self, name: &str, default: f64) -> Result<Duration, Error> {
        Ok(Duration::from_secs_f64(self.get(name, default)?))
    }

    pub(crate) fn addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.text("addr", "").parse().map_err(|_| "--addr is not an address with a port")?)
    }
}
