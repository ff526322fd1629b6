//! `GET`, `POST` and `PATCH /admin/config-org`.

use super::versions::{Change, ConfigurationData, Given, IfMatch, Others, Settings, present};
use crate::{
    audit::Audit, classes::RoomPositionBody, error::ApiError, extract::Caller, reports::Reckoning,
    state::Api, users,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::fact::EvidenceRule;
use rollcall_service::http::{ErrorEnvelope, Json, Problem, SuccessEnvelope};
use rollcall_store::{
    PgConnection,
    classes::ClassSettings,
    configuration::{self, Scope},
    organisations, timetables,
};
use rollcall_timetable::Tz;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use utoipa::ToSchema;

/// The settings of the organisation. None needs a restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[schema(example = json!({ "name": "Hill School", "timeZone": "Europe/Vienna", "locale": "de-AT", "lateAfterSeconds": 600, "qrTtlSeconds": 300, "certainIsEnough": true, "votesWanted": 3, "evidenceRule": "either", "reopenWithinHours": 24, "roomPositions": { "B 12": { "latitude": 48.2082, "longitude": 16.3738, "radiusM": 30 } }, "lateCountsAsPresent": false }))]
pub(crate) struct OrganisationConfig {
    /// What it is called. Takes effect at once.
    #[garde(length(chars, min = 1, max = 200))]
    name: String,
    /// Where its clocks are, as the IANA database names it: `Europe/Vienna`. Takes effect at once, for whoever shows times.
    #[garde(length(min = 1, max = 64))]
    time_zone: String,
    /// How it writes, as a language tag (RFC 5646): `de-AT`. Takes effect at once, for whoever shows texts.
    #[garde(custom(is_language_tag))]
    locale: String,
    /// Classes begin with this: a mark later than this after the start is late, in seconds. Takes effect for classes that
    /// are added afterwards.
    #[garde(range(min = 0, max = 86_400))]
    late_after_seconds: i32,
    /// Classes begin with this: how long a code is valid, in seconds. Takes effect for classes that are added afterwards.
    #[garde(range(min = 2, max = 86_400))]
    qr_ttl_seconds: i32,
    /// Classes begin with this: whether one very confident sighting is enough by itself. Takes effect for classes that are
    /// added afterwards.
    #[garde(skip)]
    certain_is_enough: bool,
    /// Classes begin with this: otherwise this many confident sightings, in different frames, are wanted. Takes effect for
    /// classes that are added afterwards.
    #[garde(range(min = 1, max = 100))]
    votes_wanted: i32,
    /// What is wanted before a student counts as present, in classes that do not say so themselves. Takes effect for sessions
    /// that begin afterwards.
    #[garde(skip)]
    evidence_rule: EvidenceRule,
    /// For how many hours after its end a session may be opened again; 0 means never. Takes effect at once.
    #[garde(range(min = 0, max = 8_760))]
    reopen_within_hours: i32,
    /// Where rooms are, by their names, in whatever case. For classes that have a `roomPosition` these go before it. Takes
    /// effect from the next scan on.
    #[garde(length(max = 2_000), custom(name_each_once), dive)]
    room_positions: BTreeMap<String, RoomPositionBody>,
    /// Whether whoever came late counts as present in percentages. Takes effect at once, for reports of the past too.
    #[garde(skip)]
    late_counts_as_present: bool,
}

impl Default for OrganisationConfig {
    fn default() -> Self {
        let class = ClassSettings::default();
        Self {
            name: String::new(),
            time_zone: configuration::DEFAULT_TIME_ZONE.into(),
            locale: "en".into(),
            late_after_seconds: class.late_after_seconds,
            qr_ttl_seconds: class.qr_ttl_seconds,
            certain_is_enough: class.certain_is_enough,
            votes_wanted: class.votes_wanted,
            evidence_rule: class.evidence_rule,
            reopen_within_hours: configuration::DEFAULT_REOPEN_WITHIN_HOURS,
            room_positions: BTreeMap::new(),
            late_counts_as_present: false,
        }
    }
}

impl OrganisationConfig {
    /// How reports reckon at present.
    pub(crate) async fn reckoning(api: &Api, db: &mut PgConnection) -> Result<Reckoning, ApiError> {
        let config = present::<Self>(api, db).await?.into_config();
        let Self { time_zone, late_counts_as_present, .. } = config;
        Ok(Reckoning { time_zone, late_counts_as_present })
    }

    /// What a class that is added now begins with.
    pub(crate) async fn of_new_classes(api: &Api, db: &mut PgConnection) -> Result<ClassSettings, ApiError> {
        let config = present::<Self>(api, db).await?.into_config();
        Ok(ClassSettings {
            late_after_seconds: config.late_after_seconds,
            qr_ttl_seconds: config.qr_ttl_seconds,
            certain_is_enough: config.certain_is_enough,
            votes_wanted: config.votes_wanted,
            inherits_evidence_rule: true,
            ..ClassSettings::default()
        })
    }
}

impl Settings for OrganisationConfig {
    const SCOPE: Scope = Scope::Organisation;
    const CHANGED: &'static str = "organisation.configured";

    async fn defaults(_: &Api, db: &mut PgConnection) -> Result<Self, ApiError> {
        let organisation = organisations::find(db).await?;
        let name = organisation.map(|organisation| organisation.name).unwrap_or_default();
        Ok(Self { name, ..Self::default() })
    }
}

/// `B 12` and `b 12` are one room.
fn name_each_once(rooms: &BTreeMap<String, RoomPositionBody>, (): &()) -> garde::Result {
    let mut named = HashSet::new();
    match rooms.keys().find(|room| !named.insert(room.to_lowercase())) {
        None => Ok(()),
        Some(room) => Err(garde::Error::new(format!("names the room {room} twice"))),
    }
}

/// A language, and whatever narrows it: letters and digits in groups of at most eight (RFC 5646, section 2.1).
fn is_language_tag(tag: &str, (): &()) -> garde::Result {
    let mut subtags = tag.split('-');
    let is_language = |subtag: &str| {
        (2..=3).contains(&subtag.len()) && subtag.chars().all(|letter| letter.is_ascii_lowercase())
    };
    let is_subtag = |subtag: &str| {
        (1..=8).contains(&subtag.len()) && subtag.chars().all(|letter| letter.is_ascii_alphanumeric())
    };
    if tag.len() <= 35 && subtags.next().is_some_and(is_language) && subtags.all(is_subtag) {
        return Ok(());
    }
    Err(garde::Error::new("must be a language tag, such as en or de-AT"))
}

/// Read the configuration of the organisation.
#[utoipa::path(
    get,
    path = "/api/v1/admin/config-org",
    tag = "admin",
    responses((status = 200, description = "The configuration", body = SuccessEnvelope<ConfigurationData<OrganisationConfig>>))
)]
pub(crate) async fn get_config_org(
    State(api): State<Api>,
) -> Result<ConfigurationData<OrganisationConfig>, ApiError> {
    present(&api, &mut *api.connection().await?).await
}

