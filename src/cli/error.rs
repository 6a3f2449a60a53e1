//! Why a command fails: what people are told, and what the process ends with.
//!
//! Invariant: each error is one line that says what to do.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use ecoute::config::ConfigError;
use ecoute::host::addresses::AddressesError;
use ecoute::host::journal::{JournalError, VerifyError};
use ecoute::host::logging::LogError;
use ecoute::host::rewrite::RewriteError;
use ecoute::host::secret::SecretError;
use ecoute::host::self_signed::SelfSignedError;
use ecoute::host::watch::FileError;
use ecoute::host::zone::ZoneError;
use ecoute::shell::tls::TlsError;
use ecoute::shell::{BindError, RunError};
use ecoute::token::{DevicesError, KeysError, RevokedError};
use ecoute::wire::ice_server::CredentialsError;

/// Why the program ends before its time; each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("can't write the manual to {}: {error}", path.display())]
    Manual { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    NotVerified(#[from] VerifyError),
    #[error(
        "the checkpoint was signed after entry {size}, and the export has those from {first} to {last}: verify the journal itself"
    )]
    CheckpointElsewhere { size: u64, first: u64, last: u64 },
    #[error("no data directory at {}: {error}; name the one of the server with --data", path.display())]
    NoDirectory { path: PathBuf, error: io::Error },
    #[error("--time-zone {name:?} can't be used: {error}")]
    TimeZone { name: String, error: ZoneError },
    #[error("can't write {}: {error}", path.display())]
    FileUnwritable { path: PathBuf, error: io::Error },
    #[error("say why with --reason: it is written down; or look first with --dry-run")]
    NoReason,
    #[error("can't read {}: {error}", path.display())]
    FileUnreadable { path: PathBuf, error: io::Error },
    #[error("{} is no export of a journal, from line {line} on", path.display())]
    NoExport { path: PathBuf, line: usize },
    #[error("{0}; name the identity provider's key file with --token-public-key")]
    KeysUnreadable(FileError),
    #[error("the public key file {} can't be used: {error}", path.display())]
    Keys { path: PathBuf, error: KeysError },
    #[error(
        "--token-public-key alone lets in what its owner signs for anybody else: add {0}, with what \"iss\" and \"aud\" are in \
         the tokens for this server"
    )]
    IssuerUnnamed(&'static str),
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
    #[error("{0}; name the file that says which devices there are with --devices")]
    DevicesUnreadable(FileError),
    #[error("the devices in {} can't be used: {error}", path.display())]
    Devices { path: PathBuf, error: DevicesError },
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

impl ProgramError {
    /// Returns what the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            ProgramError::Run(_)
            | ProgramError::Print(_)
            | ProgramError::Unwell(_)
            | ProgramError::NotVerified(
                VerifyError::Fault(_)
                | VerifyError::Differs(_)
                | VerifyError::BadNote(_)
                | VerifyError::BadCheckpoint(_),
            ) => ExitCode::from(1),
            ProgramError::Bind(_)
            | ProgramError::Journal(_)
            | ProgramError::NotVerified(VerifyError::Journal(_) | VerifyError::NoKey)
            | ProgramError::CheckpointElsewhere { .. }
            | ProgramError::NoDirectory { .. }
            | ProgramError::FileUnreadable { .. }
            | ProgramError::FileUnwritable { .. }
            | ProgramError::NoReason
            | ProgramError::TimeZone { .. }
            | ProgramError::NoExport { .. }
            | ProgramError::Manual { .. }
            | ProgramError::Config(_)
            | ProgramError::Log(_)
            | ProgramError::Secret(_)
            | ProgramError::KeysUnreadable(_)
            | ProgramError::Keys { .. }
            | ProgramError::IssuerUnnamed(_)
            | ProgramError::PemUnreadable(_)
            | ProgramError::Tls(_)
            | ProgramError::SelfSigned(_)
            | ProgramError::IceCredentialsUnreadable(_)
            | ProgramError::IceCredentials { .. }
            | ProgramError::IceCredentialsMissing { .. }
            | ProgramError::DevicesUnreadable(_)
            | ProgramError::Devices { .. }
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
}
