//! A managed Redis: servers, their sentinels, and what both need.
//!
//! Must not: talk to a server; what is said to running servers is decided and sent elsewhere.
//!
//! # Who is who
//! Servers are the pods `<pipeline>-redis-<n>`, port [`REDIS_PORT`], each known by its DNS name alone
//! ([`member_host`]); sentinels are `<pipeline>-redis-sentinel-<n>`, port [`SENTINEL_PORT`]
//! ([`sentinel_host`]), and know the master as [`MASTER_NAME`]. All of them let in the user `default` with
//! the password of the Secret `<pipeline>-redis` (key `password`; during a rotation also the one in `previous`).
//!
//! # What a server does by itself (the script `redis.sh`)
//! It asks every sentinel for the master; only an answer on which a majority of all planned sentinels agrees
//! counts.
//! - They name another server: it follows that one.
//! - They name itself, and its volume holds data (or it is the only server): it leads.
//! - They name itself, but its volume is empty: it does not listen until they name another, so that they take
//!   it for dead and no empty server makes the others throw their data away.
//! - They name nobody, or no majority answers within ten seconds: it **waits**. A waiting server listens, says
//!   `role:master` and refuses writes, since it asks for [`WAITING`] replicas (`min-replicas-to-write`). It keeps
//!   asking the sentinels and leaves the wait as soon as they name somebody.
//!
//! No ordinal leads by itself. While it runs, a server also
//! - has `replica-priority 0` until it is in step with a master, and 100 from then on: Sentinel never promotes
//!   a server of which only the volume is known, since such a server reports the replication offset 0;
//! - as a leading master increments the key [`BEAT_KEY`] each second. The beat is part of the data: it is
//!   replicated and in the append-only file, so after all servers died it says whose data is the newest, which the
//!   replication offset cannot, since a restart with an append-only file begins again at 0;
//! - told to end while it leads, has a sentinel fail over first, and waits for that for ten seconds at most.
//!
//! # What the operator does
//! Seen of each server: `INFO replication` (`role`, `master_host`, `master_link_status`, `master_repl_offset` or
//! `slave_repl_offset`), `CONFIG GET min-replicas-to-write`, `GET parking:redis:beat` (absent is 0). Seen of each
//! sentinel: `SENTINEL MASTER mymaster` (`-ERR No such master` means that it knows none) and
//! `SENTINEL REPLICAS mymaster`.
//!
//! 1. **Nobody knows a master** (first start, or every sentinel lost its volume). Once all servers answer, or
//!    those missing were waited for: the server with the highest (beat, offset), at a tie the lowest ordinal, is
//!    elected. To it: `REPLICAOF NO ONE`, `CONFIG SET min-replicas-to-write` [`min_replicas_to_write`]. Then to each
//!    sentinel the commands of 2. The others follow by themselves.
//! 2. **A sentinel knows no master** while a majority of the others does, or one was elected:
//!    `SENTINEL MONITOR mymaster <host of the master> 6379 <quorum>`, then [`sentinel_settings`] each as
//!    `SENTINEL SET mymaster <setting> <value>`, then `SENTINEL SET mymaster auth-pass <password>`.
//! 3. **The sentinels know a master that stays away**, and none may be promoted (all servers died at once and
//!    the master does not come back; `SENTINEL FAILOVER` says `NOGOODSLAVE`). After a grace of 30 s: to the server
//!    with the highest (beat, offset) among the others `CONFIG SET replica-priority 100`, then to one sentinel
//!    `SENTINEL FAILOVER mymaster`, again after some seconds if it answers `NOGOODSLAVE` or `INPROG`. Sentinel
//!    promotes that server and tells the rest.
//! 4. **A server leads that the sentinels do not name** (and does not merely wait): it comes back from a
//!    partition. Sentinel demotes it; if it still leads after 30 s: `REPLICAOF <host> 6379` to it.
//! 5. **A new pod template**: pods are deleted one at a time, each after all servers were in step: replicas from
//!    the highest ordinal down, then `SENTINEL FAILOVER mymaster` to one sentinel, then, once it follows, the old
//!    master. Sentinels roll one at a time after that, each once the others agree on the master.
//! 6. **Fewer servers or sentinels**: a master beyond the new number is failed over first (to servers that stay:
//!    `CONFIG SET replica-priority 0` to those that go). After the pods are gone, `SENTINEL RESET mymaster` to
//!    one sentinel after the other, the next once the one before knows all others again.
//!    `SENTINEL SET mymaster quorum <quorum>` whenever [`quorum`] differs from what a sentinel reports, and
//!    `CONFIG SET min-replicas-to-write` whenever a server that does not wait differs from the plan.
//! 7. **A new password**: the Secret holds the new one in `password` and the old one in `previous`. To every
//!    server and sentinel `ACL SETUSER default #<sha256 of the new>`; then to every server
//!    `CONFIG SET masterauth <new>`, to every sentinel `SENTINEL SET mymaster auth-pass <new>` and
//!    `SENTINEL CONFIG SET sentinel-pass <new>`. Once all workers run with the new one, `previous` leaves the Secret and
//!    `ACL SETUSER default !<sha256 of the old>` goes to all.
//!
//! Invariants: pods, Services and scripts are the same for every server, so that whoever leads is decided by data
//! alone; passwords stand in files only, never in arguments or environments; claims carry our labels and no
//! owner, and outlive the StatefulSet.
