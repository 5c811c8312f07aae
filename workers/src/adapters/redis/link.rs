//! The one connection to the master that all stages share, and who looks for a new one.
//!
//! Must not hold a lock while a command runs. Invariants:
//! - One task (`keep`) connects, so that of many stages that fail at once none does, and none waits for
//!   another: whoever fails names the generation that failed it, and only the first such word counts.
//! - What is up was resolved by the sentinels and said itself that it is the master; it is asked again
//!   each second, so that those notice who only read.
//! - No call waits longer than a command may take for a master, and as long again for the answer. One
//!   that carries much, or stands behind such, is given what its bytes need on their way: were it not, a
//!   large commit would be given up at each try.

use std::{future::Future, sync::Arc, time::Duration};

use futures::StreamExt as _;
use redis::{RedisError, aio::MultiplexedConnection};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    connect::{Connector, MASTER, role},
    failure::{Effect, meaning, port_error},
    replicas::Replicas,
    sentinels::{NoMaster, find_master, switched_to},
    settings::{Address, RedisSettings, SettingsError},
};
use crate::ports::{ErrorKind, PortError, PortResult};

/// Between two looks for a master that is not there.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// Between two questions whether the master still is one.
const CHECK: Duration = Duration::from_secs(1);
/// Before a sentinel that could not be listened to is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);
/// Most that is on its way at a time: more waits outside, where waiting is known to have changed nothing.
const ROOM_KIB: u32 = 64 * 1024;
/// What a call carries, and what is before it, gets a second more for each 16 MiB.
const KIB_PER_MS: u64 = 16;

/// Whether there is a master to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// There is.
    Ready {
        /// Where.
        master: String,
    },
    /// There is none; calls fail after their time.
    NotReady {
        /// Why, for people.
        reason: String,
    },
}

/// A verified master.
#[derive(Clone)]
pub(super) struct Master {
    generation: u64,
    address: Address,
    connection: MultiplexedConnection,
    room: Arc<Semaphore>,
    replicas: Arc<Replicas>,
}

impl Master {
    /// Another handle on the connection.
    pub(super) fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// What the bytes that are on their way need.
    fn time_on_the_way(&self) -> Duration {
        let free = u64::try_from(self.room.available_permits()).unwrap_or(0);
        Duration::from_millis(u64::from(ROOM_KIB).saturating_sub(free) / KIB_PER_MS)
    }
}

enum State {
    Down(Arc<NoMaster>),
    Up(Master),
}

struct Shared {
    connector: Arc<Connector>,
    state: watch::Sender<State>,
    hurry: Notify,
}

/// See the module. The tasks end with the value.
pub(super) struct Link {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// A call that was let in: its master, and until when it may take.
pub(super) struct Turn<'a> {
    link: &'a Link,
    pub(super) master: Master,
    deadline: Instant,
    attempt: &'static str,
}

impl Link {
    /// Begins to look for the master. Must be called within a runtime.
    pub(super) fn start(settings: RedisSettings) -> Result<Self, SettingsError> {
        let connector = Arc::new(Connector::new(settings.checked()?)?);
        let (state, _) = watch::channel(State::Down(Arc::new(NoMaster::Looking)));
        let shared = Arc::new(Shared { connector, state, hurry: Notify::new() });
        let mut tasks = JoinSet::new();
        tasks.spawn(keep(Arc::clone(&shared)));
        for sentinel in shared.connector.settings().sentinels.clone() {
            tasks.spawn(listen(Arc::clone(&shared), sentinel));
        }
        Ok(Self { shared, _tasks: tasks })
    }

    pub(super) fn settings(&self) -> &RedisSettings {
        self.shared.connector.settings()
    }

    pub(super) fn health(&self) -> Health {
        match &*self.shared.state.borrow() {
            State::Up(master) => Health::Ready { master: master.address.to_string() },
            State::Down(reason) => Health::NotReady { reason: reason.to_string() },
        }
    }

