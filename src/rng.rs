//! One seedable source of randomness per layer, shared by its clones.
//!
//! A generator that is cloned with its service draws the same "jitter" in every clone, and the herd stays a herd. This
//! one is shared, so that two sessions of one layer draw different delays; with a seed the whole layer is repeatable.

use crate::sync::{Mutex, lock};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus};
use std::{fmt, sync::Arc};

/// By a generator of a name: `SmallRng` is another one on machines of 32 bits, and a seed would not mean the same there.
#[derive(Clone)]
pub(crate) struct SharedRng(Arc<Mutex<Xoshiro256PlusPlus>>);

impl SharedRng {
    /// Seeded by the operating system; where that fails, by the address of the layer, which still tells layers apart.
    pub(crate) fn from_os() -> Self {
        use rand::{TryRng, rngs::SysRng};
        let seed = SysRng.try_next_u64().unwrap_or_else(|_| {
            let here = Arc::new(0_u8);
            Arc::as_ptr(&here) as u64
        });
        Self::seeded(seed)
    }

    /// Repeatable.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Xoshiro256PlusPlus::seed_from_u64(
            seed,
        ))))
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&self) -> f64 {
        lock(&self.0).random::<f64>()
    }
}

impl Default for SharedRng {
    fn default() -> Self {
        Self::from_os()
    }
}

impl fmt::Debug for SharedRng {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedRng")
    }
}
