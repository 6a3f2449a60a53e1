//! Judges the certificate that a server shows: its days, its names and who vouches for it.
//!
//! Invariant: what is said of a certificate is what a browser would find too, or stricter.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use ecoute::shell::tls::{Tls, TlsFiles};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::report::Finding;
use super::stream::Shown;
use super::words;

const DAY_S: i64 = 86_400;
/// With fewer days left a renewal is late.
const LATE_DAYS: i64 = 21;
/// With fewer days left nobody seems to renew it.
const URGENT_DAYS: i64 = 7;
/// One line for all that a new certificate mends.
const RENEW: &str = "certbot renew   # on the server; or put a new certificate in the place of the old one";

/// Judges the files that a server takes its certificate from; `shown` is what it shows to clients now.
pub fn judge_files(files: &TlsFiles, shown: Option<&Shown>, host: Option<&str>, now: SystemTime) -> Vec<Finding> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| {
            let text = format!("{} can't be read: {}", path.display(), words(&error));
            vec![Finding::wrong(
                text,
                "sudo ecoute doctor   # or name the right files with --tls-cert and --tls-key",
            )]
        })
    };
    let (certificate, key) = match (read(&files.certificate), read(&files.key)) {
        (Ok(certificate), Ok(key)) => (certificate, key),
        (Err(findings), _) | (_, Err(findings)) => return findings,
    };
    let tls = match Tls::new(certificate.clone(), key) {
        Ok(tls) => tls,
        Err(error) => {
            let mend = "certbot certificates   # says which two files to name with --tls-cert and --tls-key";
            return vec![Finding::wrong(error.to_string(), mend)];
        }
    };
    let Some(shown) = shown else {
        let chain = CertificateDer::pem_slice_iter(&certificate).filter_map(Result::ok).collect();
        return judge(&Shown { chain, verdict: Ok(()) }, host, now);
    };
    let is_other = shown.chain.first().is_some_and(|der| fingerprint(der) != tls.fingerprint());
    let other = is_other.then(|| {
        let text = format!("the server shows another certificate than the one in {}", files.certificate.display());
        Finding::wrong(text, "systemctl restart ecoute   # its log says why it did not take the new one")
    });
    other.into_iter().collect()
}

/// Judges what a server showed at `now`; `host` is the name that people use, where it is known.
pub fn judge(shown: &Shown, host: Option<&str>, now: SystemTime) -> Vec<Finding> {
    let Some(der) = shown.chain.first() else { return Vec::new() };
    let Ok((_, leaf)) = X509Certificate::from_der(der) else {
        return vec![Finding::wrong("the certificate can't be read", RENEW)];
    };
    let mut findings = vec![judge_days(&leaf, now)];
    findings.extend(host.and_then(|host| judge_name(der, &leaf, host)));
    match &shown.verdict {
        Ok(()) => {}
        Err(Error::InvalidCertificate(error)) if is_of_days(error) || is_of_name(error) => {}
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => findings.push(unknown(der, &leaf)),
        Err(Error::General(_)) => {
            findings
                .push(Finding::wrong("this machine has no list of whom to trust", "apt install ca-certificates"));
        }
        Err(_) if is_self_signed(&leaf) => findings.push(unknown(der, &leaf)),
        Err(error) => findings.push(Finding::wrong(format!("the certificate is refused: {error}"), RENEW)),
    }
    findings
}

fn judge_days(leaf: &X509Certificate<'_>, now: SystemTime) -> Finding {
    let now_s = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    let (begin_s, end_s) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let end = date(end_s);
    if now_s > end_s {
        let days = (now_s - end_s) / DAY_S;
        let text = format!("the certificate expired on {end}, {days} days ago: browsers refuse the pages");
        return Finding::wrong(text, RENEW);
    }
    if now_s < begin_s {
        let text = format!("the certificate is good only from {} on: browsers refuse the pages", date(begin_s));
        return Finding::wrong(text, "timedatectl set-ntp true   # if this machine's clock is wrong, else wait");
    }
    let left_s = end_s - now_s;
    let days = left_s / DAY_S;
    let text = format!("the certificate is good for {days} more days, until {end}");
    // Certificates that live for days only are renewed later in proportion.
    let life_s = end_s - begin_s;
    if left_s < (URGENT_DAYS * DAY_S).min(life_s / 9) {
        return Finding::wrong(format!("{text}: nobody renews it"), RENEW);
    }
    if left_s < (LATE_DAYS * DAY_S).min(life_s / 3) {
        return Finding::warning(format!("{text}: its renewal is late"), RENEW);
    }
    Finding::ok(text)
}

fn judge_name(der: &CertificateDer<'_>, leaf: &X509Certificate<'_>, host: &str) -> Option<Finding> {
    let name = ServerName::try_from(host.to_owned()).ok()?;
    let fits = ParsedCertificate::try_from(der).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok());
    if fits {
        return None;
    }
    let names = names(leaf);
    let listed = if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") };
    let text = format!("the certificate is for {listed}, not for {host}: browsers refuse the pages");
    let mend = match names.first() {
        Some(first) if !first.starts_with("*.") => {
            format!("use https://{first}   # or get a certificate for {host}: certbot certonly -d {host}")
        }
        Some(_) | None => format!("certbot certonly -d {host}   # on the server"),
    };
    Some(Finding::wrong(text, mend))
}

