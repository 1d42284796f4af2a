//! A bounded map from names that come from outside to what is counted for them.

use std::{collections::HashMap, sync::Arc};

/// The name under which everything is counted that found no place of its own.
pub const OTHER: &str = "other";

/// The name of the model of calls that ask for none.
pub const NONE: &str = "none";

/// A longer name is not kept: the bound is one of bytes as well.
const LONGEST: usize = 128;

/// Identifies a name for as long as it is kept; never used again for another one.
pub(super) type Id = u64;

/// Values by name: at most `max` names beside the pinned ones, the rest share one value.
#[derive(Debug)]
pub(super) struct Table<T> {
    named: HashMap<Arc<str>, Kept<T>>,
    other: Kept<T>,
    next: Id,
    max: usize,
    pinned: usize,
}

#[derive(Debug)]
pub(super) struct Kept<T> {
    pub(super) id: Id,
    pub(super) value: T,
    pinned: bool,
}

impl<T> Table<T> {
    pub(super) fn new(max: usize, other: T) -> Self {
        Self {
            named: HashMap::new(),
            other: Kept {
                id: 0,
                value: other,
                pinned: true,
            },
            next: 1,
            max,
            pinned: 0,
        }
    }

    /// Gives a name a place that no flood of others takes away.
    pub(super) fn pin(&mut self, name: Arc<str>, value: T) {
        if &*name != OTHER && !self.named.contains_key(&name) {
            self.pinned += 1;
            self.insert(name, value, true);
        }
    }

    /// The place of a name; a new name gets what `make` makes, where there is room. A known name allocates nothing.
    pub(super) fn place(&mut self, name: &str, make: impl FnOnce(&Arc<str>) -> T) -> &mut Kept<T> {
        let name = if name.is_empty() { NONE } else { name };
        let room = self.named.len() < self.max.saturating_add(self.pinned);
        if room && name.len() <= LONGEST && name != OTHER && !self.named.contains_key(name) {
            let name = Arc::from(name);
            let value = make(&name);
            self.insert(name, value, false);
        }
        match self.named.get_mut(name) {
            Some(kept) => kept,
            None => &mut self.other,
        }
    }

    fn insert(&mut self, name: Arc<str>, value: T, pinned: bool) {
        let id = self.next;
        self.next += 1;
        self.named.insert(name, Kept { id, value, pinned });
    }

    /// Forgets the names that are neither pinned nor in use.
    pub(super) fn retain(&mut self, in_use: impl Fn(&T) -> bool) {
        self.named
            .retain(|_, kept| kept.pinned || in_use(&kept.value));
    }

    /// All names with their values, in no order, the shared value last.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Kept<T>)> {
        let named = self.named.iter_mut().map(|(name, kept)| (&**name, kept));
        named.chain([(OTHER, &mut self.other)])
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
        let mut table = Table::new(4, 0);
        table.pin("sonnet".into(), 0);
        for flood in 0..1000 {
            count(&mut table, &format!("invented-{flood}"));
        }
        assert_ne!(count(&mut table, "sonnet"), 0);
        assert_eq!(table.iter_mut().count(), 4 + 1 + 1);
        assert_eq!(table.other.value, 996);
    }

    #[test]
    fn a_name_that_is_forgotten_makes_room_and_comes_back_as_another() {
        let mut table = Table::new(1, 0);
        let first = count(&mut table, "a");
        assert_eq!(count(&mut table, "b"), 0);
        table.retain(|_| false);
        assert!(count(&mut table, "b") > first);
    }

    #[test]
    fn odd_names_share_a_place() {
        let mut table = Table::new(9, 0);
        assert_eq!(count(&mut table, OTHER), 0);
        assert_eq!(count(&mut table, &"x".repeat(LONGEST + 1)), 0);
        assert_eq!(count(&mut table, ""), count(&mut table, NONE));
    }
}
