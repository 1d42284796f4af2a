//! Replay reads the request body once, so that it can be sent again, and is the edge of the stack: it opens the call and
//! closes it.
//!
//! On the way in it
//!
//! * reads the body, bounded ([`BodyTooLarge`](crate::BodyTooLarge) past 32 MiB by default, nothing sent; a
//!   `content-length` past the bound is refused before reading) and within the deadline, into a `ReplayBody`: segments as
//!   received, never copied together;
//! * scans its top level as the segments arrive and puts one [`Call`](crate::Call) into the extensions, in place of the
//!   sender's [`Feature`](crate::Feature), [`Deadline`](crate::Deadline) (default 10 min) and [`Tenant`](crate::Tenant)
//!   (default: a keyed hash of the credential). Not a Messages body, or one with a `content-encoding`: the call has no
//!   model and passes through untouched;
//! * drops `tower-claude-*` request headers, so that none is sent upstream, and makes `content-length` true.
//!
//! On the way out it
//!
//! * drops upstream's `tower-claude-*` headers and writes ours from [`Served`](crate::Served): the one that an inner
//!   layer (Degrade) left, or else what the call counted; a final failure gets `x-should-retry: false` where an SDK would
//!   retry it, so that the caller's SDK does not multiply our retries (not a full bulkhead: nothing was sent);
//! * renders a failure after commit, which inner layers hand up as the error of the body, as one well-formed
//!   `event: error` and the end of an SSE answer; a JSON answer keeps the error;
//! * tells [`Event::CallEnded`](crate::Event::CallEnded) once, when the body ended, broke off or was dropped.
