//! A bounded map from names that come from outside to what is counted for them.

use std::sync::Arc;

/// The name under which everything is counted that found no place of its own.
pub const OTHER: &str = "other";

/// The name of the model of calls that ask for none.
pub const NONE: &str = "none";

/// A longer name is not kept: the bound is one of bytes as well.
const LONGEST: usize = 128;

/// Identifies a name for as long as it is kept; never used again for another one.
pub(super) type Id = u64;

/// Values by name: at most `max` names beside the pinned ones, the rest share one value.
///
/// In order of name, since a search among so few costs less than a hash that outside input cannot fool.
#[derive(Debug)]
pub(super) struct Table<T> {
    named: Vec<Kept<T>>,
    /// Where the name was found that was asked for last: the next one is mostly the same.
    last: usize,
    other: Kept<T>,
    next: Id,
    max: usize,
    pinned: usize,
}

#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) name: Arc<str>,
    pub(super) id: Id,
    pub(super) value: T,
    pinned: bool,
}

impl<T> Table<T> {
    pub(super) fn new(max: usize, make: impl FnOnce(&Arc<str>) -> T) -> Self {
        let other = Arc::from(OTHER);
        Self {
            named: Vec::new(),
            last: 0,
            other: Kept {
                id: 0,
                value: make(&other),
                name: other,
                pinned: true,
            },
            next: 1,
            max,
            pinned: 0,
        }
    }

    /// Gives a name a place that no flood of others takes away.
    pub(super) fn pin(&mut self, name: Arc<str>, make: impl FnOnce(&Arc<str>) -> T) {
        if let (Err(at), true) = (self.find(&name), &*name != OTHER) {
            self.pinned += 1;
            self.insert(at, name, true, make);
        }
    }

    /// The place of a name; a new name gets what `make` makes, where there is room. A known name allocates nothing.
    pub(super) fn place(&mut self, name: &str, make: impl FnOnce(&Arc<str>) -> T) -> &mut Kept<T> {
        let name = if name.is_empty() { NONE } else { name };
        let at = match self.find(name) {
            Ok(at) => at,
            Err(at) if self.has_room_for(name) => {
                self.insert(at, Arc::from(name), false, make);
                at
            }
            Err(_) => return &mut self.other,
        };
        self.last = at;
        self.named.get_mut(at).unwrap_or(&mut self.other)
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        match self.named.get(self.last) {
            Some(last) if *last.name == *name => Ok(self.last),
            _ => self.named.binary_search_by(|kept| (*kept.name).cmp(name)),
        }
    }

    fn has_room_for(&self, name: &str) -> bool {
        let room = self.named.len() < self.max.saturating_add(self.pinned);
        room && name.len() <= LONGEST && name != OTHER
    }

    fn insert(
        &mut self,
        at: usize,
        name: Arc<str>,
        pinned: bool,
        make: impl FnOnce(&Arc<str>) -> T,
    ) {
        let kept = Kept {
            id: self.next,
            value: make(&name),
            name,
            pinned,
        };
        self.next += 1;
        self.named.insert(at, kept);
    }

    /// Forgets the names that are neither pinned nor in use.
    pub(super) fn retain(&mut self, in_use: impl Fn(&T) -> bool) {
        self.named.retain(|kept| kept.pinned || in_use(&kept.value));
    }

    /// The places of all names in their order, the shared one last.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Kept<T>> {
        self.named.iter_mut().chain([&mut self.other])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(table: &mut Table<u32>, name: &str) -> Id {
        let kept = table.place(name, |_| 0);
        kept.value += 1;
        kept.id
    }

    #[test]
    fn a_flood_of_names_ends_in_other_and_leaves_the_pinned_ones_alone() {
        let mut table = Table::new(4, |_| 0);
        table.pin("sonnet".into(), |_| 0);
        for flood in 0..1000 {
            count(&mut table, &format!("invented-{flood}"));
        }
        assert_ne!(count(&mut table, "sonnet"), 0);
        assert_eq!(table.iter_mut().count(), 4 + 1 + 1);
        assert_eq!(table.other.value, 996);
    }

    #[test]
    fn a_name_that_is_forgotten_makes_room_and_comes_back_as_another() {
        let mut table = Table::new(1, |_| 0);
        let first = count(&mut table, "a");
        assert_eq!(count(&mut table, "b"), 0);
        table.retain(|_| false);
        assert!(count(&mut table, "b") > first);
    }

    #[test]
    fn odd_names_share_a_place() {
        let mut table = Table::new(9, |_| 0);
        assert_eq!(count(&mut table, OTHER), 0);
        assert_eq!(count(&mut table, &"x".repeat(LONGEST + 1)), 0);
        assert_eq!(count(&mut table, ""), count(&mut table, NONE));
    }
}
