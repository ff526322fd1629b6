//! `POST /classes`.

use super::{ClassBody, ClassData, find, must_teach, room};
use crate::{
    admin::OrganisationConfig,
    audit::{Act, Audit},
    extract::{Body, Caller},
    reply::Reply,
    state::Api,
    users,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::id::{ClassId, UserId};
use rollcall_service::http::{ErrorEnvelope, Problem, Success, SuccessEnvelope};
use rollcall_store::classes::{self, NewClass};
use serde::Deserialize;
use utoipa::ToSchema;

/// A class to be added.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({ "name": "Algebra", "code": "MATH-1", "teacherId": "7d6a2f0e-5b1c-4e8a-9f43-1c2b3a4d5e6f", "capacity": 30 }))]
pub(crate) struct NewClassBody {
    /// The name.
    #[garde(length(chars, min = 1, max = 200))]
    name: String,
    /// The short name, unique in the organisation.
    #[garde(length(chars, min = 1, max = 50))]
    code: String,
    /// What it is about.
    #[garde(length(chars, max = 2000))]
    #[serde(default)]
    description: String,
    /// Who teaches it: oneself for a teacher, required from an administrator.
    #[garde(skip)]
    #[schema(value_type = Option<Uuid>)]
    teacher_id: Option<UserId>,
    /// The most students it takes.
    #[garde(range(min = 1))]
    capacity: Option<i32>,
    /// Where it usually meets: its sessions do, unless they say otherwise.
    #[garde(length(chars, max = 100))]
    room: Option<String>,
}

/// Add a class.
#[utoipa::path(
    post,
    path = "/api/v1/classes",
    tag = "classes",
    request_body = NewClassBody,
    responses(
        (status = 201, description = "Added", body = SuccessEnvelope<ClassData>),
        (status = 409, description = "`CONFLICT`: the code is taken", body = ErrorEnvelope),
    )
)]
pub(crate) async fn create_class(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Body(new): Body<NewClassBody>,
) -> Reply<ClassData> {
    let mut tx = api.begin().await?;
    let teacher_id = teacher_of(&caller, new.teacher_id)?;
    must_teach(&mut tx, teacher_id).await?;
    let class = NewClass {
        id: ClassId(api.entropy().uuid_v4()),
        organisation_id: users::find(&mut tx, caller.id()).await?.organisation_id,
        code: new.code,
        name: new.name,
        description: new.description,
        teacher_id,
        capacity: new.capacity,
        room: new.room.as_deref().and_then(room),
        created_at: api.clock().now(),
    };
    classes::create(&mut tx, &class).await?;
    let rules = OrganisationConfig::of_new_classes(&api, &mut tx).await?;
    classes::set_settings(&mut tx, class.id, rules, class.created_at).await?;
    let class = ClassBody::from(find(&mut tx, class.id).await?);
    audit.record(&mut tx, Act::of("class.created", class.id).after(&class)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::created("CLASS_CREATED", ClassData { class }))
}

/// Teachers add classes of their own; administrators say whose.
fn teacher_of(caller: &Caller, wanted: Option<UserId>) -> Result<UserId, Problem> {
    match (caller.as_teacher(), wanted) {
        (Some(own), None) => Ok(own),
        (Some(own), Some(wanted)) if wanted == own => Ok(own),
        (Some(_), Some(_)) => Err(Problem::forbidden("a teacher adds classes of their own only")),
        (None, Some(wanted)) => Ok(wanted),
        (None, None) => Err(Problem::validation([("teacherId", "say who teaches the class")])),
    }
}
