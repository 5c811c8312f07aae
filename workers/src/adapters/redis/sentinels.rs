//! Finding the master through the sentinels.
//!
//! Must not trust one voice: all sentinels are asked at once, the address that most of them name is tried
//! first, and whoever is named must say itself that it is the master.

use std::{collections::BTreeMap, sync::Arc};

use redis::aio::MultiplexedConnection;
use tokio::task::JoinSet;

use super::{
    connect::{ConnectError, Connector},
    settings::Address,
};

/// Why there is no master to talk to.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoMaster {
    /// Nothing was tried yet.
    #[error("the Redis is being looked for")]
    Looking,
    /// The connection was given up.
    #[error("the connection to the Redis at {address} was given up: {reason}")]
    GivenUp {
        /// The master's address.
        address: String,
        /// What happened.
        reason: String,
    },
    /// No sentinel answers.
    #[error("no sentinel answers ({0}): check their addresses, that they run, and the network policy")]
    NoSentinel(String),
    /// Those that answer refuse the login.
    #[error("the sentinel at {0} refuses the login: check the sentinels' user and password")]
    SentinelLogin(String),
    /// None knows the name.
    #[error("no sentinel knows a master named `{0}`: set masterName to the name that the sentinels monitor")]
    UnknownMaster(String),
    /// A server refuses the login.
    #[error("the Redis at {0} refuses the login: check user and password of the Secret")]
    Login(String),
    /// Whom the sentinels name is no master (any more), or does not answer.
    #[error("the sentinels name no server that answers as master: {0}")]
    NotMaster(String),
}

/// What the sentinels said.
#[derive(Debug, Default)]
struct Answers {
    named: BTreeMap<Address, usize>,
    unknown: bool,
    failed: Vec<ConnectError>,
}

impl Answers {
    fn add(&mut self, answer: Result<Option<Address>, ConnectError>) {
        match answer {
            Ok(Some(address)) => *self.named.entry(address).or_default() += 1,
            Ok(None) => self.unknown = true,
            Err(error) => self.failed.push(error),
        }
    }

    /// Whether more than half of `all` name the same one: the others need not be waited for.
    fn is_decided(&self, all: usize) -> bool {
        self.named.values().any(|votes| votes * 2 > all)
    }

    /// Those that were named, the most often named first.
    fn ranked(&self) -> Vec<&Address> {
        let mut ranked: Vec<_> = self.named.iter().collect();
        ranked.sort_by_key(|(_, votes)| std::cmp::Reverse(**votes));
        ranked.into_iter().map(|(address, _)| address).collect()
    }

    /// Why nobody was named.
    fn reason(self, master_name: &str) -> NoMaster {
        if self.unknown {
            return NoMaster::UnknownMaster(master_name.to_owned());
        }
        let refused = self.failed.iter().find_map(|error| match error {
            ConnectError::Login(address) => Some(NoMaster::SentinelLogin(address.to_string())),
            _ => None,
        });
        refused.unwrap_or_else(|| NoMaster::NoSentinel(joined(&self.failed)))
    }
}

fn joined(errors: &[ConnectError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Asks all sentinels, and connects to the master.
pub(super) async fn find_master(
    connector: &Arc<Connector>,
) -> Result<(Address, MultiplexedConnection), NoMaster> {
    let answers = ask_all(connector).await;
    let mut failed = Vec::new();
    for address in answers.ranked() {
        match connector.open_master(address).await {
            Ok(connection) => return Ok((address.clone(), connection)),
            Err(ConnectError::Login(address)) => return Err(NoMaster::Login(address.to_string())),
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() {
        return Err(answers.reason(&connector.settings().master_name));
    }
    Err(NoMaster::NotMaster(joined(&failed)))
}

async fn ask_all(connector: &Arc<Connector>) -> Answers {
    let mut questions = JoinSet::new();
    for sentinel in connector.settings().sentinels.clone() {
        let connector = Arc::clone(connector);
        questions.spawn(async move { connector.ask_sentinel(&sentinel).await });
    }
    let (all, mut answers) = (questions.len(), Answers::default());
    while let Some(answer) = questions.join_next().await {
        if let Ok(answer) = answer {
            answers.add(answer);
        }
        if answers.is_decided(all) {
            break;
        }
    }
    answers
}

/// The new address in a message of `+switch-master`, if it is about our master:
/// `<name> <old host> <old port> <new host> <new port>`.
pub(super) fn switched_to(message: &str, master_name: &str) -> Option<Address> {
    let mut words = message.split(' ');
    let name = words.next().filter(|name| *name == master_name);
    let (host, port) = (words.nth(2)?, words.next()?);
    name.and(Some(Address { host: host.to_owned(), port: port.parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        Address { host: "10.0.0.1".to_owned(), port }
    }

    #[test]
    fn the_address_that_most_sentinels_name_is_tried_first() {
        let mut answers = Answers::default();
        answers.add(Ok(Some(address(1))));
        assert!(!answers.is_decided(3));
        answers.add(Err(ConnectError::Silent(address(9))));
        answers.add(Ok(Some(address(2))));
        answers.add(Ok(Some(address(2))));
        assert!(answers.is_decided(3) && !answers.is_decided(4));
        assert_eq!(answers.ranked(), [&address(2), &address(1)]);
    }

    #[test]
    fn the_reason_tells_what_to_do_about_the_sentinels() {
        let mut answers = Answers::default();
        answers.add(Err(ConnectError::Silent(address(1))));
        answers.add(Err(ConnectError::Silent(address(2))));
        let silent = answers.reason("mymaster").to_string();
        assert!(silent.contains("10.0.0.1:1 does not") && silent.contains("network policy"), "{silent}");

        let mut answers = Answers::default();
        answers.add(Err(ConnectError::Silent(address(1))));
        answers.add(Err(ConnectError::Login(address(2))));
        assert!(matches!(answers.reason("mymaster"), NoMaster::SentinelLogin(_)));

        let mut answers = Answers::default();
        answers.add(Err(ConnectError::Silent(address(1))));
        answers.add(Ok(None));
        let unknown = answers.reason("mymaster").to_string();
        assert!(unknown.contains("`mymaster`") && unknown.contains("masterName"), "{unknown}");
    }

    #[test]
    fn a_switch_is_heard_only_of_our_master() {
        let message = "mymaster 10.0.0.1 6379 10.0.0.1 6380";
        assert_eq!(switched_to(message, "mymaster"), Some(address(6380)));
        assert_eq!(switched_to(message, "other"), None);
        for cut in ["", "mymaster", "mymaster 10.0.0.1 6379 10.0.0.1", "mymaster a 1 b x"] {
            assert_eq!(switched_to(cut, "mymaster"), None, "{cut}");
        }
    }
}
