//! What an answer means: the one table of judgement.
