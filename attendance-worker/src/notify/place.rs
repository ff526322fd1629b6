//! What the organisation has configured for whoever shows texts and times: its name, its clocks, its language.

use chrono_tz::Tz;
use rollcall_schemas::notification::Language;
use rollcall_store::{
    PgConnection, StoreError,
    configuration::{self, Scope},
    organisations,
};

/// The organisation, as its people know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) zone: Tz,
    pub(super) language: Language,
}

impl Place {
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn read(db: &mut PgConnection) -> Result<Self, StoreError> {
        let newest = configuration::newest(db, Scope::Organisation, 1).await?;
        let settings = newest.first().map(|revision| &revision.settings);
        let text = |name: &str| settings.and_then(|settings| settings[name].as_str());
        let name = match text("name") {
            Some(name) => name.to_owned(),
            None => organisations::find(db).await?.map(|found| found.name).unwrap_or_default(),
        };
        Ok(Self {
            name,
            zone: text("timeZone").and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC),
            language: text("locale").and_then(Language::of_tag).unwrap_or(Language::English),
        })
    }
}
