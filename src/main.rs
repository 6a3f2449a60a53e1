//! The program: command line and environment → configuration → the shell's loop.
//!
//! Exit codes: 0 after a shutdown that was asked for, 1 where the system failed a running server, 2 for what the
//! person who starts it can put right. Invariant: tokens and links go to a terminal, or to who asked for one; never
//! to a log.

mod cli;
mod doctor;

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use clap::error::ErrorKind;
use cli::{
    Command, CommandLine, DoctorOptions, IssuerOptions, LinkOptions, RevokeOptions, ServeOptions, TlsOptions,
    TokenOptions,
};
use doctor::Report;
use ecoute::config::{Config, ConfigError, Encryption, Limits};
use ecoute::shell::addresses::advertised;
use ecoute::shell::logging::{self, FilterError};
use ecoute::shell::rewrite::{RewriteError, rewrite};
use ecoute::shell::secret::{self, SecretError};
use ecoute::shell::self_signed::{self, SelfSignedError};
use ecoute::shell::tls::{PEM_BYTES_MAX, Tls, TlsError};
use ecoute::shell::watch::{FileError, Purpose, Watch, WatchedFile};
use ecoute::shell::{self, BindError, RunError, Setup};
use ecoute::token::{
    self, Claims, Issuer, KeysError, PUBLIC_KEYS_BYTES_MAX, PublicKeys, REVOKED_BYTES_MAX, Revoked, RevokedError,
    Role, Scope,
};

const PORT_DEFAULT: u16 = 8080;

/// How long the links work that a start on a terminal prints.
const PRINTED_LINK_TTL: Duration = Duration::from_secs(12 * 3600);

/// What commands that are no server say on stderr besides their error: what is wrong with a file.
const LOG_OF_COMMANDS: &str = "error";

/// The list of revoked users, in the data directory.
const REVOKED_FILE: &str = "revoked";

/// The certificate of a trial and its key, in the data directory.
const SELF_SIGNED_FILE: &str = "self-signed.pem";

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
    #[error("{0}: it holds the revoked users, and without it they would be let in again")]
    RevokedUnreadable(FileError),
    #[error(transparent)]
    Revoked(#[from] RevokedError),
    #[error(transparent)]
    NotRevoked(#[from] RewriteError<RevokedError>),
    #[error("can't list this machine's addresses: {0}; give one with --public-address")]
    Addresses(io::Error),
    #[error("can't print: {0}")]
    Print(#[from] io::Error),
    #[error("--listen is for --role admin: it names whom a supervisor may hear; leave it out")]
    ListenNotAdmin,
    #[error("--device is for --role commercial: it says that a device streams; leave it out")]
    DeviceNotCommercial,
    #[error("wrong: {0}; what mends it stands below each")]
    Unwell(usize),
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
        | ProgramError::RevokedUnreadable(_)
        | ProgramError::Revoked(_)
        | ProgramError::NotRevoked(_)
        | ProgramError::Addresses(_)
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
    let sockets = shell::bind(options.listen)?;
    let advertised = advertised(&options.public_address, sockets.address()).map_err(ProgramError::Addresses)?;
    let tls = load_tls(&options.tls, data, &advertised, &mut watched)?;
    let encryption = match &tls {
        None => Encryption::Optional,
        Some(_) if options.tls.tls_self_signed => Encryption::Required,
        Some(_) => Encryption::Lasting,
    };
    let config = Config {
        advertised,
        token_secret,
        issuer,
        revoked,
        trusted_proxies: options.trusted_proxy,
        allowed_origins: options.allow_origin,
        encryption,
        limits: Limits::default(),
    };
    config.check()?;
    let seed = secret::random()?;
    if is_first_start {
        log::info!("made a new secret, tokens of another one do not work: path={}", secret_path.display());
    }
    if io::stdout().is_terminal() {
        print_welcome(&config.token_secret, &page_base(sockets.address(), tls.is_some()))?;
    }
    shell::run(Setup { sockets, watch: Watch::new(watched), tls }, config, seed)?;
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
    advertised: &[SocketAddr],
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
        let addresses: Vec<IpAddr> = advertised.iter().map(SocketAddr::ip).collect();
        let pem = self_signed::load_or_make(&data.join(SELF_SIGNED_FILE), &addresses, None)?;
        Tls::new(pem.clone(), pem)?
    } else {
        return Ok(None);
    };
    log::info!("certificate loaded: sha256={}", tls.fingerprint());
    Ok(Some(tls))
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
            let (listen, public_addresses) = (serve.listen, serve.public_address.clone());
            let (data, token) = (serve.secret.data.data.clone(), options.token.clone());
            let server = doctor::Server { listen, public_addresses, data, secret, token };
            doctor::examine_server(&server, &mut report);
        }
    }
    match report.finish()? {
        0 => Ok(()),
        wrong => Err(ProgramError::Unwell(wrong)),
    }
}

