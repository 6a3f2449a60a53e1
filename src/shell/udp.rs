//! Receives and sends datagrams, each with the address of ours that it was sent to or leaves from.
//!
//! Has `unsafe`: no safe wrapper of `sendmmsg` takes a source address per datagram. Invariant: a
//! raw pointer is followed only in the call that set it.
#![expect(unsafe_code, reason = "sendmmsg with packet information has no safe wrapper")]

use std::io::{self, IoSliceMut};
use std::mem;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ops::Add;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, RecvMsg, SockaddrStorage, recvmsg, setsockopt,
    sockopt::{Ipv4PacketInfo, Ipv6RecvPacketInfo},
};
use socket2::{Domain, SockAddr, Socket, Type};
use str0m::net::Protocol;

use crate::host::addresses::canonical;
use crate::outbox::Datagram;
use crate::path::Path;

/// How many datagrams one system call sends.
pub(super) const SEND_BATCH: usize = 64;

/// What is asked for both socket buffers, in bytes; the kernel may grant less.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// No datagram is longer (RFC 768: a 16-bit length), so none is cut and the core judges the length.
const RECEIVE_BYTES: usize = 64 * 1024;

/// The shortest time between two warnings about dropped datagrams.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// What happened to datagrams on their way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UdpCounters {
    pub(super) sent: u64,
    /// The socket's buffer was full.
    pub(super) dropped_full: u64,
    /// The kernel had no memory or no room in the interface's queue.
    pub(super) dropped_no_buffers: u64,
    /// The kernel refused: no route, an address that is gone, too long.
    pub(super) dropped_refused: u64,
}

impl Add for UdpCounters {
    type Output = UdpCounters;

    fn add(self, other: UdpCounters) -> UdpCounters {
        UdpCounters {
            sent: self.sent + other.sent,
            dropped_full: self.dropped_full + other.dropped_full,
            dropped_no_buffers: self.dropped_no_buffers + other.dropped_no_buffers,
            dropped_refused: self.dropped_refused + other.dropped_refused,
        }
    }
}

/// One media socket.
pub(super) struct Udp {
    socket: UdpSocket,
    bound: SocketAddr,
    /// Readiness is edge-triggered: true until a read would block.
    pub(super) is_ready: bool,
    received: Box<[u8]>,
    /// Where the last one went, and its length in bytes.
    fetched: Option<(Path, usize)>,
    control: Vec<u8>,
    batch: Batch,
    counters: UdpCounters,
    warned: Option<(Instant, u64)>,
}

/// Opens a non-blocking socket on `address`; one on `[::]` takes IPv4 too.
///
/// # Errors
/// The system's.
pub(super) fn bind(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
        setsockopt(&socket, Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(&socket, Ipv4PacketInfo, &true)?;
    }
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl Udp {
    /// Takes over a socket made by [`bind`].
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Udp> {
        let bound = socket.local_addr()?;
        let asked = socket2::SockRef::from(&socket);
        // The kernel doubles what is set, for its own bookkeeping (socket(7)).
        let granted = asked.recv_buffer_size()?.min(asked.send_buffer_size()?) / 2;
        if granted < SOCKET_BUFFER_BYTES {
            log::info!(
                "small socket buffers, for hundreds of listeners raise net.core.rmem_max and wmem_max to \
                 {SOCKET_BUFFER_BYTES}: granted={granted}"
            );
        }
        Ok(Udp {
            socket: UdpSocket::from_std(socket),
            bound,
            is_ready: false,
            received: vec![0; RECEIVE_BYTES].into(),
            fetched: None,
            control: nix::cmsg_space!(libc::in6_pktinfo),
            batch: Batch::new(),
            counters: UdpCounters::default(),
            warned: None,
        })
    }

    /// Returns what mio registers.
    pub(super) fn source(&mut self) -> &mut UdpSocket {
        &mut self.socket
    }

    /// Returns what was counted since the start.
    pub(super) fn counters(&self) -> UdpCounters {
        self.counters
    }

    /// Receives the next datagram; tells whether there was one.
    pub(super) fn fetch(&mut self) -> bool {
        self.fetched = None;
        while self.is_ready && self.fetched.is_none() {
            let mut slices = [IoSliceMut::new(&mut self.received)];
            let control = Some(self.control.as_mut_slice());
            let result =
                recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut slices, control, MsgFlags::empty());
            match result {
                Ok(message) => self.fetched = path_of(&message, self.bound).map(|path| (path, message.bytes)),
                Err(Errno::EAGAIN) => self.is_ready = false,
                // Told here, but about something sent before: the error is drained, the socket is fine.
                Err(Errno::EINTR | Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH) => {}
                Err(error) => {
                    log::warn!("datagrams can't be received: {error}");
                    self.is_ready = false;
                }
            }
        }
        self.fetched.is_some()
    }

    /// Returns what [`Udp::fetch`] received.
    pub(super) fn fetched(&self) -> Option<(Path, &[u8])> {
        self.fetched.map(|(path, length)| (path, &self.received[..length]))
    }

    /// Sends datagrams that are in these bytes, in order; what the kernel does not take at once is dropped and counted, as a
    /// network would.
    pub(super) fn send(&mut self, now: Instant, datagrams: &[Datagram], bytes: &[u8]) {
        for chunk in datagrams.chunks(SEND_BATCH) {
            let Udp { batch, socket, counters, bound, .. } = self;
            send_chunk(counters, chunk, |rest| batch.send(socket, *bound, rest, bytes));
        }
        self.warn_of_drops(now);
    }

    fn warn_of_drops(&mut self, now: Instant) {
        let dropped = self.counters.dropped_full + self.counters.dropped_no_buffers;
        let (next, told) = self.warned.unwrap_or((now, 0));
        if dropped > told && now >= next {
            log::warn!(
                "datagrams dropped, the socket's buffer is too small for so many listeners: total={dropped}"
            );
            self.warned = Some((now + WARNING_INTERVAL, dropped));
        }
    }
}

