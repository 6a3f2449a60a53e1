//! What sending costs without a server: `sendmmsg` and nothing else, at the same rhythm, from the same kind of socket (one of
//! IPv6 that takes IPv4 too) to the same ports.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::thread;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn6, sendmmsg};
use nix::time::{ClockId, clock_gettime};

use socket2::{Domain, Socket, Type};
use stage::browser::PACKET_INTERVAL;

/// How many datagrams one system call sends, as the server does.
const BATCH: usize = 64;

/// Returns the processor time of one datagram of so many bytes to one of `sockets`, in microseconds.
pub fn measure(
    mut sockets: Vec<UdpSocket>,
    publishers: usize,
    bytes: usize,
    duration: Duration,
) -> Result<f64, String> {
    let failed = |error: io::Error| format!("bare receiving failed: {error}");
    let mut poll = Poll::new().map_err(failed)?;
    let mut ports = Vec::new();
    for (index, socket) in sockets.iter_mut().enumerate() {
        poll.registry().register(socket, Token(index), Interest::READABLE).map_err(failed)?;
        ports.push(socket.local_addr().map_err(failed)?);
    }
    let sender = thread::spawn(move || send_for(duration, &ports, publishers, bytes));
    let mut events = Events::with_capacity(1024);
    let mut buffer = [0; 2048];
    while !sender.is_finished() {
        poll.poll(&mut events, Some(PACKET_INTERVAL)).map_err(failed)?;
        for event in &events {
            while sockets[event.token().0].recv(&mut buffer).is_ok() {}
        }
    }
    sender.join().map_err(|_| "the bare sender broke".to_owned())?
}

/// Sends to a share of the ports for each publisher in turn, each once in a packet's time.
fn send_for(duration: Duration, ports: &[SocketAddr], publishers: usize, bytes: usize) -> Result<f64, String> {
    let failed = |error: &dyn std::fmt::Display| format!("bare sending failed: {error}");
    let socket = dual_stack().map_err(|error| failed(&error))?;
    let contents = vec![0xff; bytes];
    let bursts = bursts(ports, publishers);
    let pause = PACKET_INTERVAL / bursts.len() as u32;
    let mut headers = MultiHeaders::preallocate(BATCH, None);
    let (mut busy, mut sent) = (Duration::ZERO, 0);
    let mut next = Instant::now();
    let end = next + duration;
    for burst in bursts.iter().cycle() {
        if next >= end {
            break;
        }
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += pause;
        let before = thread_time()?;
        for addresses in burst.chunks(BATCH) {
            let slices = [[IoSlice::new(&contents)]; BATCH];
            let result = sendmmsg(socket.as_raw_fd(), &mut headers, &slices, addresses, [], MsgFlags::empty());
            sent += result.map_err(|error| failed(&error))?.count();
        }
        busy += thread_time()? - before;
    }
    Ok(busy.as_secs_f64() * 1e6 / sent as f64)
}

fn dual_stack() -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
    socket.set_only_v6(false)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into())?;
    Ok(socket)
}

/// The listeners of each publisher, without publishers that have none.
fn bursts(ports: &[SocketAddr], publishers: usize) -> Vec<Vec<Option<SockaddrIn6>>> {
    let v6 = |address: &SocketAddr| {
        let ip = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        Some(SockaddrIn6::from(SocketAddrV6::new(ip, address.port(), 0, 0)))
    };
    let of = |publisher: usize| ports.iter().skip(publisher).step_by(publishers).map(v6).collect();
    (0..publishers.min(ports.len())).map(of).collect()
}

/// Returns the processor time of this thread.
fn thread_time() -> Result<Duration, String> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .map(Duration::from)
        .map_err(|error| format!("no processor time of a thread: {error}"))
}
