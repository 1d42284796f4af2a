//! What belongs to names that are known beforehand, found without a lock.
//!
//! Most calls ask a model of a chain, and many run at once. What each of them has to find should cost it no turn at a lock,
//! and no write to memory that the others read.

use std::sync::{Arc, OnceLock};

/// A place for each of a few names, filled when it is first looked for.
#[derive(Debug, Clone)]
pub(crate) struct Pinned<T>(
    /// In order of name.
    Box<[(Arc<str>, OnceLock<T>)]>,
);

impl<T> Pinned<T> {
    /// Empty places for these names, each of which comes once.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a Arc<str>>) -> Self {
        let names = names.into_iter().cloned();
        let mut places: Vec<_> = names.map(|name| (name, OnceLock::new())).collect();
        places.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self(places.into())
    }

    /// What belongs to this name, from `find` if nobody has looked for it yet. `None`: the name has no place.
    pub(crate) fn get(&self, name: &str, find: impl FnOnce() -> T) -> Option<&T> {
        let at = self.0.binary_search_by(|(pinned, _)| (**pinned).cmp(name));
        let (_, place) = self.0.get(at.ok()?)?;
        Some(place.get_or_init(find))
    }
}

impl<T> Default for Pinned<T> {
    fn default() -> Self {
        Self(Box::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_place_that_is_filled_once_and_no_other_name_has_one() {
        let names = ["b", "c", "a"].map(Arc::from);
        let pinned = Pinned::new(&names);
        for name in ["a", "b", "c"] {
            assert_eq!(pinned.get(name, || name.to_owned()).unwrap(), name);
        }
        for name in ["a", "b", "c"] {
            assert_eq!(pinned.get(name, || "again".to_owned()).unwrap(), name);
        }
        for other in ["", "aa", "d"] {
            assert_eq!(pinned.get(other, || "other".to_owned()), None);
        }
    }
}
