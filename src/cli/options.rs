//! The command line and the environment: what may be asked for, and how each value is written.
//!
//! Reads no file and opens nothing. Invariant: a value that is out of its range never leaves this module.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{NonEmptyStringValueParser, Resettable};
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use ecoute::config::AdmissionLimits;
use ecoute::history;
use ecoute::host::addresses::PublicAddress;
use ecoute::host::logging::{self, FilterError};
use ecoute::token::{self, ClaimRules, Pointer, Right, RoleMapping};
use ecoute::wire::ice_server::IceServer;
use ecoute::wire::origin;
use ecoute::words::Role;
use ipnet::IpNet;

use crate::doctor::Place;

/// The secret, in the data directory.
pub const SECRET_FILE: &str = "secret";

/// The longest life of a token: ten years.
const TTL_MAX: Duration = Duration::from_secs(3650 * 86_400);

/// Lets supervisors listen live to salespeople who stream their microphone.
#[derive(Parser)]
#[command(name = "ecoute", version, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    #[command(flatten)]
    pub serve: ServeOptions,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Run the server; the same as no command.
    Serve(Box<ServeOptions>),
    /// Print a token for one user.
    Token(TokenOptions),
    /// Print a link that opens one user's page.
    Link(LinkOptions),
    /// Refuse every token that one user has now, and end their connections.
    Revoke(RevokeOptions),
    /// Show, export or verify the journal: what happened, and who heard whom.
    Audit {
        #[command(subcommand)]
        command: AuditCommand,
    },
    /// Print all that is written about one person, as JSON that says what each field means.
    Export(PersonOptions),
    /// Say how listening is used, for a works council: numbers, and nobody by name.
    Report(ReportOptions),
    /// Purge what is written about one person, before its time.
    Purge(PurgeOptions),
    /// Copy all that the server keeps to one file, beside a server that runs.
    Backup(BackupOptions),
    /// Make a data directory of such a copy.
    Restore(BackupOptions),
    /// Say what is wrong with a server or the way to it, and the line that mends it.
    Doctor(Box<DoctorOptions>),
    /// Write the manual pages, for man.
    Manual(ManualOptions),
}

#[derive(Args)]
pub struct ServeOptions {
    /// Address for TCP and UDP; may be repeated; [::] takes IPv4 too, and is 0.0.0.0 where IPv6 is missing
    #[arg(long, env = "ECOUTE_LISTEN", value_name = "IP:PORT", default_value = "[::]:8080", value_delimiter = ',',
        value_parser = parse_listen)]
    pub listen: Vec<SocketAddr>,
    #[command(flatten)]
    pub public_url: PublicUrl,
    /// Address or host name at which clients reach this machine, before its own; may be repeated [default: its own]
    #[arg(long, env = "ECOUTE_PUBLIC_ADDRESS", value_name = "HOST[:PORT]", value_delimiter = ',')]
    pub public_address: Vec<PublicAddress>,
    /// Web origin that may use this server from its own pages; may be repeated
    #[arg(long, env = "ECOUTE_ALLOW_ORIGIN", value_name = "https://HOST[:PORT]", value_delimiter = ',',
        value_parser = parse_origin)]
    pub allow_origin: Vec<String>,
    /// Proxy in front that is believed for whom it asks, in Forwarded or X-Forwarded-For; may be repeated
    #[arg(long, env = "ECOUTE_TRUSTED_PROXY", value_name = "CIDR", value_delimiter = ',',
        value_parser = parse_network)]
    pub trusted_proxy: Vec<IpNet>,
    /// WHEP sessions that one user may have at one time
    #[arg(long, env = "ECOUTE_WHEP_SESSIONS", value_name = "N", default_value_t = AdmissionLimits::default().of_program.held_max as u16,
        value_parser = clap::value_parser!(u16).range(1..))]
    pub whep_sessions: u16,
    /// File that names the devices which stream and are nobody's microphone (JSON); a new one is noticed [default: none]
    #[arg(long, env = "ECOUTE_DEVICES", value_name = "FILE")]
    pub devices: Option<PathBuf>,
    /// What to log: a level, and levels of parts (signal, gps, audio, webrtc, http, audit)
    #[arg(long, env = "ECOUTE_LOG", value_name = "FILTER", default_value = "info", value_parser = parse_log)]
    pub log: String,
    #[command(flatten)]
    pub tls: TlsOptions,
    #[command(flatten)]
    pub ice: IceOptions,
    #[command(flatten)]
    pub issuer: IssuerOptions,
    #[command(flatten)]
    pub secret: SecretOptions,
}

