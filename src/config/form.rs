//! What a value must look like: how it is read, and what its reader is told who wrote another.

use super::units;
use http::Uri;
use std::{net::SocketAddr, num::NonZeroU64, time::Duration};
use toml::de::DeValue;

/// The form of a value.
pub(super) struct Form<T> {
    /// What it must be, for a sentence: "a size, such as \"32MiB\"".
    pub(super) is: &'static str,
    /// Whether what stands in its place may be a secret, which no message shows.
    pub(super) secret: bool,
    pub(super) read: fn(&DeValue<'_>) -> Option<T>,
}

impl<T> Form<T> {
    pub(super) const fn new(is: &'static str, read: fn(&DeValue<'_>) -> Option<T>) -> Self {
        Self {
            is,
            secret: false,
            read,
        }
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

pub(super) const DURATION: Form<Duration> = Form::new(
    "a duration, such as \"500ms\", \"5s\" or \"1m30s\"",
    |value| units::duration(value.as_str()?),
);

pub(super) const SIZE: Form<u64> = Form::new(
    "a size, such as \"64KiB\", \"32MiB\" or \"1GiB\"",
    |value| units::size(value.as_str()?),
);

pub(super) const ADDRESS: Form<SocketAddr> =
    Form::new(ADDRESS_IS, |value| value.as_str()?.parse().ok());

pub(crate) const ADDRESS_IS: &str = "an address and a port, such as \"127.0.0.1:8787\"";

pub(super) const TEXT: Form<String> =
    Form::new("a string", |value| value.as_str().map(ToOwned::to_owned));

/// A number, whole or not. Not "inf" and "nan", which are floats in TOML.
pub(super) const FLOAT: Form<f64> = Form::new("a number", |value| {
    let text = match value {
        DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
        DeValue::Float(number) => number.as_str(),
        _ => return None,
    };
    text.parse().ok().filter(|number: &f64| number.is_finite())
});

/// A password in it would be shown by every message that names the address, so that none is let in.
pub(super) const UPSTREAM: Form<Uri> =
    Form::new(UPSTREAM_IS, |value| upstream(value.as_str()?)).secret();

pub(crate) const UPSTREAM_IS: &str = "an http or https address without user, password or query, such as \"https://api.anthropic.com\"";

/// Where the names of variables belong, people put the secrets themselves.
pub(super) const VARIABLE: Form<String> = Form::new(VARIABLE_IS, |value| {
    value
        .as_str()
        .filter(|name| is_variable(name))
        .map(ToOwned::to_owned)
})
.secret();

pub(super) const VARIABLE_IS: &str =
    "the name of an environment variable (letters, digits and _), never the secret itself";

/// A whole number that fits.
pub(super) const fn whole<T: TryFrom<u64>>(is: &'static str) -> Form<T> {
    Form::new(is, |value| {
        let number = value.as_integer()?;
        let number = u64::from_str_radix(number.as_str(), number.radix()).ok()?;
        T::try_from(number).ok()
    })
}

/// A whole number above zero that fits.
pub(super) const fn positive<T: TryFrom<NonZeroU64>>(is: &'static str) -> Form<T> {
    Form::new(is, |value| {
        let number = value.as_integer()?;
        let number = u64::from_str_radix(number.as_str(), number.radix()).ok()?;
        T::try_from(NonZeroU64::new(number)?).ok()
    })
}

pub(super) fn upstream(text: &str) -> Option<Uri> {
    text.parse().ok().filter(is_upstream)
}

pub(super) fn is_upstream(uri: &Uri) -> bool {
    let plain = |authority: &http::uri::Authority| !authority.as_str().contains('@');
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(plain)
        && uri.host().is_some_and(|host| !host.is_empty())
        && uri.query().is_none()
}

pub(super) fn is_variable(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit())
}
