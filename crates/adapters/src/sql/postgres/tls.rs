//! TLS to a PostgreSQL server: how much of its certificate is believed is what `sslmode` says.
//!
//! `prefer` and `require` encrypt and believe anybody, as libpq does; `verify-ca` asks for a certificate that an
//! authority of `sslrootcert` has signed, `verify-full` for one that names the host too.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};

use crate::endpoint::Endpoint;
use crate::sql::error::{Result, SqlError, SqlErrorKind};

/// What libpq calls `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    pub(super) fn of(endpoint: &Endpoint) -> Result<Self> {
        Ok(match endpoint.option("sslmode") {
            None | Some("prefer" | "allow") => Self::Prefer,
            Some("disable") => Self::Disable,
            Some("require") => Self::Require,
            Some("verify-ca") => Self::VerifyCa,
            Some("verify-full") => Self::VerifyFull,
            Some(_) => {
                let text = "sslmode is one of disable, prefer, require, verify-ca and verify-full";
                return Err(SqlError::new(SqlErrorKind::InvalidInput, text));
            }
        })
    }

    /// What libpq calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Prepares to greet the server of `endpoint`.
pub(super) fn client(endpoint: &Endpoint, mode: SslMode) -> Result<ClientConnection> {
    let wrong = |text: &str| SqlError::new(SqlErrorKind::InvalidInput, text);
    let provider = Arc::new(default_provider());
    let chain = match mode {
        SslMode::VerifyCa | SslMode::VerifyFull => Some(authorities(endpoint, &provider)?),
        _ => None,
    };
    let judge =
        Judge { provider: Arc::clone(&provider), chain, is_name_checked: mode == SslMode::VerifyFull };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| wrong("cannot speak TLS").because(error))?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(judge)).with_no_client_auth();
    let name = ServerName::try_from(endpoint.host.clone());
    let name = name.map_err(|error| wrong("the host of the URL is no name of a server").because(error))?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| wrong("cannot begin TLS").because(error))
}

fn authorities(endpoint: &Endpoint, provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>> {
    let wrong = |text: &str| SqlError::new(SqlErrorKind::InvalidInput, text);
    let file = endpoint.option("sslrootcert").ok_or_else(|| {
        wrong("sslmode verify-ca and verify-full need sslrootcert=FILE: the certificates that are trusted")
    })?;
    let unreadable = || wrong("cannot read the certificates of sslrootcert");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable().because(error))? {
        let certificate = certificate.map_err(|error| unreadable().because(error))?;
        roots.add(certificate).map_err(|error| unreadable().because(error))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    verifier.map_err(|error| unreadable().because(error))
}

/// Judges the server's certificate by the mode.
#[derive(Debug)]
struct Judge {
    provider: Arc<CryptoProvider>,
    /// None believes anybody.
    chain: Option<Arc<WebPkiServerVerifier>>,
    is_name_checked: bool,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        let verdict = chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verdict {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.is_name_checked => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
