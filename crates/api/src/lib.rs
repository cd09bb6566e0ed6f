//! How vendors' clients talk to Lifeboat. One folder for each vendor's dialect; what a dialect means is the service's.
//!
//! Nothing here knows SQL or the engine. A dialect turns one HTTP request into one call of the service and its
//! answer into one HTTP reply; it keeps nothing between requests.

pub mod alibaba;
pub mod http_types;
mod json;
pub mod native;
