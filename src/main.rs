//! The program: command line and environment → configuration → the shell's loop.
//!
//! Exit codes: 0 after a shutdown that was asked for, 1 where the system failed a running server, 2 for what the
//! person who starts it can put right. Invariant: tokens and links go to a terminal, or to who asked for one; never
//! to a log.

use std::io::{self, IsTerminal, Write};
use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use ecoute::config::{Config, ConfigError, Limits};
use ecoute::shell::addresses::{PublicAddress, advertised};
use ecoute::shell::logging::{self, FilterError};
use ecoute::shell::secret::{self, SecretError};
use ecoute::shell::{self, BindError, RunError};
use ecoute::token::{self, Claims, Role};

const PORT_DEFAULT: u16 = 8080;

/// The longest life of a token: ten years.
const TTL_MAX: Duration = Duration::from_secs(3650 * 86_400);

/// How long the links work that a start on a terminal prints.
const PRINTED_LINK_TTL: Duration = Duration::from_secs(12 * 3600);

/// Lets supervisors listen live to salespeople who stream their microphone.
#[derive(Parser)]
#[command(name = "ecoute", version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(flatten)]
    serve: ServeOptions,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server; the same as no command.
    Serve(ServeOptions),
    /// Print a token for one user.
    Token(TokenOptions),
    /// Print a link that opens one user's page.
    Link(LinkOptions),
}

#[derive(Args)]
struct ServeOptions {
    /// Address for TCP and UDP; [::] takes IPv4 too, and is 0.0.0.0 where IPv6 is missing
    #[arg(long, env = "ECOUTE_LISTEN", value_name = "IP:PORT", default_value = "[::]:8080",
        value_parser = parse_listen)]
    listen: SocketAddr,
    /// Address that clients send media to; may be repeated [default: all of this machine]
    #[arg(long, env = "ECOUTE_PUBLIC_ADDRESS", value_name = "IP[:PORT]", value_delimiter = ',')]
    public_address: Vec<PublicAddress>,
    /// Web origin that may use this server from its own pages; may be repeated
    #[arg(long, env = "ECOUTE_ALLOW_ORIGIN", value_name = "https://HOST[:PORT]", value_delimiter = ',',
        value_parser = parse_origin)]
    allow_origin: Vec<String>,
    /// What to log: a level, and levels of parts (signal, gps, audio, webrtc, http, audit)
    #[arg(long, env = "ECOUTE_LOG", value_name = "FILTER", default_value = "info", value_parser = parse_log)]
    log: String,
    #[command(flatten)]
    secret: SecretOptions,
}

#[derive(Args)]
struct SecretOptions {
    /// Directory for everything that the server keeps
    #[arg(long, env = "ECOUTE_DATA", value_name = "DIR", default_value = "ecoute-data")]
    data: PathBuf,
    /// File with the secret that signs tokens, at least 32 bytes [default: secret in the data directory]
    #[arg(long, env = "ECOUTE_SECRET_FILE", value_name = "FILE")]
    secret_file: Option<PathBuf>,
}

#[derive(Args)]
struct TokenOptions {
    /// admin (listens), commercial (streams) or monitor (status only)
    #[arg(long)]
    role: Role,
    /// The user's id
    #[arg(long, value_parser = parse_id)]
    id: String,
    /// What people see instead of the id
    #[arg(long, value_parser = parse_name)]
    name: Option<String>,
    /// For an admin: the ids of the only salespeople to see and hear [default: all]
    #[arg(long, value_name = "ID,ID", value_delimiter = ',', value_parser = parse_id)]
    listen: Option<Vec<String>>,
    /// How long the token works: 90s, 15m, 12h, 30d
    #[arg(long, default_value = "12h", value_parser = parse_ttl)]
    ttl: Duration,
    /// For a commercial: a device without a page streams, nobody's microphone
    #[arg(long)]
    device: bool,
    #[command(flatten)]
    secret: SecretOptions,
}

