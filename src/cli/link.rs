//! Prints links to the pages: where they lead, and how they are drawn.
//!
//! Invariant: the token stands in the fragment, which no browser sends.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use ecoute::words::Role;
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::error::ProgramError;
use super::options::LinkOptions;
use super::print_error;

const PORT_DEFAULT: u16 = 8080;

/// Prints a link that opens one user's page.
pub fn print(options: LinkOptions) -> Result<(), ProgramError> {
    let base = options.public_url.public_url.unwrap_or_else(configured_base);
    let role = options.token.role;
    let link = to_page(&base, role, &options.token.mint()?).ok_or(ProgramError::LinkForMonitor)?;
    if !has_microphone(&base) {
        print_error(
            "browsers give a microphone only to pages over HTTPS or on localhost: use --public-url https://…",
        );
    }
    writeln!(io::stdout(), "{link}")?;
    if options.qr {
        let drawn = draw(&link).ok_or(ProgramError::LinkTooLong)?;
        write!(io::stdout(), "{drawn}")?;
    }
    Ok(())
}

/// Returns the link to the page of `role`; a monitor has none.
pub fn to_page(base: &str, role: Role, token: &str) -> Option<String> {
    let page = match role {
        Role::Admin => "admin",
        Role::Commercial => "commercial",
        Role::Monitor => return None,
    };
    Some(format!("{base}/{page}#t={token}"))
}

/// Returns where a browser on this machine finds the pages.
pub fn base(bound: SocketAddr, has_tls: bool) -> String {
    let scheme = if has_tls { "https" } else { "http" };
    let ip = bound.ip().to_canonical();
    if ip.is_unspecified() || ip.is_loopback() {
        return format!("{scheme}://localhost:{}", bound.port());
    }
    format!("{scheme}://{}", SocketAddr::new(ip, bound.port()))
}

/// Returns where a browser on this machine finds the pages of a server that is started with the same environment.
pub fn configured_base() -> String {
    let setting = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let listen = setting("ECOUTE_LISTEN").and_then(|list| list.split(',').next()?.parse::<SocketAddr>().ok());
    let port = listen.map_or(PORT_DEFAULT, |address| address.port());
    let has_tls = setting("ECOUTE_TLS_CERT").is_some()
        || setting("ECOUTE_TLS_SELF_SIGNED").is_some_and(|value| value == "true");
    base(SocketAddr::from(([127, 0, 0, 1], port)), has_tls)
}

/// Returns the host of an address on the web, without brackets around IPv6.
pub fn host(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    if let Some((inner, _)) = authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return Some(inner);
    }
    authority.split(':').next().filter(|host| !host.is_empty())
}

/// Tells whether browsers give a microphone to pages there (W3C Secure Contexts §3.1).
pub fn has_microphone(url: &str) -> bool {
    let is_here = |host: &str| {
        let is_loopback = host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        is_loopback || host == "localhost" || host.ends_with(".localhost")
    };
    url.starts_with("https://") || host(url).is_some_and(is_here)
}

/// Draws a text for a camera, dark on light whatever the terminal's colours are; `None` where it is too long.
pub fn draw(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let drawn = code.render::<Dense1x2>().build();
    Some(drawn.lines().map(|line| format!("\x1b[30;107m{line}\x1b[0m\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        let page = |base, role| to_page(base, role, "x");
        assert_eq!(page("http://localhost:1", Role::Admin).as_deref(), Some("http://localhost:1/admin#t=x"));
        assert_eq!(page("https://e", Role::Commercial).as_deref(), Some("https://e/commercial#t=x"));
        assert_eq!(page("https://e", Role::Monitor), None);
        let cases = [
            ("[::]:1", "http://localhost:1"),
            ("0.0.0.0:1", "http://localhost:1"),
            ("127.0.0.1:1", "http://localhost:1"),
            ("192.0.2.1:1", "http://192.0.2.1:1"),
            ("[2001:db8::1]:1", "http://[2001:db8::1]:1"),
        ];
        for (bound, want) in cases {
            assert_eq!(base(bound.parse().unwrap(), false), want);
            assert_eq!(base(bound.parse().unwrap(), true), want.replace("http", "https"));
        }
    }

    #[test]
    fn hosts_and_who_gets_a_microphone() {
        let cases = [
            ("https://ecoute.example", Some("ecoute.example"), true),
            ("https://192.0.2.1:8080/a", Some("192.0.2.1"), true),
            ("http://ecoute.example", Some("ecoute.example"), false),
            ("http://192.0.2.1:8080", Some("192.0.2.1"), false),
            ("http://localhost:8080", Some("localhost"), true),
            ("http://a.localhost", Some("a.localhost"), true),
            ("http://localhost.example", Some("localhost.example"), false),
            ("http://127.0.0.9", Some("127.0.0.9"), true),
            ("http://[::1]:8080", Some("::1"), true),
            ("http://[2001:db8::1]:8080", Some("2001:db8::1"), false),
            ("http://", None, false),
        ];
        for (url, want, gets_one) in cases {
            assert_eq!((host(url), has_microphone(url)), (want, gets_one), "{url}");
        }
    }
}
