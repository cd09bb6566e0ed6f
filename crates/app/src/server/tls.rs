//! TLS: the certificate and its key, read again when the server is told to (SIGHUP).
//!
//! What cannot be read at the start ends it. What cannot be read again is logged, and the former certificate stays.

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use tracing::{error, info};

use super::config::TlsFiles;
use crate::output::text;

/// The certificate in use.
pub(super) struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub(super) fn load(files: &TlsFiles) -> anyhow::Result<Self> {
        Ok(Self { files: files.clone(), config: RwLock::new(read(files)?) })
    }

    /// Takes what the files say now for connections to come.
    pub(super) fn reload(&self) {
        match read(&self.files) {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
                info!("read the certificate again");
            }
            Err(failed) => {
                error!(error = %text::chain(failed.as_ref()), "cannot read the certificate again; the former one stays");
            }
        }
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&config).into()
    }
}

fn read(files: &TlsFiles) -> anyhow::Result<Arc<ServerConfig>> {
    let (certificate, key) = (files.certificate.display(), files.key.display());
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot read the certificate {certificate}"))?;
    let secret =
        PrivateKeyDer::from_pem_file(&files.key).with_context(|| format!("cannot read the key {key}"))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .context("cannot prepare TLS")?
        .with_no_client_auth()
        .with_single_cert(chain, secret);
    let mut config =
        config.with_context(|| format!("the certificate {certificate} and the key {key} do not fit"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
