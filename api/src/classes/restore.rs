//! `POST /classes/{id}/restore`.

use super::{ClassBody, ClassData, find};
use crate::{
    audit::{Act, Audit},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use rollcall_schemas::id::ClassId;
use rollcall_service::http::{ErrorEnvelope, Path, Problem, Success, SuccessEnvelope};
use rollcall_store::classes;

/// Take a class back from the archive.
///
/// Its students are in it as before; its cameras are to be chosen anew.
#[utoipa::path(
    post,
    path = "/api/v1/classes/{id}/restore",
    tag = "classes",
    params(("id" = Uuid, Path, description = "The class")),
    responses(
        (status = 200, description = "The class", body = SuccessEnvelope<ClassData>),
        (status = 409, description = "`CONFLICT`: it is not in the archive, or its code is taken meanwhile", body = ErrorEnvelope),
    )
)]
pub(crate) async fn restore_class(
    State(api): State<Api>,
    audit: Audit,
    Path(id): Path<ClassId>,
) -> Reply<ClassData> {
    let mut tx = api.begin().await?;
    find(&mut tx, id).await?;
    if !classes::restore(&mut tx, id, api.clock().now()).await? {
        return Err(Problem::conflict("the class is not in the archive").into());
    }
    let class = ClassBody::from(find(&mut tx, id).await?);
    audit.record(&mut tx, Act::of("class.restored", id).after(&class)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::new(http::StatusCode::OK, "CLASS_RESTORED", ClassData { class }))
}
