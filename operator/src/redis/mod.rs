//! A managed Redis at run time: elected where nobody leads, rolled, shrunk and given new passwords.
//!
//! A look is `observe -> decide -> act`: [`observe()`] asks every server and sentinel by its pod's address,
//! [`decide()`] is pure and says what to do, [`act()`] sends commands. Pods are never deleted here: their names are
//! handed to whoever writes to the API server.
//!
//! # Protocol
//! Servers start without a part of their own: one that no majority of sentinels tells whom to follow **waits**
//! (it says `role:master` and asks for [`WAITING`] replicas, so it refuses writes). A leading master increments
//! [`BEAT_KEY`] each second; the beat is part of the data and says whose data is the newest. `replica-priority` is
//! 0 until a server was in step with a master, so Sentinel promotes none of which only the volume is known.
//! 1. Sentinels know nobody: the server with the highest (beat, offset) is elected. A server that leads already
//!    comes first; at a tie the lowest ordinal. All servers that have a claim are waited for, [`ELECTION_WAIT`] at
//!    most (one that still loads its data, [`LOADING_WAIT`]); who was missing then is reported. Offsets of different
//!    histories only break ties of equal beats, so less than two seconds of writes depend on them.
//! 2. Sentinels name a master that stays away for [`AWAY_GRACE`] and promote nobody: the best of the others gets
//!    `replica-priority 100`, then a sentinel that knows it is told to fail over. Where none knows it (a master that
//!    died before they asked it for its replicas), all are told of it as the master, and it is promoted. A named one
//!    that is there but follows somebody is promoted, if its data are the newest. Nothing of this happens while a
//!    sentinel fails over.
//! 3. A server that leads without being named, or follows another than the named one, follows the named one after
//!    [`AWAY_GRACE`].
//! 4. Pods with an old template go one at a time while all is in step: replicas, then after
//!    `SENTINEL FAILOVER` the old master, then sentinels.
//! 5. A master that a smaller number leaves out is failed over first; `SENTINEL RESET` goes to one sentinel at a
//!    time, while all others know everyone.
//! 6. A new password is admitted everywhere before the Secret shows it, then used everywhere. The old one is dropped
//!    after all use the new one, and [`FILES_WAIT`] later, so that no pod's files hold it alone.
//!
//! # Must not
//! - Promote while a majority of the planned sentinels does not answer, or two servers in one look.
//! - Promote a server whose data is known to be older than another's that answers.
//! - Delete a pod that answers while any other is not in step.
//! - Say a password in an error, a log or a debug text.
//!
//! Invariants: nothing is sent when nothing changed; time is passed in; each server is asked for 2 s at most.

mod act;
mod action;
mod decide;
mod election;
mod observe;
mod password;
mod roll;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

pub use self::{act::act, action::RedisAction, decide::decide, observe::observe};
pub use crate::plan::redis::{BEAT_KEY, MASTER_NAME, SENTINEL_PORT, SERVER_PORT, WAITING};
use crate::{problem::Problem, validate::KeptSecret};

/// How long an election waits for servers that do not answer.
pub const ELECTION_WAIT: SignedDuration = SignedDuration::from_secs(60);
/// How long an election waits for servers that load their data.
pub const LOADING_WAIT: SignedDuration = SignedDuration::from_mins(10);
/// How long Sentinel is left to repair something by itself.
pub const AWAY_GRACE: SignedDuration = SignedDuration::from_secs(30);
/// How long a password is let in after all use the next one: kubelets bring a changed Secret into running pods within
/// one and a half minutes.
pub const FILES_WAIT: SignedDuration = SignedDuration::from_secs(90);
/// Bytes of the replication stream by which a replica in step may be behind.
pub const IN_STEP: u64 = 1 << 20;

/// How far a pod has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Its program does not run: it waits for an image, a volume or another try.
    Waits,
    /// Its program runs.
    Runs,
    /// It is ready.
    Ready,
}

/// One pod, as it was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the pod.
    pub pod: String,
    /// Its ordinal in the StatefulSet.
    pub ordinal: u16,
    /// The host that it announces.
    pub host: String,
    /// Its address, once it has one.
    pub ip: Option<IpAddr>,
    /// How far it has come.
    pub life: Life,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether it was made from the newest template.
    pub revision_current: bool,
}

/// The pods of a pipeline's Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Servers, by ordinal.
    pub servers: Vec<Member>,
    /// Sentinels, by ordinal.
    pub sentinels: Vec<Member>,
}

/// The passwords of the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passwords {
    /// The one that is to be used.
    pub current: KeptSecret,
    /// The one that comes, which the Secret does not show yet.
    pub next: Option<KeptSecret>,
    /// The one before, while a rotation goes on.
    pub previous: Option<KeptSecret>,
}

/// What Redis shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Number of servers, the master included.
    pub servers: u16,
    /// Number of sentinels.
    pub sentinels: u16,
    /// Sentinels that must agree that a master is gone.
    pub quorum: u16,
    /// `min-replicas-to-write` of servers that do not wait.
    pub min_replicas: u32,
    /// Settings of the monitored master besides quorum and password, as `SENTINEL SET` takes them: of
    /// `down-after-milliseconds`, `failover-timeout` and `parallel-syncs`, which sentinels report.
    pub settings: Vec<(String, String)>,
    /// Ordinals of servers that have a claim, and so may hold data.
    pub claims: BTreeSet<u16>,
    /// The passwords.
    pub passwords: Passwords,
}

