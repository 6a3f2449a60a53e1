//! Behind Caddy, as the guide says: pages and WebSocket through the proxy, audio past it.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::drive::Browser;
use crate::people::{microphone, start_listening, start_streaming};
use crate::support::{Ecoute, WAIT, over_tls};
use crate::{assert_tone, sound};

/// Caddy with a certificate of its own making, ended with the test.
struct Caddy {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Caddy {
    fn before(ecoute: &Ecoute) -> Caddy {
        let directory = TempDir::new().unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = directory.path().join("Caddyfile");
        // What follows the first block is the guide's; where the server speaks TLS, too, it is asked over that.
        let unverified =
            if over_tls() { " {\n\t\ttransport http {\n\t\t\ttls_insecure_skip_verify\n\t\t}\n\t}" } else { "" };
        let text = format!(
            "{{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n\tlocal_certs\n}}\n\
             ecoute.example:{port} {{\n\treverse_proxy {}{unverified}\n}}\n",
            ecoute.url()
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new("caddy");
        command.arg("run").arg("--config").arg(file).env("XDG_DATA_HOME", directory.path());
        command.env("HOME", directory.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("caddy is installed (apt-get install caddy)");
        let caddy = Caddy { child, port, _directory: directory };
        let until = Instant::now() + WAIT;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "caddy does not start");
            thread::sleep(Duration::from_millis(20));
        }
        caddy
    }
}

impl Drop for Caddy {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_tone_goes_past_a_proxy_that_carries_the_pages() {
    let arguments = ["--trusted-proxy", "127.0.0.1", "--public-address", "127.0.0.1"];
    let ecoute = Ecoute::start_with(TempDir::new().unwrap(), &arguments);
    let caddy = Caddy::before(&ecoute);
    let link = |role: &str, id: &str, name: &str| {
        let site = format!("https://ecoute.example:{}", caddy.port);
        ecoute.link(role, id, name).replace(&ecoute.url(), &site)
    };
    let tone = microphone(440.0);
    let flags = ["--ignore-certificate-errors", "--host-resolver-rules=MAP ecoute.example 127.0.0.1"];
    let [phone, desk] = [(); 2].map(|()| Browser::chromium(&tone, "fr-FR", &flags));
    let lea = phone.open_prepared(&link("commercial", "lea", "Léa Martin"), sound::CONNECTIONS);
    let paul = desk.open_prepared(&link("admin", "paul", "Paul D."), sound::TAP);
    start_streaming(&lea);
    start_listening(&paul, "lea");
    assert_tone(&paul, 440.0);
    assert_eq!(lea.evaluate("location.protocol"), "https:");
    assert_eq!(lea.evaluate("transport()"), "udp");
    assert_eq!(phone.complaints(), [] as [&str; 0]);
}
