//! BrowseFiles: one folder of a snapshot, page by page.
//!
//! The folder is named by `AbsolutePath`, where it was on the machine, or by `Path`, the `Subtree` of its entry; neither
//! is the root. Pages go by `PageNumber`, or by `MaxResults` and `NextToken` where one of these is given. What a
//! snapshot holds never changes, so a token is good for as long as the snapshot is.

use lifeboat_service::{BrowseRequest, Entry, Folder};
use serde_json::{Value, json};

use super::{paged, present, refuse};
use crate::alibaba::{Answer, Call, WireError};

pub(super) async fn files(call: Call<'_>) -> Answer {
    let params = &call.params;
    let id = params.parsed("SnapshotId")?;
    let vault = params.parsed("VaultId")?;
    let hash = params.text("SnapshotHash");
    if id.is_none() {
        params.required("SnapshotHash")?;
        params.required("VaultId")?;
    }
    call.edition()?;
    call.one_of("StorageClass", &["STANDARD", "ARCHIVE"])?;
    let page = call.page()?;
    let by_token = match (params.number("MaxResults", 1, 100)?, params.text("NextToken")) {
        (None, None) => None,
        (most, token) => Some((offset(token)?, most.unwrap_or(10).unsigned_abs())),
    };
    let folder = folder(&call)?;
    let snapshot = call.service.snapshot_to_browse(&call.caller, (id.as_ref(), hash), vault.as_ref()).await;
    let snapshot = snapshot.map_err(|error| refuse(&error))?;
    let window = by_token.unwrap_or((page.offset(), page.size.into()));
    let request = BrowseRequest { snapshot, folder, window };
    let found = call.service.browse(&call.caller, request).await.map_err(|error| refuse(&error))?;
    let rows: Vec<_> = found.entries.iter().map(view).collect();
    let next = window.0.saturating_add(window.1);
    let body = json!({ "Nodes": { "Node": rows } });
    if by_token.is_none() {
        return Ok(paged(body, page, found.total));
    }
    Ok(present(json!({
        "Nodes": { "Node": rows },
        "MaxResults": window.1,
        "NextToken": (next < found.total).then(|| next.to_string()),
        "TotalCount": found.total,
    })))
}

fn folder(call: &Call<'_>) -> Result<Folder, WireError> {
    let (tree, path) = (call.params.text("Path"), call.params.text("AbsolutePath"));
    match (tree, path) {
        (Some(tree), None) if tree.len() == 64 && tree.chars().all(|c| c.is_ascii_hexdigit()) => {
            Ok(Folder::Tree(tree.to_ascii_lowercase()))
        }
        (None, path) => {
            let path = path.unwrap_or("/");
            if path.starts_with('/') {
                return Ok(Folder::Path(path.to_owned()));
            }
            Err(WireError::invalid("AbsolutePath", path, "It must begin with a slash."))
        }
        (Some(tree), Some(_)) => {
            let accepted = "Only one of Path and AbsolutePath can name a folder.";
            Err(WireError::invalid("Path", tree, accepted))
        }
        (Some(tree), None) if tree.starts_with('/') => Ok(Folder::Path(tree.to_owned())),
        (Some(tree), None) => {
            let accepted = "It must be the Subtree of an entry (64 hexadecimal digits) or an absolute path.";
            Err(WireError::invalid("Path", tree, accepted))
        }
    }
}

fn offset(token: Option<&str>) -> Result<u64, WireError> {
    let Some(token) = token else { return Ok(0) };
    let accepted = "It must be the NextToken of the answer before.";
    token.parse().map_err(|_| WireError::invalid("NextToken", token, accepted))
}

fn view(entry: &Entry) -> Value {
    present(json!({
        "Name": entry.name,
        "Type": entry.kind,
        "Size": entry.size,
        "Subtree": entry.subtree,
    }))
}
