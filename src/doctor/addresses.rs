//! Judges the addresses that a server tells its clients to send media to.
//!
//! Invariant: knows no network; what it says follows from the lists alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::report::Finding;

/// Judges what is advertised by a machine that has the addresses `own`.
pub fn judge(advertised: &[SocketAddr], own: &[IpAddr]) -> Finding {
    let listed = list(advertised.iter().map(SocketAddr::ip));
    if advertised.iter().any(|address| is_public(address.ip())) {
        return Finding::ok(format!("clients are told to send media to {listed}"));
    }
    let reach = if advertised.iter().all(|address| address.ip().is_loopback()) {
        "only programs on this machine reach"
    } else {
        "nobody outside of its own network reaches"
    };
    let text = format!("clients are told to send media to {listed}, which {reach}");
    let public: Vec<IpAddr> = own.iter().copied().filter(|&ip| is_public(ip)).collect();
    match public.first() {
        Some(_) => {
            // It would be told of them if it listened there.
            let port = advertised.first().map_or(0, SocketAddr::port);
            let text = format!("{text}, though this machine has {}", list(public.iter().copied()));
            Finding::wrong(text, format!("ecoute serve --listen '[::]:{port}'"))
        }
        None => {
            let mend = "ecoute serve --public-address IP   # of the router, which passes the port on, TCP and UDP";
            Finding::warning(text, mend)
        }
    }
}

/// Tells whether an address may be reached from anywhere.
pub fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            // Carrier-grade NAT (RFC 6598).
            let is_shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4 == Ipv4Addr::UNSPECIFIED || is_shared)
        }
        IpAddr::V6(v6) => {
            !(v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified())
        }
    }
}

fn list(ips: impl Iterator<Item = IpAddr>) -> String {
    ips.map(|ip| ip.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn private_addresses_are_wrong_where_there_is_a_public_one() {
        let cases: &[(&str, &[&str], &[&str], Verdict, &str, Option<&str>)] = &[
            ("public", &["203.0.113.7"], &["203.0.113.7"], Verdict::Ok, "to 203.0.113.7", None),
            ("1:1 NAT", &["203.0.113.7"], &["10.0.0.2"], Verdict::Ok, "to 203.0.113.7", None),
            (
                "private on a public host",
                &["10.0.0.2"],
                &["127.0.0.1", "10.0.0.2", "203.0.113.7", "2001:db8::7"],
                Verdict::Wrong,
                "to 10.0.0.2, which nobody outside of its own network reaches, though this machine has 203.0.113.7, \
                 2001:db8::7",
                Some("ecoute serve --listen '[::]:8080'"),
            ),
            (
                "loopback on a public host",
                &["127.0.0.1"],
                &["127.0.0.1", "203.0.113.7"],
                Verdict::Wrong,
                "to 127.0.0.1, which only programs on this machine reach, though this machine has 203.0.113.7",
                Some("ecoute serve --listen '[::]:8080'"),
            ),
            (
                "behind a router",
                &["192.168.1.4", "127.0.0.1"],
                &["192.168.1.4", "127.0.0.1"],
                Verdict::Warning,
                "to 192.168.1.4, 127.0.0.1, which nobody outside of its own network reaches",
                Some("ecoute serve --public-address IP   # of the router, which passes the port on, TCP and UDP"),
            ),
        ];
        for (name, advertised, own, verdict, text, mend) in cases {
            let advertised: Vec<SocketAddr> =
                advertised.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 8080)).collect();
            let own: Vec<IpAddr> = own.iter().map(|ip| ip.parse().unwrap()).collect();
            let found = judge(&advertised, &own);
            assert_eq!((found.verdict, found.mend.as_deref()), (*verdict, *mend), "{name}");
            assert_eq!(found.text, format!("clients are told to send media {text}"), "{name}");
        }
    }

    #[test]
    fn addresses_that_anybody_reaches() {
        for (ip, want) in [
            ("203.0.113.7", true),
            ("10.1.2.3", false),
            ("172.31.255.255", false),
            ("172.32.0.0", true),
            ("192.168.0.1", false),
            ("100.63.255.255", true),
            ("100.64.0.1", false),
            ("100.127.255.255", false),
            ("100.128.0.0", true),
            ("169.254.1.1", false),
            ("127.0.0.1", false),
            ("2001:db8::1", true),
            ("fd00::1", false),
            ("fe80::1", false),
            ("::1", false),
            ("::ffff:10.0.0.1", false),
        ] {
            assert_eq!(is_public(ip.parse().unwrap()), want, "{ip}");
        }
    }
}
