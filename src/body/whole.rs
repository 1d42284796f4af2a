//! Answers that are all here.

use bytes::Bytes;

/// A body that may be all here. Through a stack of bodies, each polls the next for each frame and its end: whoever holds
/// the outermost can spare itself that where nobody further in waits to hear how the answer is read.
pub(crate) trait TakeWhole {
    /// Takes the one frame that is all of it, and leaves nothing behind.
    fn take_whole(&mut self) -> Option<Bytes>;
}
