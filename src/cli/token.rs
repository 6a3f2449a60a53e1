//! Makes tokens and prints them.
//!
//! Invariant: a token says only what its role can use.

use std::io::{self, Write};
use std::time::Duration;

use ecoute::host::{owner, secret};
use ecoute::token::{self, Claims, Rights, Scope};
use ecoute::words::Role;

use super::error::ProgramError;
use super::options::{SECRET_FILE, TokenOptions};
use super::{revoke, unix_s};

/// Prints a token for one user.
pub fn print(options: TokenOptions) -> Result<(), ProgramError> {
    writeln!(io::stdout(), "{}", options.mint()?)?;
    Ok(())
}

impl TokenOptions {
    /// Returns the token that was asked for.
    pub fn mint(self) -> Result<String, ProgramError> {
        if self.listen.is_some() && !matches!(self.role, Role::Admin) {
            return Err(ProgramError::ListenNotAdmin);
        }
        if self.device && !matches!(self.role, Role::Commercial) {
            return Err(ProgramError::DeviceNotCommercial);
        }
        // One that is named elsewhere may be root's alone.
        let named = self.secret.secret_file.as_deref().map(secret::load).transpose()?;
        let data = owner::enter(&self.secret.data.data).unwrap_or_else(|_| self.secret.data.data.clone());
        let token_secret = named.map_or_else(|| secret::load(&data.join(SECRET_FILE)), Ok)?;
        // Who may not read the list makes tokens that work some seconds later.
        let revoked = revoke::load(&data).map(|(_, revoked)| revoked).unwrap_or_default();
        let listen = self.listen.map(|ids| Scope::new(ids.iter().map(String::as_str)));
        let claims = Claims {
            listen,
            device: self.device,
            rights: self.rights.into_iter().collect(),
            ..claims(self.role, self.id, self.name, self.ttl)
        };
        // A second that lies far ahead was written by hand, to keep somebody out until then.
        let is_past = |known_s: &u64| *known_s <= claims.iat + token::SKEW_S;
        let after_revocation = revoked.until_s(&claims.sub).filter(is_past);
        Ok(token::mint(&token_secret, &Claims { after_revocation, ..claims }))
    }
}

/// Returns what a token says that is good from now on, for `ttl`.
pub fn claims(role: Role, sub: String, name: Option<String>, ttl: Duration) -> Claims {
    let iat = unix_s();
    Claims {
        sub,
        role,
        name,
        listen: None,
        device: false,
        rights: Rights::default(),
        exp: iat + ttl.as_secs(),
        iat,
        nbf: None,
        after_revocation: None,
    }
}
