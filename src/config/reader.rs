//! A table of the file, read key by key: what is misread is noted with its line, what nobody asked for is unknown.
//!
//! A problem stops nothing: the value before it stays, and all problems of a file are told at once.

use super::{error::Problem, form::Form, nearest::nearest};
use std::collections::BTreeMap;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// More problems than this are one: it is the wrong file.
const MOST_PROBLEMS: usize = 50;
/// Longer values are cut in messages.
const LONGEST_VALUE: usize = 60;

/// What was found in a file.
#[derive(Debug)]
pub(super) struct Findings {
    /// Where each line begins.
    lines: Vec<usize>,
    /// The line of each key, by its full name.
    keys: BTreeMap<String, usize>,
    problems: Vec<Problem>,
}

/// A value with its full name.
#[derive(Debug)]
pub(super) struct Node<'t> {
    name: String,
    value: &'t Spanned<DeValue<'t>>,
}

/// A table that is being read.
#[derive(Debug)]
pub(super) struct Reader<'f, 't> {
    /// Empty for the whole file.
    name: String,
    table: &'t DeTable<'t>,
    known: Vec<&'static str>,
    /// Any key is known.
    open: bool,
    pub(super) findings: &'f mut Findings,
}

impl Findings {
    pub(super) fn new(text: &str) -> Self {
        let starts = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            lines: [0].into_iter().chain(starts).collect(),
            keys: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The line of this byte, from 1.
    pub(super) fn line_at(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    /// The line of a key, if it is in the file.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        self.keys.get(key).copied()
    }

    /// The line of the innermost table above a key that is in the file.
    pub(super) fn line_above(&self, key: &str) -> Option<usize> {
        let mut key = key;
        loop {
            (key, _) = key.rsplit_once('.')?;
            if let Some(line) = self.line_of(key) {
                return Some(line);
            }
        }
    }

    pub(super) fn note(&mut self, problem: Problem) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// The value is not of the form that it must have.
    pub(super) fn refuse(&mut self, node: &Node<'_>, form: &str, secret: bool) {
        let line = self.line_at(node.value.span().start);
        let value = (!secret).then(|| shown(node.value.get_ref()));
        self.note(Problem::value(Some(line), &node.name, value, form));
    }

    /// Reads a table whole.
    pub(super) fn table<'t>(
        &mut self,
        name: &str,
        table: &'t DeTable<'t>,
        read: impl FnOnce(&mut Reader<'_, 't>),
    ) {
        let mut reader = Reader {
            name: name.to_owned(),
            table,
            known: Vec::new(),
            open: false,
            findings: self,
        };
        read(&mut reader);
        reader.refuse_the_rest();
    }

    /// Reads a value that must be a table.
    pub(super) fn table_of<'t>(&mut self, node: &Node<'t>, read: impl FnOnce(&mut Reader<'_, 't>)) {
        match node.value.get_ref() {
            DeValue::Table(table) => self.table(&node.name, table, read),
            _ => self.refuse(node, "a table", false),
        }
    }
}

impl<'t> Node<'t> {
    pub(super) fn value(&self) -> &'t DeValue<'t> {
        self.value.get_ref()
    }

    /// Its items, where it is an array.
    pub(super) fn items(&self) -> Option<impl Iterator<Item = Node<'t>>> {
        let items = self.value.get_ref().as_array()?.iter().enumerate();
        Some(items.map(|(at, value)| Node {
            name: format!("{}[{at}]", self.name),
            value,
        }))
    }
}

impl<'t> Reader<'_, 't> {
    /// The value of a key, if it is there.
    pub(super) fn node(&mut self, key: &'static str) -> Option<Node<'t>> {
        self.known.push(key);
        let (at, value) = self.table.get_key_value(key)?;
        let name = full_name(&self.name, key);
        let line = self.findings.line_at(at.span().start);
        self.findings.keys.insert(name.clone(), line);
        Some(Node { name, value })
    }

    /// The value of a key, if it is there and of this form.
    pub(super) fn get<T>(&mut self, key: &'static str, form: &Form<T>) -> Option<T> {
        let node = self.node(key)?;
        let value = (form.read)(node.value());
        if value.is_none() {
            self.findings.refuse(&node, form.is, form.secret);
        }
        value
    }

    /// The value of a key, where it is there, in place of the one before.
    pub(super) fn read<T>(&mut self, key: &'static str, into: &mut T, form: &Form<T>) {
        if let Some(value) = self.get(key, form) {
            *into = value;
        }
    }

    /// The table of a key, if it is there.
    pub(super) fn table(&mut self, key: &'static str, read: impl FnOnce(&mut Reader<'_, 't>)) {
        if let Some(node) = self.node(key) {
            self.findings.table_of(&node, read);
        }
    }

    /// Every table in this one, whatever its name.
    pub(super) fn tables(&mut self, mut read: impl FnMut(&'t str, &mut Reader<'_, 't>)) {
        for (at, value) in self.table {
            let key = at.get_ref().as_ref();
            let name = full_name(&self.name, key);
            let line = self.findings.line_at(at.span().start);
            self.findings.keys.insert(name.clone(), line);
            let node = Node { name, value };
            self.findings.table_of(&node, |reader| read(key, reader));
        }
        self.open = true;
    }

    fn refuse_the_rest(&mut self) {
        if self.open {
            return;
        }
        for at in self.table.keys() {
            let key = at.get_ref().as_ref();
            if !self.known.contains(&key) {
                let line = self.findings.line_at(at.span().start);
                let name = full_name(&self.name, key);
                let hint = match nearest(key, &self.known) {
                    Some(known) => format!("did you mean \"{known}\"?"),
                    None => format!("known are {}", self.known.join(", ")),
                };
                self.findings.note(Problem::unknown_key(line, name, hint));
            }
        }
    }
}

/// The name of a key with that of its table, as the file would write it.
pub(super) fn full_name(table: &str, key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let key = if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        shown_text(key)
    };
    if table.is_empty() {
        key
    } else {
        format!("{table}.{key}")
    }
}

pub(super) fn shown_text(text: &str) -> String {
    let cut: String = text.chars().take(LONGEST_VALUE).collect();
    let more = if cut.len() < text.len() { " …" } else { "" };
    format!("{cut:?}{more}")
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => shown_text(text),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(boolean) => boolean.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
