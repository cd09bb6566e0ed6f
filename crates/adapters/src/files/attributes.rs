//! Extended attributes, ACLs among them, in the order the kernel lists them.
//!
//! They are reached as `/proc/self/fd/FOLDER/name`: short however deep the folder, and never through a symlink.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use lifeboat_repository::tree::ExtendedAttribute;
use rustix::buffer::spare_capacity;
use rustix::fs::{lgetxattr, lgetxattr_query, llistxattr, llistxattr_query};
use rustix::io::Errno;

use super::dir::c_string;

/// Most lists of names fit.
const NAMES_BYTES: usize = 1024;

/// Reads the attributes of `name` in a folder. Those that could be had stay in `attributes` after an error.
pub(super) fn read_attributes(
    folder: &OwnedFd,
    name: &CStr,
    attributes: &mut Vec<ExtendedAttribute>,
) -> io::Result<()> {
    let path = [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), name.to_bytes()].concat();
    let path = c_string(&path)?;
    let names = match list(&path) {
        Err(Errno::OPNOTSUPP) => return Ok(()),
        names => names?,
    };
    let mut outcome = Ok(());
    for attribute in names.split(|byte| *byte == 0).filter(|attribute| !attribute.is_empty()) {
        match value(&path, attribute) {
            Ok(Some(attribute)) => attributes.push(attribute),
            Ok(None) => {}
            Err(error) => {
                let shown = String::from_utf8_lossy(attribute);
                outcome = Err(io::Error::new(error.kind(), format!("{shown}: {error}")));
            }
        }
    }
    outcome
}

fn list(path: &CString) -> Result<Vec<u8>, Errno> {
    let mut names = Vec::with_capacity(NAMES_BYTES);
    loop {
        match llistxattr(path, spare_capacity(&mut names)) {
            Err(Errno::RANGE) => names.reserve(llistxattr_query(path)?.max(NAMES_BYTES) * 2),
            outcome => return outcome.map(|_| names),
        }
    }
}

/// One attribute; `None` when it has gone since the names were listed.
fn value(path: &CString, name: &[u8]) -> io::Result<Option<ExtendedAttribute>> {
    let text = str::from_utf8(name).map_err(|_| io::Error::other("the name is not UTF-8"))?.to_owned();
    let name = c_string(name)?;
    let mut value = Vec::with_capacity(256);
    loop {
        match lgetxattr(path, &name, spare_capacity(&mut value)) {
            Ok(_) => return Ok(Some(ExtendedAttribute { name: text, value })),
            Err(Errno::RANGE) => value.reserve(lgetxattr_query(path, &name)?.max(256)),
            Err(Errno::NODATA) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}
