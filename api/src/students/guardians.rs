//! `GET` and `POST /students/{id}/guardians`, `PUT` and `DELETE /students/{id}/guardians/{guardianId}`: who is told of a
//! student beside the student. They have no account.

use super::find;
use crate::{
    audit::{Act, Audit},
    error::ApiError,
    extract::Body,
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use garde::Validate;
use rollcall_schemas::{
    id::{GuardianId, UserId},
    notification::{Language, Topic},
};
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::{
    PgConnection,
    guardians::{self, Guardian},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// More than anybody has, and few enough to list them all.
const MAX_GUARDIANS: usize = 10;
/// Of what guardians may be told.
const TOPICS: [Topic; 3] = [Topic::Absent, Topic::Late, Topic::Corrected];

/// A guardian as the api shows one.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GuardianBody {
    #[schema(value_type = Uuid)]
    id: GuardianId,
    full_name: String,
    email: String,
    /// What is written to them; null for the organisation's language.
    language: Option<Language>,
    /// Of what they are told.
    topics: Vec<Topic>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl From<Guardian> for GuardianBody {
    fn from(guardian: Guardian) -> Self {
        Self {
            id: guardian.id,
            full_name: guardian.full_name,
            email: guardian.email,
            language: guardian.language,
            topics: guardian.topics,
            created_at: guardian.created_at,
            updated_at: guardian.updated_at,
        }
    }
}

/// One guardian.
#[derive(Serialize, ToSchema)]
pub(crate) struct GuardianData {
    guardian: GuardianBody,
}

/// All guardians of a student.
#[derive(Serialize, ToSchema)]
pub(crate) struct GuardiansData {
    /// By name.
    guardians: Vec<GuardianBody>,
}

/// A guardian to be added.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "fullName": "Robin Miller", "email": "robin@home.example", "language": "de", "topics": ["attendance.absent"] }))]
pub(crate) struct NewGuardian {
    /// The full name.
    #[garde(length(chars, min = 1, max = 200))]
    full_name: String,
    /// The e-mail address, once for each student.
    #[garde(email, length(max = 254))]
    email: String,
    /// What is written to them; without it, the organisation's language.
    #[garde(skip)]
    language: Option<Language>,
    /// Of what they are told: `attendance.absent`, `attendance.late`, `attendance.corrected`. Without it, of
    /// absences, and when one turns out to be none.
    #[garde(custom(are_for_guardians))]
    #[serde(default = "usual_topics")]
    topics: Vec<Topic>,
}

/// Whoever is told of an absence is told of its correction.
fn usual_topics() -> Vec<Topic> {
    vec![Topic::Absent, Topic::Corrected]
}

fn are_for_guardians(topics: &[Topic], (): &()) -> garde::Result {
    match topics.iter().find(|topic| !TOPICS.contains(topic)) {
        Some(other) => Err(garde::Error::new(format!(
            "guardians are not told of {other}, only of {}",
            TOPICS.map(Topic::as_str).join(", ")
        ))),
        None => Ok(()),
    }
}

/// Each topic once, in order.
fn sorted(mut topics: Vec<Topic>) -> Vec<Topic> {
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// List the guardians of a student, by name.
#[utoipa::path(
    get,
    path = "/api/v1/students/{id}/guardians",
    tag = "students",
    params(("id" = Uuid, Path, description = "The student")),
    responses((status = 200, description = "The guardians", body = SuccessEnvelope<GuardiansData>))
)]
pub(crate) async fn list_guardians(State(api): State<Api>, Path(id): Path<UserId>) -> Reply<GuardiansData> {
    let mut db = api.connection().await?;
    find(&mut db, id).await?;
    let guardians = guardians::of_student(&mut db, id).await?.into_iter().map(GuardianBody::from).collect();
    Ok(Success::ok(GuardiansData { guardians }))
}

/// Add a guardian of a student.
#[utoipa::path(
    post,
    path = "/api/v1/students/{id}/guardians",
    tag = "students",
    params(("id" = Uuid, Path, description = "The student")),
    request_body = NewGuardian,
    responses(
        (status = 201, description = "Added", body = SuccessEnvelope<GuardianData>),
        (status = 409, description = "`CONFLICT`: the student has a guardian of that address, or too many", body = ErrorEnvelope),
    )
)]
pub(crate) async fn create_guardian(
    State(api): State<Api>,
    audit: Audit,
    Path(student_id): Path<UserId>,
    Body(new): Body<NewGuardian>,
) -> Reply<GuardianData> {
    let now = api.clock().now();
    let mut tx = api.begin().await?;
    find(&mut tx, student_id).await?;
    if guardians::of_student(&mut tx, student_id).await?.len() >= MAX_GUARDIANS {
        let message = format!("a student has at most {MAX_GUARDIANS} guardians: remove one first");
        return Err(Problem::conflict(message).into());
    }
    let guardian = Guardian {
        id: GuardianId(api.entropy().uuid_v4()),
        student_id,
        full_name: new.full_name,
        email: new.email,
        language: new.language,
        topics: sorted(new.topics),
        created_at: now,
        updated_at: now,
    };
    guardians::create(&mut tx, &guardian).await?;
    let guardian = GuardianBody::from(guardian);
    audit.record(&mut tx, Act::of("guardian.created", guardian.id).after(&guardian)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::created("GUARDIAN_CREATED", GuardianData { guardian }))
}

