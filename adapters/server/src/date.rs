use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of day as HTTP writes it, formatted once a second on each thread.
#[derive(Clone, Copy)]
pub(crate) struct Date {
    second: u64,
    text: [u8; 29],
}

impl Date {
    pub(crate) fn now() -> [u8; 29] {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let known = LATEST.get().filter(|date| date.second == second);
        known.unwrap_or_else(|| Self::write(second)).text
    }

    #[cold]
    fn write(second: u64) -> Self {
        let mut text = [b' '; 29];
        let written = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second));
        for (at, byte) in text.iter_mut().zip(written.bytes()) {
            *at = byte;
        }
        let date = Self { second, text };
        LATEST.set(Some(date));
        date
    }
}

thread_local! {
    static LATEST: Cell<Option<Date>> = const { Cell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_has_the_form_of_rfc_9110() {
        assert_eq!(&Date::write(784_111_777).text, b"Sun, 06 Nov 1994 08:49:37 GMT");
        let before = SystemTime::now() - Duration::from_secs(1);
        let now = httpdate::parse_http_date(std::str::from_utf8(&Date::now()).unwrap()).unwrap();
        assert!((before..=SystemTime::now()).contains(&now));
        LATEST.set(Some(Date { second: 0, text: [b'x'; 29] }));
        assert_ne!(Date::now(), [b'x'; 29], "an old one");
    }
}