impl Wanted {
    /// Sentinels that make a majority of all planned ones.
    pub const fn majority(&self) -> usize {
        (self.sentinels / 2 + 1) as usize
    }
}

/// What a question to a pod brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<T> {
    /// It does not answer, or has no address.
    Silent,
    /// It accepts none of the passwords.
    Refused,
    /// It loads its data.
    Loading,
    /// What it says.
    Says(T),
}

impl<T> Answer<T> {
    /// What it says, if it does.
    pub const fn says(&self) -> Option<&T> {
        match self {
            Self::Says(said) => Some(said),
            Self::Silent | Self::Refused | Self::Loading => None,
        }
    }
}

/// A pod and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<T> {
    /// The pod.
    pub member: Member,
    /// What it says.
    pub answer: Answer<T>,
}

/// Everything that was seen of a pipeline's Redis.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisSeen {
    /// The servers.
    pub servers: Vec<Asked<Server>>,
    /// The sentinels.
    pub sentinels: Vec<Asked<Sentinel>>,
}

/// A server by its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Whom it follows.
    pub part: Part,
    /// Offset in the replication stream.
    pub offset: u64,
    /// The beat in its data; 0 when there is none.
    pub beat: u64,
    /// Replicas that it asks for before it takes writes.
    pub min_replicas: u32,
    /// Replicas that it counts as in step; 0 where it asks for none.
    pub followers: u32,
    /// Its priority to be promoted; 0 is never.
    pub priority: u32,
    /// Which passwords it accepts.
    pub login: LoginSeen,
    /// Whether it uses the current password towards its master.
    pub uses_current: bool,
}

impl Server {
    /// Whether it is a master that takes writes, or would.
    pub fn leads(&self) -> bool {
        self.part == Part::Master && self.min_replicas != WAITING
    }
}

/// Whom a server follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nobody.
    Master,
    /// A master.
    Replica {
        /// Host of the master.
        of: String,
        /// Whether they are connected and the first copy is done.
        up: bool,
    },
}

/// Which passwords a pod accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoginSeen {
    /// SHA-256 of each, in hexadecimal.
    pub digests: BTreeSet<String>,
    /// Whether it lets in without one.
    pub open: bool,
}

/// A sentinel by its own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentinel {
    /// The master that it watches, if it knows one.
    pub watched: Option<Watched>,
    /// Which passwords it accepts.
    pub login: LoginSeen,
    /// Whether it uses the current password towards others.
    pub uses_current: bool,
}

/// A master as a sentinel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Host of the master.
    pub host: String,
    /// Sentinels that must agree that it is gone.
    pub quorum: u16,
    /// Whether it is taken for dead.
    pub down: bool,
    /// Whether this sentinel fails over right now.
    pub failing_over: bool,
    /// Hosts of the replicas that it knows.
    pub replicas: BTreeSet<String>,
    /// How many other sentinels it knows.
    pub others: u16,
    /// Settings of the master, by name, as far as it reports them.
    pub settings: BTreeMap<String, String>,
}

/// What lasts, and since when; kept from one look to the next. Lost on a restart, which only makes waits longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Since when no sentinel knows a master.
    pub nobody: Option<Timestamp>,
    /// Since when the named master is away.
    pub away: Option<Timestamp>,
    /// Since when a server leads that is not named.
    pub stray: Option<Timestamp>,
    /// Since when all use the newest password, while the one before is let in.
    pub adopted: Option<Timestamp>,
}

/// A server or a sentinel, by ordinal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A server.
    Server(u16),
    /// A sentinel.
    Sentinel(u16),
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What to do, in order; an action that fails stops those after it.
    pub actions: Vec<RedisAction>,
    /// What to hand to the next look.
    pub waits: Waits,
    /// What the look came to.
    pub report: RedisReport,
}

/// What a look came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisReport {
    /// Pod of the master, when it leads and a majority of the sentinels names it.
    pub master: Option<String>,
    /// Why Redis cannot be used.
    pub problems: Vec<Problem>,
    /// What is being changed or waited for.
    pub progressing: Option<String>,
    /// Pods that shall be deleted now; at most one.
    pub delete_pods: Vec<String>,
    /// What may have been lost by what is done now.
    pub data_loss: Option<String>,
    /// Fewest servers that the StatefulSet must keep for now.
    pub keep_servers: u16,
    /// Whether every pod accepts the next password, so that the Secret may show it.
    pub next_admitted: bool,
    /// Whether every pod accepts and uses the current password, so that workers may roll to it.
    pub password_adopted: bool,
    /// Whether that has lasted long enough for `previous` to leave the Secret once workers use the current one.
    pub previous_may_go: bool,
}

/// A password as an access list holds it.
pub fn digest(password: &KeptSecret) -> String {
    use std::fmt::Write as _;
    Sha256::digest(password.0.as_bytes()).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
