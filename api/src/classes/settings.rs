//! `GET` and `PUT /classes/{id}/settings`: the rules that decisions about a class read, as of the event.

use super::{
    find, find_current,
    protections::{ProtectionsBody, ProtectionsChange},
};
use crate::{
    audit::{Act, Audit},
    extract::{Body, not_null, nullable},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::{fact::EvidenceRule, id::ClassId};
use rollcall_service::http::{ErrorEnvelope, Path, Success, SuccessEnvelope};
use rollcall_store::{
    classes::{self, ClassSettings},
    protections,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The rules of a class.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SettingsBody {
    /// A mark later than this after the start is late, in seconds.
    late_after_seconds: i32,
    /// How long a code is valid, in seconds.
    qr_ttl_seconds: i32,
    /// Whether one very confident sighting is enough by itself.
    certain_is_enough: bool,
    /// Otherwise this many confident sightings, in different frames, are wanted.
    votes_wanted: i32,
    /// What is wanted before a student counts as present: `either` a scan or a face, `both`, `qr_needs_face` a scan with a
    /// face near it, `face_proposes` a scan, while a face without one is proposed to a person.
    evidence_rule: EvidenceRule,
    /// Whether that is what the organisation says, as the class says nothing.
    inherits_evidence_rule: bool,
    /// For `qr_needs_face`: how far the face may be from the scan, in minutes.
    face_within_minutes: i32,
}

impl From<ClassSettings> for SettingsBody {
    fn from(settings: ClassSettings) -> Self {
        Self {
            late_after_seconds: settings.late_after_seconds,
            qr_ttl_seconds: settings.qr_ttl_seconds,
            certain_is_enough: settings.certain_is_enough,
            votes_wanted: settings.votes_wanted,
            evidence_rule: settings.evidence_rule,
            inherits_evidence_rule: settings.inherits_evidence_rule,
            face_within_minutes: settings.face_within_minutes,
        }
    }
}

/// The rules of one class.
#[derive(Serialize, ToSchema)]
pub(crate) struct SettingsData {
    settings: SettingsBody,
    protections: ProtectionsBody,
}

/// All of it as the audit keeps it: field by field.
#[derive(Serialize)]
struct Rules<'a> {
    #[serde(flatten)]
    settings: &'a SettingsBody,
    #[serde(flatten)]
    protections: &'a ProtectionsBody,
}

impl SettingsData {
    fn rules(&self) -> Rules<'_> {
        Rules { settings: &self.settings, protections: &self.protections }
    }
}

/// Read the present rules of a class.
#[utoipa::path(
    get,
    path = "/api/v1/classes/{id}/settings",
    tag = "classes",
    params(("id" = Uuid, Path, description = "The class")),
    responses((status = 200, description = "The rules", body = SuccessEnvelope<SettingsData>))
)]
pub(crate) async fn get_settings(State(api): State<Api>, Path(id): Path<ClassId>) -> Reply<SettingsData> {
    let mut db = api.connection().await?;
    find(&mut db, id).await?;
    let now = api.clock().now();
    let settings = classes::settings(&mut db, id, now).await?.into();
    let protections = ProtectionsBody::from(&protections::of_class(&mut db, id, now).await?);
    Ok(Success::ok(SettingsData { settings, protections }))
}

/// What changes about the rules; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "lateAfterSeconds": 600, "qrTtlSeconds": 300 }))]
pub(crate) struct SettingsChange {
    /// A mark later than this after the start is late, in seconds.
    #[garde(range(min = 0, max = 86_400))]
    #[serde(default, deserialize_with = "not_null")]
    late_after_seconds: Option<i32>,
    /// How long a code is valid, in seconds.
    #[garde(range(min = 2, max = 86_400))]
    #[serde(default, deserialize_with = "not_null")]
    qr_ttl_seconds: Option<i32>,
    /// Whether one very confident sighting is enough by itself.
    #[garde(skip)]
    #[serde(default, deserialize_with = "not_null")]
    certain_is_enough: Option<bool>,
    /// Otherwise this many confident sightings, in different frames, are wanted.
    #[garde(range(min = 1, max = 100))]
    #[serde(default, deserialize_with = "not_null")]
    votes_wanted: Option<i32>,
    /// What the class does against codes that are passed on. It holds from the next scan on.
    #[garde(dive)]
    #[serde(default, deserialize_with = "not_null")]
    protections: Option<ProtectionsChange>,
    /// What is wanted before a student counts as present; null means what the organisation says.
    #[garde(skip)]
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<EvidenceRule>)]
    evidence_rule: Option<Option<EvidenceRule>>,
    /// For `qr_needs_face`: how far the face may be from the scan, in minutes.
    #[garde(range(min = 1, max = 1_440))]
    #[serde(default, deserialize_with = "not_null")]
    face_within_minutes: Option<i32>,
}

/// Change the rules of a class from now on. What happened before is still decided by the rules of then.
#[utoipa::path(
    put,
    path = "/api/v1/classes/{id}/settings",
    tag = "classes",
    params(("id" = Uuid, Path, description = "The class")),
    request_body = SettingsChange,
    responses(
        (status = 200, description = "The rules as changed", body = SuccessEnvelope<SettingsData>),
        (status = 409, description = "`CONFLICT`: the class is archived", body = ErrorEnvelope),
    )
)]
pub(crate) async fn update_settings(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<ClassId>,
    Body(change): Body<SettingsChange>,
) -> Reply<SettingsData> {
    let now = api.clock().now();
    let mut tx = api.begin().await?;
    classes::lock(&mut tx, id).await?;
    find_current(&mut tx, id).await?;
    let present = classes::settings(&mut tx, id, now).await?;
    let settings = ClassSettings {
        late_after_seconds: change.late_after_seconds.unwrap_or(present.late_after_seconds),
        qr_ttl_seconds: change.qr_ttl_seconds.unwrap_or(present.qr_ttl_seconds),
        certain_is_enough: change.certain_is_enough.unwrap_or(present.certain_is_enough),
        votes_wanted: change.votes_wanted.unwrap_or(present.votes_wanted),
        evidence_rule: change.evidence_rule.flatten().unwrap_or(present.evidence_rule),
        inherits_evidence_rule: change
            .evidence_rule
            .map_or(present.inherits_evidence_rule, |own| own.is_none()),
        face_within_minutes: change.face_within_minutes.unwrap_or(present.face_within_minutes),
    };
    classes::set_settings(&mut tx, id, settings, now).await?;
    let settings = classes::settings(&mut tx, id, now).await?;
    let protected = protections::of_class(&mut tx, id, now).await?;
    let before = SettingsData { settings: present.into(), protections: (&protected).into() };
    let protected = match change.protections {
        Some(change) => {
            let changed = change.apply(protected)?;
            protections::set(&mut tx, id, &changed, now).await?;
            changed
        }
        None => protected,
    };
    let after = SettingsData { settings: settings.into(), protections: (&protected).into() };
    let act = Act::of("class.rules_changed", id).before(&before.rules()).after(&after.rules());
    audit.record(&mut tx, act).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(after))
}
