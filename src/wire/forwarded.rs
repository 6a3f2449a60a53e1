//! Reads for whom a proxy asks, and by what: `Forwarded` (RFC 7239), `X-Forwarded-For` and `X-Forwarded-Proto`.
//!
//! Anybody can write such a header: whom to believe is the caller's to know. Invariant: each element of a list is one
//! hop, whether it names an address or not, so that none is skipped.

use std::net::IpAddr;

/// Returns the hops of `Forwarded`, the client's end first; `None` is one that hides, or that can't be read.
pub fn forwarded(list: &str) -> Vec<Option<IpAddr>> {
    // No address holds a comma or a semicolon, quoted or not.
    let hops = list.split(',').map(|element| {
        let pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let (_, node) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
        address(node.trim().trim_matches('"'))
    });
    hops.collect()
}

/// Returns the hops of `X-Forwarded-For`, the client's end first; `None` is one that can't be read.
pub fn x_forwarded_for(list: &str) -> Vec<Option<IpAddr>> {
    list.split(',').map(|node| address(node.trim())).collect()
}

/// Tells whether all hops of `X-Forwarded-Proto` were encrypted.
pub fn is_https(list: &str) -> bool {
    list.split(',').all(|proto| proto.trim().eq_ignore_ascii_case("https"))
}

/// Tells whether all hops of `Forwarded` say that they were encrypted.
pub fn is_https_throughout(list: &str) -> bool {
    list.split(',').all(|element| {
        let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
        let proto = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("proto"));
        proto.is_some_and(|(_, proto)| proto.trim().trim_matches('"').eq_ignore_ascii_case("https"))
    })
}

/// Reads an address with or without a port, one of IPv6 with or without brackets and the name of an interface. A port may
/// be anything (RFC 7239 §6).
fn address(node: &str) -> Option<IpAddr> {
    let ip = |text: &str| text.split('%').next()?.parse().ok().map(|ip: IpAddr| ip.to_canonical());
    if let Some((inner, port)) = node.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return ip(inner).filter(|ip| (port.is_empty() || port.starts_with(':')) && is_v6(inner, *ip));
    }
    ip(node).or_else(|| ip(node.split_once(':')?.0))
}

/// Tells whether an address stands in brackets rightly, whatever it maps to.
fn is_v6(inner: &str, ip: IpAddr) -> bool {
    ip.is_ipv6() || inner.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn each_element_is_one_hop() {
        let cases: &[(&str, Vec<Option<IpAddr>>)] = &[
            ("for=192.0.2.60;proto=http;by=203.0.113.43", vec![ip("192.0.2.60")]),
            ("For=\"[2001:db8:cafe::17]:4711\"", vec![ip("2001:db8:cafe::17")]),
            ("for=192.0.2.43, for=198.51.100.17", vec![ip("192.0.2.43"), ip("198.51.100.17")]),
            ("for=\"192.0.2.43:47011\"", vec![ip("192.0.2.43")]),
            ("for=\"[::ffff:192.0.2.1]\"", vec![ip("192.0.2.1")]),
            ("for=unknown, proto=http;for=_hidden, for=192.0.2.1", vec![None, None, ip("192.0.2.1")]),
            // HAProxy's `option forwarded`, nginx's and Envoy's, and what RFC 7239 §6 allows.
            ("proto=https;for=192.0.2.7", vec![ip("192.0.2.7")]),
            ("proto=https;for=\"[2001:db8::7]:40000\"", vec![ip("2001:db8::7")]),
            ("by=unix:/run/x; FOR = 192.0.2.7 ;host=a", vec![ip("192.0.2.7")]),
            ("for=\"192.0.2.43:_port\"", vec![ip("192.0.2.43")]),
            ("for=\"[2001:db8::1]:_port\", for=\"unknown\"", vec![ip("2001:db8::1"), None]),
            ("for=\"[2001:db8::1\"", vec![None]),
            ("for=\"[2001:db8::1]x\"", vec![None]),
            ("for=\"[192.0.2.1]\"", vec![None]),
            ("", vec![None]),
            (",for=192.0.2.1,", vec![None, ip("192.0.2.1"), None]),
        ];
        for (list, want) in cases {
            assert_eq!(forwarded(list), *want, "{list}");
        }
    }

    #[test]
    fn the_older_header_is_a_plain_list() {
        assert_eq!(
            x_forwarded_for("203.0.113.195, 2001:db8::1,[2001:db8::2]:80 , 198.51.100.1:1234,x"),
            [ip("203.0.113.195"), ip("2001:db8::1"), ip("2001:db8::2"), ip("198.51.100.1"), None]
        );
        let cases: &[(&str, &str, Vec<Option<IpAddr>>)] = &[
            ("nginx, behind a client that wrote one", "1.2.3.4, 192.0.2.1", vec![ip("1.2.3.4"), ip("192.0.2.1")]),
            ("Azure's gateway", "192.0.2.1:51234", vec![ip("192.0.2.1")]),
            ("AWS, with ports", "[2001:db8::1]:51234,192.0.2.1:4", vec![ip("2001:db8::1"), ip("192.0.2.1")]),
            ("tabs between", "192.0.2.1,\t192.0.2.2\t", vec![ip("192.0.2.1"), ip("192.0.2.2")]),
            ("Go's proxies, from a neighbour", "fe80::1%eth0", vec![ip("fe80::1")]),
            ("a dual-stack socket", "::ffff:192.0.2.1", vec![ip("192.0.2.1")]),
            ("Squid", "unknown, 192.0.2.1", vec![None, ip("192.0.2.1")]),
            ("names", "client.example", vec![None]),
            ("half an address", "192.0.2", vec![None]),
        ];
        for (name, list, want) in cases {
            assert_eq!(x_forwarded_for(list), *want, "{name}");
        }
    }

    #[test]
    fn every_hop_was_encrypted() {
        let cases = [
            ("for=192.0.2.1;proto=https", true),
            ("proto=HTTPS;for=a, for=b; Proto = \"https\"", true),
            ("for=a;proto=http, for=b;proto=https", false),
            ("for=a", false),
            ("", false),
        ];
        for (list, want) in cases {
            assert_eq!(is_https_throughout(list), want, "{list}");
        }
    }
}
