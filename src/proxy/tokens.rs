//! Tokens that are known, and looked for in constant time.

use sha2::{Digest, Sha256};
use std::{fmt, hint::black_box};

/// A token that can be guessed is worse than none.
const SHORTEST: usize = 16;

/// The tokens, hashed: neither their length nor how much of one was right can be told from the time that a look takes.
pub(super) struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// From a list with commas. `None`: there is none in it, or one that is too short.
    pub(super) fn read(text: &str) -> Option<Self> {
        let tokens = text.split(',').map(str::trim);
        let tokens: Vec<_> = tokens.filter(|token| !token.is_empty()).collect();
        let long = tokens.iter().all(|token| token.len() >= SHORTEST);
        let hashed = tokens.iter().map(|token| hash(token.as_bytes()));
        (long && !tokens.is_empty()).then(|| Self(hashed.collect()))
    }

    /// Looks at every byte of every one.
    pub(super) fn have(&self, token: &[u8]) -> bool {
        let token = hash(token);
        let mut found = false;
        for known in &self.0 {
            let pairs = known.iter().zip(&token);
            let difference = pairs.fold(0, |all, (a, b)| black_box(all | (a ^ b)));
            found |= difference == 0;
        }
        found
    }
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_known_if_it_is_one_of_the_list() {
        let tokens = Tokens::read("token-of-tenant-one, token-of-tenant-two,").unwrap();
        assert!(tokens.have(b"token-of-tenant-one"));
        assert!(tokens.have(b"token-of-tenant-two"));
        for wrong in [&b""[..], b"token-of-tenant-on", b"token-of-tenant-one,"] {
            assert!(!tokens.have(wrong));
        }
        assert_eq!(format!("{tokens:?}"), "2 tokens");
    }

    #[test]
    fn no_list_and_a_token_that_can_be_guessed_are_refused() {
        for list in ["", " , ", "short", "a-long-enough-token,short"] {
            assert!(Tokens::read(list).is_none(), "{list}");
        }
    }
}