/// Hands a chunk to the kernel, which takes the first of what is left and maybe more, or says why it does not.
fn send_chunk(
    counters: &mut UdpCounters,
    chunk: &[Datagram],
    mut send: impl FnMut(&[Datagram]) -> Result<usize, Errno>,
) {
    let mut rest = chunk;
    let mut was_refused = false;
    while !rest.is_empty() {
        match send(rest) {
            Ok(sent) => {
                counters.sent += sent as u64;
                rest = &rest[sent..];
                was_refused = false;
            }
            Err(Errno::EINTR) => {}
            // Reports a datagram sent before; once told, this one may still go.
            Err(Errno::ECONNREFUSED) if !was_refused => was_refused = true,
            Err(Errno::EAGAIN) => {
                counters.dropped_full += rest.len() as u64;
                return;
            }
            Err(Errno::ENOBUFS) => {
                counters.dropped_no_buffers += 1;
                rest = &rest[1..];
            }
            Err(error) => {
                log::trace!("datagram refused by the system: {error}");
                counters.dropped_refused += 1;
                rest = &rest[1..];
            }
        }
    }
}

/// Returns where the datagram came from and where it went to; `None` if the kernel named no sender.
fn path_of(message: &RecvMsg<'_, '_, SockaddrStorage>, bound: SocketAddr) -> Option<Path> {
    let sender = message.address.as_ref()?;
    let v4 = sender.as_sockaddr_in().map(|address| SocketAddr::V4(SocketAddrV4::from(*address)));
    let v6 = sender.as_sockaddr_in6().map(|address| SocketAddr::V6(SocketAddrV6::from(*address)));
    let remote = canonical(v4.or(v6)?);
    let received_at = message.cmsgs().ok().into_iter().flatten().find_map(|message| match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::V4(u32::from_be(info.ipi_spec_dst.s_addr).into()))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::V6(info.ipi6_addr.s6_addr.into())),
        _ => None,
    });
    let local = received_at.map_or(bound, |ip| SocketAddr::new(ip, bound.port()));
    Some(Path { proto: Protocol::Udp, remote, local: canonical(local) })
}

/// Ancillary data with a source address, laid out as `CMSG_DATA` expects: header, then information (cmsg(3)).
#[repr(C)]
struct Control {
    header: libc::cmsghdr,
    information: PacketInformation,
}

#[repr(C)]
union PacketInformation {
    v4: libc::in_pktinfo,
    v6: libc::in6_pktinfo,
}

