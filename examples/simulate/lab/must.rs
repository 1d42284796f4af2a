//! What must hold: of the laboratory, of the reference (whose flaws are why it is compared with), and of our stack.

use super::{
    arms::Arm, engine, figure::Figure, figures::Figures, scenario::Scenario, span::Span,
    study::study,
};
use std::num::NonZeroUsize;
use tower_claude::BoxError;

/// A claim, whether it holds, and the figures that say so.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) what: &'static str,
    pub(crate) holds: bool,
    pub(crate) because: String,
}

type Check = fn(u64) -> Result<Claim, BoxError>;

/// All claims, by name.
pub(crate) const ALL: [(&str, Check); 15] = [
    ("same_seed_same_trace", same_seed_same_trace),
    (
        "machine",
        the_trace_of_a_plain_client_is_this_one_everywhere,
    ),
    ("reference_retries_early", reference_retries_early),
    (
        "reference_waits_without_bound",
        reference_waits_without_bound,
    ),
    ("reference_floods_half_open", reference_floods_half_open),
    ("S1b", hang),
    ("S2", overload),
    ("S2 metastable", overload_of_an_sdk),
    ("S3", rate_limits),
    ("S4", noisy_feature),
    ("S5", stampede),
    ("S6", partial),
    ("S7", broken_streams),
    ("S8", brown_out),
    ("S8b", grazed_timeouts),
];

/// The figures of an arm in a scenario.
struct Seen {
    arm: &'static str,
    figures: Figures,
}

impl Seen {
    fn of(scenario: &Scenario, arm: &'static str, seed: u64) -> Result<Self, BoxError> {
        let book = engine::run(scenario, &Arm::named(arm)?, seed)?;
        let figures = Figures::of(scenario, &book);
        Ok(Self { arm, figures })
    }

    fn in_scenario(name: &str, arm: &'static str, seed: u64) -> Result<Self, BoxError> {
        Self::of(&Scenario::named(name)?, arm, seed)
    }

    fn get(&self, figure: Figure) -> f64 {
        self.figures.get(figure)
    }

    fn say(&self, figure: Figure) -> String {
        let value = figure.write(self.get(figure));
        format!("{}: {value} {}", self.arm, figure.facts().1)
    }
}

fn same_seed_same_trace(_: u64) -> Result<Claim, BoxError> {
    const ARMS: [&str; 3] = ["ours", "reference", "SDK + second model"];
    // A minute of outage is enough: a difference grows.
    let mut scenario = Scenario::named("S1a")?;
    scenario.lasts = Span::millis(110_000);
    let arms = ARMS.map(Arm::named).into_iter();
    let arms = arms.collect::<Result<Vec<_>, _>>()?;
    // Two seeds of each arm, so that up to six runs go on side by side.
    let hashes = |threads: usize| {
        let threads = NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN);
        let results = study(&scenario, &arms, 2, threads, &|| ())?;
        let hashes = results.into_iter().map(|result| result.hashes);
        Ok::<_, BoxError>(hashes.collect::<Vec<_>>())
    };
    let [one, two, six] = [hashes(1)?, hashes(2)?, hashes(6)?];
    let other_seeds_differ = one.iter().all(|seeds| seeds[0] != seeds[1]);
    Ok(Claim {
        what: "the same seed gives the same trace, on one thread, on two and on six; another seed gives another",
        holds: one == two && one == six && other_seeds_differ,
        because: format!("{one:x?}, {two:x?}, {six:x?}"),
    })
}

fn the_trace_of_a_plain_client_is_this_one_everywhere(_: u64) -> Result<Claim, BoxError> {
    // No layer of ours is in it, so it changes only with the laboratory.
    const TRACE: u64 = 0x7a33_27c9_3c70_528a;
    let scenario = Scenario::named("S1a")?;
    let trace = engine::run(&scenario, &Arm::named("bare")?, 1)?.hash();
    Ok(Claim {
        what: "another machine changes nothing",
        holds: trace == TRACE,
        because: format!("{trace:016x}, should be {TRACE:016x}"),
    })
}

fn reference_retries_early(seed: u64) -> Result<Claim, BoxError> {
    let arm = Seen::in_scenario("S3", "reference", seed)?;
    Ok(Claim {
        what: "the reference retries before `retry-after`",
        holds: arm.get(Figure::Early) > 0.0,
        because: arm.say(Figure::Early),
    })
}

fn reference_waits_without_bound(seed: u64) -> Result<Claim, BoxError> {
    let arm = Seen::in_scenario("S4", "reference", seed)?;
    Ok(Claim {
        what: "users of the reference wait without bound",
        holds: arm.get(Figure::Max) > 600.0,
        because: arm.say(Figure::Max),
    })
}

fn reference_floods_half_open(seed: u64) -> Result<Claim, BoxError> {
    let reference = Seen::in_scenario("S1b", "reference", seed)?;
    let ours = Seen::in_scenario("S1b", "ours", seed)?;
    Ok(Claim {
        what: "a half-open circuit of the reference lets everybody through, ours lets one",
        holds: reference.get(Figure::Probes) > 100.0 && ours.get(Figure::Probes) == 1.0,
        because: format!(
            "{}; {}",
            reference.say(Figure::Probes),
            ours.say(Figure::Probes)
        ),
    })
}

