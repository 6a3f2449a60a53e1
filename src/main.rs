//! The program: command line and environment → configuration → the shell's loop.
//!
//! Exit codes: 0 after a shutdown that was asked for, 1 where the system failed a running server, 2 for what the
//! person who starts it can put right. Invariant: tokens and links go to a terminal, or to who asked for one; never
//! to a log.

mod cli;
mod doctor;
mod link;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use clap::error::ErrorKind;
use cli::{
    Command, CommandLine, DoctorOptions, IceOptions, IssuerOptions, LinkOptions, RevokeOptions, ServeOptions,
    TlsOptions, TokenOptions,
};
use doctor::Report;
use ecoute::config::{Config, ConfigError, Encryption, Limits, Settings, Trust};
use ecoute::host::addresses::{AddressesError, advertised_for};
use ecoute::host::logging::{self, FilterError};
use ecoute::host::rewrite::{RewriteError, rewrite};
use ecoute::host::secret::{self, SecretError};
use ecoute::host::self_signed::{self, SelfSignedError};
use ecoute::host::watch::{FileError, Purpose, Watch, WatchedFile};
use ecoute::shell::redirect::RedirectTo;
use ecoute::shell::tls::{PEM_BYTES_MAX, Tls, TlsError, TlsFiles};
use ecoute::shell::{self, BindError, RunError, Setup};
use ecoute::token::{
    self, Claims, Issuer, KeysError, PUBLIC_KEYS_BYTES_MAX, PublicKeys, REVOKED_BYTES_MAX, Revoked, RevokedError,
    Scope,
};
use ecoute::wire::ice_server::{CREDENTIALS_BYTES_MAX, Credentials, CredentialsError, IceServer};
use ecoute::words::Role;

/// How long the links work that a start on a terminal prints.
const PRINTED_LINK_TTL: Duration = Duration::from_secs(12 * 3600);

/// What commands that are no server say on stderr besides their error: what is wrong with a file.
const LOG_OF_COMMANDS: &str = "error";

/// The list of revoked users, in the data directory.
const REVOKED_FILE: &str = "revoked";

/// The certificate of a trial and its key, in the data directory.
const SELF_SIGNED_FILE: &str = "self-signed.pem";

/// The directory in which a program like certbot proves whose name it is, in the data directory.
const WEBROOT: &str = "webroot";

