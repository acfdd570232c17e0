//! Control frames as every sender writes them, to the byte.
//!
//! Each connection begins with one of these, and a client that only listens sends nothing else. Whatever is written in another
//! way, or has a fault, is left to serde, which is ten times as dear and knows what to say.

use nosphere_core::{Frame, Offer, Open};

use crate::rules;

/// Reads a control frame of a client, if it has exactly this form.
pub(super) fn control(unit: &str) -> Option<Frame> {
    let body = unit.strip_suffix('}')?;
    let frame = if let Some(body) = body.strip_prefix(r#"{"ack":"#) {
        Frame::Ack { received: count(body)? }
    } else if let Some(body) = body.strip_prefix(r#"{"open":"#) {
        Frame::Open(open(body)?)
    } else if let Some(body) = body.strip_prefix(r#"{"resume":"#) {
        Frame::Resume(offer(body)?)
    } else if let Some(body) = body.strip_prefix(r#"{"ping":"#) {
        Frame::Ping { received: count(body)? }
    } else {
        Frame::Pong { received: count(body.strip_prefix(r#"{"pong":"#)?)? }
    };
    rules::fault(&frame).is_none().then_some(frame)
}

fn open(body: &str) -> Option<Open> {
    let (attachment, rest) = number(body.strip_prefix(r#"{"attachment":"#)?)?;
    let (messages, rest) = number(rest.strip_prefix(r#","window":{"messages":"#)?)?;
    let (bytes, rest) = number(rest.strip_prefix(r#","bytes":"#)?)?;
    let window = rules::window(messages, bytes)?;
    (rest == "}}").then_some(Open { attachment, window })
}

fn offer(body: &str) -> Option<Offer> {
    let (session, rest) = body.strip_prefix(r#"{"session":""#)?.split_at_checked(36)?;
    let (token, rest) = rest.strip_prefix(r#"","token":""#)?.split_at_checked(32)?;
    let (attachment, rest) = number(rest.strip_prefix(r#"","attachment":"#)?)?;
    let (received, rest) = number(rest.strip_prefix(r#","received":"#)?)?;
    let (session, token) = (session.parse().ok()?, token.parse().ok()?);
    (rest == "}").then_some(Offer { session, token, attachment, received })
}

fn count(body: &str) -> Option<u64> {
    number(body).filter(|(_, rest)| rest.is_empty()).map(|(count, _)| count)
}

/// A number without sign, fraction and exponent, and what is behind it.
fn number(text: &str) -> Option<(u64, &str)> {
    /// All that any count may have (SPEC TRM-1), and too few to overflow.
    const MAX_DIGITS: usize = 16;
    let (mut value, mut length) = (0, 0);
    for byte in text.bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value * 10 + u64::from(digit);
        length += 1;
        if length > MAX_DIGITS {
            return None;
        }
    }
    // JSON has no zeros before a number.
    let leads = text.starts_with('0') && length > 1;
    (length > 0 && !leads).then(|| (value, &text[length..]))
}

#[cfg(test)]
mod tests {
    use nosphere_core::{Arena, DecodeError};
    use proptest::prelude::*;

    use super::*;
    use crate::json::decode::{Source, read};

    /// As `read` reads it, which looks at everything.
    fn slowly(unit: &str) -> Result<Frame, DecodeError> {
        read(&mut Source::Lent(unit, &mut Arena::default()))
    }

    #[test]
    fn what_every_sender_writes_is_read_here_and_not_by_serde() {
        for unit in [
            r#"{"open":{"attachment":1,"window":{"messages":256,"bytes":1048576}}}"#,
            r#"{"open":{"attachment":9007199254740991,"window":{"messages":9007199254740991,"bytes":1}}}"#,
            r#"{"resume":{"session":"24f98d6b-c271-4169-8f9c-217343b62aa7","token":"000102030405060708090a0b0c0d0e0f","attachment":2,"received":0}}"#,
            r#"{"ack":128}"#,
            r#"{"ping":0}"#,
            r#"{"pong":9007199254740991}"#,
        ] {
            assert_eq!(control(unit).map(Ok), Some(slowly(unit)), "{unit}");
            assert!(slowly(unit).is_ok(), "{unit}");
        }
    }

    #[test]
    fn what_is_not_of_this_form_is_left_to_serde() {
        for unit in [
            r#"{"ack":01}"#,
            r#"{"ack":}"#,
            r#"{"ack":1.0}"#,
            r#"{"ack":-0}"#,
            r#"{"ack":1e2}"#,
            r#"{"ack": 1}"#,
            r#"{"ack":9007199254740992}"#,
            r#"{"ack":18446744073709551616}"#,
            r#"{"ack":1},"ping":{2}"#,
            r#"{"open":{"attachment":0,"window":{"messages":1,"bytes":1}}}"#,
            r#"{"open":{"attachment":1,"window":{"messages":0,"bytes":1}}}"#,
            r#"{"open":{"window":{"messages":1,"bytes":1},"attachment":1}}"#,
            r#"{"open":{"attachment":1,"window":{"messages":1,"bytes":1},"more":true}}"#,
            r#"{"open":{"attachment":1,"window":{"messages":1,"bytes":1}}"#,
            r#"{"resume":{"session":"24f98d6bc27141698f9c217343b62aa7----","token":"000102030405060708090a0b0c0d0e0f","attachment":2,"received":0}}"#,
            r#"{"resume":{"session":"24f98d6b-c271-4169-8f9c-217343b62aa7","token":"000102030405060708090A0b0c0d0e0f","attachment":2,"received":0}}"#,
        ] {
            assert_eq!(control(unit), None, "{unit}");
        }
    }

    prop_compose! {
        fn digits()(text in prop_oneof![
            "[0-9]{1,3}", "[1-9][0-9]{13,19}", "0[0-9]{1,18}", Just("9007199254740991".into()),
            Just("9007199254740992".into()), Just("18446744073709551615".into()), "-?[0-9]{1,2}(\\.[0-9])?(e[0-9])?",
        ]) -> String { text }
    }

    fn unit() -> impl Strategy<Value = String> {
        let count = prop_oneof![
            Just("ack"),
            Just("ping"),
            Just("pong"),
            Just("resumed"),
            "[a-z]{1,5}".prop_map(|name| &*name.leak())
        ];
        let (id, token) =
            ("[0-9a-fA-F]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", prop_oneof!["[0-9a-f]{32}", "[0-9a-fA-F]{31,33}"]);
        prop_oneof![
            (digits(), digits(), digits()).prop_map(|(attachment, messages, bytes)| format!(
                r#"{{"open":{{"attachment":{attachment},"window":{{"messages":{messages},"bytes":{bytes}}}}}}}"#
            )),
            (id, token, digits(), digits()).prop_map(|(id, token, attachment, received)| format!(
                r#"{{"resume":{{"session":"{id}","token":"{token}","attachment":{attachment},"received":{received}}}}}"#
            )),
            (count, digits()).prop_map(|(name, received)| format!(r#"{{"{name}":{received}}}"#)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn however_a_unit_is_mangled_it_is_read_as_serde_reads_it(
            unit in unit(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, "[ \t\n\"\\\\{}:,a-z0-9é]"), 0..4),
        ) {
            let mut unit: Vec<char> = unit.chars().collect();
            for (at, kind, text) in edits {
                let at = at.index(unit.len());
                match kind {
                    0 => drop(unit.splice(at..at, text.chars())),
                    1 => drop(unit.splice(at..=at, text.chars())),
                    2 => drop(unit.remove(at)),
                    _ => unit.truncate(at + 1),
                }
                prop_assume!(!unit.is_empty());
            }
            let unit: String = unit.into_iter().collect();
            if let Some(frame) = control(&unit) {
                prop_assert_eq!(Ok(frame), slowly(&unit));
            }
        }
    }
}