fn hang(seed: u64) -> Result<Claim, BoxError> {
    let arm = Seen::in_scenario("S1b", "ours", seed)?;
    Ok(Claim {
        what: "S1b: a model answers at least 99 % within 30 s",
        holds: arm.get(Figure::Answered30) >= 99.0,
        because: arm.say(Figure::Answered30),
    })
}

fn overload(seed: u64) -> Result<Claim, BoxError> {
    let with = Seen::in_scenario("S2", "ours", seed)?;
    let alone = Seen::in_scenario("S2", "ours − fallback", seed)?;
    // 60 s of cool-down, and 15 s.
    let soon = |arm: &Seen| arm.get(Figure::BackModel) <= 75.0;
    Ok(Claim {
        what: "S2: at least 95 % are answered again within the cool-down + 15 s, also with one model",
        holds: soon(&with) && soon(&alone),
        because: format!(
            "{}; {}",
            with.say(Figure::BackModel),
            alone.say(Figure::BackModel)
        ),
    })
}

fn overload_of_an_sdk(seed: u64) -> Result<Claim, BoxError> {
    let arm = Seen::in_scenario("S2", "SDK", seed)?;
    Ok(Claim {
        what: "S2 is a real one: the retries of an SDK keep the overload up after its cause is gone",
        holds: arm.get(Figure::BackModel).is_infinite(),
        because: arm.say(Figure::BackModel),
    })
}

fn rate_limits(seed: u64) -> Result<Claim, BoxError> {
    let with = Seen::in_scenario("S3", "ours", seed)?;
    let alone = Seen::in_scenario("S3", "ours − fallback", seed)?;
    Ok(Claim {
        what: "S3: no early retry",
        holds: with.get(Figure::Early) + alone.get(Figure::Early) == 0.0,
        because: format!("{}; {}", with.say(Figure::Early), alone.say(Figure::Early)),
    })
}

fn noisy_feature(seed: u64) -> Result<Claim, BoxError> {
    let noisy = Scenario::named("S4")?;
    let mut quiet = noisy.clone();
    quiet.traffic.retain(|traffic| traffic.from.is_none());
    let noisy = Seen::of(&noisy, "ours", seed)?.get(Figure::SteadyP99);
    let quiet = Seen::of(&quiet, "ours", seed)?.get(Figure::SteadyP99);
    Ok(Claim {
        what: "S4: the p99 of the other features moves by at most 5 %",
        holds: (noisy / quiet - 1.0).abs() <= 0.05,
        because: format!("{noisy:.3} s beside the noise, {quiet:.3} s without"),
    })
}

fn stampede(seed: u64) -> Result<Claim, BoxError> {
    let arm = Seen::in_scenario("S5", "ours", seed)?;
    Ok(Claim {
        what: "S5: once the service is coming back, no probe of ours opens the circuit again, nor does anything else",
        holds: arm.get(Figure::After) == 0.0,
        because: arm.say(Figure::After),
    })
}

fn partial(seed: u64) -> Result<Claim, BoxError> {
    let scenario = Scenario::named("S6")?;
    let see = |arm| Seen::of(&scenario, arm, seed);
    let pairs = [
        (see("ours")?, see("ours − breaker")?),
        (see("ours − fallback")?, see("ours − fallback − breaker")?),
    ];
    let figure = Figure::Answered30;
    let because = pairs.iter().flat_map(|(with, without)| [with, without]);
    Ok(Claim {
        what: "S6: as many are answered as without a breaker, also with one model",
        holds: pairs
            .iter()
            .all(|(with, without)| with.get(figure) >= without.get(figure)),
        because: because
            .map(|arm| arm.say(figure))
            .collect::<Vec<_>>()
            .join("; "),
    })
}

fn broken_streams(seed: u64) -> Result<Claim, BoxError> {
    let ours = Seen::in_scenario("S7", "ours", seed)?;
    let sdk = Seen::in_scenario("S7", "SDK", seed)?;
    Ok(Claim {
        what: "S7: no half answer is taken for a whole one, as an SDK takes some",
        holds: ours.get(Figure::False) == 0.0 && sdk.get(Figure::False) > 0.0,
        because: format!("{}; {}", ours.say(Figure::False), sdk.say(Figure::False)),
    })
}

fn brown_out(seed: u64) -> Result<Claim, BoxError> {
    let on = Seen::in_scenario("S8", "ours + slow calls", seed)?;
    let off = Seen::in_scenario("S8", "ours", seed)?;
    Ok(Claim {
        what: "S8: the trigger for slow calls at least halves the p99",
        holds: on.get(Figure::P99) * 2.0 <= off.get(Figure::P99),
        because: format!("{}; {}", on.say(Figure::P99), off.say(Figure::P99)),
    })
}

fn grazed_timeouts(seed: u64) -> Result<Claim, BoxError> {
    let with = Seen::in_scenario("S8b", "ours − fallback", seed)?;
    let without = Seen::in_scenario("S8b", "ours − fallback − breaker", seed)?;
    let figure = Figure::Answered30;
    Ok(Claim {
        what: "S8b: where some attempts run into their timeouts, as many are answered as without a breaker",
        holds: with.get(figure) >= without.get(figure),
        because: format!("{}; {}", with.say(figure), without.say(figure)),
    })
}
