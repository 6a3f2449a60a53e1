//! An internet with the program on it, and homes whose routers hide who is behind them.
//!
//! Invariant: what two hosts say to each other passes the internet's host, where it can be cut.

use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

use crate::drive::{Browser, Kind};
use crate::namespace::{Namespace, cable, set_addresses};
use crate::sound::Microphone;
use crate::support::Ecoute;
use crate::wire::{Quality, Wire};

/// Where the program is.
pub const SERVER: &str = "203.0.113.2";

/// The host that all others are connected to.
pub struct Internet {
    pub host: Namespace,
    pub server: Namespace,
}

/// A host in a network of its own behind a router with NAT, as at home.
pub struct Home {
    pub host: Namespace,
    router: Router,
}

/// Hides who is behind it; `number` stands in its addresses.
pub struct Router {
    host: Namespace,
    /// Of the internet's interface that leads to it.
    name: String,
    number: u8,
    /// The first of the ports that it gives to those behind it.
    first_port: AtomicU16,
}

impl Internet {
    /// Makes an internet with a host for the program.
    pub fn new() -> Internet {
        let (host, server) = (Namespace::new(), Namespace::new());
        host.forward();
        cable((&host, "server", &["203.0.113.1/24"]), (&server, "eth0", &["203.0.113.2/24"]));
        server.run("ip route add default via 203.0.113.1");
        host.filter("table inet cuts {\n chain forward {\n type filter hook forward priority 0;\n }\n }");
        Internet { host, server }
    }

    /// Starts the program.
    pub fn start(&self, arguments: &[&str]) -> Ecoute {
        let mut ecoute = self.server.enter(|| Ecoute::start_with(TempDir::new().unwrap(), arguments));
        ecoute.address.set_ip(SERVER.parse().unwrap());
        ecoute
    }

    /// Connects a home; `number` tells it from the others.
    pub fn home(&self, name: &str, number: u8) -> Home {
        let home = Home { host: Namespace::new(), router: self.router(name, number) };
        home.router.connect(&home.host, "eth0");
        home
    }

    /// Connects a home over a wire that may be bad.
    pub fn home_on_wire(&self, name: &str, number: u8) -> (Home, Wire) {
        let mut wire = None;
        let router = Router::new(name, number, |router| {
            let [here, there] = [1, 2].map(|last| format!("198.51.{number}.{last}/24"));
            wire = Some(Wire::new((&self.host, name, &here), (router, "wan", &there), Quality::default()));
        });
        let home = Home { host: Namespace::new(), router };
        home.router.connect(&home.host, "eth0");
        (home, wire.expect("it was made with the router"))
    }

    /// Connects a router that nobody is behind yet.
    pub fn router(&self, name: &str, number: u8) -> Router {
        Router::new(name, number, |router| {
            let [here, there] = [1, 2].map(|last| format!("198.51.{number}.{last}/24"));
            cable((&self.host, name, &[&here]), (router, "wan", &[&there]));
        })
    }
    /// Lets no packet of a home through, in neither direction.
    pub fn cut(&self, home: &Home) {
        let name = &home.router.name;
        self.host.filter(&format!(
            "add rule inet cuts forward iifname {name} drop\nadd rule inet cuts forward oifname {name} drop"
        ));
    }

    /// Lets no UDP of a home through, as many companies do.
    pub fn block_udp(&self, home: &Home) {
        let name = &home.router.name;
        self.host.filter(&format!(
            "add rule inet cuts forward iifname {name} meta l4proto udp drop\n
             add rule inet cuts forward oifname {name} meta l4proto udp drop"
        ));
    }

    /// Lets everything through again.
    pub fn mend(&self) {
        self.host.filter("flush chain inet cuts forward");
    }
}

impl Home {
    /// Starts a browser there, to which the program's pages are as good as over HTTPS.
    pub fn browser(&self, ecoute: &Ecoute, microphone: &Microphone) -> Browser {
        self.browser_kind(Kind::of_run(), ecoute, microphone)
    }

    /// Starts a browser of that kind there.
    pub fn browser_kind(&self, kind: Kind, ecoute: &Ecoute, microphone: &Microphone) -> Browser {
        self.host.settle();
        let origin = format!("http://{}", ecoute.address);
        self.host.enter(|| Browser::trusting_kind(kind, &origin, microphone, "fr-FR"))
    }

    /// The router forgets who is behind it, and gives other ports from now on; what comes to the old ones is dropped.
    pub fn rebind(&self) {
        self.router.first_port.fetch_add(2000, Ordering::SeqCst);
        self.router.translate();
        self.router.host.run("conntrack -F");
    }

    /// The host leaves its network and comes into that of another router.
    pub fn move_to(&self, router: &Router) {
        self.host.run("ip link del eth0");
        router.connect(&self.host, "eth0");
    }
}

impl Router {
    /// Connects hosts to one network behind it, each with its address.
    pub fn connect_many(&self, hosts: &[(&Namespace, &str)]) {
        self.host.run("ip link add lan type bridge");
        set_addresses(&self.host, "lan", &[&format!("192.168.{}.1/24", self.number)]);
        for (index, (host, address)) in hosts.iter().enumerate() {
            let port = format!("lan{index}");
            cable((&self.host, &port, &[]), (host, "eth0", &[&format!("{address}/24")]));
            self.host.run(&format!("ip link set {port} master lan"));
            host.run(&format!("ip route add default via 192.168.{}.1", self.number));
        }
    }

    /// Hands what comes to a port of the public address on to a host behind it.
    pub fn hand_on(&self, port: u16, to: &str) {
        self.host.filter(&format!(
            "table ip nat {{
                 chain prerouting {{
                     type nat hook prerouting priority dstnat;
                     iifname wan meta l4proto {{ tcp, udp }} th dport {port} dnat to {to}
                 }}
             }}"
        ));
    }

    fn new(name: &str, number: u8, connect: impl FnOnce(&Namespace)) -> Router {
        let router =
            Router { host: Namespace::new(), name: name.to_owned(), number, first_port: AtomicU16::new(20_000) };
        router.host.forward();
        connect(&router.host);
        router.host.run(&format!("ip route add default via 198.51.{number}.1"));
        router.translate();
        router
    }

    fn connect(&self, host: &Namespace, interface: &str) {
        let lan = [1, 2].map(|last| format!("192.168.{}.{last}/24", self.number));
        cable((&self.host, "lan", &[&lan[0]]), (host, interface, &[&lan[1]]));
        host.run(&format!("ip route add default via 192.168.{}.1", self.number));
    }

    fn translate(&self) {
        let first = self.first_port.load(Ordering::SeqCst);
        let last = first + 1999;
        self.host.filter(&format!(
            "table ip nat {{}}\ndelete table ip nat\n
             table ip nat {{
                 chain postrouting {{
                     type nat hook postrouting priority srcnat;
                     oifname wan meta l4proto {{ tcp, udp }} masquerade to :{first}-{last}
                 }}
                 chain input {{
                     type filter hook input priority 0;
                     iifname wan drop
                 }}
             }}"
        ));
    }
}
