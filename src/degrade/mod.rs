//! The last word on every failure: a cached answer, a canned one, or a clean error.