impl Control {
    /// Makes a datagram leave from `path.local`; `None` where the kernel shall choose.
    ///
    /// A mapped IPv4 address works too, on an IPv6 socket that sends to a mapped one.
    fn new(path: &Path, is_ipv6: bool) -> Option<Control> {
        let local = path.local.ip();
        if local.is_unspecified() || local.is_ipv4() != path.remote.is_ipv4() {
            return None;
        }
        let source = if is_ipv6 { mapped(path.local).ip() } else { local };
        let (level, kind, length, information) = match source {
            IpAddr::V4(v4) => {
                let address = libc::in_addr { s_addr: u32::from(v4).to_be() };
                let any = libc::in_addr { s_addr: 0 };
                let v4 = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: any };
                let length = size_of::<libc::in_pktinfo>();
                (libc::IPPROTO_IP, libc::IP_PKTINFO, length, PacketInformation { v4 })
            }
            IpAddr::V6(v6) => {
                let address = libc::in6_addr { s6_addr: v6.octets() };
                let v6 = libc::in6_pktinfo { ipi6_addr: address, ipi6_ifindex: 0 };
                let length = size_of::<libc::in6_pktinfo>();
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, length, PacketInformation { v6 })
            }
        };
        // SAFETY: a C struct of integers, for which zero is a value; some systems have private padding in it.
        let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
        header.cmsg_level = level;
        header.cmsg_type = kind;
        header.cmsg_len = (mem::offset_of!(Control, information) + length) as _;
        Some(Control { header, information })
    }
}

/// Room for the arguments of one `sendmmsg`, allocated once.
struct Batch {
    names: Vec<SockAddr>,
    controls: Vec<Option<Control>>,
    slices: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

impl Batch {
    fn new() -> Batch {
        Batch {
            names: Vec::with_capacity(SEND_BATCH),
            controls: Vec::with_capacity(SEND_BATCH),
            slices: Vec::with_capacity(SEND_BATCH),
            headers: Vec::with_capacity(SEND_BATCH),
        }
    }

    /// Sends the first of `datagrams` and as many after it as the kernel takes; returns how many, at least one.
    fn send(
        &mut self,
        socket: &UdpSocket,
        bound: SocketAddr,
        datagrams: &[Datagram],
        bytes: &[u8],
    ) -> Result<usize, Errno> {
        self.fill(bound, datagrams, bytes);
        let count = self.headers.len() as libc::c_uint;
        // SAFETY: `headers` holds `count` headers, and all that they point to was set by `fill` just before: names,
        // controls and slices, which nothing moved since, and parts of `bytes`, which are borrowed. The
        // kernel writes nothing but each header's `msg_len`.
        let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), self.headers.as_mut_ptr(), count, 0) };
        Errno::result(sent).map(|sent| (sent as usize).max(1))
    }

    fn fill(&mut self, bound: SocketAddr, datagrams: &[Datagram], bytes: &[u8]) {
        // What is bound to one address has no other to send from.
        let (is_ipv6, names_source) = (bound.is_ipv6(), bound.ip().is_unspecified());
        self.names.clear();
        self.controls.clear();
        self.slices.clear();
        self.headers.clear();
        for datagram in datagrams {
            let Path { proto, remote, local: _ } = datagram.path;
            debug_assert_eq!(proto, Protocol::Udp, "what goes over TCP waits in its conn's queue");
            self.names.push(SockAddr::from(if is_ipv6 { mapped(remote) } else { remote }));
            self.controls.push(if names_source { Control::new(&datagram.path, is_ipv6) } else { None });
            let contents = datagram.contents(bytes);
            let base = contents.as_ptr().cast_mut().cast();
            self.slices.push(libc::iovec { iov_base: base, iov_len: contents.len() });
        }
        // Only now, when no vector grows any more, may pointers into them be taken.
        for ((name, control), slice) in self.names.iter().zip(&mut self.controls).zip(&mut self.slices) {
            // SAFETY: a C struct of integers and pointers, for which zero is a value: no name, no data.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            header.msg_hdr.msg_iov = slice;
            header.msg_hdr.msg_iovlen = 1;
            if let Some(control) = control {
                header.msg_hdr.msg_controllen = control.header.cmsg_len;
                header.msg_hdr.msg_control = (&raw mut *control).cast();
            }
            self.headers.push(header);
        }
    }
}

