//! Event time: RFC 3339 and its relatives, and epoch numbers whose unit is told by their magnitude.

use super::values::whole;

/// 2000-01-01T00:00:00Z, ms. Earlier is an unset clock, not an event.
const TIME_MS_MIN: i64 = 946_684_800_000;
/// 2200-01-01T00:00:00Z, ms. Later is a number in a unit nobody writes; a clock that is merely wrong is let through.
const TIME_MS_MAX: i64 = 7_258_118_400_000;

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since the epoch from a number of seconds, milliseconds, microseconds or nanoseconds.
///
/// Between 2000 and 2200 the four units never overlap: seconds stay below 10^10, milliseconds below 10^13,
/// microseconds below 10^16, nanoseconds below 10^19.
pub(super) fn from_number(number: i64) -> Option<i64> {
    let ms = match number {
        ..0 => return None,
        0..100_000_000_000 => number * 1000,
        100_000_000_000..100_000_000_000_000 => number,
        100_000_000_000_000..100_000_000_000_000_000 => number / 1000,
        _ => number / 1_000_000,
    };
    plausible(ms)
}

/// Milliseconds since the epoch from text: an epoch number, or a date and time.
///
/// Accepts `T` or a space between date and time, any number of fractional digits, and `Z`, `+01:00`, `+0100`,
/// `+01` or no zone at all, which means UTC.
pub(super) fn from_text(text: &str) -> Option<i64> {
    if let Some(ms) = from_usual_date(text) {
        return plausible(ms);
    }
    let text = text.trim();
    // A dash there is a date's; no number has one.
    if text.as_bytes().get(4) == Some(&b'-') {
        return from_date(text);
    }
    if let Some(number) = whole(text) {
        return from_number(number);
    }
    // A fraction of anything but seconds is no time that a source writes.
    if let Some((seconds, fraction)) = text.split_once('.')
        && let Ok(seconds) = seconds.parse::<i64>()
        && fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return plausible(seconds.checked_mul(1000)?.checked_add(fraction_ms(fraction))?);
    }
    from_date(text)
}

/// As [`from_date`], of `2026-01-02T03:04:05.678Z` alone, which is how most identity providers write it.
fn from_usual_date(text: &str) -> Option<i64> {
    let bytes: &[u8; 24] = text.as_bytes().try_into().ok()?;
    let is_usual = bytes[10] == b'T' && bytes[19] == b'.' && bytes[23] == b'Z';
    if !is_usual {
        return None;
    }
    Some(date_ms(text.get(..10)?)? + clock_ms(text.get(11..19)?)? + digits(&bytes[20..23])?)
}

fn from_date(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let day_ms = date_ms(date)?;
    let (clock, zone) = rest.split_at_checked(8)?;
    let clock_ms = clock_ms(clock)?;
    let digits = match zone.strip_prefix(['.', ',']) {
        Some(fraction) => fraction.bytes().take_while(u8::is_ascii_digit).count(),
        None => 0,
    };
    let (fraction, zone) = if digits == 0 {
        (0, zone)
    } else {
        (fraction_ms(&zone[1..=digits]), &zone[1 + digits..])
    };
    plausible(day_ms + clock_ms + fraction - zone_ms(zone)?)
}

/// Midnight UTC of `YYYY-MM-DD`, ms.
pub(super) fn date_ms(date: &str) -> Option<i64> {
    let bytes = date.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
        return None;
    }
    // Days from civil: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468) * DAY_MS)
}

/// `HH:MM:SS` as ms since midnight. A leap second counts as the second after.
pub(super) fn clock_ms(clock: &str) -> Option<i64> {
    let bytes = clock.as_bytes();
    if bytes.len() != 8 || bytes[2] != b':' || bytes[5] != b':' {
        return None;
    }
    let (hours, minutes, seconds) = (digits(&bytes[..2])?, digits(&bytes[3..5])?, digits(&bytes[6..])?);
    (hours < 24 && minutes < 60 && seconds <= 60).then(|| ((hours * 60 + minutes) * 60 + seconds) * 1000)
}

