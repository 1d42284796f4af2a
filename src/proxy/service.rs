//! The proxy: what every connection shares.

use super::{
    answering::{Answering, Way},
    auth::Auth,
    body::ProxyBody,
    error::StartError,
    limits::Limits,
    running::Running,
    settings::Settings,
    shutdown::{Course, Phase},
    upstream::{Target, Upstream},
};
use crate::{
    call::Feature,
    config::{Config, FeatureFallback},
    error::BoxError,
    event::Observe,
    model_fallback::ChainModel,
    monitor::Monitor,
    stack::Resilience,
};
use http::{Request, Response, header::EXPECT};
use http_body::Body;
use std::{
    env,
    error::Error,
    ffi::OsString,
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{sync::watch, time::Instant};

/// A stack in front of an upstream, as a server. See the [module docs](super).
///
/// # Clone
///
/// A clone is a handle to the same proxy.
#[derive(Clone)]
pub struct Proxy {
    pub(super) shared: Arc<Shared>,
}

/// Gives the value of an environment variable, or stands for the environment in tests.
type Variable = Box<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

pub(super) struct Shared {
    running: watch::Sender<Arc<Running>>,
    pub(super) limits: Arc<Limits>,
    pub(super) monitor: Monitor,
    pub(super) course: Course,
    pub(super) started: Instant,
    pub(super) reloads: Reloads,
    variable: Variable,
}

/// Settings that were taken, and such that could not be.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    pub(super) taken: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Proxy {
    /// A proxy with these settings, and with the secrets that the environment of this process holds.
    ///
    /// # Errors
    ///
    /// Settings that cannot work, or secrets that are missing.
    pub fn new(config: Config) -> Result<Self, StartError> {
        Self::with_variables(config, |name| env::var_os(name))
    }

    /// As [`new`](Self::new), with the secrets from elsewhere: asked for the value of a variable, now and on each reload.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_variables(
        config: Config,
        variable: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let features = config.features.named.keys();
        let monitor = Monitor::builder()
            .with_models(models(&config))
            .with_features(features.map(Feature::as_str))
            .build()?;
        let observer: Arc<dyn Observe> = Arc::new(monitor.clone());
        let stack = config.resilience()?.observe(observer).build()?;
        let auth = Auth::new(config.auth.as_ref(), &variable)?;
        let course = Course::new();
        let target = Target::new(&config.upstream)?;
        let upstream = Upstream::new(target, config.timeouts.connect, course.stop().clone());
        let limits = Arc::new(Limits::new(&config));
        let running = Running::new(config, stack, auth, upstream);
        Ok(Self {
            shared: Arc::new(Shared {
                running: watch::Sender::new(Arc::new(running)),
                limits,
                monitor,
                course,
                started: Instant::now(),
                reloads: Reloads::default(),
                variable: Box::new(variable),
            }),
        })
    }

    /// Goes on with other settings. Circuits, compartments, budgets, kept answers and counters survive; calls under way end
    /// by the settings they began with. The addresses it listens at stay as they are.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); nothing has changed then.
    pub fn reload(&self, config: Config) -> Result<(), StartError> {
        let taken = self.try_reload(config);
        match &taken {
            Ok(()) => {
                self.shared.reloads.taken.fetch_add(1, Ordering::Relaxed);
                tracing::info!("took the new settings");
            }
            Err(error) => self.refuse_reload(error),
        }
        taken
    }

    /// Counts and logs settings that cannot be used.
    pub(super) fn refuse_reload(&self, error: &dyn Error) {
        self.shared.reloads.refused.fetch_add(1, Ordering::Relaxed);
        tracing::error!(%error, "kept the old settings");
    }

    fn try_reload(&self, config: Config) -> Result<(), StartError> {
        let old = self.running();
        let auth = Auth::new(config.auth.as_ref(), &self.shared.variable)?;
        let mut upstream = old.upstream.clone();
        let target = Target::new(&config.upstream)?;
        let connect = config.timeouts.connect;
        if target != *old.upstream.target() || connect != old.config.timeouts.connect {
            upstream = Upstream::new(target, connect, self.shared.course.stop().clone());
        }
        for (name, old, new) in [
            ("listen", old.config.listen, config.listen),
            ("admin", old.config.admin, config.admin),
        ] {
            if old != new {
                tracing::warn!(%old, %new, "{name} changes only with a restart");
            }
        }
        let stack = old.stack.reloaded(config.resilience()?)?;
        let running = Running::new(config, stack, auth, upstream);
        self.shared.limits.set(&running.config);
        self.shared.running.send_replace(Arc::new(running));
        Ok(())
    }

    /// The settings that it goes by now.
    pub fn config(&self) -> Config {
        self.running().config.clone()
    }

    /// Rolling totals and alerts.
    pub fn monitor(&self) -> &Monitor {
        &self.shared.monitor
    }

    /// The stack that calls go through now. A [`reload`](Self::reload) makes another, with the same circuits.
    pub fn stack(&self) -> Resilience {
        self.running().stack.clone()
    }

    /// Begins the end of a proxy that [serves](super::Server): no connection is accepted, and answers under way may take
    /// `drain`. Called again, it ends at once.
    pub fn shutdown(&self) {
        self.shared.course.shutdown();
    }

    /// Whether it is coming to its end.
    pub fn is_draining(&self) -> bool {
        self.shared.course.phase() != Phase::Serving
    }

    pub(super) fn running(&self) -> Arc<Running> {
        self.shared.running.borrow().clone()
    }

    /// The settings for a connection, which looks for other ones before each call.
    pub(super) fn settings(&self) -> Settings {
        Settings::new(self.shared.running.subscribe())
    }

    /// The value of a variable, from where the secrets are.
    pub(super) fn variable(&self, name: &str) -> Option<OsString> {
        (self.shared.variable)(name)
    }

    /// Answers a request. Its path matters, its host does not. The call is in flight once it is made, polled or not.
    ///
    /// Never fails: what goes wrong is an answer in Claude's form.
    pub fn call<B>(
        &self,
        request: Request<B>,
    ) -> impl Future<Output = Response<ProxyBody>> + use<'_, B>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.call_by(&self.running(), request)
    }

    /// The same for whoever knows the settings already.
    pub(super) fn call_by<B>(&self, running: &Running, request: Request<B>) -> Answering<'_, B>
    where
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut head, body) = request.into_parts();
        let admitted = running.admit(&mut head, &body);
        let admitted = admitted.and_then(|route| Ok((route, self.shared.limits.enter()?)));
        let way = match admitted {
            Ok((route, ticket)) => running.send(route, head, body, ticket),
            // Who waits for a word before it sends its body gets this one.
            Err(refusal) if head.headers.contains_key(EXPECT) => refusal.into(),
            Err(refusal) => Way::refused(refusal, body),
        };
        Answering::new(way, self.shared.course.stop())
    }
}

/// The models of all chains.
fn models(config: &Config) -> impl Iterator<Item = &str> {
    let own = config.features.named.values();
    let own = own.filter_map(|settings| match &settings.fallback {
        FeatureFallback::Own(chain) => Some(chain),
        _ => None,
    });
    let chains = config.fallback.chains.iter().chain(own);
    chains.flatten().map(ChainModel::name)
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}
