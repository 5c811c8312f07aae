//! Stands between one client and the API server, and spoils what a test tells it to.
//!
//! Contract: requests go on with the client's own token, so that rights and the audit log are the client's; answers
//! come back as they are, watches piece by piece. A rule that a test sets judges each request when it arrives.
//!
//! Must not: change a request or an answer that it lets pass, or send one twice.
//! Invariant: what a rule holds or loses before it was forwarded never reaches the API server.

mod call;
mod serve;

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use kube::{
    Client, Config,
    config::{AuthInfo, KubeConfigOptions, Kubeconfig},
};
use tokio::sync::watch;

use super::{background::Background, cluster::Cluster, error::Result, wait::eventually};

pub use call::Call;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: it is forwarded and answered.
    Pass,
    /// It is answered with this status code, and not forwarded.
    Refuse {
        /// 400 or more.
        code: u16,
        /// Seconds of the header `Retry-After`.
        retry_after: Option<u32>,
    },
    /// The connection breaks before it is forwarded.
    Lose,
    /// The API server answers, then the connection breaks.
    LoseAnswer,
    /// It is kept back until the client gives up.
    Hold,
    /// The API server answers, and the answer is kept back until the client gives up.
    HoldAnswer,
}

/// How running watches end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEnd {
    /// The connection breaks.
    Broken,
    /// An event says that the version is too old, as after a compaction.
    Expired,
}

/// A request that came, and what became of it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The request.
    pub call: Call,
    /// What the rule said.
    pub fault: Fault,
    /// When it came.
    pub at: Instant,
}

/// Judges requests in the order in which they come.
pub type Rule = Box<dyn FnMut(&Call) -> Fault + Send>;

/// A server on loopback; gone with the value.
pub struct Interceptor {
    address: SocketAddr,
    shared: Arc<Shared>,
    _work: Background,
}

struct Shared {
    state: Mutex<State>,
    watch_ends: watch::Sender<Option<WatchEnd>>,
}

struct State {
    rule: Rule,
    writes: u64,
    held: u64,
    seen: Vec<Seen>,
}

impl Interceptor {
    /// Listens in the network namespace of the calling thread; every request passes at first.
    ///
    /// # Errors
    /// When there is no port, or the kubeconfig of the cluster cannot be used.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = State { rule: Box::new(|_| Fault::Pass), writes: 0, held: 0, seen: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), watch_ends: watch::Sender::new(None) });
        let (serving, kubeconfig) = (Arc::clone(&shared), without_user(cluster.kubeconfig().clone()));
        let work = Background::start(cluster, "interceptor", move |_| async move {
            let mut config =
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            config.default_retry = false;
            serve::serve(tokio::net::TcpListener::from_std(listener)?, Client::try_from(config)?, serving)
                .await
        })?;
        Ok(Self { address, shared, _work: work })
    }

    /// The same way to log in, to this server.
    #[must_use]
    pub fn redirect(&self, kubeconfig: &Kubeconfig) -> Kubeconfig {
        let mut kubeconfig = kubeconfig.clone();
        for cluster in kubeconfig.clusters.iter_mut().filter_map(|named| named.cluster.as_mut()) {
            cluster.server = Some(format!("http://{}", self.address));
            cluster.certificate_authority = None;
            cluster.certificate_authority_data = None;
        }
        kubeconfig
    }

    /// Judges what comes from now on by this rule.
    pub fn set(&self, rule: impl FnMut(&Call) -> Fault + Send + 'static) {
        self.shared.state().rule = Box::new(rule);
    }

    /// Lets pass what comes from now on.
    pub fn pass(&self) {
        self.set(|_| Fault::Pass);
    }

    /// Ends every watch that runs now.
    pub fn end_watches(&self, how: WatchEnd) {
        self.shared.watch_ends.send_replace(Some(how));
    }

    /// How many writes have come; those to Leases are not counted.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.shared.state().writes
    }

    /// All that has come since the last time, in order.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shared.state().seen)
    }

    /// How many requests or answers have been kept back.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.shared.state().held
    }

    /// Waits until more than so many requests or answers have been kept back.
    ///
    /// # Errors
    /// When that does not happen within the limit.
    pub async fn until_held(&self, before: u64, limit: Duration) -> Result<()> {
        eventually("a request that is kept back", limit, async || {
            if self.held() > before { Ok(()) } else { Err(format!("{} writes came", self.writes())) }
        })
        .await
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever calls brings a token of its own.
fn without_user(mut kubeconfig: Kubeconfig) -> Kubeconfig {
    for user in &mut kubeconfig.auth_infos {
        user.auth_info = Some(AuthInfo::default());
    }
    kubeconfig
}