fn unknown(der: &CertificateDer<'_>, leaf: &X509Certificate<'_>) -> Finding {
    let fingerprint = fingerprint(der);
    if is_self_signed(leaf) {
        let text = format!(
            "the certificate is signed by itself, so browsers warn; it is the right one if the server's log says \
             SHA-256 {fingerprint}"
        );
        return Finding::wrong(
            text,
            "certbot certonly -d NAME   # on the server; then: ecoute serve --tls-cert FILE --tls-key FILE",
        );
    }
    let text = format!(
        "nobody whom this machine trusts vouches for the certificate (issued by {}, SHA-256 {fingerprint})",
        leaf.issuer()
    );
    Finding::wrong(text, "use fullchain.pem, not cert.pem, for --tls-cert   # or install the issuer's root here")
}

fn is_self_signed(leaf: &X509Certificate<'_>) -> bool {
    leaf.subject() == leaf.issuer()
}

fn is_of_days(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

fn is_of_name(error: &CertificateError) -> bool {
    matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. })
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = leaf.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(|octets| std::net::IpAddr::from(octets).to_string());
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(|octets| std::net::IpAddr::from(octets).to_string()))
                .ok()
        }
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn fingerprint(der: &CertificateDer<'_>) -> String {
    let digest = digest::digest(&digest::SHA256, der);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// Returns the day of a moment, as `2026-11-25`.
fn date(unix_s: i64) -> String {
    let at = UNIX_EPOCH + Duration::from_secs(unix_s.max(0) as u64);
    let text = ecoute::host::logging::timestamp(at);
    text.split('T').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::super::report::Verdict;
    use super::*;

    const NOW_S: i64 = 1_800_000_000;

    fn shown(names: &[&str], begin_s: i64, end_s: i64, verdict: Result<(), Error>) -> Shown {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let at = |unix_s| (UNIX_EPOCH + Duration::from_secs(unix_s as u64)).into();
        (params.not_before, params.not_after) = (at(begin_s), at(end_s));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "test");
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Shown { chain: vec![CertificateDer::from(der)], verdict }
    }

    fn judged(shown: &Shown, host: &str) -> Vec<(Verdict, String)> {
        let now = UNIX_EPOCH + Duration::from_secs(NOW_S as u64);
        judge(shown, Some(host), now).into_iter().map(|finding| (finding.verdict, finding.text)).collect()
    }

    #[test]
    fn days_left() {
        let day = DAY_S;
        let cases = [
            ("fresh", NOW_S - 10 * day, NOW_S + 80 * day, Verdict::Ok, "good for 80 more days, until 2027-04-05"),
            ("22 days", NOW_S - 68 * day, NOW_S + 22 * day, Verdict::Ok, "good for 22 more days"),
            (
                "20 days",
                NOW_S - 70 * day,
                NOW_S + 20 * day,
                Verdict::Warning,
                "20 more days, until 2027-02-04: its renewal is late",
            ),
            (
                "6 days",
                NOW_S - 84 * day,
                NOW_S + 6 * day,
                Verdict::Wrong,
                "6 more days, until 2027-01-21: nobody renews it",
            ),
            ("6 days of 6", NOW_S, NOW_S + 6 * day, Verdict::Ok, "good for 6 more days"),
            ("1 day of 6", NOW_S - 5 * day, NOW_S + day, Verdict::Warning, "good for 1 more days"),
            ("expired", NOW_S - 90 * day, NOW_S - 3 * day, Verdict::Wrong, "expired on 2027-01-12, 3 days ago"),
            ("not yet", NOW_S + day, NOW_S + 90 * day, Verdict::Wrong, "good only from 2027-01-16 on"),
        ];
        for (name, begin_s, end_s, verdict, text) in cases {
            let found = judged(&shown(&["ecoute.example"], begin_s, end_s, Ok(())), "ecoute.example");
            assert_eq!((found.len(), found[0].0), (1, verdict), "{name}: {found:?}");
            assert!(found[0].1.contains(text), "{name}: {found:?}");
        }
    }

    #[test]
    fn names_and_who_vouches() {
        let of = |names: &[&str], verdict| shown(names, NOW_S - DAY_S, NOW_S + 90 * DAY_S, verdict);
        let found = judged(&of(&["other.example", "192.0.2.1"], Ok(())), "ecoute.example");
        assert_eq!(found[1].0, Verdict::Wrong);
        assert!(found[1].1.contains("is for other.example, 192.0.2.1, not for ecoute.example"), "{found:?}");
        assert_eq!(judged(&of(&["*.ecoute.example"], Ok(())), "a.ecoute.example").len(), 1);
        assert_eq!(judged(&of(&["192.0.2.1"], Ok(())), "192.0.2.1").len(), 1);
        let unknown = Err(Error::InvalidCertificate(CertificateError::UnknownIssuer));
        let found = judged(&of(&["ecoute.example"], unknown), "ecoute.example");
        assert!(found[1].1.contains("signed by itself") && found[1].1.contains("SHA-256 "), "{found:?}");
        let digits = found[1].1.rsplit_once("SHA-256 ").unwrap().1;
        assert_eq!(digits.split(':').count(), 32, "{digits}");
        let found = judged(&of(&["a.example"], Err(Error::General("nobody".into()))), "a.example");
        assert!(found[1].1.contains("no list of whom to trust"), "{found:?}");
    }
}