    /// Waits for a master.
    pub(super) async fn turn(&self, attempt: &'static str) -> PortResult<Turn<'_>> {
        let patience = self.settings().command_timeout;
        let mut state = self.shared.state.subscribe();
        let up = timeout(patience, state.wait_for(|state| matches!(state, State::Up(_))));
        if let Ok(Ok(state)) = up.await
            && let State::Up(master) = &*state
        {
            // Whoever waited for the master has its whole time for the answer, or would give it up at once.
            let deadline = Instant::now() + patience;
            return Ok(Turn { link: self, master: master.clone(), deadline, attempt });
        }
        let reason = match &*self.shared.state.borrow() {
            State::Up(_) => Arc::new(NoMaster::Looking),
            State::Down(reason) => Arc::clone(reason),
        };
        Err(PortError::caused(ErrorKind::Transient, attempt, reason))
    }
}

impl Turn<'_> {
    /// The name of what is done, for errors.
    pub(super) fn attempt(&self) -> &'static str {
        self.attempt
    }

    /// Waits for room for `bytes` on the connection, and then has the time of a command anew.
    pub(super) async fn room(&mut self, bytes: usize) -> PortResult<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(ROOM_KIB).min(ROOM_KIB);
        let room = Arc::clone(&self.master.room).acquire_many_owned(kib);
        let Ok(Ok(permit)) = timeout(self.patience(), room).await else {
            let reason = "other stages keep the connection busy";
            return Err(PortError::caused(ErrorKind::Transient, self.attempt, reason));
        };
        self.deadline = Instant::now() + self.patience();
        Ok(permit)
    }

    /// The time of a command, and what all that is on its way now needs.
    fn patience(&self) -> Duration {
        self.link.settings().command_timeout + self.master.time_on_the_way()
    }

    /// Waits for an answer. An error is left as it is where the connection can stay.
    pub(super) async fn answer<T>(
        &self,
        effect: Effect,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> PortResult<Result<T, RedisError>> {
        match timeout_at(self.deadline, answer).await {
            Ok(Ok(value)) => Ok(Ok(value)),
            Ok(Err(error)) if meaning(&error, effect).leave => {
                self.give_up(&error.to_string());
                Err(port_error(self.attempt, error, effect))
            }
            Ok(Err(error)) => Ok(Err(error)),
            Err(_) => {
                self.give_up("it does not answer in time");
                let late = RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
                Err(port_error(self.attempt, late, effect))
            }
        }
    }

    /// Completes once as many replicas as are wanted have what was written before.
    pub(super) async fn replicated(&self) -> PortResult<()> {
        let wanted = self.link.settings().wait_replicas;
        if wanted == 0 {
            return Ok(());
        }
        let waiting = self.master.replicas.have_all(self.master.connection(), wanted, self.deadline);
        let answer = self.answer(Effect::Writes, waiting).await?;
        if answer.map_err(|error| port_error(self.attempt, error, Effect::Writes))? {
            return Ok(());
        }
        let reason = format!("it was written, but not to {wanted} replicas in time");
        Err(PortError::caused(ErrorKind::Ambiguous, self.attempt, reason))
    }

    /// Has a new connection made, unless somebody else had.
    fn give_up(&self, reason: &str) {
        self.link.shared.give_up(&self.master, reason);
    }
}

impl Shared {
    fn give_up(&self, master: &Master, reason: &str) {
        let address = master.address.to_string();
        let gone = self.state.send_if_modified(|state| match state {
            State::Up(up) if up.generation == master.generation => {
                let reason = reason.to_owned();
                *state = State::Down(Arc::new(NoMaster::GivenUp { address: address.clone(), reason }));
                true
            }
            _ => false,
        });
        if gone {
            tracing::warn!(master = address, "the connection to the Redis was given up: {reason}");
        }
    }

    fn up(&self) -> Option<Master> {
        match &*self.state.borrow() {
            State::Up(master) => Some(master.clone()),
            State::Down(_) => None,
        }
    }
}

/// Has a master as long as there is one.
async fn keep(shared: Arc<Shared>) {
    let (mut generation, mut pause) = (0, FIRST_PAUSE);
    loop {
        match find_master(&shared.connector).await {
            Ok((address, connection)) => {
                generation += 1;
                tracing::info!(master = %address, generation, "connected to the Redis");
                let room = Arc::new(Semaphore::new(ROOM_KIB as usize));
                let replicas = Arc::default();
                let master = Master { generation, address, connection, room, replicas };
                let since = Instant::now();
                shared.state.send_replace(State::Up(master));
                watch_over(&shared).await;
                if since.elapsed() > CHECK {
                    pause = FIRST_PAUSE;
                }
            }
            Err(reason) => {
                tracing::debug!(%reason, "no Redis to write to");
                shared.state.send_replace(State::Down(Arc::new(reason)));
            }
        }
        // Shortened where a sentinel tells of a new master.
        let _ = timeout(pause, shared.hurry.notified()).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Completes when the master that is up was given up.
async fn watch_over(shared: &Shared) {
    let mut state = shared.state.subscribe();
    loop {
        let down = state.wait_for(|state| matches!(state, State::Down(_)));
        if timeout(CHECK, down).await.is_ok() {
            return;
        }
        let Some(master) = shared.up() else { return };
        let used = u64::from(ROOM_KIB) - u64::try_from(master.room.available_permits()).unwrap_or(0);
        let patience = shared.connector.settings().command_timeout + Duration::from_millis(used / KIB_PER_MS);
        let mut connection = master.connection();
        match timeout(patience, role(&mut connection)).await {
            Ok(Ok(role)) if role == MASTER => {}
            Ok(Ok(role)) => shared.give_up(&master, &format!("it is a {role} now")),
            Ok(Err(error)) => shared.give_up(&master, &error.to_string()),
            Err(_) => shared.give_up(&master, "it does not answer in time"),
        }
    }
}

/// Hears what one sentinel says of changes.
async fn listen(shared: Arc<Shared>, sentinel: Address) {
    loop {
        match shared.connector.listen(&sentinel).await {
            Ok(messages) => {
                let mut messages = messages.into_on_message();
                while let Some(message) = messages.next().await {
                    let text = message.get_payload::<String>().unwrap_or_default();
                    if let Some(new) = switched_to(&text, &shared.connector.settings().master_name) {
                        heard_of(&shared, &new);
                    }
                }
            }
            Err(reason) => tracing::debug!(%reason, "a sentinel cannot be listened to"),
        }
        sleep(LISTEN_AGAIN).await;
    }
}

fn heard_of(shared: &Shared, new: &Address) {
    match shared.up() {
        Some(master) if master.address != *new => {
            shared.give_up(&master, &format!("a sentinel says that {new} is the master now"));
        }
        Some(_) => {}
        None => shared.hurry.notify_one(),
    }
}
