//! What an administrator configures at run time.
//!
//! A configuration is a set of named settings. What was set lies over the defaults, every version is kept, and a change
//! names the version it was made from if it wants to be sure of it (`If-Match`).

mod config_org;
mod system_config;
mod versions;

pub(crate) use config_org::OrganisationConfig;
pub(crate) use system_config::{SystemConfig, SystemSettings};

use crate::state::Api;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(
            config_org::get_config_org,
            config_org::set_config_org,
            config_org::change_config_org
        ))
        .routes(routes!(
            system_config::get_system_config,
            system_config::set_system_config,
            system_config::change_system_config
        ))
}

#[cfg(test)]
mod tests;
