//! GetTempFileDownloadLink: a link to a file about a job, good for an hour and for whoever has it.

use serde_json::json;

use super::refuse;
use crate::alibaba::{Answer, Call};

pub(super) async fn download_link(call: Call<'_>) -> Answer {
    let key = call.params.required("TempFileKey")?;
    let link = call.service.temp_file_link(&call.caller, key).await.map_err(|error| refuse(&error))?;
    let (origin, key) = (&call.origin, &link.key);
    Ok(json!({ "Url": format!("{origin}{key}?Expires={}&Signature={}", link.expires, link.signature) }))
}
