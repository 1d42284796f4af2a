//! A configuration as a person reads it before it goes live.

use super::{
    model::{Config, FallbackChoice},
    units::{Size, Time},
};
use crate::model_fallback::ChainModel;
use std::fmt;

/// The resolved policy: what holds, with what was left out filled in.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (timeouts, backoff, circuit) = (&self.timeouts, &self.backoff, &self.circuit);
        writeln!(f, "upstream   {}", self.upstream)?;
        writeln!(f, "listen     {}, admin {}", self.listen, self.admin)?;
        writeln!(
            f,
            "limits     {} calls, {} held, {} a request; an answer within {}",
            self.max_in_flight,
            Size(self.max_held),
            Size(self.max_body),
            Time(self.deadline)
        )?;
        let answer = timeouts
            .answer
            .map_or("by max_tokens".to_owned(), |t| Time(t).to_string());
        writeln!(
            f,
            "attempt    connect {}, first event {}, idle {}, whole answer {answer}",
            Time(timeouts.connect),
            Time(timeouts.first_event),
            Time(timeouts.idle)
        )?;
        writeln!(
            f,
            "backoff    {} attempts, {} where another model waits; {} doubling to {}, ± {} %; budget {} %",
            backoff.attempts,
            backoff.attempts_with_fallback,
            Time(backoff.base),
            Time(backoff.cap),
            (backoff.jitter * 100.0).round(),
            backoff.budget_percent
        )?;
        writeln!(
            f,
            "circuit    {} in a row or {} % of {} in {} open it for {} (× {}); {} probe(s), ramp {}",
            circuit.consecutive,
            (circuit.rate * 100.0).round(),
            circuit.min_calls,
            Time(circuit.window),
            Time(circuit.cooldown),
            circuit.growth,
            circuit.probes,
            Time(circuit.ramp)
        )?;
        for chain in &self.chains {
            writeln!(f, "fallback   {}", Chain(chain))?;
        }
        match self.cache.max_bytes {
            0 => writeln!(f, "cache      none")?,
            bytes => writeln!(f, "cache      {}, {}", Size(bytes), Time(self.cache.ttl))?,
        }
        match &self.auth {
            Some(auth) => writeln!(
                f,
                "auth       key from ${}, callers' tokens from ${}",
                auth.api_key_env, auth.tokens_env
            )?,
            None => writeln!(f, "auth       callers' own credentials")?,
        }
        let width = self
            .features
            .keys()
            .map(String::len)
            .max()
            .unwrap_or(0)
            .max(7);
        writeln!(
            f,
            "\n{:width$}  in flight  queue   wait  deadline  when it fails",
            "feature"
        )?;
        for (name, feature) in &self.features {
            let deadline = Time(feature.deadline.unwrap_or(self.deadline)).to_string();
            let wait = Time(feature.wait).to_string();
            write!(
                f,
                "{name:width$}  {:9}  {:5}  {wait:>5}  {deadline:>8}  ",
                feature.in_flight, feature.queue
            )?;
            match &feature.fallback {
                FallbackChoice::Chains => f.write_str("next model, then ")?,
                FallbackChoice::Own(chain) => write!(f, "{}, then ", Chain(chain))?,
                FallbackChoice::Off => {}
            }
            writeln!(
                f,
                "{}",
                if feature.answers {
                    "a degraded answer"
                } else {
                    "an error"
                }
            )?;
        }
        Ok(())
    }
}

struct Chain<'a>(&'a [ChainModel]);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, model) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(" ▸ ")?;
            }
            f.write_str(model.name())?;
            if let Some(max_tokens) = model.max_tokens() {
                write!(f, " (≤ {max_tokens} tokens)")?;
            }
        }
        Ok(())
    }
}