/// What changes about a guardian; what is absent stays.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "topics": ["attendance.absent", "attendance.late"] }))]
pub(crate) struct GuardianChange {
    /// The full name.
    #[garde(length(chars, min = 1, max = 200))]
    full_name: Option<String>,
    /// The e-mail address, once for each student.
    #[garde(email, length(max = 254))]
    email: Option<String>,
    /// What is written to them.
    #[garde(skip)]
    language: Option<Language>,
    /// Of what they are told.
    #[garde(inner(custom(are_for_guardians)))]
    topics: Option<Vec<Topic>>,
}

/// Change a guardian of a student.
#[utoipa::path(
    put,
    path = "/api/v1/students/{id}/guardians/{guardianId}",
    tag = "students",
    params(("id" = Uuid, Path, description = "The student"), ("guardianId" = Uuid, Path, description = "The guardian")),
    request_body = GuardianChange,
    responses(
        (status = 200, description = "The guardian as changed", body = SuccessEnvelope<GuardianData>),
        (status = 409, description = "`CONFLICT`: the student has a guardian of that address", body = ErrorEnvelope),
    )
)]
pub(crate) async fn update_guardian(
    State(api): State<Api>,
    audit: Audit,
    Path((student_id, id)): Path<(UserId, GuardianId)>,
    Body(change): Body<GuardianChange>,
) -> Reply<GuardianData> {
    let mut tx = api.begin().await?;
    let before = lock(&mut tx, student_id, id).await?;
    let changed = Guardian {
        full_name: change.full_name.unwrap_or_else(|| before.full_name.clone()),
        email: change.email.unwrap_or_else(|| before.email.clone()),
        language: change.language.or(before.language),
        topics: change.topics.map_or_else(|| before.topics.clone(), sorted),
        updated_at: api.clock().now(),
        ..before.clone()
    };
    guardians::update(&mut tx, &changed).await?;
    let (before, guardian) = (GuardianBody::from(before), GuardianBody::from(changed));
    audit.record(&mut tx, Act::of("guardian.updated", id).before(&before).after(&guardian)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(GuardianData { guardian }))
}

/// Remove a guardian of a student: nothing more is told to them, not even what is waiting.
#[utoipa::path(
    delete,
    path = "/api/v1/students/{id}/guardians/{guardianId}",
    tag = "students",
    params(("id" = Uuid, Path, description = "The student"), ("guardianId" = Uuid, Path, description = "The guardian")),
    responses((status = 200, description = "The guardian as they were", body = SuccessEnvelope<GuardianData>))
)]
pub(crate) async fn delete_guardian(
    State(api): State<Api>,
    audit: Audit,
    Path((student_id, id)): Path<(UserId, GuardianId)>,
) -> Reply<GuardianData> {
    let mut tx = api.begin().await?;
    let guardian = GuardianBody::from(lock(&mut tx, student_id, id).await?);
    guardians::delete(&mut tx, id).await?;
    audit.record(&mut tx, Act::of("guardian.deleted", id).before(&guardian)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::new(http::StatusCode::OK, "GUARDIAN_DELETED", GuardianData { guardian }))
}

