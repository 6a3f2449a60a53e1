//! Reads web origins (RFC 6454), and tells whether one is that of a host.
//!
//! Browsers write an origin in one way only; those who configure a server, and proxies that rewrite `Host`, write the same
//! one in several: with capitals, with the port that goes without saying, with the dot of the root. Invariant: what is
//! compared has been written in the one way on both sides.

use std::net::Ipv6Addr;

/// What a page writes that has no origin: a file's, or one in a frame that is shut off.
const OPAQUE: &str = "null";

/// Schemes by which servers are reached, but no pages come.
const NO_PAGES: [&str; 3] = ["ws", "wss", "ftp"];

/// Returns an origin as browsers write it: in lower case, without the scheme's own port (RFC 6454 §6.1); `None` of what
/// is none. Pages inside of apps have schemes of their own, and those in files no host or `null`.
pub fn normal(text: &str) -> Option<String> {
    if text == OPAQUE {
        return Some(text.to_owned());
    }
    let (scheme, authority) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let begins_well = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    if !begins_well || !scheme.bytes().all(is_allowed) || NO_PAGES.contains(&scheme.as_str()) {
        return None;
    }
    if scheme == "file" && authority.is_empty() {
        return Some("file://".to_owned());
    }
    let (host, port) = split_authority(authority)?;
    match port {
        Some(port) if Some(port) != port_of(&scheme) => Some(format!("{scheme}://{host}:{port}")),
        Some(_) | None => Some(format!("{scheme}://{host}")),
    }
}

/// Returns the scheme of an origin which is that of this `Host`: where either names no port it is the scheme's own
/// (RFC 6454 §4, RFC 9110 §4.2.3). `None` of another's.
pub fn scheme_at<'a>(origin: &'a str, host: &str) -> Option<&'a str> {
    let (scheme, authority) = origin.split_once("://")?;
    let own = port_of(scheme)?;
    let whole = |text: &str| split_authority(text).map(|(host, port)| (host, port.unwrap_or(own)));
    (whole(authority)? == whole(host)?).then_some(scheme)
}

/// Returns the port that goes without saying.
fn port_of(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}

/// Reads a host and maybe a port; the host as browsers write it, without the root's dot.
fn split_authority(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let port = match port {
        // RFC 3986 §3.2.3: a port may be empty.
        Some("") | None => None,
        Some(port) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            Some(port.parse::<u16>().ok().filter(|&port| digits && port > 0)?)
        }
    };
    if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let ip: Ipv6Addr = inner.parse().ok()?;
        return Some((format!("[{ip}]"), port));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    is_name.then(|| (name.to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_in_one_way() {
        let cases = [
            ("https://app.example", Some("https://app.example")),
            ("HTTPS://App.Example:8443", Some("https://app.example:8443")),
            ("https://app.example:443", Some("https://app.example")),
            ("https://app.example:", Some("https://app.example")),
            ("https://app.example.", Some("https://app.example")),
            ("https://xn--bcher-kva.example", Some("https://xn--bcher-kva.example")),
            ("http://localhost", Some("http://localhost")),
            ("http://localhost:80", Some("http://localhost")),
            ("https://[::1]:8443", Some("https://[::1]:8443")),
            ("https://[2001:DB8:0:0::1]", Some("https://[2001:db8::1]")),
            // Apps: Capacitor and Ionic, Electron and Obsidian, Tauri, extensions of browsers, Cordova.
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("ionic://localhost", Some("ionic://localhost")),
            ("app://obsidian.md", Some("app://obsidian.md")),
            ("tauri://localhost", Some("tauri://localhost")),
            ("https://tauri.localhost", Some("https://tauri.localhost")),
            (
                "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
                Some("chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb"),
            ),
            (
                "moz-extension://1b4bfb2a-0b2e-4b1f-9a9c-0d5d3d0e2f10",
                Some("moz-extension://1b4bfb2a-0b2e-4b1f-9a9c-0d5d3d0e2f10"),
            ),
            ("vscode-webview://1a2b", Some("vscode-webview://1a2b")),
            ("ms-appx-web://com.example.app", Some("ms-appx-web://com.example.app")),
            ("file://", Some("file://")),
            ("null", Some("null")),
            ("https://app.example/", None),
            ("https://app.example/path", None),
            ("https://", None),
            ("https://:443", None),
            ("https://user@app.example", None),
            ("https://app.example:0", None),
            ("https://app.example:+1", None),
            ("https://app.example:65536", None),
            ("https://*.example", None),
            ("https://[::g]", None),
            ("https://bücher.example", None),
            ("app.example", None),
            ("ftp://app.example", None),
            ("wss://app.example", None),
            ("file:///a/page.html", None),
            ("1app://x", None),
            ("://x", None),
            ("*", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(normal(text).as_deref(), want, "{text}");
            assert!(want.is_none_or(|want| normal(want).as_deref() == Some(want)), "{text}");
        }
    }

    #[test]
    fn an_origin_is_that_of_a_host() {
        let cases = [
            ("https://ecoute.example", "ecoute.example", true),
            ("https://ecoute.example", "ecoute.example:443", true),
            ("http://ecoute.example", "ecoute.example:80", true),
            ("http://ecoute.example", "ecoute.example:", true),
            ("https://ecoute.example", "Ecoute.Example", true),
            ("https://ecoute.example", "ECOUTE.example:443", true),
            ("https://ecoute.example", "ecoute.example.", true),
            ("https://ecoute.example.", "ecoute.example", true),
            ("https://ecoute.example:8443", "ecoute.example:8443", true),
            ("http://[2001:db8::1]", "[2001:db8::1]:80", true),
            ("http://[2001:db8::1]:8080", "[2001:DB8:0::1]:8080", true),
            ("http://192.0.2.1", "192.0.2.1:80", true),
            ("https://xn--bcher-kva.example", "XN--BCHER-KVA.example:443", true),
            ("https://ecoute.example:444", "ecoute.example:443", false),
            ("https://ecoute.example:444", "ecoute.example", false),
            ("https://ecoute.example", "ecoute.example:444", false),
            ("https://ecoute.example", "ecoute.example:80", false),
            ("http://ecoute.example", "ecoute.example:443", false),
            ("https://evil.example", "ecoute.example", false),
            ("https://ecoute.example.evil.example", "ecoute.example", false),
            ("https://ecoute.example@evil.example", "ecoute.example", false),
            ("https://evil.example", "evil.example@ecoute.example", false),
            ("capacitor://localhost", "localhost", false),
            ("null", "null", false),
            ("", "", false),
            ("ecoute.example", "ecoute.example", false),
            ("https://", "", false),
        ];
        for (origin, host, want) in cases {
            assert_eq!(scheme_at(origin, host).is_some(), want, "{origin} at {host}");
        }
    }
}