/// Where users find the server, whatever it knows of itself.
#[derive(Args)]
pub struct PublicUrl {
    /// Where users reach the server, for links [default: localhost and the port]
    #[arg(long, env = "ECOUTE_PUBLIC_URL", value_name = "https://HOST[:PORT]", value_parser = parse_url)]
    pub public_url: Option<String>,
}

/// HTTPS and WSS, on the same port.
#[derive(Args)]
pub struct TlsOptions {
    /// File with the certificate and those that vouch for it (PEM), for HTTPS; a new one is noticed
    #[arg(long, env = "ECOUTE_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// File with the certificate's private key (PEM)
    #[arg(long, env = "ECOUTE_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// HTTPS with a certificate made here, for a trial: browsers warn of it once
    #[arg(long, env = "ECOUTE_TLS_SELF_SIGNED", conflicts_with = "tls_cert")]
    pub tls_self_signed: bool,
    /// Address for TCP that sends browsers to HTTPS, and shows certificate authorities what is in webroot in the data directory
    #[arg(long, env = "ECOUTE_HTTP_REDIRECT", value_name = "IP:PORT", value_parser = parse_listen)]
    pub http_redirect: Option<SocketAddr>,
}

/// STUN and TURN servers of others.
#[derive(Args)]
pub struct IceOptions {
    /// STUN or TURN server (stun:HOST, turn:HOST:PORT) for clients, where a network lets nothing else through; may be repeated
    #[arg(long, env = "ECOUTE_ICE_SERVER", value_name = "URL", value_delimiter = ',')]
    pub ice_server: Vec<IceServer>,
    /// File with the user name for the TURN servers, and below it the password; a new one is noticed
    #[arg(long, env = "ECOUTE_ICE_CREDENTIALS", value_name = "FILE", requires = "ice_server")]
    pub ice_credentials: Option<PathBuf>,
}

/// Tokens of an identity provider, beside the own.
#[derive(Args)]
pub struct IssuerOptions {
    /// File with the public key (PEM) or keys (JWKS) of an identity provider whose tokens are good too
    #[arg(long, env = "ECOUTE_TOKEN_PUBLIC_KEY", value_name = "FILE")]
    pub token_public_key: Option<PathBuf>,
    /// What "iss" of its tokens is: its address, as a rule; required with its key
    #[arg(long, env = "ECOUTE_TOKEN_ISSUER", value_name = "ISS", requires = "token_public_key",
        value_parser = NonEmptyStringValueParser::new())]
    pub token_issuer: Option<String>,
    /// What "aud" of its tokens must be or hold; required with its key
    #[arg(long, env = "ECOUTE_TOKEN_AUDIENCE", value_name = "AUD", requires = "token_public_key",
        value_parser = NonEmptyStringValueParser::new())]
    pub token_audience: Option<String>,
    /// Let its tokens say that a device streams, nobody's microphone
    #[arg(long, env = "ECOUTE_ALLOW_DEVICE_CLAIM", requires = "token_public_key")]
    pub allow_device_claim: bool,
    /// Where its tokens say the user's id
    #[arg(
        long,
        env = "ECOUTE_CLAIM_ID",
        value_name = "POINTER",
        default_value = "/sub",
        requires = "token_public_key"
    )]
    pub claim_id: Pointer,
    /// Where its tokens say the user's name
    #[arg(
        long,
        env = "ECOUTE_CLAIM_NAME",
        value_name = "POINTER",
        default_value = "/name",
        requires = "token_public_key"
    )]
    pub claim_name: Pointer,
    /// Where its tokens say the user's role; of an array any may be
    #[arg(
        long,
        env = "ECOUTE_CLAIM_ROLE",
        value_name = "POINTER",
        default_value = "/role",
        requires = "token_public_key"
    )]
    pub claim_role: Pointer,
    /// Where its tokens say the user's rights, a list [default: none]
    #[arg(long, env = "ECOUTE_CLAIM_RIGHTS", value_name = "POINTER", requires = "token_public_key")]
    pub claim_rights: Option<Pointer>,
    /// What its roles are here; may be repeated, and then no other role counts [default: the same]
    #[arg(
        long,
        env = "ECOUTE_ROLE_MAP",
        value_name = "THEIRS=OURS",
        value_delimiter = ',',
        requires = "token_public_key"
    )]
    pub role_map: Vec<RoleMapping>,
}

#[derive(Args)]
pub struct DataOptions {
    /// Directory for everything that the server keeps
    #[arg(long, env = "ECOUTE_DATA", value_name = "DIR", default_value = "ecoute-data")]
    pub data: PathBuf,
}

