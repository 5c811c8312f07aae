//! The state store in a Redis with Sentinel (Redis 7 or later).
//!
//! Must not: be trusted beyond what the port promises. Redis replicates after it answered, so a fail-over
//! may take commits back; the state is then older but whole, as the offset goes back with it (G9), and
//! whoever owned the stage is fenced by its base. With `wait_replicas` of 1 and `min-replicas-to-write 1` at
//! the servers a commit is answered only when a replica has it.
//!
//! # Keys
//! Below the prefix, for each stage `<role>` and `<partition>`; others may read them, never write. The
//! names carry no hash tag: Sentinel has no slots, and a cluster is not supported.
//!
//! | key | type | content |
//! | --- | --- | --- |
//! | `<prefix>stage:<role>:<partition>` | hash | `owner` (UUID) and `epoch` of the claim; `log` (UUID) and `next` offset of the last commit; `seq` of the next outbox entry, `first` one not trimmed; `blocks` and `pieces`: how many there must be; `version`: moved by each commit and trim |
//! | `…:blocks` | hash | field: `class u8, id u128`, big-endian, 17 bytes; value: the block as its stage packs it |
//! | `…:outbox` | stream | id `<last sequence + 1>-0`; one field: the first sequence, with the entries end to end, each `stream u8, length u32 little-endian, record` |
//! | `<prefix>live:<kind>` | hash | what stands now, `kind` being `zones` or `alerts`; field: `curb_zone_id` or `alert_id`; value: a JSON object as `GET /v1/zones/{zone}` and `GET /v1/alerts` of `parking up` answer it. Of zones those of which something was heard, of alerts those that are raised. No state: made anew by each owner, up to a second behind its commits |
//! | `<prefix>live:<kind>:of:<role>:<partition>` | set | the fields of `live:<kind>` that this stage writes |
//! | `<prefix>stats:<job>:<start>` | hash | the result of the window that begins at `start` (ms), as long as the sink's `ttl` says; field `end`: first instant after it, ms; `zone:<curb_zone_id>`: its rows as a JSON array, each as `parking get stats -o json` prints them; `query:<name>`: the rows of a query as a JSON array |
//! | `<prefix>stats:<job>:newest` | string | start of the newest window that was written, ms; kept as long |
//!
//! A million watched spaces in 5,000 zones of 200, each between two stays, take 144 MB of Redis memory: 131 MB
//! of blocks of 26 kB each, and a tenth more for the allocator's size classes and the table. Their live rows take 124 MB
//! more (measured by `figures.rs` of the tests on Redis 7.0, `used_memory_dataset`).
//!
//! # Invariants
//! - One script is one commit. It checks token, base, sequence and that the keys hold what was counted,
//!   and only then writes; what may be refused (a full or read-only server, too few replicas) is refused
//!   at its first write. The server replicates and logs the writes of a script as one transaction.
//! - Scripts are sent by their hash, and loaded where the server does not know them (after a fail-over,
//!   `SCRIPT FLUSH`). Not functions: those are one name space for all that share a Redis, need a right of
//!   their own, and two versions of a worker would replace each other's during a roll-out. A script's hash
//!   is its version.
//! - A command that was not answered is given up with its connection, as its answer may come any time
//!   later; if it writes, it is [`Ambiguous`](crate::ports::ErrorKind::Ambiguous), and a claim tells.
//! - A claim that another claim overtakes while it loads answers a state of one moment all the same; its
//!   commits are fenced.

mod commands;
mod connect;
mod failure;
mod keys;
mod link;
mod load;
mod replicas;
mod scripts;
mod sentinels;
mod settings;
mod state_store;
mod statistics;

pub use commands::RedisCommands;
pub use link::Health;
pub use settings::{Address, LONGEST_TIMEOUT, Login, RedisSettings, SettingsError, Tls};
pub use state_store::RedisStateStore;
pub use statistics::{RedisStatistics, WindowEntries};
