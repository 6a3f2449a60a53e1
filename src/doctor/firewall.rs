//! What the firewall of this machine lets in, as far as it can be read, and the lines that open it.
//!
//! Invariant: reads rules and changes none.

use super::Limit;
use super::process;
use super::report::{Finding, Report};

/// A port that must be let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    port: u16,
    ways: &'static [&'static str],
}

impl Door {
    /// Of a port where people are heard.
    pub fn of_server(port: u16) -> Door {
        Door { port, ways: &["tcp", "udp"] }
    }

    /// Of a port that sends browsers on.
    pub fn of_redirect(port: u16) -> Door {
        Door { port, ways: &["tcp"] }
    }
}

/// Looks at the rules, and says how they must be.
pub fn examine(doors: &[Door], limit: Limit, report: &mut Report<'_>) {
    let all: Vec<String> = doors.iter().map(|door| lines(door.port, door.ways)).collect();
    report.add(Finding::ok(format!("a firewall must let in: {}", all.join(" && "))));
    let ufw = process::ask("ufw", &["status", "verbose"], limit);
    if let Some(status) = ufw.filter(|status| status.contains("Status: active")) {
        return doors.iter().for_each(|&door| report.add(judge_ufw(&status, door)));
    }
    if let Some(rules) = process::ask("nft", &["-a", "list", "ruleset"], limit) {
        let findings = doors.iter().flat_map(|&door| judge_nft(&rules, door));
        findings.for_each(|finding| report.add(finding));
    }
}

fn lines(port: u16, ways: &[&str]) -> String {
    ways.iter().map(|way| format!("ufw allow {port}/{way}")).collect::<Vec<_>>().join(" && ")
}

fn judge_ufw(status: &str, Door { port, ways }: Door) -> Finding {
    let is_open = status.contains("Default: allow (incoming)");
    let lets_in = |way: &str| {
        let of_way = |line: &str| line.contains("ALLOW") && names_port(line.split_whitespace().next(), port, way);
        is_open || status.lines().any(of_way)
    };
    let closed: Vec<&str> = ways.iter().copied().filter(|way| !lets_in(way)).collect();
    if closed.is_empty() {
        return Finding::ok(format!("ufw lets {port} in over {}", spoken(ways)));
    }
    Finding::wrong(format!("ufw does not let {port} in over {}", spoken(&closed)), lines(port, &closed))
}

fn spoken(ways: &[&str]) -> String {
    ways.iter().map(|way| way.to_uppercase()).collect::<Vec<_>>().join(" and ")
}

/// Tells whether a column as `80,443/tcp`, `8000:8100/udp` or `443` holds a port.
fn names_port(column: Option<&str>, port: u16, way: &str) -> bool {
    let Some(column) = column else { return false };
    let (ports, protocol) = column.split_once('/').unwrap_or((column, way));
    let holds = |range: &str| {
        let (first, last) = range.split_once([':', '-']).unwrap_or((range, range));
        matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if (first..=last).contains(&port))
    };
    protocol == way && ports.split(',').any(holds)
}

/// Where in nftables' rules a line stands.
#[derive(Clone, Default)]
struct Chain {
    /// Family and name of its table, and its own name.
    name: String,
    is_input: bool,
    drops: bool,
}

/// Finds rules that drop what we need, and a chain that drops what no rule names.
fn judge_nft(rules: &str, Door { port, ways }: Door) -> Vec<Finding> {
    let mut findings = Vec::new();
    let (mut table, mut chain, mut dropping) = (String::new(), Chain::default(), None);
    let mut open: Vec<&str> = Vec::new();
    for line in rules.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["table", family, name, ..] => table = format!("{family} {name}"),
            ["chain", name, ..] => chain = Chain { name: format!("{table} {name}"), ..Chain::default() },
            ["type", "filter", "hook", "input", ..] => {
                chain.is_input = true;
                chain.drops = line.contains("policy drop");
                dropping = dropping.or(chain.drops.then(|| chain.name.clone()));
            }
            _ => {}
        }
        for way in ways.iter().copied().filter(|way| rule_names(line, way, port)) {
            if line.contains(" accept") {
                open.push(way);
            } else if chain.is_input && (line.contains(" drop") || line.contains(" reject")) && !open.contains(&way)
            {
                let handle = line.rsplit_once("# handle ").map_or("N", |(_, handle)| handle);
                let text = format!("nftables drops {port} over {} in {}", way.to_uppercase(), chain.name);
                findings.push(Finding::wrong(text, format!("nft delete rule {} handle {handle}", chain.name)));
            }
        }
    }
    let Some(dropping) = dropping else { return findings };
    for way in ways.iter().copied().filter(|way| !open.contains(way)) {
        let text =
            format!("nftables drops what no rule lets in, and none names {port} over {}", way.to_uppercase());
        findings.push(Finding::warning(text, format!("nft insert rule {dropping} {way} dport {port} accept")));
    }
    findings
}

