//! Reads a table of a TOML document, field by field, and refuses what nobody asked for.

use super::{error::ConfigError, units};
use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    fmt::Display,
    net::SocketAddr,
    time::Duration,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The text of a file and its name, to point into.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Source<'_> {
    /// The line of an offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self
            .text
            .as_bytes()
            .get(..offset)
            .unwrap_or(self.text.as_bytes());
        memchr::memchr_iter(b'\n', before).count() + 1
    }
}

/// One table. Each field is asked for by name; [`finish`](Self::finish) refuses the others.
pub(super) struct Reader<'a> {
    source: Source<'a>,
    path: String,
    table: &'a DeTable<'a>,
    known: RefCell<Vec<&'static str>>,
    all: Cell<bool>,
}

type Read<T> = Result<T, ConfigError>;

impl<'a> Reader<'a> {
    pub(super) fn new(source: Source<'a>, path: impl Into<String>, table: &'a DeTable<'a>) -> Self {
        Self {
            source,
            path: path.into(),
            table,
            known: RefCell::default(),
            all: Cell::default(),
        }
    }

    pub(super) fn source(&self) -> Source<'a> {
        self.source
    }

    pub(super) fn field(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn get(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.borrow_mut().push(key);
        self.table.get(key)
    }

    /// An error at the value of a key.
    pub(super) fn wrong(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        bound: &str,
    ) -> ConfigError {
        let problem = format!("is {}, but must be {bound}", shown(value.get_ref()));
        let line = self.source.line(value.span().start);
        ConfigError::new(self.source.file, Some(line), self.field(key), problem)
    }

    /// Reads `key` into `target`, if it is there. `parse` answers `None` for a value that does not fit.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        target: &mut T,
        bound: &str,
        parse: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Read<()> {
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        *target = parse(value.get_ref()).ok_or_else(|| self.wrong(key, value, bound))?;
        Ok(())
    }

    pub(super) fn duration(&self, key: &'static str, target: &mut Duration) -> Read<()> {
        self.read(key, target, "a duration above 0 such as \"15s\"", |value| {
            units::duration(value.as_str()?).filter(|time| !time.is_zero())
        })
    }

    /// A duration that may be 0.
    pub(super) fn wait(&self, key: &'static str, target: &mut Duration) -> Read<()> {
        self.read(key, target, "a duration such as \"2s\"", |value| {
            units::duration(value.as_str()?)
        })
    }

    pub(super) fn size(&self, key: &'static str, target: &mut u64) -> Read<()> {
        self.read(key, target, "a size above 0 such as \"32MiB\"", |value| {
            units::size(value.as_str()?).filter(|size| *size > 0)
        })
    }

    pub(super) fn count<T>(&self, key: &'static str, target: &mut T, from: u64, to: u64) -> Read<()>
    where
        T: TryFrom<u64>,
    {
        let bound = format!("a whole number from {from} to {to}");
        self.read(key, target, &bound, |value| {
            let number = integer(value)?;
            if number < from || number > to {
                return None;
            }
            T::try_from(number).ok()
        })
    }

    /// A number from `from` to `to`, both included.
    pub(super) fn number(
        &self,
        key: &'static str,
        target: &mut f64,
        from: f64,
        to: f64,
    ) -> Read<()> {
        let bound = format!("a number from {from} to {to}");
        self.read(key, target, &bound, |value| {
            float(value).filter(|number| (from..=to).contains(number))
        })
    }

    pub(super) fn text(&self, key: &'static str, target: &mut String) -> Read<()> {
        self.read(key, target, "a text that is not blank", |value| {
            let text = value.as_str()?;
            (!text.trim().is_empty()).then(|| text.to_owned())
        })
    }

    pub(super) fn address(&self, key: &'static str, target: &mut SocketAddr) -> Read<()> {
        self.read(
            key,
            target,
            "an address and port such as \"127.0.0.1:8787\"",
            |value| value.as_str()?.parse().ok(),
        )
    }

    /// A table below this one, read by `read`.
    pub(super) fn table(
        &self,
        key: &'static str,
        read: impl FnOnce(&Reader<'a>) -> Read<()>,
    ) -> Read<()> {
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        let Some(table) = value.get_ref().as_table() else {
            return Err(self.wrong(key, value, "a table"));
        };
        let reader = Reader::new(self.source, self.field(key), table);
        read(&reader)?;
        reader.finish()
    }

    /// All keys of this table with their values: for a table whose keys are names of the user's own.
    pub(super) fn entries(
        &self,
    ) -> impl Iterator<Item = (&'a str, usize, &'a Spanned<DeValue<'a>>)> {
        self.table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), key.span().start, value))
    }

    /// Every key of this table was read.
    pub(super) fn know_all(&self) {
        self.all.set(true);
    }

    /// Refuses a key that nobody asked for, and names the nearest one that could be meant.
    pub(super) fn finish(&self) -> Read<()> {
        if self.all.get() {
            return Ok(());
        }
        let known = self.known.borrow();
        for (key, at, _) in self.entries() {
            if known.contains(&key) {
                continue;
            }
            let problem = match nearest(key, known.iter().copied()) {
                Some(nearest) => format!("is unknown; did you mean {nearest}?"),
                None => format!("is unknown; known here are {}", known.join(", ")),
            };
            let line = Some(self.source.line(at));
            return Err(ConfigError::new(
                self.source.file,
                line,
                self.field(key),
                problem,
            ));
        }
        Ok(())
    }
}

/// A value as it is told in an error.
pub(super) fn shown(value: &DeValue<'_>) -> String {
    fn short(text: impl Display) -> String {
        let text = text.to_string();
        match text.char_indices().nth(64) {
            Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
            None => text,
        }
    }
    match value {
        DeValue::String(text) => format!("{:?}", short(text)),
        DeValue::Integer(number) => short(number),
        DeValue::Float(number) => short(number),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(time) => short(time),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

pub(super) fn integer(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
}

fn float(value: &DeValue<'_>) -> Option<f64> {
    let text: Cow<'_, str> = match value {
        DeValue::Float(number) => number.as_str().into(),
        DeValue::Integer(number) if number.radix() == 10 => number.as_str().into(),
        _ => return None,
    };
    text.replace('_', "")
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

/// The known key that is the fewest edits away, if those are few.
fn nearest<'k>(key: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // A key that nobody could have meant as one of ours is not measured.
    if key.len() > 64 {
        return None;
    }
    known
        .map(|known| (edits(key, known), known))
        .filter(|(edits, known)| *edits <= 1 + known.len() / 4)
        .min()
        .map(|(_, known)| known)
}

/// How many letters must be added, dropped or changed to make one word the other.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut corner = above;
        let mut left = above + 1;
        let mut next = vec![left];
        for (other, up) in to.iter().zip(row.iter().skip(1)) {
            let cost = (corner + usize::from(letter != *other))
                .min(left + 1)
                .min(up + 1);
            corner = *up;
            left = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_two_words_is_their_fewest_edits() {
        for (from, to, distance) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("cooldwn", "cooldown", 1),
            ("colour", "color", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edits(from, to), distance, "{from} {to}");
        }
    }

    #[test]
    fn only_a_near_word_is_proposed() {
        let known = ["listen", "admin", "upstream"];
        assert_eq!(nearest("lisen", known.into_iter()), Some("listen"));
        assert_eq!(nearest("banana", known.into_iter()), None);
    }
}
