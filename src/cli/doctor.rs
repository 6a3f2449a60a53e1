//! Asks the doctor what is wrong with a server or the way to it.
//!
//! Invariant: ends in failure if anything is wrong.

use std::io;

use ecoute::host::logging;
use ecoute::shell::tls::TlsFiles;

use super::error::ProgramError;
use super::options::DoctorOptions;
use super::{LOG_OF_COMMANDS, link};
use crate::doctor::{self, Report};

/// Says what is wrong with a server, or with the way to it.
pub fn examine(options: &DoctorOptions) -> Result<(), ProgramError> {
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
            let server = doctor::Server {
                listens,
                redirect,
                host,
                public_addresses,
                data,
                secret,
                public_keys: serve.issuer.token_public_key.clone(),
                tls,
                token,
            };
            doctor::examine_server(&server, &mut report);
        }
    }
    match report.finish()? {
        0 => Ok(()),
        wrong => Err(ProgramError::Unwell(wrong)),
    }
}
