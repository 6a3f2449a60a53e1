//! Reads for whom a proxy asks, and by what: `Forwarded` (RFC 7239), `X-Forwarded-For` and `X-Forwarded-Proto`.
//!
//! Anybody can write such a header: whom to believe is the caller's to know. Invariant: each element of a list is one
//! hop, whether it names an address or not, so that none is skipped.

use std::net::{IpAddr, SocketAddr};

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

/// Reads an address with or without a port, one of IPv6 with or without brackets.
fn address(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    let with_port = || node.parse().map(|address: SocketAddr| address.ip());
    bare.parse().or_else(|_| with_port()).ok().map(|ip: IpAddr| ip.to_canonical())
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
    }
}