/// Tells whether a rule is about a port: `udp dport 8080 …`, `tcp dport { 80, 443 } …`, `udp dport 8000-8100 …`.
fn rule_names(line: &str, way: &str, port: u16) -> bool {
    let Some((_, rest)) = line.split_once(&format!("{way} dport ")) else { return false };
    let ports = match rest.strip_prefix('{') {
        Some(set) => set.split('}').next().unwrap_or_default(),
        None => rest.split(' ').next().unwrap_or_default(),
    };
    ports.split(',').any(|range| names_port(Some(range.trim()), port, way))
}

#[cfg(test)]
mod tests {
    use super::super::report::Verdict;
    use super::*;

    #[test]
    fn what_ufw_lets_in() {
        let status =
            |rules: &str| format!("Status: active\nDefault: deny (incoming), allow (outgoing)\n\n{rules}\n");
        let cases = [
            ("nothing", "22/tcp ALLOW IN Anywhere", Some("ufw allow 8080/tcp && ufw allow 8080/udp")),
            ("tcp alone", "8080/tcp ALLOW IN Anywhere", Some("ufw allow 8080/udp")),
            ("both", "8080/tcp ALLOW IN Anywhere\n8080/udp ALLOW IN Anywhere", None),
            ("both in one", "8080 ALLOW IN Anywhere", None),
            ("a list and a range", "80,8080/tcp (x) ALLOW IN Anywhere\n8000:8100/udp ALLOW IN Anywhere", None),
            ("denied", "8080 DENY IN Anywhere", Some("ufw allow 8080/tcp && ufw allow 8080/udp")),
            ("another port", "18080 ALLOW IN Anywhere", Some("ufw allow 8080/tcp && ufw allow 8080/udp")),
        ];
        for (name, rules, mend) in cases {
            let found = judge_ufw(&status(rules), Door::of_server(8080));
            assert_eq!(found.mend.as_deref(), mend, "{name}");
        }
        assert_eq!(
            judge_ufw(&status("8080/tcp ALLOW IN x"), Door::of_server(8080)).text,
            "ufw does not let 8080 in over UDP"
        );
        assert_eq!(judge_ufw("Status: active\nDefault: allow (incoming)", Door::of_server(8080)).mend, None);
    }

    #[test]
    fn what_nftables_drops() {
        let rules = |policy: &str, lines: &str| {
            format!(
                "table inet filter {{ # handle 1\n\tchain input {{ # handle 2\n\t\ttype filter hook input priority filter; \
                 policy {policy};\n{lines}\n\t}}\n}}\n"
            )
        };
        assert_eq!(judge_nft(&rules("accept", ""), Door::of_server(8080)), []);
        let redirect = judge_nft(&rules("drop", ""), Door::of_redirect(80));
        assert_eq!((redirect.len(), redirect[0].verdict), (1, Verdict::Warning));
        assert_eq!(judge_nft("", Door::of_server(8080)), []);
        let found = judge_nft(&rules("accept", "\t\tudp dport 8080 drop # handle 4"), Door::of_server(8080));
        assert_eq!(
            found,
            [Finding::wrong(
                "nftables drops 8080 over UDP in inet filter input",
                "nft delete rule inet filter input handle 4"
            )]
        );
        let found =
            judge_nft(&rules("drop", "\t\ttcp dport { 80, 8080 } accept # handle 4"), Door::of_server(8080));
        assert_eq!((found.len(), found[0].verdict), (1, Verdict::Warning));
        assert_eq!(found[0].mend.as_deref(), Some("nft insert rule inet filter input udp dport 8080 accept"));
        let both = "tcp dport 8080 accept\nudp dport 8000-8100 accept\nudp dport 8080 drop";
        assert_eq!(judge_nft(&rules("drop", both), Door::of_server(8080)), []);
    }
}
