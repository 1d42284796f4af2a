//! Compartments: one hung feature or model cannot take every seat.

mod queue;