/// Returns the form in which an IPv6 socket takes an address.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0).into(),
        SocketAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket as Client;

    use mio::{Events, Interest, Poll, Token};

    use super::*;
    use crate::outbox::{Item, Outbox};

    const WAIT: Duration = Duration::from_secs(5);

    #[test]
    fn replies_leave_from_the_address_that_was_asked() {
        let cases = [
            ("v4 on a v4 socket", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1"),
            ("any v4, one of many", "0.0.0.0:0", "127.0.0.1:0", "127.0.0.5"),
            ("v4 on a v6 socket, one of many", "[::]:0", "127.0.0.1:0", "127.0.0.6"),
            ("v6 on a v6 socket", "[::]:0", "[::1]:0", "::1"),
            ("one v6 address", "[::1]:0", "[::1]:0", "::1"),
        ];
        for (name, bound, client, asked) in cases {
            let mut server = Server::new(bound);
            let client = Client::bind(client).unwrap();
            client.set_read_timeout(Some(WAIT)).unwrap();
            let asked = SocketAddr::new(asked.parse().unwrap(), server.udp.bound.port());
            client.send_to(b"question", asked).unwrap();

            let (path, contents) = server.receive();
            assert_eq!(contents, b"question", "{name}");
            assert_eq!(path, udp_path(client.local_addr().unwrap(), asked), "{name}");

            server.send([(path, b"answer".to_vec())]);
            let mut buffer = [0; 100];
            let (length, from) = client.recv_from(&mut buffer).unwrap();
            assert_eq!((&buffer[..length], from), (&b"answer"[..], asked), "{name}");
        }
    }

    #[test]
    fn a_batch_keeps_its_order_and_goes_on_after_a_refused_datagram() {
        let mut server = Server::new("[::]:0");
        let client = Client::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(WAIT)).unwrap();
        let local = SocketAddr::new("127.0.0.1".parse().unwrap(), server.udp.bound.port());
        let good = udp_path(client.local_addr().unwrap(), local);
        let not_ours = SocketAddr::new("192.0.2.77".parse().unwrap(), local.port());
        let bad = Path { local: not_ours, ..good };
        let count = SEND_BATCH * 2 + 3;
        let is_bad = |index: usize| index == 0 || index == 70;
        let path = |index: usize| if is_bad(index) { bad } else { good };
        server.send((0..count).map(|index| (path(index), vec![index as u8; index])));

        for index in (0..count).filter(|index| !is_bad(*index)) {
            let mut buffer = [0; 1000];
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..length], vec![index as u8; index]);
        }
        let want = UdpCounters { sent: count as u64 - 2, dropped_refused: 2, ..UdpCounters::default() };
        assert_eq!(server.udp.counters(), want);
    }

    /// A kernel that says what it is told to: the conditions themselves can't be made on loopback.
    #[test]
    fn what_the_kernel_does_not_take_is_dropped_and_counted() {
        let path = udp_path("127.0.0.1:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap());
        let (chunk, bytes) = datagrams((0..5).map(|byte| (path, vec![byte])));
        let none = UdpCounters::default();
        let (all, full, no_buffers, refused) =
            (Ok(5), Err(Errno::EAGAIN), Err(Errno::ENOBUFS), Err(Errno::ECONNREFUSED));
        let (some, interrupted, unreachable) = (Ok(2), Err(Errno::EINTR), Err(Errno::ENETUNREACH));
        // What the kernel answers, how many datagrams it is offered each time, and what is counted.
        let cases: &[(&str, Vec<Result<usize, Errno>>, &[usize], UdpCounters)] = &[
            ("all at once", vec![all], &[5], UdpCounters { sent: 5, ..none }),
            ("in parts", vec![some, some, Ok(1)], &[5, 3, 1], UdpCounters { sent: 5, ..none }),
            ("full at once", vec![full], &[5], UdpCounters { dropped_full: 5, ..none }),
            ("full after two", vec![some, full], &[5, 3], UdpCounters { sent: 2, dropped_full: 3, ..none }),
            (
                "no memory for one",
                vec![some, no_buffers, some],
                &[5, 3, 2],
                UdpCounters { sent: 4, dropped_no_buffers: 1, ..none },
            ),
            ("no memory", vec![no_buffers; 5], &[5, 4, 3, 2, 1], UdpCounters { dropped_no_buffers: 5, ..none }),
            ("interrupted", vec![interrupted, interrupted, all], &[5, 5, 5], UdpCounters { sent: 5, ..none }),
            ("an old refusal", vec![some, refused, Ok(3)], &[5, 3, 3], UdpCounters { sent: 5, ..none }),
            (
                "two old refusals",
                vec![refused, some, refused, Ok(3)],
                &[5, 5, 3, 3],
                UdpCounters { sent: 5, ..none },
            ),
            (
                "one refusal after another",
                vec![refused, refused, Ok(4)],
                &[5, 5, 4],
                UdpCounters { sent: 4, dropped_refused: 1, ..none },
            ),
            (
                "no way to one",
                vec![unreachable, Ok(4)],
                &[5, 4],
                UdpCounters { sent: 4, dropped_refused: 1, ..none },
            ),
        ];
        for (name, answers, offered, want) in cases {
            let (mut counters, mut seen) = (none, Vec::new());
            let mut answers = answers.iter();
            send_chunk(&mut counters, &chunk, |rest| {
                assert_eq!(rest[0].contents(&bytes), [(5 - rest.len()) as u8], "{name}: in order");
                seen.push(rest.len());
                *answers.next().expect("it gives up in time")
            });
            assert_eq!((seen.as_slice(), counters), (*offered, *want), "{name}");
            assert!(answers.next().is_none(), "{name}: it gave up too early");
        }
    }

    #[test]
    fn sending_to_a_closed_port_does_not_stop_what_follows() {
        let mut server = Server::new("0.0.0.0:0");
        let client = Client::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(WAIT)).unwrap();
        let closed = Client::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let local = SocketAddr::new("127.0.0.1".parse().unwrap(), server.udp.bound.port());
        for index in 0..20 {
            let gone = (udp_path(closed, local), vec![0]);
            let alive = (udp_path(client.local_addr().unwrap(), local), vec![index]);
            server.send([gone, alive]);
        }
        for index in 0..20 {
            let mut buffer = [0; 10];
            assert_eq!(client.recv(&mut buffer).unwrap(), 1);
            assert_eq!(buffer[0], index);
        }
    }

    #[test]
    fn control_names_a_source_only_where_it_can() {
        let cases = [
            ("v4", "127.0.0.1:1", "127.0.0.2:1", true),
            ("v6", "[::1]:1", "[::1]:2", true),
            ("unknown v4", "0.0.0.0:1", "127.0.0.2:1", false),
            ("unknown v6", "[::]:1", "[::1]:2", false),
            ("another family", "[::1]:1", "127.0.0.2:1", false),
        ];
        for (name, local, remote, want) in cases {
            let path = udp_path(remote.parse().unwrap(), local.parse().unwrap());
            assert_eq!(Control::new(&path, true).is_some(), want, "{name}");
        }
    }

    #[test]
    fn longest_datagram_is_received_whole() {
        let mut server = Server::new("127.0.0.1:0");
        let client = Client::bind("127.0.0.1:0").unwrap();
        client.send_to(&[7; 65_507], server.udp.bound).unwrap();
        assert_eq!(server.receive().1.len(), 65_507);
    }

    fn udp_path(remote: SocketAddr, local: SocketAddr) -> Path {
        Path { proto: Protocol::Udp, remote, local }
    }

    /// Returns datagrams and the bytes that they are in, as the shell gets them.
    fn datagrams(contents: impl IntoIterator<Item = (Path, Vec<u8>)>) -> (Vec<Datagram>, Vec<u8>) {
        let mut out = Outbox::new();
        contents.into_iter().for_each(|(path, contents)| out.send(path, &contents));
        let (items, bytes) = out.drain();
        let datagram = |item| match item {
            Item::Datagram(datagram) => datagram,
            Item::Job(..) | Item::Conn(_) => unreachable!("only datagrams were sent"),
        };
        (items.map(datagram).collect(), bytes.to_vec())
    }

    struct Server {
        poll: Poll,
        udp: Udp,
    }

    impl Server {
        fn new(bound: &str) -> Server {
            let mut udp = Udp::new(bind(bound.parse().unwrap()).unwrap()).unwrap();
            let poll = Poll::new().unwrap();
            poll.registry().register(udp.source(), Token(0), Interest::READABLE).unwrap();
            Server { poll, udp }
        }

        fn receive(&mut self) -> (Path, Vec<u8>) {
            let mut events = Events::with_capacity(8);
            self.poll.poll(&mut events, Some(WAIT)).unwrap();
            self.udp.is_ready = !events.is_empty();
            assert!(self.udp.fetch(), "a datagram was sent");
            let (path, contents) = self.udp.fetched().unwrap();
            let received = (path, contents.to_vec());
            assert!(!self.udp.fetch());
            received
        }

        #[expect(clippy::disallowed_methods, reason = "a test of the shell reads the clock")]
        fn send(&mut self, contents: impl IntoIterator<Item = (Path, Vec<u8>)>) {
            let (datagrams, bytes) = datagrams(contents);
            self.udp.send(Instant::now(), &datagrams, &bytes);
        }
    }
}
