//! Runs the server: reads what the options name, makes what is missing, and gives all to the shell's loop.
//!
//! Invariant: nothing is served before all that was named is read and good.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ecoute::config::{Config, Encryption, Limits, RedirectTo, Settings, Trust};
use ecoute::host::addresses::advertised_for;
use ecoute::host::journal::Journal;
use ecoute::host::watch::{Purpose, Watch, WatchedFile};
use ecoute::host::{logging, secret, self_signed};
use ecoute::peer;
use ecoute::shell::tls::{PEM_BYTES_MAX, Tls};
use ecoute::shell::{self, Setup};
use ecoute::token::{self, DEVICES_BYTES_MAX, Devices, Issuer, PUBLIC_KEYS_BYTES_MAX, PublicKeys};
use ecoute::wire::ice_server::{CREDENTIALS_BYTES_MAX, Credentials, IceServer};
use ecoute::words::Role;

use super::error::ProgramError;
use super::options::{IceOptions, IssuerOptions, ServeOptions, TlsOptions};
use super::token::claims;
use super::{link, revoke};

/// How long the links work that a start on a terminal prints.
const PRINTED_LINK_TTL: Duration = Duration::from_secs(12 * 3600);

/// How much of what the server was told is written down, in characters.
const GIVEN_CHARS_MAX: usize = 4000;

/// The certificate of a trial and its key, in the data directory.
const SELF_SIGNED_FILE: &str = "self-signed.pem";

/// The directory in which a program like certbot proves whose name it is, in the data directory.
const WEBROOT: &str = "webroot";

/// Serves until it is asked to end.
pub fn serve(options: ServeOptions) -> Result<(), ProgramError> {
    logging::start(&options.log)?;
    let data = &options.secret.data.data;
    let secret_path = options.secret.path();
    let is_first_start = !secret_path.exists();
    let unwritable = match secret::prepare_data_directory(data) {
        Err(error) if is_first_start && options.secret.secret_file.is_none() => return Err(error.into()),
        prepared => prepared.err(),
    };
    let token_secret = secret::load_or_make(&secret_path)?;
    // What is needed is there, as where a container's file system is read-only.
    if let Some(error) = unwritable {
        log::warn!("nobody can be revoked: {error}");
    }
    let mut watched = Vec::new();
    let issuer = load_issuer(options.issuer, &mut watched)?;
    let (file, revoked) = revoke::load(data)?;
    watched.push((Purpose::Revoked, file));
    let ice_servers = load_ice_servers(options.ice, &mut watched)?;
    let devices = load_devices(options.devices, &mut watched)?;
    let sockets = shell::bind(&options.listen)?;
    let bound = sockets.addresses();
    let advertised = advertised_for(&options.public_address, &bound)?;
    let public_url = options.public_url.public_url;
    let ips: Vec<IpAddr> = advertised.iter().map(SocketAddr::ip).collect();
    let tls = load_tls(&options.tls, data, &ips, public_url.as_deref(), &mut watched)?;
    let (redirect, to) = open_redirect(&options.tls, data, bound[0].port(), public_url.as_deref())?.unzip();
    let encryption = match &tls {
        None => Encryption::Optional,
        Some(_) if options.tls.tls_self_signed => Encryption::Required,
        Some(_) => Encryption::Lasting,
    };
    let mut limits = Limits::default();
    limits.admission.of_program.held_max = options.whep_sessions.into();
    let trust = Trust { token_secret, issuer, revoked };
    let settings = Settings {
        advertised,
        trusted_proxies: options.trusted_proxy,
        allowed_origins: options.allow_origin,
        ice_servers,
        devices,
        encryption,
        can_serve_programs: peer::can_serve_programs,
        redirect: to,
        limits,
    };
    let config = Config { trust, settings };
    config.check()?;
    let journal = open_journal(data)?;
    let seed = secret::random()?;
    if is_first_start {
        log::info!("made a new secret, tokens of another one do not work: path={}", secret_path.display());
    }
    if io::stdout().is_terminal() {
        // Such a certificate is for a trial with phones around, which find nothing at localhost.
        let place = if options.tls.tls_self_signed { config.settings.advertised[0] } else { bound[0] };
        let base = public_url.unwrap_or_else(|| link::base(place, tls.is_some()));
        print_welcome(&config.trust.token_secret, &base, tls.as_ref().filter(|_| options.tls.tls_self_signed))?;
    }
    let setup = Setup { sockets, watch: Watch::new(watched), journal, options: given(), tls, redirect };
    shell::run(setup, config, seed)?;
    Ok(())
}

/// Returns what the server was told, on the command line and beside it; secrets are in files.
fn given() -> Arc<str> {
    let beside = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let mut beside: Vec<String> = beside
        .filter(|(name, _)| name.starts_with("ECOUTE_"))
        .map(|(name, value)| format!("{name}={}", value.to_string_lossy()))
        .collect();
    beside.sort();
    let arguments = std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned());
    let given: Vec<String> = beside.into_iter().chain(arguments).collect();
    given.join(" ").chars().take(GIVEN_CHARS_MAX).collect::<String>().into()
}

/// Opens the journal; one that can't be written for now is no reason not to start.
fn open_journal(data: &Path) -> Result<Journal, ProgramError> {
    let (journal, problem) = Journal::open(data)?;
    if let Some(error) = problem {
        log::error!(target: "audit", "{error}; nobody begins to hear anybody until that is over");
    }
    Ok(journal)
}

