//! The known key that a misspelt one was meant to be.

/// The nearest of the known keys, if any is near: at most one edit for each three letters, at most three.
pub(super) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    // Longer than any key: not worth the arithmetic.
    if key.len() > 64 {
        return None;
    }
    let near = |known: &&'k str| {
        let edits = distance(key, known);
        let allowed = (known.len() / 3).clamp(1, 3);
        (edits <= allowed).then_some((edits, *known))
    };
    known.iter().filter_map(near).min().map(|(_, known)| known)
}

/// Letters to insert, drop, replace or swap with their neighbour to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    // Rows of the table of all prefixes: two before, before, now.
    let mut before: Vec<usize> = (0..=to.len()).collect();
    let mut two_before = before.clone();
    let mut last = None;
    for (row, letter) in from.chars().enumerate() {
        let mut now = Vec::with_capacity(before.len());
        now.push(row + 1);
        let mut left = None;
        for (column, &other) in to.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX);
            let mut edits = (at(&before, column) + usize::from(letter != other))
                .min(at(&before, column + 1) + 1)
                .min(at(&now, column) + 1);
            if last == Some(other) && left == Some(letter) && column > 0 {
                edits = edits.min(at(&two_before, column - 1) + 1);
            }
            now.push(edits);
            left = Some(other);
        }
        last = Some(letter);
        two_before = std::mem::replace(&mut before, now);
    }
    before.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_one_edit() {
        for (from, to, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("jitter", "jitter", 0),
            ("jiter", "jitter", 1),
            ("jittter", "jitter", 1),
            ("jotter", "jitter", 1),
            ("cooldwon", "cooldown", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(from, to), edits, "{from} {to}");
            assert_eq!(distance(to, from), edits, "{to} {from}");
        }
    }

    #[test]
    fn a_near_key_is_named_and_a_far_one_is_not() {
        let known = [
            "attempts",
            "base",
            "cap",
            "jitter",
            "attempts_with_fallback",
        ];
        assert_eq!(nearest("atempts", &known), Some("attempts"));
        assert_eq!(nearest("gap", &known), Some("cap"));
        assert_eq!(nearest("retries", &known), None);
        assert_eq!(nearest(&"cap".repeat(100), &known), None);
    }
}
