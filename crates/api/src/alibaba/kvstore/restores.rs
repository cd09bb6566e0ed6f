//! RestoreInstance: the keys of a backup set come back into an instance.

use serde_json::json;

use super::{instance, refuse};
use crate::alibaba::{Answer, Call, WireError};

pub(super) async fn restore(call: Call<'_>) -> Answer {
    let id = instance(&call)?;
    call.fixed(&[("RestoreType", &["0"]), ("RestoreTime", &[]), ("TimeShift", &[])])?;
    let set = call.number("BackupId")?.ok_or_else(|| WireError::missing("BackupId"))?;
    let filter = call.params.text("FilterKey").map(str::to_owned);
    let restored = call.service.restore_redis(&call.caller, &id, (set, filter)).await;
    restored.map_err(|error| refuse(&error))?;
    Ok(json!({}))
}