/// Reads the keys of the identity provider, where one is named.
fn load_issuer(
    options: IssuerOptions,
    watched: &mut Vec<(Purpose, WatchedFile)>,
) -> Result<Option<Issuer>, ProgramError> {
    let Some(path) = options.token_public_key.clone() else { return Ok(None) };
    let (file, contents) = WatchedFile::open(&path, PUBLIC_KEYS_BYTES_MAX).map_err(ProgramError::KeysUnreadable)?;
    let keys = PublicKeys::parse(&contents).map_err(|error| ProgramError::Keys { path, error })?;
    let rules = options.rules().map_err(ProgramError::IssuerUnnamed)?;
    log::info!("tokens of an identity provider are accepted: keys={}", keys.len());
    watched.push((Purpose::PublicKeys, file));
    Ok(Some(Issuer { keys, rules }))
}

/// Reads the certificate that is named, or the one of a trial.
fn load_tls(
    options: &TlsOptions,
    data: &Path,
    addresses: &[IpAddr],
    public_url: Option<&str>,
    watched: &mut Vec<(Purpose, WatchedFile)>,
) -> Result<Option<Tls>, ProgramError> {
    let tls = if let (Some(certificate), Some(key)) = (&options.tls_cert, &options.tls_key) {
        let mut read = |path: &Path, purpose| {
            let (file, contents) = WatchedFile::open(path, PEM_BYTES_MAX).map_err(ProgramError::PemUnreadable)?;
            watched.push((purpose, file));
            Ok::<_, ProgramError>(contents)
        };
        Tls::new(read(certificate, Purpose::Certificate)?, read(key, Purpose::CertificateKey)?)?
    } else if options.tls_self_signed {
        let host = public_url.and_then(link::host);
        let pem = self_signed::load_or_make(&data.join(SELF_SIGNED_FILE), addresses, host)?;
        Tls::new(pem.clone(), pem)?
    } else {
        return Ok(None);
    };
    log::info!("certificate loaded: sha256={}", tls.fingerprint());
    Ok(Some(tls))
}

/// Opens the port that sends browsers to HTTPS, and makes the directory that certificate authorities look into.
fn open_redirect(
    options: &TlsOptions,
    data: &Path,
    port: u16,
    public_url: Option<&str>,
) -> Result<Option<((TcpListener, PathBuf), RedirectTo)>, ProgramError> {
    let Some(listen) = options.http_redirect else { return Ok(None) };
    let base = public_url.filter(|url| url.starts_with("https://")).map(str::to_owned);
    let has_tls = options.tls_cert.is_some() || options.tls_self_signed;
    if !has_tls && base.is_none() {
        return Err(ProgramError::RedirectToNowhere);
    }
    let webroot = data.join(WEBROOT);
    fs::create_dir_all(&webroot).map_err(|error| ProgramError::Webroot { path: webroot.clone(), error })?;
    let listener = shell::bind_redirect(listen)?;
    log::info!("plain HTTP is sent to HTTPS: address={}", listener.local_addr().unwrap_or(listen));
    Ok(Some(((listener, webroot), RedirectTo { base, port })))
}

/// Returns the STUN and TURN servers of others, with the credentials for those that ask.
fn load_ice_servers(
    options: IceOptions,
    watched: &mut Vec<(Purpose, WatchedFile)>,
) -> Result<Vec<IceServer>, ProgramError> {
    let mut servers = options.ice_server;
    if let Some(path) = options.ice_credentials {
        let (file, contents) =
            WatchedFile::open(&path, CREDENTIALS_BYTES_MAX).map_err(ProgramError::IceCredentialsUnreadable)?;
        let credentials =
            Credentials::parse(&contents).map_err(|error| ProgramError::IceCredentials { path, error })?;
        watched.push((Purpose::IceCredentials, file));
        servers.iter_mut().for_each(|server| server.set_credentials(&credentials));
    } else if let Some(server) = servers.iter().find(|server| server.needs_credentials()) {
        return Err(ProgramError::IceCredentialsMissing { url: server.url().to_owned() });
    }
    Ok(servers)
}

/// Reads which devices there are; without the file there is none.
fn load_devices(path: Option<PathBuf>, watched: &mut Vec<(Purpose, WatchedFile)>) -> Result<Devices, ProgramError> {
    let Some(path) = path else { return Ok(Devices::default()) };
    let (file, contents) = WatchedFile::open(&path, DEVICES_BYTES_MAX).map_err(ProgramError::DevicesUnreadable)?;
    watched.push((Purpose::Devices, file));
    Devices::parse(&contents).map_err(|error| ProgramError::Devices { path, error })
}

/// Prints what a newcomer needs to hear something: one link for each side.
fn print_welcome(token_secret: &[u8], base: &str, tls: Option<&Tls>) -> io::Result<()> {
    let to_page = |role, id: &str, name: &str| {
        let claims = claims(role, id.to_owned(), Some(name.to_owned()), PRINTED_LINK_TTL);
        link::to_page(base, role, &token::mint(token_secret, &claims))
    };
    let program = std::env::args().next().unwrap_or_else(|| "ecoute".to_owned());
    let supervisor = to_page(Role::Admin, "paul", "Paul D.").unwrap_or_default();
    let salesperson = to_page(Role::Commercial, "lea", "Léa").unwrap_or_default();
    writeln!(
        io::stdout(),
        "\nOpen this as Léa, who sells, and press the microphone to go on air:\n  {salesperson}\n\n\
         Open this as Paul, who supervises, and press the headphones beside Léa to hear her:\n  {supervisor}\n\n\
         Both links work for 12 hours; `{program} link --help` tells how to make others. Browsers give a microphone only to pages on \
         localhost or over HTTPS.\n"
    )?;
    match tls {
        Some(tls) => writeln!(
            io::stdout(),
            "Where a browser warns of the certificate, accept it if its SHA-256 is\n  {}\n",
            tls.fingerprint()
        ),
        None => Ok(()),
    }
}
