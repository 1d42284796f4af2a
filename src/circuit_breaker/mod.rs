//! Stop calling a model that does not answer.