#[derive(Args)]
pub struct SecretOptions {
    #[command(flatten)]
    pub data: DataOptions,
    /// File with the secret that signs tokens, at least 32 bytes [default: secret in the data directory]
    #[arg(long, env = "ECOUTE_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
}

#[derive(Args)]
pub struct TokenOptions {
    /// admin (listens), commercial (streams) or monitor (status only)
    #[arg(long)]
    pub role: Role,
    /// The user's id
    #[arg(long, value_parser = parse_id)]
    pub id: String,
    /// What people see instead of the id
    #[arg(long, value_parser = parse_name)]
    pub name: Option<String>,
    /// For an admin: the ids of the only salespeople to see and hear [default: all]
    #[arg(long, value_name = "ID,ID", value_delimiter = ',', value_parser = parse_id)]
    pub listen: Option<Vec<String>>,
    /// For an admin: audit (sees what others heard, and the report), manage (confirms a restoration), record, export [default: none]
    #[arg(long, value_name = "RIGHT,RIGHT", value_delimiter = ',')]
    pub rights: Vec<Right>,
    /// How long the token works: 90s, 15m, 12h, 30d
    #[arg(long, default_value = "12h", value_parser = parse_ttl)]
    pub ttl: Duration,
    /// For a commercial: a device without a page streams, nobody's microphone
    #[arg(long)]
    pub device: bool,
    #[command(flatten)]
    pub secret: SecretOptions,
}

#[derive(Args)]
pub struct LinkOptions {
    #[command(flatten)]
    pub token: TokenOptions,
    #[command(flatten)]
    pub public_url: PublicUrl,
    /// Draw the link for a phone's camera
    #[arg(long)]
    pub qr: bool,
}

#[derive(Args)]
pub struct RevokeOptions {
    /// The user's id
    #[arg(value_parser = parse_id)]
    pub id: String,
    #[command(flatten)]
    pub data: DataOptions,
}

#[derive(Subcommand)]
pub enum AuditCommand {
    /// Say whether the journal is as it was written, and what is wrong with it first.
    Verify(VerifyOptions),
    /// Print entries, one line of JSON each.
    Show(ShowOptions),
    /// Print entries for another program.
    Export(ExportOptions),
}

#[derive(Args)]
pub struct VerifyOptions {
    /// A file that `audit export` made [default: the journal itself]
    pub file: Option<PathBuf>,
    /// File with a note that was kept elsewhere: the journal must contain what it was signed after
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    #[command(flatten)]
    pub data: DataOptions,
}

/// From when to when.
#[derive(Args)]
pub struct SpanOptions {
    /// The first day, or moment (2026-03-01, 2026-03-01T08:00:00Z)
    #[arg(long, value_name = "DATE", value_parser = history::parse_moment)]
    pub from: Option<u64>,
    /// The day, or moment, before which it ends
    #[arg(long, value_name = "DATE", value_parser = history::parse_moment)]
    pub to: Option<u64>,
}

#[derive(Args)]
pub struct ShowOptions {
    #[command(flatten)]
    pub span: SpanOptions,
    /// The id of who acted, or whom it was about
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub person: Option<String>,
    #[command(flatten)]
    pub data: DataOptions,
}

#[derive(Args)]
pub struct ExportOptions {
    #[command(flatten)]
    pub span: SpanOptions,
    /// jsonl can be verified elsewhere, csv opens in a table
    #[arg(long, default_value = "jsonl")]
    pub format: ExportFormat,
    #[command(flatten)]
    pub data: DataOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Jsonl,
    Csv,
}

#[derive(Args)]
pub struct PersonOptions {
    /// The person's id
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub person: String,
    #[command(flatten)]
    pub data: DataOptions,
}

#[derive(Args)]
pub struct ReportOptions {
    #[command(flatten)]
    pub span: SpanOptions,
    /// html is a page that stands by itself, csv opens in a table
    #[arg(long, default_value = "html")]
    pub format: ReportFormat,
    /// In English, and not in French
    #[arg(long)]
    pub english: bool,
    /// The hours of work: listenings at others, and at weekends, are counted apart
    #[arg(long, value_name = "FROM-TO", default_value = "8-19", value_parser = parse_hours)]
    pub hours: (u64, u64),
    /// Where that is, in summer and in winter, as Europe/Paris [default: the system's]
    #[arg(long, value_name = "NAME")]
    pub time_zone: Option<String>,
    /// From how many minutes on a listening is long
    #[arg(long, value_name = "MINUTES", default_value_t = 30)]
    pub long_min: u32,
    #[command(flatten)]
    pub data: DataOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    Html,
    Csv,
}

