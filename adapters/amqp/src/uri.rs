use lapin::uri::{AMQPScheme, AMQPUri};

use crate::{Config, Error};

pub(crate) fn parse(text: &str) -> Result<AMQPUri, Error> {
    // What is wrong may be told with the whole of it, and the password is in there.
    let problem = |problem: String| Error::invalid(problem.replace(text, "the URI"));
    let mut uri: AMQPUri = text.parse().map_err(problem)?;
    if uri.scheme == AMQPScheme::AMQPS {
        return Err(Error::invalid(
            "amqps is not supported; let something beside the server speak TLS with the broker",
        ));
    }
    // The parser takes an IPv6 address for none at all, and would go to localhost.
    if let Some(host) = ipv6(text) {
        uri.authority.host = host.into();
    }
    Ok(uri)
}

/// Says how alive a connection must be, unless the URI does.
pub(crate) fn with_heartbeat(mut uri: AMQPUri, config: &Config) -> AMQPUri {
    let seconds = u16::try_from(config.heartbeat.as_secs()).unwrap_or(u16::MAX).max(1);
    uri.query.heartbeat.get_or_insert(seconds);
    uri
}

fn ipv6(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    Some(host.strip_prefix('[')?.split_once(']')?.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn parts_are_decoded_and_have_defaults() {
        let uri = parse("amqp://us%40er:p%2Fw@broker.example:1234/v%2Fhost").unwrap();
        let user = &uri.authority.userinfo;
        assert_eq!((user.username.as_str(), user.password.as_str()), ("us@er", "p/w"));
        assert_eq!((uri.authority.host.as_str(), uri.authority.port), ("broker.example", 1234));
        assert_eq!(uri.vhost, "v/host");
        let uri = parse("amqp://broker.example").unwrap();
        assert_eq!((uri.authority.userinfo.username.as_str(), uri.authority.port), ("guest", 5672));
        assert_eq!(uri.vhost, "/");
    }

    #[test]
    fn an_ipv6_address_is_not_localhost() {
        for uri in ["amqp://[2001:db8::1]", "amqp://u:p@[2001:db8::1]:5673/v", "amqp://u:p@[2001:db8::1]?heartbeat=5"] {
            assert_eq!(parse(uri).unwrap().authority.host, "2001:db8::1", "{uri}");
        }
        for uri in ["amqp://192.0.2.1", "amqp://u:p@192.0.2.1/%2f"] {
            assert_eq!(parse(uri).unwrap().authority.host, "192.0.2.1", "{uri}");
        }
    }

    #[test]
    fn what_is_no_uri_is_refused_without_a_word_of_the_password() {
        for bad in [
            "",
            "amqp",
            "amqp:u:secret@host",
            "http://u:secret@host",
            "amqp://u:secret@host:port",
            "amqps://u:secret@h",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.is_invalid(), "{bad}");
            assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn the_uri_has_the_last_word_on_heartbeats_and_none_is_no_choice() {
        let config = Config { heartbeat: Duration::ZERO, ..Config::default() };
        assert_eq!(with_heartbeat(parse("amqp://host").unwrap(), &config).query.heartbeat, Some(1));
        assert_eq!(with_heartbeat(parse("amqp://host?heartbeat=7").unwrap(), &config).query.heartbeat, Some(7));
    }
}
