//! Durations and sizes as people write them: `15s`, `1.5s`, `10m`, `32MiB`.

use std::{fmt, time::Duration};

const TIMES: [(&str, f64); 5] = [
    ("ms", 1.0),
    ("s", 1_000.0),
    ("m", 60_000.0),
    ("h", 3_600_000.0),
    ("d", 86_400_000.0),
];
const SIZES: [(&str, u64); 7] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// A number and its unit. Fractions are fine, signs and exponents are not.
fn split(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(unit_at);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// `15s`, `250ms`, `1.5s`, `10m`, `1h`, `1d`; to the millisecond, up to some thousand years.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let (_, millis) = TIMES.iter().find(|(name, _)| *name == unit)?;
    let millis = (number * millis).round();
    if !(0.0..1.0e14).contains(&millis) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, positive and below 2^53"
    )]
    Some(Duration::from_millis(millis as u64))
}

/// `512B`, `64KiB`, `32MiB`, `1GiB`, and the decimal `kB`, `MB`, `GB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let (_, bytes) = SIZES.iter().find(|(name, _)| *name == unit)?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a size near 2^53 bytes is no limit"
    )]
    let size = number * *bytes as f64;
    // Larger ones are no limits of a machine.
    if size.fract() != 0.0 || !(0.0..9.0e15).contains(&size) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole, positive and below 2^53"
    )]
    Some(size as u64)
}

/// A duration as it would be written in the file.
pub(super) struct Time(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        match millis {
            0 => f.write_str("0s"),
            _ if millis % 3_600_000 == 0 => write!(f, "{}h", millis / 3_600_000),
            _ if millis % 60_000 == 0 => write!(f, "{}m", millis / 60_000),
            _ if millis % 1000 == 0 => write!(f, "{}s", millis / 1000),
            _ => write!(f, "{millis}ms"),
        }
    }
}

/// A size as it would be written in the file.
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
            if self.0 > 0 && self.0 % unit == 0 {
                return write!(f, "{}{name}", self.0 / unit);
            }
        }
        write!(f, "{}B", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_in_every_unit_and_odd_ones_refused() {
        for (text, millis) in [
            ("250ms", 250),
            ("15s", 15_000),
            ("1.5s", 1_500),
            ("10m", 600_000),
            ("2 h", 7_200_000),
            ("0s", 0),
        ] {
            assert_eq!(
                duration(text),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for odd in [
            "",
            "15",
            "s",
            "-1s",
            "1e3s",
            "1.2.3s",
            "5 parsecs",
            "99999999999999999999d",
        ] {
            assert_eq!(duration(odd), None, "{odd}");
        }
    }

    #[test]
    fn sizes_are_read_in_every_unit_and_odd_ones_refused() {
        for (text, bytes) in [
            ("0B", 0),
            ("1.5KiB", 1536),
            ("32MiB", 32 << 20),
            ("2GB", 2_000_000_000),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for odd in [
            "",
            "32",
            "MiB",
            "-1MiB",
            "1.0001KiB",
            "32mib",
            "99999999GiB",
        ] {
            assert_eq!(size(odd), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_the_same(millis in 0_u64..10_000_000_000, bytes in 0_u64..1 << 50) {
            let time = Duration::from_millis(millis);
            prop_assert_eq!(duration(&Time(time).to_string()), Some(time));
            prop_assert_eq!(size(&Size(bytes).to_string()), Some(bytes));
        }

        #[test]
        fn no_text_panics(text in ".{0,24}") {
            let _ = (duration(&text), size(&text));
        }
    }
}
