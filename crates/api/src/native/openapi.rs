//! The document that describes this API, written from the table of routes and from the types.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::routes::{ROUTES, Route};
use super::{Nothing, PREFIX, Refusal, VERSION};

const ABOUT: &str = "Requests are signed as ACS3-HMAC-SHA256 over method, path, query, the headers named in SignedHeaders and \
    the body's SHA-256. The headers host, x-acs-action, x-acs-version, x-acs-date, x-acs-signature-nonce and \
    x-acs-content-sha256 must be among them.";

/// OpenAPI 3.1.
pub(super) fn document() -> Value {
    let mut generator =
        SchemaSettings::openapi3().with(|settings| settings.meta_schema = None).into_generator();
    let mut paths = Map::new();
    let nothing = generator.subschema_for::<Nothing>();
    let refusal = generator.subschema_for::<Refusal>();
    for route in ROUTES {
        let body = (route.body)(&mut generator);
        let answer = (route.answer)(&mut generator);
        let methods = paths.entry(format!("{PREFIX}{}", route.path)).or_insert_with(|| json!({}));
        if let Value::Object(methods) = methods {
            let operation =
                operation(route, (body != nothing).then(|| json!(body)), &json!(answer), &json!(refusal));
            methods.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let schemas = generator.take_definitions(true);
    let signature = json!({"type": "apiKey", "in": "header", "name": "Authorization", "description": ABOUT});
    json!({
        "openapi": "3.1.0",
        "info": {"title": "Lifeboat", "version": VERSION, "description": ABOUT},
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {"acs3": signature}},
        "security": [{"acs3": []}],
    })
}

fn operation(route: &Route, body: Option<Value>, answer: &Value, refusal: &Value) -> Value {
    let of_path = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}));
    let of_query = route.query.iter().map(
        |field| json!({"name": field.name, "in": "query", "description": field.about, "schema": {"type": field.kind}}),
    );
    let parameters: Vec<_> = of_path.chain(of_query).collect();
    let json_of = |schema: &Value| json!({"application/json": {"schema": schema}});
    let mut operation = json!({
        "summary": route.summary,
        "description": format!("Signed with the x-acs-action {}. Needs {}.", route.action(), needs(route)),
        "x-acs-action": route.action(),
        "parameters": parameters,
        "responses": {
            "200": {"description": "Done", "content": json_of(answer)},
            "default": {"description": "Refused", "content": json_of(refusal)},
        },
    });
    if let Value::Object(fields) = &mut operation
        && let Some(body) = &body
    {
        fields.insert("requestBody".to_owned(), json!({"required": true, "content": json_of(body)}));
    }
    operation
}

fn needs(route: &Route) -> String {
    route.actions.join(" and ")
}
