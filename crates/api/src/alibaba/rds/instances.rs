//! DescribeDBInstances: the databases of the caller's account.

use lifeboat_model::resource::{Engine, ResourceKind, ResourceState};
use lifeboat_service::{ResourceFilter, ResourceRow};
use serde_json::{Value, json};

use super::refuse;
use crate::alibaba::{Answer, Call, present, utc};

const MOST_ROWS: i64 = 100;

pub(super) async fn describe(call: Call<'_>) -> Answer {
    let page = call.page_of(MOST_ROWS)?;
    let params = &call.params;
    let mut filter = ResourceFilter { kind: Some(ResourceKind::Database), ..ResourceFilter::default() };
    let mut is_any = true;
    if let Some(wanted) = params.text("DBInstanceStatus") {
        filter.state = ResourceState::ALL.into_iter().find(|state| status(*state) == wanted);
        is_any &= filter.state.is_some();
    }
    if let Some(wanted) = params.text("Engine") {
        filter.engine = Engine::ALL.into_iter().find(|engine| name(*engine) == wanted);
        is_any &= filter.engine.is_some();
    }
    filter.ids = params.text("DBInstanceId").map(str::to_owned).into_iter().collect();
    // What no instance is called is none, and not all.
    if !is_any {
        filter.ids = vec![String::new()];
    }
    let found = call.service.resources(&call.caller, &filter, page).await.map_err(|error| refuse(&error))?;
    let region = call.service.region();
    let rows: Vec<Value> = found.rows.iter().map(|row| view(row, region)).collect();
    Ok(json!({
        "PageNumber": page.number,
        "PageRecordCount": rows.len(),
        "TotalRecordCount": found.total,
        "Items": { "DBInstance": rows },
    }))
}

fn view(row: &ResourceRow, region: &str) -> Value {
    let is_local = row.address.host.starts_with('/');
    present(json!({
        "DBInstanceId": row.id,
        "RegionId": region,
        "Engine": name(row.engine),
        "EngineVersion": row.version.as_deref().map(|version| major(row.engine, version)),
        "DBInstanceStatus": status(row.state),
        "ConnectionString": (!is_local).then_some(&row.address.host),
        "CreateTime": utc(row.created),
    }))
}

/// As this product calls it.
pub(super) fn name(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgresql => "PostgreSQL",
        Engine::Mariadb => "MariaDB",
        Engine::Redis => "Redis",
    }
}

/// The version as this product writes it: `15.0` of a PostgreSQL 15.4, `10.11` of a MariaDB 10.11.6.
pub(in crate::alibaba) fn major(engine: Engine, version: &str) -> String {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
    let first = numbers.next().unwrap_or(version);
    match (engine, numbers.next()) {
        (Engine::Postgresql, _) | (_, None) => format!("{first}.0"),
        (_, Some(second)) => format!("{first}.{second}"),
    }
}

fn status(state: ResourceState) -> &'static str {
    match state {
        ResourceState::Running => "Running",
        ResourceState::Creating => "Creating",
        ResourceState::Restoring => "Restoring",
        ResourceState::Failed => "Failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_written_as_the_product_does() {
        for (engine, version, written) in [
            (Engine::Postgresql, "15.18 (Debian 15.18-0+deb12u1)", "15.0"),
            (Engine::Postgresql, "16beta1", "16.0"),
            (Engine::Mariadb, "10.11.19-MariaDB-0+deb12u1", "10.11"),
            (Engine::Redis, "7.0.15", "7.0"),
        ] {
            assert_eq!(major(engine, version), written);
        }
    }
}
