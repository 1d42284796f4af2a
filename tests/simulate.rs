//! The laboratory of `examples/simulate`: that it is deterministic, that the reference it compares with has the flaws it
//! is compared for, and that the stack does what it is there for. What takes long is left to `simulate check`.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::pedantic,
    reason = "a part of an example"
)]

#[path = "../examples/simulate/lab/mod.rs"]
mod lab;

use lab::must::ALL;

#[track_caller]
fn holds(name: &str) {
    let (_, check) = ALL.iter().find(|(known, _)| *known == name).unwrap();
    let claim = check(1).unwrap();
    assert!(claim.holds, "{}: {}", claim.what, claim.because);
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    holds("same_seed_same_trace");
}

#[test]
fn another_machine_changes_nothing() {
    holds("machine");
}

#[test]
fn the_reference_retries_before_it_may() {
    holds("reference_retries_early");
}

#[test]
fn the_reference_waits_without_bound() {
    holds("reference_waits_without_bound");
}

#[test]
fn the_reference_floods_a_half_open_circuit_and_we_do_not() {
    holds("reference_floods_half_open");
}

#[test]
fn a_hang_is_answered_within_30_seconds() {
    holds("S1b");
}

#[test]
fn no_retry_comes_before_retry_after() {
    holds("S3");
}

#[test]
fn a_noisy_feature_harms_no_other() {
    holds("S4");
}

#[test]
fn a_service_that_comes_back_slowly_is_not_trampled() {
    holds("S5");
}

#[test]
fn no_half_answer_is_taken_for_a_whole_one() {
    holds("S7");
}
