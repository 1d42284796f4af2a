use super::service::AnswerErrors;
use tower_layer::Layer;

/// Makes a service that answers instead of failing. See the [module docs](super).
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct AnswerErrorsLayer;

impl AnswerErrorsLayer {
    /// There is nothing to set.
    pub fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for AnswerErrorsLayer {
    type Service = AnswerErrors<S>;

    fn layer(&self, inner: S) -> AnswerErrors<S> {
        AnswerErrors::new(inner)
    }
}
