//! One connection to a server or sentinel: short, and with whichever password it accepts.
//!
//! Must not: say a password in an error.

use std::{net::IpAddr, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo,
    RedisError, ServerErrorKind, aio::MultiplexedConnection,
};

use super::Passwords;
use crate::validate::KeptSecret;

/// Longest time to be connected, and for each reply.
const PATIENCE: Duration = Duration::from_secs(2);

/// Why a pod could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    /// It does not answer.
    #[error("it does not answer")]
    Silent,
    /// It accepts none of the passwords.
    #[error("it accepts no password of the Secret")]
    Refused,
    /// It loads its data.
    #[error("it loads its data")]
    Loading,
    /// It answers with an error.
    #[error("it refuses the command")]
    Failed,
}

impl WireError {
    fn of(error: &RedisError) -> Self {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::BusyLoading) => Self::Loading,
            ErrorKind::AuthenticationFailed => Self::Refused,
            _ if matches!(error.code(), Some("WRONGPASS" | "NOAUTH")) => Self::Refused,
            ErrorKind::Server(_) | ErrorKind::Extension | ErrorKind::UnexpectedReturnType => Self::Failed,
            _ => Self::Silent,
        }
    }
}

/// A connection that has logged in.
pub(super) struct Wire {
    connection: MultiplexedConnection,
}

impl Wire {
    /// Connects with the current password, or else with the previous one.
    pub(super) async fn open(ip: IpAddr, port: u16, passwords: &Passwords) -> Result<Self, WireError> {
        match Self::open_with(ip, port, &passwords.current).await {
            Err(WireError::Refused) => match &passwords.previous {
                Some(previous) => Self::open_with(ip, port, previous).await,
                None => Err(WireError::Refused),
            },
            outcome => outcome,
        }
    }

    async fn open_with(ip: IpAddr, port: u16, password: &KeptSecret) -> Result<Self, WireError> {
        let login = RedisConnectionInfo::default().set_password(&password.0).set_skip_set_lib_name();
        let info = (ip.to_string(), port).into_connection_info().map_err(|_| WireError::Silent)?;
        let client = Client::open(info.set_redis_settings(login)).map_err(|_| WireError::Silent)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let opened = client.get_multiplexed_async_connection_with_config(&config).await;
        opened.map(|connection| Self { connection }).map_err(|error| WireError::of(&error))
    }

    /// Sends a command.
    pub(super) async fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> Result<T, WireError> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(*word);
        }
        command.query_async(&mut self.connection).await.map_err(|error| WireError::of(&error))
    }
}
