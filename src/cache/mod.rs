//! Answers kept for the day the model does not answer.