#[derive(Args)]
struct LinkOptions {
    #[command(flatten)]
    token: TokenOptions,
    /// Where users reach the server [default: http://localhost and the port of ECOUTE_LISTEN, or 8080]
    #[arg(long, env = "ECOUTE_URL", value_parser = parse_url)]
    url: Option<String>,
}

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
    #[error("can't list this machine's addresses: {0}; give one with --public-address")]
    Addresses(io::Error),
    #[error("can't print: {0}")]
    Print(#[from] io::Error),
    #[error("--listen is for --role admin: it names whom a supervisor may hear; leave it out")]
    ListenNotAdmin,
    #[error("--device is for --role commercial: it says that a device streams; leave it out")]
    DeviceNotCommercial,
    #[error("a monitor has no page: use `ecoute token` instead of `ecoute link`")]
    LinkForMonitor,
}

fn main() -> ExitCode {
    let result = match CommandLine::try_parse() {
        Err(error) => return explain_usage(&error),
        Ok(CommandLine { command: Some(Command::Serve(options)), .. }) => serve(options),
        Ok(CommandLine { command: Some(Command::Token(options)), .. }) => print_token(options),
        Ok(CommandLine { command: Some(Command::Link(options)), .. }) => print_link(options),
        Ok(CommandLine { command: None, serve: options }) => serve(options),
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    print_error(&error.to_string());
    match error {
        ProgramError::Run(_) | ProgramError::Print(_) => ExitCode::from(1),
        ProgramError::Bind(_)
        | ProgramError::Config(_)
        | ProgramError::Filter(_)
        | ProgramError::Secret(_)
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
    secret::prepare_data_directory(&options.secret.data)?;
    let token_secret = secret::load_or_make(&options.secret.path())?;
    let sockets = shell::bind(options.listen)?;
    let config = Config {
        advertised: advertised(&options.public_address, sockets.address()).map_err(ProgramError::Addresses)?,
        token_secret,
        allowed_origins: options.allow_origin,
        limits: Limits::default(),
    };
    config.check()?;
    let seed = secret::random()?;
    if io::stdout().is_terminal() {
        print_welcome(&config.token_secret, sockets.address())?;
    }
    shell::run(sockets, config, seed)?;
    Ok(())
}

/// Prints what a newcomer needs to hear something: one link for each side.
fn print_welcome(token_secret: &[u8], bound: SocketAddr) -> io::Result<()> {
    let base = page_base(bound);
    let link = |role, id: &str, name: &str| {
        let claims = claims(role, id.to_owned(), Some(name.to_owned()), PRINTED_LINK_TTL);
        link(&base, role, &token::mint(token_secret, &claims))
    };
    let program = std::env::args().next().unwrap_or_else(|| "ecoute".to_owned());
    let supervisor = link(Role::Admin, "responsable", "Responsable").unwrap_or_default();
    let salesperson = link(Role::Commercial, "lea", "Léa").unwrap_or_default();
    writeln!(
        io::stdout(),
        "\nOpen this as Léa, who sells, and press the microphone to go on air:\n  {salesperson}\n\n\
         Open this as the supervisor, and press the headphones beside Léa to hear her:\n  {supervisor}\n\n\
         Both links work for 12 hours; `{program} link --help` tells how to make others. Browsers give a microphone only to pages on \
         localhost or over HTTPS.\n"
    )
}

/// Returns where a browser on this machine finds the pages.
fn page_base(bound: SocketAddr) -> String {
    let ip = bound.ip().to_canonical();
    if ip.is_unspecified() || ip.is_loopback() {
        return format!("http://localhost:{}", bound.port());
    }
    format!("http://{}", SocketAddr::new(ip, bound.port()))
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

impl SecretOptions {
    fn path(&self) -> PathBuf {
        self.secret_file.clone().unwrap_or_else(|| self.data.join("secret"))
    }
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
        let claims =
            Claims { listen: self.listen, device: self.device, ..claims(self.role, self.id, self.name, self.ttl) };
        Ok(token::mint(&token_secret, &claims))
    }
}

#[expect(clippy::disallowed_methods, reason = "a token says when it was issued")]
fn claims(role: Role, sub: String, name: Option<String>, ttl: Duration) -> Claims {
    let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Claims { sub, role, name, listen: None, device: false, exp: iat + ttl.as_secs(), iat, nbf: None }
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

fn parse_listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, as [::]:8080 or 127.0.0.1:8080")
}

fn parse_log(text: &str) -> Result<String, FilterError> {
    logging::check_filter(text).map(|()| text.to_owned())
}

fn parse_id(text: &str) -> Result<String, &'static str> {
    let is_valid = token::is_valid_id(text);
    is_valid
        .then(|| text.to_owned())
        .ok_or("an id has 1 to 128 printable ASCII characters, no space and none of / ? # % \\")
}

fn parse_name(text: &str) -> Result<String, &'static str> {
    token::is_valid_name(text).then(|| text.to_owned()).ok_or("a name has 1 to 80 characters on one line")
}

