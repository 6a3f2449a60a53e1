//! A network between browsers and the program: it delays, falls silent, and gives new addresses, as a carrier does.
//!
//! One port for TCP and UDP, like the program's. Invariant: whatever comes from one client goes through the network that
//! was current when the client began.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How often a thread that waits for bytes looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// What happens to all that clients send through it, and to what they get.
pub struct Network {
    is_cut: AtomicBool,
    /// Grows with each new address.
    address: AtomicU64,
    delay: Duration,
    line: Mutex<Sender<(Instant, Box<dyn FnOnce() + Send>)>>,
}

/// The port that clients see.
pub struct Relay {
    pub address: SocketAddr,
    listener: TcpListener,
    socket: Arc<UdpSocket>,
    current: Arc<Mutex<Arc<Network>>>,
}

impl Network {
    fn new(delay: Duration) -> Arc<Network> {
        let (line, due) = channel::<(Instant, Box<dyn FnOnce() + Send>)>();
        thread::spawn(move || {
            for (at, act) in due {
                thread::sleep(at.saturating_duration_since(Instant::now()));
                act();
            }
        });
        let (is_cut, address) = (AtomicBool::new(false), AtomicU64::new(0));
        Arc::new(Network { is_cut, address, delay, line: Mutex::new(line) })
    }

    /// Lets nothing through, or everything again.
    pub fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::SeqCst);
    }

    /// Gives the clients' UDP another source port, as a NAT that forgot does.
    pub fn move_clients(&self) {
        self.address.fetch_add(1, Ordering::SeqCst);
    }

    fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::SeqCst)
    }

    fn later(&self, act: impl FnOnce() + Send + 'static) {
        // Nobody waits any more once the thread is gone.
        let _ = self.line.lock().unwrap().send((Instant::now() + self.delay, Box::new(act)));
    }
}

impl Relay {
    /// Takes a port for TCP and UDP; nothing passes before [`Relay::forward_to`].
    pub fn bind() -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Arc::new(UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(LOOK)).unwrap();
        Relay { address, listener, socket, current: Arc::new(Mutex::new(Network::new(Duration::ZERO))) }
    }

    /// Clients that begin from now on are on a network of their own.
    pub fn new_network(&self, delay: Duration) -> Arc<Network> {
        let network = Network::new(delay);
        *self.current.lock().unwrap() = Arc::clone(&network);
        network
    }

    /// Passes everything on to the program at `to`, as long as the test lasts.
    pub fn forward_to(&self, to: SocketAddr) {
        let (listener, current) = (self.listener.try_clone().unwrap(), Arc::clone(&self.current));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(to) else { continue };
                let network = Arc::clone(&current.lock().unwrap());
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let network = Arc::clone(&network);
                    to.set_nodelay(true).unwrap();
                    thread::spawn(move || pump(from, &to, &network));
                }
            }
        });
        let (socket, current) = (Arc::clone(&self.socket), Arc::clone(&self.current));
        thread::spawn(move || relay_datagrams(&socket, &current, to));
    }
}

fn pump(mut from: TcpStream, to: &TcpStream, network: &Arc<Network>) {
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer);
        while network.is_cut() {
            thread::sleep(LOOK);
        }
        let mut to = to.try_clone().unwrap();
        match read {
            Ok(len) if len > 0 => {
                let bytes = buffer[..len].to_vec();
                network.later(move || drop(to.write_all(&bytes)));
            }
            Ok(_) | Err(_) => {
                network.later(move || drop(to.shutdown(Shutdown::Write)));
                return;
            }
        }
    }
}

struct Flow {
    upstream: Arc<UdpSocket>,
    network: Arc<Network>,
    address: u64,
}

fn relay_datagrams(socket: &Arc<UdpSocket>, current: &Mutex<Arc<Network>>, to: SocketAddr) {
    let mut flows: HashMap<SocketAddr, Flow> = HashMap::new();
    let mut buffer = [0; 2048];
    loop {
        let Ok((len, client)) = socket.recv_from(&mut buffer) else { continue };
        let network = match flows.get(&client) {
            Some(flow) => Arc::clone(&flow.network),
            None => Arc::clone(&current.lock().unwrap()),
        };
        let address = network.address.load(Ordering::SeqCst);
        if flows.get(&client).is_none_or(|flow| flow.address != address) {
            let upstream = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
            upstream.connect(to).unwrap();
            let (back, socket, through) = (Arc::clone(&upstream), Arc::clone(socket), Arc::clone(&network));
            thread::spawn(move || relay_back(&back, &socket, client, &through, address));
            flows.insert(client, Flow { upstream, network: Arc::clone(&network), address });
        }
        if !network.is_cut() {
            let (upstream, bytes) = (Arc::clone(&flows[&client].upstream), buffer[..len].to_vec());
            network.later(move || drop(upstream.send(&bytes)));
        }
    }
}

/// Passes on what comes back, until the client has another address.
fn relay_back(upstream: &UdpSocket, socket: &Arc<UdpSocket>, client: SocketAddr, network: &Network, address: u64) {
    upstream.set_read_timeout(Some(LOOK)).unwrap();
    let mut buffer = [0; 2048];
    while network.address.load(Ordering::SeqCst) == address {
        let Ok(len) = upstream.recv(&mut buffer) else { continue };
        if !network.is_cut() {
            let (socket, bytes) = (Arc::clone(socket), buffer[..len].to_vec());
            network.later(move || drop(socket.send_to(&bytes, client)));
        }
    }
}
