//! A TCP proxy that fails as networks do: it is slow, cuts connections after some bytes, lets one direction die, or
//! takes everything and answers nothing.
//!
//! Must not: know a protocol. Faults are set while it runs and hold for connections that are open as well.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// How often a direction looks whether it is still to stand still.
const LOOK: Duration = Duration::from_millis(2);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From those who connect.
    ToServer,
    /// Back to them.
    ToClient,
}

/// What is wrong with the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Every piece that is read waits so long, either way.
    Latency(Duration),
    /// So many more bytes pass this way over all connections; then every connection is cut, and later ones work.
    CutAfter(Direction, u64),
    /// Nothing passes this way any more; the other way works, and the connection stays open (half open).
    Deaf(Direction),
    /// Connections are accepted and stay open, and nothing passes either way.
    BlackHole,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    fault: Mutex<Fault>,
    /// Bytes that may still pass before the cut.
    left: AtomicU64,
    passed: [AtomicU64; 2],
    open: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

/// A proxy that runs; gone with the value, and all its connections with it.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Begins to pass everything on to `target`.
    ///
    /// # Errors
    /// When no port is to be had.
    #[expect(
        clippy::disallowed_methods,
        reason = "outside the system under test threads are free to be used"
    )]
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target,
            fault: Mutex::default(),
            left: AtomicU64::new(0),
            passed: [AtomicU64::new(0), AtomicU64::new(0)],
            open: Mutex::default(),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&accepting, &listener));
        Ok(Self { address, shared })
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets what is wrong from now on.
    pub fn set(&self, fault: Fault) {
        if let Fault::CutAfter(_, bytes) = fault {
            self.shared.left.store(bytes, Ordering::SeqCst);
        }
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// What is wrong now; a cut is over once it was made.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.shared.fault()
    }

    /// Bytes that were passed on this way.
    #[must_use]
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.count(direction).load(Ordering::SeqCst)
    }

    /// Cuts every connection that is open.
    pub fn cut(&self) {
        self.shared.cut();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, direction: Direction) -> &AtomicU64 {
        let [to_server, to_client] = &self.passed;
        match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    fn cut(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for stream in open {
            // Fails only where the peer was faster.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// How many of `bytes` may pass, and whether everything is cut then.
    fn admitted(&self, direction: Direction, bytes: usize) -> (usize, bool) {
        match self.fault() {
            Fault::CutAfter(cut, _) if cut == direction => {
                let take = |left: u64| Some(left.saturating_sub(bytes as u64));
                let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).unwrap_or(0);
                let pass = usize::try_from(left).unwrap_or(bytes).min(bytes);
                (pass, left <= bytes as u64)
            }
            _ => (bytes, false),
        }
    }

    /// Waits while nothing may pass this way; `false` when the proxy has ended.
    #[expect(
        clippy::disallowed_methods,
        reason = "outside the system under test the real clock is the only one"
    )]
    fn wait(&self, direction: Direction) -> bool {
        if let Fault::Latency(time) = self.fault() {
            thread::sleep(time);
        }
        while !self.ended.load(Ordering::SeqCst) {
            match self.fault() {
                Fault::BlackHole => {}
                Fault::Deaf(deaf) if deaf == direction => {}
                _ => return true,
            }
            thread::sleep(LOOK);
        }
        false
    }
}

#[expect(clippy::disallowed_methods, reason = "outside the system under test threads are free to be used")]
fn accept(shared: &Arc<Shared>, listener: &TcpListener) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // Ends with either side; what the other then meets is a closed connection.
            let _ = connect(&shared, client);
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "outside the system under test threads are free to be used")]
fn connect(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    shared.open.lock().unwrap_or_else(PoisonError::into_inner).push(client.try_clone()?);
    if !shared.wait(Direction::ToServer) {
        return client.shutdown(Shutdown::Both);
    }
    let Ok(server) = TcpStream::connect(shared.target) else { return client.shutdown(Shutdown::Both) };
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    shared.open.lock().unwrap_or_else(PoisonError::into_inner).push(server.try_clone()?);
    let (back, back_from, back_to) = (Arc::clone(shared), server.try_clone()?, client.try_clone()?);
    thread::spawn(move || pass(&back, Direction::ToClient, back_from, back_to));
    pass(shared, Direction::ToServer, client, server);
    Ok(())
}

fn pass(shared: &Shared, direction: Direction, mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let bytes = from.read(&mut buffer).unwrap_or(0);
        if bytes == 0 || !shared.wait(direction) {
            break;
        }
        let (admitted, cut) = shared.admitted(direction, bytes);
        // Before they can be answered: who hears the answer finds them counted.
        shared.count(direction).fetch_add(admitted as u64, Ordering::SeqCst);
        let passed = buffer.get(..admitted).is_some_and(|part| to.write_all(part).is_ok());
        if cut {
            *shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = Fault::None;
            shared.cut();
        }
        if cut || !passed {
            break;
        }
    }
    for stream in [from, to] {
        // Fails only where the peer was faster.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    #[expect(clippy::disallowed_methods, reason = "a test's server")]
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                thread::spawn(move || io::copy(&mut stream.try_clone().unwrap(), &mut &stream));
            }
        });
        address
    }

    fn connected(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream
    }

    fn said(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text)?;
        let mut heard = vec![0; text.len()];
        stream.read_exact(&mut heard)?;
        Ok(heard)
    }

    #[test]
    fn without_a_fault_everything_passes() {
        let proxy = Proxy::start(echo()).unwrap();
        assert_eq!(said(&mut connected(&proxy), b"hello").unwrap(), b"hello");
        assert_eq!((proxy.passed(Direction::ToServer), proxy.passed(Direction::ToClient)), (5, 5));
    }

    #[test]
    fn a_connection_is_cut_after_so_many_bytes_and_the_next_one_works() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = connected(&proxy);
        proxy.set(Fault::CutAfter(Direction::ToClient, 4));
        stream.write_all(b"hello").unwrap();
        let mut heard = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = stream.read_to_end(&mut heard);
        assert_eq!(heard, b"hell");
        assert_eq!(proxy.fault(), Fault::None);
        assert_eq!(said(&mut connected(&proxy), b"again").unwrap(), b"again");
    }

    #[test]
    fn a_black_hole_answers_nothing_until_it_is_gone() {
        let proxy = Proxy::start(echo()).unwrap();
        let mut stream = connected(&proxy);
        assert_eq!(said(&mut stream, b"before").unwrap(), b"before");
        for fault in [Fault::BlackHole, Fault::Deaf(Direction::ToClient), Fault::Deaf(Direction::ToServer)] {
            proxy.set(fault);
            let mut stream = connected(&proxy);
            stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            assert_eq!(
                said(&mut stream, b"lost").unwrap_err().kind(),
                io::ErrorKind::WouldBlock,
                "{fault:?}"
            );
        }
        proxy.set(Fault::None);
        assert_eq!(said(&mut stream, b"after").unwrap(), b"after");
    }
}