fn parse_ttl(text: &str) -> Result<Duration, &'static str> {
    const WRONG: &str = "write a whole number and s, m, h or d, from 1s to 3650d";
    let unit = text.chars().last().ok_or(WRONG)?;
    let unit_s = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return Err(WRONG),
    };
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(WRONG);
    }
    let ttl_s = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit_s)).ok_or(WRONG)?;
    let ttl = Duration::from_secs(ttl_s);
    if ttl.is_zero() || ttl > TTL_MAX { Err(WRONG) } else { Ok(ttl) }
}

fn parse_url(text: &str) -> Result<String, &'static str> {
    let has_scheme = text.starts_with("https://") || text.starts_with("http://");
    if !has_scheme || text.contains(['#', '?']) || text.contains(char::is_whitespace) {
        return Err("write it as https://ecoute.example");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Returns the origin as browsers write it: in lower case, without the scheme's own port (RFC 6454 §6.1).
fn parse_origin(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "write it as https://app.example or https://app.example:8443, without a path";
    let text = text.to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://").ok_or(WRONG)?;
    let port_of_scheme = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return Err(WRONG),
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port.parse::<u16>().map_err(|_| WRONG)?)),
        Some(_) | None => (rest, None),
    };
    let literal = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    let is_host = match literal {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    match port {
        _ if !is_host => Err(WRONG),
        Some(0) => Err(WRONG),
        Some(port) if port != port_of_scheme => Ok(format!("{scheme}://{host}:{port}")),
        Some(_) | None => Ok(format!("{scheme}://{host}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn ttl() {
        let seconds = |count| Ok(Duration::from_secs(count));
        let wrong = Err("write a whole number and s, m, h or d, from 1s to 3650d");
        let cases = [
            ("1s", seconds(1)),
            ("90s", seconds(90)),
            ("15m", seconds(900)),
            ("12h", seconds(43_200)),
            ("3650d", seconds(315_360_000)),
            ("3651d", wrong),
            ("0s", wrong),
            ("", wrong),
            ("h", wrong),
            ("12", wrong),
            ("-1h", wrong),
            ("+1h", wrong),
            ("1.5h", wrong),
            ("1w", wrong),
            ("1é", wrong),
            ("18446744073709551615d", wrong),
            ("18446744073709551616s", wrong),
        ];
        for (text, want) in cases {
            assert_eq!(parse_ttl(text), want, "{text}");
        }
    }

    #[test]
    fn origins() {
        let cases = [
            ("https://app.example", Some("https://app.example")),
            ("https://App.Example:8443", Some("https://app.example:8443")),
            ("https://app.example:443", Some("https://app.example")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("http://localhost:80", Some("http://localhost")),
            ("https://[::1]:8443", Some("https://[::1]:8443")),
            ("https://[::1]", Some("https://[::1]")),
            ("https://app.example/", None),
            ("https://app.example/path", None),
            ("https://", None),
            ("https://:443", None),
            ("https://user@app.example", None),
            ("https://app.example:0", None),
            ("https://app.example:65536", None),
            ("https://*.example", None),
            ("https://[::g]", None),
            ("app.example", None),
            ("ftp://app.example", None),
            ("null", None),
            ("*", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_origin(text).ok().as_deref(), want, "{text}");
        }
    }

    #[test]
    fn names_and_urls() {
        assert!(parse_name(&"é".repeat(80)).is_ok());
        for wrong in ["", "  ", "a\nb", &"é".repeat(81)] {
            assert!(parse_name(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(parse_url("https://ecoute.example/").as_deref(), Ok("https://ecoute.example"));
        assert_eq!(parse_url("http://localhost:1").as_deref(), Ok("http://localhost:1"));
        for wrong in ["ecoute.example", "https://a#t", "https://a b", ""] {
            assert!(parse_url(wrong).is_err(), "{wrong:?}");
        }
    }

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
            assert_eq!(page_base(bound.parse().unwrap()), want);
        }
    }
}
