//! Rolling totals and alerts from what the layers decide.