/// Prints what a newcomer needs to hear something: one link for each side.
fn print_welcome(token_secret: &[u8], base: &str) -> io::Result<()> {
    let link = |role, id: &str, name: &str| {
        let claims = claims(role, id.to_owned(), Some(name.to_owned()), PRINTED_LINK_TTL);
        link(base, role, &token::mint(token_secret, &claims))
    };
    let program = std::env::args().next().unwrap_or_else(|| "ecoute".to_owned());
    let supervisor = link(Role::Admin, "paul", "Paul D.").unwrap_or_default();
    let salesperson = link(Role::Commercial, "lea", "Léa").unwrap_or_default();
    writeln!(
        io::stdout(),
        "\nOpen this as Léa, who sells, and press the microphone to go on air:\n  {salesperson}\n\n\
         Open this as Paul, who supervises, and press the headphones beside Léa to hear her:\n  {supervisor}\n\n\
         Both links work for 12 hours; `{program} link --help` tells how to make others. Browsers give a microphone only to pages on \
         localhost or over HTTPS.\n"
    )
}

/// Returns where a browser on this machine finds the pages.
fn page_base(bound: SocketAddr, has_tls: bool) -> String {
    let scheme = if has_tls { "https" } else { "http" };
    let ip = bound.ip().to_canonical();
    if ip.is_unspecified() || ip.is_loopback() {
        return format!("{scheme}://localhost:{}", bound.port());
    }
    format!("{scheme}://{}", SocketAddr::new(ip, bound.port()))
}

fn print_token(options: TokenOptions) -> Result<(), ProgramError> {
    writeln!(io::stdout(), "{}", options.mint()?)?;
    Ok(())
}

fn print_link(options: LinkOptions) -> Result<(), ProgramError> {
    let base = options.url.unwrap_or_else(|| format!("http://localhost:{}", configured_port()));
    let role = options.token.role;
    let link = link(&base, role, &options.token.mint()?).ok_or(ProgramError::LinkForMonitor)?;
    writeln!(io::stdout(), "{link}")?;
    Ok(())
}

/// Returns the port that a server started with the same environment listens on.
fn configured_port() -> u16 {
    let listen = std::env::var("ECOUTE_LISTEN").ok().and_then(|text| text.parse::<SocketAddr>().ok());
    listen.map_or(PORT_DEFAULT, |address| address.port())
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

/// Returns the link to the page of `role`; a monitor has none.
///
/// The token stands in the fragment, which no browser sends.
fn link(base: &str, role: Role, token: &str) -> Option<String> {
    let page = match role {
        Role::Admin => "admin",
        Role::Commercial => "commercial",
        Role::Monitor => return None,
    };
    Some(format!("{base}/{page}#t={token}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links() {
        assert_eq!(link("http://localhost:1", Role::Admin, "x").as_deref(), Some("http://localhost:1/admin#t=x"));
        assert_eq!(link("https://e", Role::Commercial, "x").as_deref(), Some("https://e/commercial#t=x"));
        assert_eq!(link("https://e", Role::Monitor, "x"), None);
        let cases = [
            ("[::]:1", "http://localhost:1"),
            ("0.0.0.0:1", "http://localhost:1"),
            ("127.0.0.1:1", "http://localhost:1"),
            ("192.0.2.1:1", "http://192.0.2.1:1"),
            ("[2001:db8::1]:1", "http://[2001:db8::1]:1"),
        ];
        for (bound, want) in cases {
            assert_eq!(page_base(bound.parse().unwrap(), false), want);
        }
    }
}
