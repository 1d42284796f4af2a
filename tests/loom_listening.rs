//! The waker between a connection and the task that drives it, under loom: whoever wakes is heard.
//!
//! Includes the core itself, with loom's atomics in place of std's.
#![allow(missing_docs)]

#[allow(dead_code, unreachable_pub, clippy::pedantic)]
#[path = "../src/proxy/upstream/listening.rs"]
mod listening;

mod sync {
    pub(crate) use loom::sync::atomic::AtomicU8;
    use std::task::Waker;

    /// Loom's, as the one of futures is called.
    #[derive(Debug, Default)]
    pub(crate) struct AtomicWaker(loom::future::AtomicWaker);

    impl AtomicWaker {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn register(&self, waker: &Waker) {
            self.0.register_by_ref(waker);
        }

        pub(crate) fn wake(&self) {
            self.0.wake();
        }
    }
}

use listening::Listening;
use loom::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};
use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};
use sync::AtomicWaker;

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// As a socket does: something comes, and whoever asked last is woken.
#[derive(Default)]
struct Source {
    come: AtomicUsize,
    waker: AtomicWaker,
}

impl Source {
    fn send(&self) {
        self.come.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    fn poll(&self, wanted: usize, cx: &mut Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.come.load(Ordering::Acquire) < wanted {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

/// Waits as a task does: a wake-up that is lost is a deadlock, which loom reports.
fn wait(mut poll: impl FnMut(&mut Context<'_>) -> Poll<()>) {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    while poll(&mut cx).is_pending() {
        thread::park();
    }
}

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

#[test]
fn what_comes_while_the_task_polls_or_waits_wakes_it() {
    model(|| {
        let source = Arc::new(Source::default());
        let sender = source.clone();
        let sending = thread::spawn(move || {
            sender.send();
            sender.send();
        });
        let listening = Listening::new();
        for wanted in 1..=2 {
            wait(|cx| listening.poll(cx, |cx| source.poll(wanted, cx)));
        }
        sending.join().unwrap();
    });
}

#[test]
fn two_that_wake_at_once_are_both_heard() {
    model(|| {
        let sources = [(); 2].map(|()| Arc::new(Source::default()));
        let senders = sources
            .clone()
            .map(|source| thread::spawn(move || source.send()));
        let listening = Listening::new();
        wait(|cx| {
            listening.poll(cx, |cx| {
                let both = sources.each_ref().map(|source| source.poll(1, cx));
                if both.contains(&Poll::Pending) {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
        });
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

#[test]
fn it_goes_from_one_task_to_another() {
    model(|| {
        let source = Arc::new(Source::default());
        let sender = source.clone();
        let listening = Listening::new();
        // Asks once, and leaves the rest to another.
        let mut gone = Context::from_waker(Waker::noop());
        let asked = listening.poll(&mut gone, |cx| source.poll(1, cx));
        assert!(asked.is_pending());
        let sending = thread::spawn(move || sender.send());
        let waiting = thread::spawn(move || wait(|cx| listening.poll(cx, |cx| source.poll(1, cx))));
        sending.join().unwrap();
        waiting.join().unwrap();
    });
}