#[derive(Args)]
pub struct PurgeOptions {
    /// The person's id
    #[arg(long, value_name = "ID", value_parser = parse_id)]
    pub person: String,
    /// Why before its time, for the journal
    #[arg(long, value_name = "TEXT", value_parser = parse_name)]
    pub reason: Option<String>,
    /// Say how much it would be, and purge nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub data: DataOptions,
}

#[derive(Args)]
pub struct BackupOptions {
    /// The copy
    pub file: PathBuf,
    #[command(flatten)]
    pub data: DataOptions,
}

#[derive(Args)]
pub struct DoctorOptions {
    /// Look at the server from here, as a user does [default: at this machine, on which it runs]
    #[arg(long, value_parser = parse_place)]
    pub url: Option<Place>,
    /// A user's token, to test the way of audio [default: one made with the secret, where it can be read]
    #[arg(long, env = "ECOUTE_TOKEN", hide_env_values = true,
        value_parser = NonEmptyStringValueParser::new())]
    pub token: Option<String>,
    #[command(flatten)]
    pub serve: ServeOptions,
}

#[derive(Args)]
pub struct ManualOptions {
    /// The directory to write them to; it must be there
    pub dir: PathBuf,
}

impl CommandLine {
    /// Reads what was typed, and the environment. A variable that is empty says nothing, as those that a compose file or a
    /// unit passes on whether they are set or not.
    pub fn read() -> Result<CommandLine, clap::Error> {
        let mut command = without_empty_variables(CommandLine::command());
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        CommandLine::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_blank = |arg: &Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.to_str().is_some_and(|text| text.trim().is_empty()))
    };
    let command = command.mut_args(|arg| if is_blank(&arg) { arg.env(Resettable::Reset) } else { arg });
    command.mut_subcommands(without_empty_variables)
}

impl IssuerOptions {
    /// Returns where tokens of the identity provider say what we need, or the options without which nobody knows whether
    /// they are its own, and meant for us.
    pub fn rules(self) -> Result<ClaimRules, &'static str> {
        let (issuer, audience) = match (self.token_issuer, self.token_audience) {
            (Some(issuer), Some(audience)) => (issuer, audience),
            (None, Some(_)) => return Err("--token-issuer"),
            (Some(_), None) => return Err("--token-audience"),
            (None, None) => return Err("--token-issuer and --token-audience"),
        };
        Ok(ClaimRules {
            id: self.claim_id,
            name: self.claim_name,
            role: self.claim_role,
            roles: self.role_map,
            issuer,
            audience,
            allows_device: self.allow_device_claim,
            rights: self.claim_rights,
        })
    }
}

impl SecretOptions {
    /// Returns where the secret is.
    pub fn path(&self) -> PathBuf {
        self.secret_file.clone().unwrap_or_else(|| self.data.data.join(SECRET_FILE))
    }
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
    token::is_valid_name(text)
        .then(|| text.to_owned())
        .ok_or("a name has 1 to 80 characters on one line, and some are seen")
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

/// Returns the first hour, and the one before which the last ends.
fn parse_hours(text: &str) -> Result<(u64, u64), &'static str> {
    let hours = text.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    hours.filter(|(from, to)| from < to && *to <= 24).ok_or("write them as 8-19")
}

fn parse_url(text: &str) -> Result<String, &'static str> {
    let has_scheme = text.starts_with("https://") || text.starts_with("http://");
    if !has_scheme || text.contains(['#', '?']) || text.contains(char::is_whitespace) {
        return Err("write it as https://ecoute.example");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn parse_place(text: &str) -> Result<Place, &'static str> {
    let url = parse_url(text)?;
    Place::parse(&url).ok_or("write it as https://ecoute.example")
}

/// Reads a network, or one address for itself.
fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    let one = |ip: IpAddr| IpNet::from(ip);
    text.parse().or_else(|_| text.parse().map(one)).map_err(|_| "write it as 10.0.0.0/8, fd00::/8 or 127.0.0.1")
}

/// Returns the origin as browsers write it.
fn parse_origin(text: &str) -> Result<String, &'static str> {
    origin::normal(text).ok_or("write it as https://app.example or https://app.example:8443, without a path")
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
    fn hours() {
        let hours = [("8-19", Some((8, 19))), ("0-24", Some((0, 24))), ("19-8", None), ("8-25", None), ("8", None)];
        for (text, want) in hours {
            assert_eq!(parse_hours(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn networks() {
        let cases = [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("127.0.0.1", Some("127.0.0.1/32")),
            ("::1", Some("::1/128")),
            ("fd00::/8", Some("fd00::/8")),
            ("10.0.0.0/33", None),
            ("proxy.example", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(parse_network(text).ok().map(|network| network.to_string()).as_deref(), want, "{text}");
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
}
