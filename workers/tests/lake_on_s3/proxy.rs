//! A wire between a client and the endpoint that a test can cut.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinHandle,
};

/// What the wire does with what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wire {
    /// All passes.
    Whole,
    /// Every connection ends.
    Down,
    /// Requests arrive; the first answer to a PUT is lost with its connection.
    LosesAnAnswer,
    /// Requests arrive; no answer comes back.
    Silent,
}

const MODES: [Wire; 4] = [Wire::Whole, Wire::Down, Wire::LosesAnAnswer, Wire::Silent];

/// A proxy on loopback; gone with the value.
pub(crate) struct Proxy {
    address: SocketAddr,
    mode: Arc<AtomicU8>,
    changed: watch::Sender<()>,
    lost: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

#[derive(Clone)]
struct Switch {
    mode: Arc<AtomicU8>,
    lost: Arc<AtomicU32>,
}

impl Switch {
    fn mode(&self) -> Wire {
        MODES[usize::from(self.mode.load(Ordering::SeqCst))]
    }
}

impl Proxy {
    /// A whole wire to a URL.
    pub(crate) async fn to(endpoint: &str) -> Self {
        let target = endpoint.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mode, lost) = (Arc::new(AtomicU8::new(0)), Arc::new(AtomicU32::new(0)));
        let (changed, news) = watch::channel(());
        let switch = Switch { mode: Arc::clone(&mode), lost: Arc::clone(&lost) };
        let task = tokio::spawn(serve(listener, target, switch, news));
        Self { address, mode, changed, lost, task }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From here on; connections that are open follow when the wire goes down.
    pub(crate) fn set(&self, wire: Wire) {
        self.mode.store(wire as u8, Ordering::SeqCst);
        self.changed.send_replace(());
    }

    /// Answers that were lost.
    pub(crate) fn lost(&self) -> u32 {
        self.lost.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, target: String, switch: Switch, changes: watch::Receiver<()>) {
    while let Ok((client, _)) = listener.accept().await {
        if switch.mode() == Wire::Down {
            continue;
        }
        let server = TcpStream::connect(&target).await.unwrap();
        tokio::spawn(carry(client, server, switch.clone(), changes.clone()));
    }
}

async fn carry(client: TcpStream, server: TcpStream, switch: Switch, mut changes: watch::Receiver<()>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let put = Arc::new(AtomicU8::new(0));
    let down = async { while switch.mode() != Wire::Down && changes.changed().await.is_ok() {} };
    tokio::select! {
        () = requests(from_client, to_server, Arc::clone(&put)) => {}
        () = answers(from_server, to_client, switch.clone(), put) => {}
        () = down => {}
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, put: Arc<AtomicU8>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // A request's head comes in one piece; what follows of its body does not begin like this.
        for (mark, is_put) in [("PUT /", 1), ("GET /", 0), ("HEAD /", 0), ("POST /", 0), ("DELETE /", 0)] {
            if buffer.starts_with(mark.as_bytes()) {
                put.store(is_put, Ordering::SeqCst);
            }
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, switch: Switch, put: Arc<AtomicU8>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        match switch.mode() {
            Wire::LosesAnAnswer if put.load(Ordering::SeqCst) == 1 => {
                switch.mode.store(Wire::Whole as u8, Ordering::SeqCst);
                switch.lost.fetch_add(1, Ordering::SeqCst);
                return;
            }
            Wire::Silent => continue,
            _ => {}
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
