//! `[auth]`

use super::{
    checks::Checks,
    form::{self, Form, VARIABLE, VARIABLE_IS},
    reader::Reader,
};

/// A key that the proxy holds, and the callers that may use it. Holds no secret, only where the secrets are.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthSettings {
    /// The environment variable with the key for the calls upstream. Default `ANTHROPIC_API_KEY`.
    pub api_key_env: String,
    /// The environment variable with the tokens of the callers, comma separated. Default `CLAUDE_PROXY_TOKENS`.
    pub tokens_env: String,
    /// Paths that callers may use besides messages, `count_tokens` and models, such as `/v1/files`. Default: none.
    pub also: Vec<String>,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            api_key_env: "ANTHROPIC_API_KEY".to_owned(),
            tokens_env: "CLAUDE_PROXY_TOKENS".to_owned(),
            also: Vec::new(),
        }
    }
}

const PATHS_ARE: &str = "an array of paths, such as [\"/v1/files\"]";

const PATHS: Form<Vec<String>> = Form::new(PATHS_ARE, |value| {
    let paths = value.as_array()?.iter();
    paths
        .map(|path| path.get_ref().as_str().map(ToOwned::to_owned))
        .collect()
});

impl AuthSettings {
    pub(super) fn read(&mut self, reader: &mut Reader<'_, '_>) {
        reader.read("api_key_env", &mut self.api_key_env, &VARIABLE);
        reader.read("tokens_env", &mut self.tokens_env, &VARIABLE);
        reader.read("also", &mut self.also, &PATHS);
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        for (key, name) in [
            ("auth.api_key_env", &self.api_key_env),
            ("auth.tokens_env", &self.tokens_env),
        ] {
            checks.must_secretly(form::is_variable(name), key, VARIABLE_IS);
        }
        checks.must_secretly(
            self.api_key_env != self.tokens_env,
            "auth.tokens_env",
            "another variable than auth.api_key_env",
        );
        for path in &self.also {
            checks.must(
                path.starts_with('/'),
                "auth.also",
                format!("{path:?}"),
                PATHS_ARE,
            );
        }
    }
}