/// Set the configuration of the organisation: what is absent gets its default.
#[utoipa::path(
    post,
    path = "/api/v1/admin/config-org",
    tag = "admin",
    params(("If-Match" = Option<String>, Header, description = "The ETag of the version that is changed")),
    request_body = OrganisationConfig,
    responses(
        (status = 200, description = "The configuration", body = SuccessEnvelope<ConfigurationData<OrganisationConfig>>),
        (status = 412, description = "`CONFLICT`: somebody else changed it meanwhile", body = ErrorEnvelope),
    )
)]
pub(crate) async fn set_config_org(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    from: IfMatch,
    Json(body): Json<Given>,
) -> Result<ConfigurationData<OrganisationConfig>, ApiError> {
    change(&api, Change { caller: &caller, audit: &audit, from, body, others: Others::Reset }).await
}

/// Change the configuration of the organisation: what is absent stays, what is null gets its default (RFC 7396).
#[utoipa::path(
    patch,
    path = "/api/v1/admin/config-org",
    tag = "admin",
    params(("If-Match" = Option<String>, Header, description = "The ETag of the version that is changed")),
    request_body = OrganisationConfig,
    responses(
        (status = 200, description = "The configuration", body = SuccessEnvelope<ConfigurationData<OrganisationConfig>>),
        (status = 412, description = "`CONFLICT`: somebody else changed it meanwhile", body = ErrorEnvelope),
    )
)]
pub(crate) async fn change_config_org(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    from: IfMatch,
    Json(body): Json<Given>,
) -> Result<ConfigurationData<OrganisationConfig>, ApiError> {
    change(&api, Change { caller: &caller, audit: &audit, from, body, others: Others::Keep }).await
}

async fn change(api: &Api, change: Change<'_>) -> Result<ConfigurationData<OrganisationConfig>, ApiError> {
    let mut tx = api.begin().await?;
    let zone_before = configuration::time_zone(&mut tx).await?;
    let config = change.make::<OrganisationConfig>(api, &mut tx).await?;
    // Reports are counted by the database's zones, lessons planned by our own.
    let is_ours = config.time_zone.parse::<Tz>().is_ok();
    if !is_ours || !configuration::is_time_zone(&mut tx, &config.time_zone).await? {
        return Err(Problem::validation([("timeZone", "must be a time zone, such as Europe/Vienna")]).into());
    }
    if config.time_zone != zone_before {
        timetables::touch_all(&mut tx, api.clock().now()).await?;
    }
    let organisation = users::organisation(&mut tx).await?;
    organisations::rename(&mut tx, organisation, &config.name).await?;
    let data = present(api, &mut tx).await?;
    api.commit(tx, vec![]).await?;
    Ok(data)
}