/// Offset from UTC of `Z`, `+HH:MM`, `+HHMM`, `+HH` or nothing, ms.
pub(super) fn zone_ms(zone: &str) -> Option<i64> {
    let zone = zone.trim();
    let bytes = zone.as_bytes();
    let (hours, minutes) = match bytes.len() {
        0 => return Some(0),
        1 | 3 if ["z", "utc", "gmt"].iter().any(|name| zone.eq_ignore_ascii_case(name)) => return Some(0),
        3 => (&bytes[1..3], None),
        5 => (&bytes[1..3], Some(&bytes[3..5])),
        6 if bytes[3] == b':' => (&bytes[1..3], Some(&bytes[4..6])),
        _ => return None,
    };
    let offset = digits(hours)? * 60 + minutes.map_or(Some(0), digits)?;
    match bytes[0] {
        b'+' => Some(offset * 60_000),
        b'-' => Some(-offset * 60_000),
        _ => None,
    }
}

/// `ms` if an event can have happened then.
pub(super) fn plausible(ms: i64) -> Option<i64> {
    (TIME_MS_MIN..TIME_MS_MAX).contains(&ms).then_some(ms)
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0'))
    })
}

fn fraction_ms(fraction: &str) -> i64 {
    let mut digits = fraction.bytes().map(|b| i64::from(b - b'0')).chain([0, 0, 0]);
    (0..3).fold(0, |ms, _| ms * 10 + digits.next().unwrap_or(0))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_told_by_magnitude() {
        let ms = 1_700_000_000_123;
        for number in [1_700_000_000_123, 1_700_000_000_123_456, 1_700_000_000_123_456_789] {
            assert_eq!(from_number(number), Some(ms));
        }
        assert_eq!(from_number(1_700_000_000), Some(1_700_000_000_000));
        assert_eq!(from_text("1700000000.123456"), Some(ms));
        assert_eq!(from_text(" 1700000000 "), Some(1_700_000_000_000));
        assert_eq!(from_text("1700000000.0"), Some(1_700_000_000_000));
        for text in [
            "1700000000123.0",
            "1700000000123.000",
            "1700000000123456.0",
            "1700000000123456789.0",
        ] {
            assert_eq!(from_text(text), Some(ms), "{text}");
        }
        assert_eq!(from_text("1700000000123.5"), None);
    }

    #[test]
    fn implausible_numbers_are_no_time() {
        for number in [0, -1, 1, 900_000_000, i64::MAX, i64::MIN] {
            assert_eq!(from_number(number), None, "{number}");
        }
        // 2037: a wrong clock is the pipeline's business, not a reason to lose the event.
        assert!(from_text("2037-01-01T00:00:00Z").is_some());
    }

    #[test]
    fn text_agrees_with_a_calendar_library() {
        for text in [
            "2024-02-29T23:59:59Z",
            "2000-01-01T00:00:00Z",
            "2026-11-23T04:05:06.789Z",
            "2026-11-23T04:05:06.789123456Z",
            "2026-11-23T04:05:06+05:30",
            "2026-11-23T04:05:06.5-08:00",
            "2199-12-31T23:59:59.999Z",
        ] {
            let expected: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(from_text(text), Some(expected.as_millisecond()), "{text}");
        }
    }

    #[test]
    fn relatives_of_rfc_3339_are_read() {
        let expected = from_text("2022-03-22T14:21:53.225Z");
        assert!(expected.is_some());
        for text in [
            "2022-03-22 14:21:53.225",
            "2022-03-22T14:21:53,225+0000",
            "2022-03-22t14:21:53.225z",
            "2022-03-22 15:21:53.225 +01",
            "2022-03-22 14:21:53.225 UTC",
        ] {
            assert_eq!(from_text(text), expected, "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_time() {
        for text in [
            "",
            "yesterday",
            "2022-13-01T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2022-01-01T24:00:00Z",
            "2022-01-01",
            "2022-01-01T00:00:00.",
            "2022-01-01T00:00:00+1",
            "2022-01-01T00:00:00 CEST",
            "9999999999999999999999",
            "9223372036854775807.5",
            "2022-01-01T00:00:0\u{e9}Z",
            "é022-01-01T00:00:00Z",
        ] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }
}