async fn lock(db: &mut PgConnection, student: UserId, id: GuardianId) -> Result<Guardian, ApiError> {
    find(db, student).await?;
    Ok(guardians::lock(db, student, id).await?.ok_or_else(|| Problem::not_found("guardian"))?)
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApi;
    use rollcall_schemas::{id::UserId, role::Role};
    use serde_json::json;

    #[tokio::test]
    async fn guardians_of_a_student_come_change_and_go() {
        let test = TestApi::start().await;
        let (admin, guardians) =
            (test.admin(), format!("/api/v1/students/{}/guardians", test.school.student));
        let new = json!({ "fullName": "Robin Miller", "email": "robin@home.example" });
        let added = admin.post(&guardians, &new).await;
        assert_eq!((added.status.as_u16(), added.code()), (201, "GUARDIAN_CREATED"));
        let guardian = &added.data()["guardian"];
        assert_eq!(
            (&guardian["topics"], &guardian["language"]),
            (&json!(["attendance.absent", "attendance.corrected"]), &json!(null))
        );
        let again = json!({ "fullName": "Robin", "email": "ROBIN@home.example" });
        admin.post(&guardians, &again).await.refused(409, "CONFLICT");

        let one = format!("{guardians}/{}", guardian["id"].as_str().unwrap());
        let change = json!({ "language": "de", "topics": ["attendance.late", "attendance.absent", "attendance.late"] });
        let changed = admin.put(&one, &change).await;
        assert_eq!(changed.data()["guardian"]["topics"], json!(["attendance.absent", "attendance.late"]));
        assert_eq!(changed.data()["guardian"]["fullName"], "Robin Miller");
        let list = test.teacher().get(&guardians).await;
        assert_eq!(list.data()["guardians"], json!([changed.data()["guardian"]]));

        // Under another student there is nobody of that id.
        let elsewhere = one.replace(&test.school.student.to_string(), &test.school.other_student.to_string());
        admin.delete(&elsewhere).await.refused(404, "NOT_FOUND");
        assert_eq!(admin.delete(&one).await.code(), "GUARDIAN_DELETED");
        admin.put(&one, &json!({})).await.refused(404, "NOT_FOUND");
        assert_eq!(admin.get(&guardians).await.data()["guardians"], json!([]));
    }

    #[tokio::test]
    async fn guardians_are_told_of_the_student_and_of_nothing_else() {
        let test = TestApi::start().await;
        let guardians = format!("/api/v1/students/{}/guardians", test.school.student);
        for (bad, field) in [
            (json!({ "fullName": "R", "email": "r@home.example", "topics": ["review.opened"] }), "topics"),
            (json!({ "fullName": "R", "email": "r@home.example", "topics": ["weather"] }), "topics[0]"),
            (json!({ "fullName": "R", "email": "r@home.example", "language": "tlh" }), "language"),
            (json!({ "fullName": "R", "email": "nowhere" }), "email"),
            (json!({ "fullName": "", "email": "r@home.example" }), "fullName"),
        ] {
            let answer = test.admin().post(&guardians, &bad).await;
            assert_eq!(answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], field, "{bad}");
        }
        for n in 0..10 {
            let new = json!({ "fullName": "R", "email": format!("r{n}@home.example") });
            test.operator().post(&guardians, &new).await.data();
        }
        let one_more = json!({ "fullName": "R", "email": "r10@home.example" });
        test.operator().post(&guardians, &one_more).await.refused(409, "CONFLICT");
        let nobody = test.client_of(UserId(test.api.entropy().uuid_v4()), Role::Student);
        nobody.get(&guardians).await.refused(403, "AUTH_UNAUTHORIZED");
    }
}
