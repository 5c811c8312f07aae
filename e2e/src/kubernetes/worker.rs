//! Stands for the HTTP side of a parking worker: `GET /status` (and `/livez`, `/readyz`) on a pod's address.
//!
//! Contract: answers `parking_crds::worker_status::WorkerStatus` as JSON, as a test has set it; can refuse with a
//! status code, or be slow. It reads no topic and evaluates no rule.
//!
//! Must not: listen on loopback, which no EndpointSlice may hold.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_crds::worker_status::WorkerStatus;

/// The port that workers serve HTTP on.
pub const PORT: u16 = 8080;

/// How the double answers.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// 200 and this.
    Answers(WorkerStatus),
    /// This status code and no body.
    Refuses(u16),
    /// Takes the connection and never answers.
    Hangs,
}

/// A worker that only has a status; gone with the value.
#[derive(Debug)]
pub struct WorkerDouble {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    behaviour: Mutex<Behaviour>,
    asked: AtomicU64,
    ended: AtomicBool,
}

impl WorkerDouble {
    /// Listens on the pod's address, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// When the address is loopback, taken, or not of this network namespace.
    #[expect(clippy::disallowed_methods, reason = "a double serves from a thread of its own")]
    pub fn start(pod: IpAddr, port: u16, behaviour: Behaviour) -> io::Result<Self> {
        if pod.is_loopback() {
            return Err(io::Error::other("no EndpointSlice may hold a loopback address"));
        }
        let listener = TcpListener::bind((pod, port))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            asked: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = Some(thread::spawn(move || serve(&listener, &serving)));
        Ok(Self { address, shared, thread })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers differently from now on.
    pub fn set(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// Changes what it answers, if it answers at all.
    pub fn change(&self, change: impl FnOnce(&mut WorkerStatus)) {
        let mut behaviour = self.shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner);
        if let Behaviour::Answers(status) = &mut *behaviour {
            change(status);
        }
    }

    /// How often `/status` was asked for.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for WorkerDouble {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the thread that waits for a connection; it may have ended already.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn serve(listener: &TcpListener, shared: &Shared) {
    let mut hanging = Vec::new();
    for connection in listener.incoming().flatten() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        match answer(&connection, shared) {
            Ok(true) | Err(_) => {}
            Ok(false) => hanging.push(connection),
        }
    }
}

/// Whether the connection is done with.
fn answer(connection: &TcpStream, shared: &Shared) -> io::Result<bool> {
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(connection.take(16 * 1024));
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let behaviour = shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if path == "/status" {
        shared.asked.fetch_add(1, Ordering::SeqCst);
    }
    let (code, body) = match (behaviour, path) {
        (Behaviour::Hangs, _) => return Ok(false),
        (Behaviour::Refuses(code), _) => (code, String::new()),
        (Behaviour::Answers(status), "/status") => (200, serde_json::to_string(&status)?),
        (Behaviour::Answers(_), "/livez" | "/readyz") => (200, "ok".to_owned()),
        (Behaviour::Answers(_), _) => (404, String::new()),
    };
    let mut connection = connection;
    write!(
        connection,
        "HTTP/1.1 {code} -\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_is_refused() {
        assert!(WorkerDouble::start(IpAddr::from([127, 0, 0, 1]), 0, Behaviour::Hangs).is_err());
    }
}
