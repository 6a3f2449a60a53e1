//! What the kernel still has of what was written to a TCP socket, and how it is taken back.
//!
//! Asks only. Invariant: what can't be asked counts as nothing, so that no client is held up by it.
#![expect(unsafe_code, reason = "neither question has a safe wrapper")]

use std::mem;
use std::os::fd::AsRawFd;
use std::time::Duration;

use mio::net::TcpStream;
use nix::libc;
use socket2::SockRef;

use crate::conn::Unsent;

/// A way that seems to take longer does not: it was not measured, or it is blocked.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);

/// Tells whether more may be written to a socket of which the kernel may hold so much.
pub(super) fn has_room(socket: &TcpStream, allowed: Unsent) -> bool {
    match allowed {
        Unsent::Any | Unsent::Void => true,
        Unsent::AtMost(limits) => {
            let bytes = unsent_bytes(socket);
            bytes <= limits.bytes_max || bytes <= limits.allowed_bytes(shortest_round_trip(socket))
        }
    }
}

/// Returns how many bytes were written that the client has not acknowledged; whatever is among them may arrive later.
pub(super) fn unsent_bytes(socket: &TcpStream) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the kernel writes one `int` to `bytes`.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 { bytes.try_into().unwrap_or_default() } else { 0 }
}

/// Closes a socket; what the client has not acknowledged does not arrive later where it was only to arrive in time.
pub(super) fn close(socket: TcpStream, allowed: Unsent) {
    if allowed != Unsent::Any && unsent_bytes(&socket) > 0 {
        // A socket that does not linger is reset, and forgets what it has.
        let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
    }
}

/// Returns how long the way to the client and back took at the least.
fn shortest_round_trip(socket: &TcpStream) -> Duration {
    // SAFETY: all fields are integers, for which zeroes are a value.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    let (level, option) = (libc::IPPROTO_TCP, libc::TCP_INFO);
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel writes no more than `length` bytes to
    // `info`, which has so many.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), level, option, (&raw mut info).cast(), &raw mut length) };
    if result == 0 { Duration::from_micros(info.tcpi_min_rtt.into()).min(ROUND_TRIP_MAX) } else { Duration::ZERO }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "the kernel lives in real time")]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;
    use std::time::Instant;

    use super::*;
    use crate::config::UnsentLimits;

    const LIMITS: UnsentLimits = UnsentLimits { bytes_max: 1500, bytes_per_s: 8000 };

    /// Returns a socket whose client takes almost nothing until it reads, and the client.
    fn slow() -> (TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        SockRef::from(&listener).set_recv_buffer_size(2048).unwrap();
        let server = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        server.set_nonblocking(true).unwrap();
        (TcpStream::from_std(server), listener.accept().unwrap().0)
    }

    /// Writes so long as there is room; returns how much.
    fn fill(socket: &mut TcpStream, allowed: Unsent) -> usize {
        let mut written = 0;
        while has_room(socket, allowed) {
            match socket.write(&[7; 100]) {
                Ok(length) => written += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        written
    }

    #[test]
    fn so_much_waits_and_what_was_read_makes_room() {
        let (mut server, mut client) = slow();
        fill(&mut server, Unsent::AtMost(LIMITS));
        // What the client's own buffer took is acknowledged.
        thread::sleep(Duration::from_millis(300));
        fill(&mut server, Unsent::AtMost(LIMITS));
        thread::sleep(Duration::from_millis(300));
        fill(&mut server, Unsent::AtMost(LIMITS));
        let (waiting, most) = (unsent_bytes(&server), LIMITS.allowed_bytes(Duration::from_millis(50)) + 100);
        assert!(waiting > LIMITS.bytes_max && waiting <= most, "{waiting}");
        assert!(fill(&mut server, Unsent::Any) > 10_000, "the kernel would take more");
        let mut read = [0; 1024];
        client.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let until = Instant::now() + Duration::from_secs(10);
        while !has_room(&server, Unsent::AtMost(LIMITS)) {
            assert!(client.read(&mut read).unwrap() > 0 && Instant::now() < until);
        }
    }

    #[test]
    fn what_was_to_arrive_in_time_does_not_arrive_after_the_end() {
        for (allowed, arrives) in [(Unsent::Any, true), (Unsent::AtMost(LIMITS), false), (Unsent::Void, false)] {
            let (mut server, mut client) = slow();
            fill(&mut server, Unsent::Any);
            assert!(unsent_bytes(&server) > 0);
            close(server, allowed);
            client.set_read_timeout(Some(Duration::from_millis(2000))).unwrap();
            let end = client.read_to_end(&mut Vec::new());
            assert_eq!(end.is_ok(), arrives, "{allowed:?}: {end:?}");
        }
    }
}
