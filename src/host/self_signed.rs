//! Makes a certificate that nobody vouches for, for a trial, and keeps it in the data directory.
//!
//! Kept, so that who accepted it once is not asked again. Invariant: the file, with the key in it, has mode 0600 from
//! the moment it has its name.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

use super::secret::write_new;

/// Why there is no such certificate.
#[derive(Debug, thiserror::Error)]
pub enum SelfSignedError {
    #[error("can't read the certificate {}: {error}; make it readable, or remove it and a new one is made",
        path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("can't write the certificate {}: {error}; make the data directory writable", path.display())]
    NotWritten { path: PathBuf, error: io::Error },
    #[error("can't make a certificate: {0}; give one with --tls-cert and --tls-key")]
    NotMade(#[from] rcgen::Error),
}

/// Returns a certificate and its key in PEM, made first where the file is missing, for this machine's addresses and a
/// name that it has outside.
///
/// # Errors
/// [`SelfSignedError`].
pub fn load_or_make(path: &Path, addresses: &[IpAddr], host: Option<&str>) -> Result<Vec<u8>, SelfSignedError> {
    let unreadable = |error| SelfSignedError::Unreadable { path: path.to_owned(), error };
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let pem = make(addresses, host)?;
            write_new(path, pem.as_bytes())
                .map_err(|error| SelfSignedError::NotWritten { path: path.to_owned(), error })?;
            // Read back: another process may have been faster, and then its certificate is the one that counts.
            fs::read(path).map_err(unreadable)
        }
        read => read.map_err(unreadable),
    }
}

fn make(addresses: &[IpAddr], host: Option<&str>) -> Result<String, rcgen::Error> {
    let mut names = vec!["localhost".to_owned()];
    let loopback = [IpAddr::from([127, 0, 0, 1]), IpAddr::from(std::net::Ipv6Addr::LOCALHOST)];
    let addresses = loopback.iter().chain(addresses).map(ToString::to_string);
    for name in addresses.chain(host.map(str::to_owned)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "ecoute, self-signed");
    // What it is good for ends when people stop to accept it.
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2050, 1, 1));
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
}
