//! Durations and sizes as people write them: `5s`, `1m30s`, `32MiB`.
//!
//! A number without a unit is refused: whether a 30 is seconds or milliseconds is not to be guessed.

use std::{
    fmt::{self, Write},
    time::Duration,
};

/// Longest first, so that a duration reads `1h30m` and not `30m1h`.
const TIME_UNITS: [(&str, u128); 5] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
];

/// Largest first, binary before decimal, since a size is written in the first that divides it.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A duration: numbers with units, longest unit first, each at most once. `None`: it is none, or longer than any.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut units, mut nanos) = (text, TIME_UNITS.as_slice(), 0_u128);
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic());
        let (unit, after) = after.split_at(end.unwrap_or(after.len()));
        let at = units.iter().position(|(name, _)| *name == unit)?;
        let (_, scale) = units.get(at)?;
        nanos = nanos.checked_add(number.scaled(*scale)?)?;
        units = units.get(at + 1..)?;
        rest = after;
    }
    if text.is_empty() {
        return None;
    }
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    let below = u32::try_from(nanos % 1_000_000_000).ok()?;
    Some(Duration::new(seconds, below))
}

/// A size in bytes: a number with a unit, whatever its case. `None`: it is none, no whole number of bytes, or larger
/// than any.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = number(text)?;
    let (_, scale) = SIZE_UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    u64::try_from(number.scaled(u128::from(*scale))?).ok()
}

/// A decimal number: `digits / 10^places`.
struct Number {
    digits: u128,
    places: u32,
}

impl Number {
    fn scaled(&self, scale: u128) -> Option<u128> {
        let (product, divisor) = (
            self.digits.checked_mul(scale)?,
            10_u128.checked_pow(self.places)?,
        );
        (product % divisor == 0).then_some(product / divisor)
    }
}

/// The number that a text begins with, and what follows it.
fn number(text: &str) -> Option<(Number, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, rest) = text.split_at(end.unwrap_or(text.len()));
    let (whole, part) = match number.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, part)) => (whole, part),
        None => (number, ""),
    };
    if whole.is_empty() || part.contains('.') {
        return None;
    }
    let digits = format!("{whole}{part}").parse().ok()?;
    let places = u32::try_from(part.len()).ok()?;
    Some((Number { digits, places }, rest))
}

/// Writes a duration as [`duration`] reads it; below a millisecond as Rust does.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Time(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.as_nanos();
        if rest == 0 {
            return f.pad("0s");
        }
        if rest % 1_000_000 != 0 {
            return f.pad(&format!("{:?}", self.0));
        }
        let mut text = String::new();
        for (unit, scale) in TIME_UNITS {
            if rest >= scale {
                write!(text, "{}{unit}", rest / scale)?;
                rest %= scale;
            }
        }
        f.pad(&text)
    }
}

/// Writes a size as [`size`] reads it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZE_UNITS
            .iter()
            .find(|(_, scale)| self.0 > 0 && self.0 % scale == 0);
        let (name, scale) = unit.unwrap_or(&("B", 1));
        f.pad(&format!("{}{name}", self.0 / scale))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_with_their_units() {
        for (text, millis) in [
            ("0s", 0),
            ("500ms", 500),
            ("5s", 5_000),
            ("1.5s", 1_500),
            ("10m", 600_000),
            ("1m30s", 90_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            let expected = Some(Duration::from_millis(millis));
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "-5s",
            "5sec",
            "5s1m",
            "5s5s",
            "1..5s",
            ".5s",
            "5.s",
            "1e3s",
            "+5s",
            "５s",
            "0.0000000001s",
            "99999999999999999999999999999999999999d",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("0B", Some(0)),
            ("32MiB", Some(32 << 20)),
            ("32mib", Some(32 << 20)),
            ("1.5KiB", Some(1536)),
            ("500MB", Some(500_000_000)),
            ("0.5B", None),
            ("32", None),
            ("32 MiB", None),
            ("MiB", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(millis in 0_u64..10_u64.pow(12), bytes in any::<u64>()) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(duration(&Time(time).to_string()), Some(time));
            prop_assert_eq!(size(&Size(bytes).to_string()), Some(bytes));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9.dhmsKMGiB ]{0,50}|.*") {
            let _ = (duration(&text), size(&text));
        }
    }
}
