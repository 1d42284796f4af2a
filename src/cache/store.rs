//! What a store of answers is.

use super::CacheKey;
use crate::{
    call::{Feature, Tenant},
    error::BoxError,
};
use bytes::Bytes;
use std::{fmt, pin::Pin, time::Duration};

/// A store of answers, object-safe: give it to
/// `DegradeLayer::with_cache` (feature `cache`) as an `Arc<dyn ResponseCache>`.
///
/// Several services share one store. A store that fails or panics harms no call: the answer is merely not there.
pub trait ResponseCache: fmt::Debug + Send + Sync {
    /// Looks for an answer: at once, or as a future for a store that is further away.
    ///
    /// Asked only when a call has failed. The caller waits for the future no longer than
    /// [`with_lookup_timeout`](crate::degrade::DegradeLayer::with_lookup_timeout) says, and not past the deadline of the
    /// call.
    fn get(&self, query: &CacheQuery) -> Lookup;

    /// Whether it would take an answer now. Default: always.
    ///
    /// Asked when a good answer begins, before its key and a copy are made for [`put`](Self::put): the place to say no for
    /// a store that has as much to do as it can. The answer is merely not kept.
    fn wants(&self) -> bool {
        true
    }

    /// Keeps an answer, or not.
    ///
    /// Called at the end of a good answer, on the task that reads it, or before it is given to its caller where it came in
    /// one piece: it must not block. A store that is further away sends the answer on its way and returns. A store need not
    /// look into answers: one is put if at a glance it may be given again, and read closely before it is.
    fn put(&self, query: &CacheQuery, answer: CachedAnswer);
}

/// What is asked of a store.
///
/// Its fields grow as stores learn to look for similar answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheQuery {
    /// The request, exactly.
    pub key: CacheKey,
    /// Whose call it is. The key covers it; a store that looks for similar answers must stay within it.
    pub tenant: Tenant,
    /// The feature that makes the call. The key covers it as well.
    pub feature: Feature,
}

impl CacheQuery {
    /// A query for the answer to this request, of this tenant and feature.
    pub fn new(key: CacheKey, tenant: Tenant, feature: Feature) -> Self {
        Self {
            key,
            tenant,
            feature,
        }
    }
}

/// An answer that a store keeps.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct CachedAnswer {
    /// The message as Claude gave it, as complete JSON, in an allocation of its own.
    pub body: Bytes,
    /// How long the store has had it. Zero when it is put there.
    pub age: Duration,
    /// How much the request it was given to is like this one, from 0 to 1. `None`: it is the same request.
    pub similarity: Option<f32>,
}

impl CachedAnswer {
    /// A new answer to exactly this request.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            body: body.into(),
            age: Duration::ZERO,
            similarity: None,
        }
    }

    /// With the time the store has had it.
    #[must_use]
    pub fn with_age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }

    /// With how much the request it was given to is like this one.
    #[must_use]
    pub fn with_similarity(mut self, similarity: f32) -> Self {
        self.similarity = Some(similarity);
        self
    }
}

/// Not the text: it is somebody's.
impl fmt::Debug for CachedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedAnswer")
            .field("bytes", &self.body.len())
            .field("age", &self.age)
            .field("similarity", &self.similarity)
            .finish()
    }
}

/// A lookup that takes time. An error means the same as no answer.
pub type LookupFuture =
    Pin<Box<dyn Future<Output = Result<Option<CachedAnswer>, BoxError>> + Send + 'static>>;

/// What a store says when it is asked.
pub enum Lookup {
    /// What it has, at once.
    Ready(Option<CachedAnswer>),
    /// It has to ask somewhere else first.
    Pending(LookupFuture),
}

impl Lookup {
    /// A lookup that takes time.
    pub fn pending<F>(lookup: F) -> Self
    where
        F: Future<Output = Result<Option<CachedAnswer>, BoxError>> + Send + 'static,
    {
        Self::Pending(Box::pin(lookup))
    }
}

impl From<Option<CachedAnswer>> for Lookup {
    fn from(answer: Option<CachedAnswer>) -> Self {
        Self::Ready(answer)
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(answer) => f.debug_tuple("Ready").field(answer).finish(),
            Self::Pending(_) => f.debug_tuple("Pending").finish_non_exhaustive(),
        }
    }
}