/// Why the program ends before its time; each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
enum ProgramError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Filter(#[from] FilterError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error("{0}; name the identity provider's key file with --token-public-key")]
    KeysUnreadable(FileError),
    #[error("the public key file {} can't be used: {error}", path.display())]
    Keys { path: PathBuf, error: KeysError },
    #[error("{0}; name the certificate with --tls-cert and its key with --tls-key")]
    PemUnreadable(FileError),
    #[error("{0}; name two that do with --tls-cert and --tls-key")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    SelfSigned(#[from] SelfSignedError),
    #[error("{0}; name the file with the TURN servers' user name and password with --ice-credentials")]
    IceCredentialsUnreadable(FileError),
    #[error("the credentials in {} can't be used: {error}", path.display())]
    IceCredentials { path: PathBuf, error: CredentialsError },
    #[error("{url} lets nobody in without credentials: name a file with --ice-credentials")]
    IceCredentialsMissing { url: String },
    #[error("{0}: it holds the revoked users, and without it they would be let in again")]
    RevokedUnreadable(FileError),
    #[error(transparent)]
    Revoked(#[from] RevokedError),
    #[error(transparent)]
    NotRevoked(#[from] RewriteError<RevokedError>),
    #[error(transparent)]
    Addresses(#[from] AddressesError),
    #[error(
        "--http-redirect has nowhere to send browsers: give --tls-cert and --tls-key, or an https --public-url"
    )]
    RedirectToNowhere,
    #[error("can't make {}: {error}; make the data directory writable", path.display())]
    Webroot { path: PathBuf, error: io::Error },
    #[error("can't print: {0}")]
    Print(#[from] io::Error),
    #[error("--listen is for --role admin: it names whom a supervisor may hear; leave it out")]
    ListenNotAdmin,
    #[error("--device is for --role commercial: it says that a device streams; leave it out")]
    DeviceNotCommercial,
    #[error("wrong: {0}; what mends it stands below each")]
    Unwell(usize),
    #[error("the link is too long to be drawn: leave out --qr, or name fewer with --listen")]
    LinkTooLong,
    #[error("a monitor has no page: use `ecoute token` instead of `ecoute link`")]
    LinkForMonitor,
}

fn main() -> ExitCode {
    let result = match CommandLine::try_parse() {
        Err(error) => return explain_usage(&error),
        Ok(CommandLine { command: Some(Command::Serve(options)), .. }) => serve(*options),
        Ok(CommandLine { command: Some(Command::Token(options)), .. }) => print_token(options),
        Ok(CommandLine { command: Some(Command::Link(options)), .. }) => print_link(options),
        Ok(CommandLine { command: Some(Command::Revoke(options)), .. }) => revoke(&options),
        Ok(CommandLine { command: Some(Command::Doctor(options)), .. }) => examine(&options),
        Ok(CommandLine { command: None, serve: options }) => serve(options),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    print_error(&error.to_string());
    match error {
        ProgramError::Run(_) | ProgramError::Print(_) | ProgramError::Unwell(_) => ExitCode::from(1),
        ProgramError::Bind(_)
        | ProgramError::Config(_)
        | ProgramError::Filter(_)
        | ProgramError::Secret(_)
        | ProgramError::KeysUnreadable(_)
        | ProgramError::Keys { .. }
        | ProgramError::PemUnreadable(_)
        | ProgramError::Tls(_)
        | ProgramError::SelfSigned(_)
        | ProgramError::IceCredentialsUnreadable(_)
        | ProgramError::IceCredentials { .. }
        | ProgramError::IceCredentialsMissing { .. }
        | ProgramError::RevokedUnreadable(_)
        | ProgramError::Revoked(_)
        | ProgramError::NotRevoked(_)
        | ProgramError::Addresses(_)
        | ProgramError::RedirectToNowhere
        | ProgramError::Webroot { .. }
        | ProgramError::LinkTooLong
        | ProgramError::ListenNotAdmin
        | ProgramError::DeviceNotCommercial
        | ProgramError::LinkForMonitor => ExitCode::from(2),
    }
}

/// Lets clap speak, but keeps a value that is out of range to one line.
fn explain_usage(error: &clap::Error) -> ExitCode {
    if error.kind() == ErrorKind::ValueValidation {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        print_error(line.strip_prefix("error: ").unwrap_or(line));
        return ExitCode::from(2);
    }
    // Nobody reads what can't be printed.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

fn print_error(text: &str) {
    // With stderr closed the exit code still tells.
    let _ = writeln!(io::stderr(), "ecoute: {text}");
}

fn serve(options: ServeOptions) -> Result<(), ProgramError> {
    logging::start(&options.log)?;
    let data = &options.secret.data.data;
    secret::prepare_data_directory(data)?;
    let secret_path = options.secret.path();
    let is_first_start = !secret_path.exists();
    let token_secret = secret::load_or_make(&secret_path)?;
    let mut watched = Vec::new();
    let issuer = load_issuer(options.issuer, &mut watched)?;
    let revoked = load_revoked(data, &mut watched)?;
    let ice_servers = load_ice_servers(options.ice, &mut watched)?;
    let sockets = shell::bind(&options.listen)?;
    let bound = sockets.addresses();
    let advertised = advertised_for(&options.public_address, &bound)?;
    let public_url = options.public_url.public_url;
    let ips: Vec<IpAddr> = advertised.iter().map(SocketAddr::ip).collect();
    let tls = load_tls(&options.tls, data, &ips, public_url.as_deref(), &mut watched)?;
    let redirect = open_redirect(&options.tls, data, bound[0].port(), public_url.as_deref())?;
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
        encryption,
        limits,
    };
    let config = Config { trust, settings };
    config.check()?;
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
    shell::run(Setup { sockets, watch: Watch::new(watched), tls, redirect }, config, seed)?;
    Ok(())
}

/// Reads the keys of the identity provider, where one is named.
fn load_issuer(
    options: IssuerOptions,
    watched: &mut Vec<(Purpose, WatchedFile)>,
) -> Result<Option<Issuer>, ProgramError> {
    let Some(path) = options.token_public_key.clone() else { return Ok(None) };
    let (file, contents) = WatchedFile::open(&path, PUBLIC_KEYS_BYTES_MAX).map_err(ProgramError::KeysUnreadable)?;
    let keys = PublicKeys::parse(&contents).map_err(|error| ProgramError::Keys { path, error })?;
    log::info!("tokens of an identity provider are accepted: keys={}", keys.len());
    watched.push((Purpose::PublicKeys, file));
    Ok(Some(Issuer { keys, rules: options.rules() }))
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
) -> Result<Option<(TcpListener, RedirectTo)>, ProgramError> {
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
    Ok(Some((listener, RedirectTo { base, port, webroot })))
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

/// Reads the list of revoked users; until somebody is revoked there is none.
fn load_revoked(data: &Path, watched: &mut Vec<(Purpose, WatchedFile)>) -> Result<Revoked, ProgramError> {
    let path = data.join(REVOKED_FILE);
    let (file, contents) =
        WatchedFile::open_or_empty(&path, REVOKED_BYTES_MAX).map_err(ProgramError::RevokedUnreadable)?;
    watched.push((Purpose::Revoked, file));
    Ok(Revoked::parse(&contents)?)
}

/// Puts a user on the list, which a running server notices by itself.
fn revoke(options: &RevokeOptions) -> Result<(), ProgramError> {
    logging::start(LOG_OF_COMMANDS)?;
    let (id, unix_s) = (&options.id, unix_s());
    rewrite(&options.data.data, REVOKED_FILE, |list| Revoked::add(list, id, unix_s))?;
    let at = logging::timestamp(UNIX_EPOCH + Duration::from_secs(unix_s));
    writeln!(
        io::stdout(),
        "Revoked {id}: every token issued up to {at} is refused, and a running server ends their connections within a \
         second. Tokens made from the next second on work."
    )?;
    Ok(())
}

/// Says what is wrong with a server, or with the way to it.
fn examine(options: &DoctorOptions) -> Result<(), ProgramError> {
    logging::start(LOG_OF_COMMANDS)?;
    let mut stdout = io::stdout();
    let mut report = Report::new(&mut stdout);
    let serve = &options.serve;
    let secret = serve.secret.path();
    match &options.url {
        Some(place) => doctor::examine_way(place, options.token.as_deref(), &secret, &mut report),
        None => {
            let (listens, public_addresses) = (serve.listen.clone(), serve.public_address.clone());
            let host = serve.public_url.public_url.as_deref().and_then(link::host).map(str::to_owned);
            let redirect = serve.tls.http_redirect;
            let (data, token) = (serve.secret.data.data.clone(), options.token.clone());
            let files = serve.tls.tls_cert.clone().zip(serve.tls.tls_key.clone());
            let tls = files.map(|(certificate, key)| TlsFiles { certificate, key });
            let server = doctor::Server { listens, redirect, host, public_addresses, data, secret, tls, token };
            doctor::examine_server(&server, &mut report);
        }
    }
    match report.finish()? {
        0 => Ok(()),
        wrong => Err(ProgramError::Unwell(wrong)),
    }
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

fn print_token(options: TokenOptions) -> Result<(), ProgramError> {
    writeln!(io::stdout(), "{}", options.mint()?)?;
    Ok(())
}

fn print_link(options: LinkOptions) -> Result<(), ProgramError> {
    let base = options.public_url.public_url.unwrap_or_else(link::configured_base);
    let role = options.token.role;
    let link = link::to_page(&base, role, &options.token.mint()?).ok_or(ProgramError::LinkForMonitor)?;
    if !link::has_microphone(&base) {
        print_error(
            "browsers give a microphone only to pages over HTTPS or on localhost: use --public-url https://…",
        );
    }
    writeln!(io::stdout(), "{link}")?;
    if options.qr {
        let drawn = link::draw(&link).ok_or(ProgramError::LinkTooLong)?;
        write!(io::stdout(), "{drawn}")?;
    }
    Ok(())
}

impl TokenOptions {
    fn mint(self) -> Result<String, ProgramError> {
        if self.listen.is_some() && !matches!(self.role, Role::Admin) {
            return Err(ProgramError::ListenNotAdmin);
        }
        if self.device && !matches!(self.role, Role::Commercial) {
            return Err(ProgramError::DeviceNotCommercial);
        }
        let token_secret = secret::load(&self.secret.path())?;
        let listen = self.listen.map(|ids| Scope::new(ids.iter().map(String::as_str)));
        let claims = Claims { listen, device: self.device, ..claims(self.role, self.id, self.name, self.ttl) };
        Ok(token::mint(&token_secret, &claims))
    }
}

fn claims(role: Role, sub: String, name: Option<String>, ttl: Duration) -> Claims {
    let iat = unix_s();
    Claims { sub, role, name, listen: None, device: false, exp: iat + ttl.as_secs(), iat, nbf: None }
}

#[expect(clippy::disallowed_methods, reason = "tokens and revocations say when they were made")]
fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
