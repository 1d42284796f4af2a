//! The time as calls see it.
//!
//! On its way through the stack a call asks for the time about ten times, most of them within the same microseconds, and to
//! ask is dear where the machine is a virtual one: 70 ns were seen. Where whoever polls the call says so, the clock
//! [stands still](still()) for so long and is read once.
//!
//! So does the proxy, whose client never blocks. In the stack of somebody else the clock always runs: what a client does in
//! its poll is not known, and an attempt must not seem to have taken no time.

#[cfg(feature = "proxy")]
pub(crate) use still::{now, still};

#[cfg(not(feature = "proxy"))]
use tokio::time::Instant;

#[cfg(not(feature = "proxy"))]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[cfg(feature = "proxy")]
mod still {
    use crate::local;
    use std::cell::Cell;
    use tokio::time::Instant;

    thread_local! {
        static CLOCK: Cell<Clock> = const { Cell::new(Clock::Runs) };
    }

    #[derive(Clone, Copy)]
    enum Clock {
        Runs,
        /// From the next look on.
        Stops,
        Stands(Instant),
    }

    /// What it is by the clock.
    pub(crate) fn now() -> Instant {
        if let Clock::Stands(now) = CLOCK.get() {
            return now;
        }
        let now = Instant::now();
        if let Clock::Stops = CLOCK.get() {
            CLOCK.set(Clock::Stands(now));
        }
        now
    }

    /// Does something that takes so little time that it need not see it pass, as a poll does.
    pub(crate) fn still<T>(soon_done: impl FnOnce() -> T) -> T {
        local::within(&CLOCK, Clock::Stops, soon_done)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::{panic::catch_unwind, thread};

        /// Whether the time passes.
        fn runs() -> bool {
            let before = now();
            let real = Instant::now();
            while Instant::now() == real {
                thread::yield_now();
            }
            now() > before
        }

        #[test]
        fn it_stands_still_from_the_first_look_to_the_end() {
            assert!(runs());
            let before = now();
            assert!(!still(|| {
                assert!(now() >= before);
                runs()
            }));
            assert!(runs());
        }

        #[test]
        fn it_is_read_anew_each_time() {
            let first = still(now);
            assert!(runs());
            assert!(still(now) > first);
        }

        #[test]
        fn it_runs_on_after_a_panic_and_in_another_thread() {
            catch_unwind(|| still(|| panic!("on purpose"))).unwrap_err();
            assert!(runs());
            still(|| {
                now();
                thread::scope(|scope| assert!(scope.spawn(runs).join().unwrap()));
            });
        }
    }
}
