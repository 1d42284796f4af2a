//! A connection that is not woken by what it does itself.
//!
//! Whoever takes a piece of the body of a request makes room for the next one, and hyper wakes the task of the connection to
//! read it. Mostly it is that task which takes it, and the piece is the last: there is nothing more to read, and the task
//! would be polled once more for nothing, with all layers of the call under way. So the task keeps its bell [hushed]
//! meanwhile, and rings it afterwards where there is more to come. What another task takes is always heard.

use super::bell::{Door, Hear};
use crate::local;
use std::cell::Cell;

thread_local! {
    // Of this thread only: what another one has to tell is always passed on.
    static HUSH: Cell<Hush> = const { Cell::new(Hush::Off) };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hush {
    Off,
    On,
    /// And there was something to hush up.
    Rung,
}

/// Hears all but what is [hushed].
#[derive(Debug)]
pub(super) struct Calls(());

/// Of a connection.
pub(super) fn door() -> Door<Calls> {
    Door::new(Calls(()))
}

impl Hear for Calls {
    fn passes_on(&self) -> bool {
        let off = HUSH.get() == Hush::Off;
        if !off {
            HUSH.set(Hush::Rung);
        }
        off
    }
}

/// Does something that may ring the bell of the connection whose task this is, and no other one, without its being heard.
/// Whether it has rung.
pub(super) fn hushed<T>(quietly: impl FnOnce() -> T) -> (T, bool) {
    local::within(&HUSH, Hush::On, || {
        let done = quietly();
        (done, HUSH.get() == Hush::Rung)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{panic::catch_unwind, thread};

    fn is_heard() -> bool {
        Calls(()).passes_on()
    }

    #[test]
    fn what_rings_within_is_not_heard_but_told() {
        assert_eq!(hushed(is_heard), (false, true));
        assert_eq!(hushed(|| 7), (7, false));
        assert!(is_heard());
    }

    #[test]
    fn another_thread_is_heard_meanwhile() {
        let heard = hushed(|| thread::scope(|scope| scope.spawn(is_heard).join().unwrap()));
        assert_eq!(heard, (true, false));
    }

    #[test]
    fn a_panic_within_leaves_nothing_hushed() {
        catch_unwind(|| hushed(|| panic!("on purpose"))).unwrap_err();
        assert!(is_heard());
    }
}
