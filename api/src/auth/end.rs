//! How sign-ins end, for everybody who verifies tokens: the api, and `ingest` by way of the AUTH feed.

use crate::{
    audit::{Act, Audit},
    error::ApiError,
    state::Api,
};
use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::{
    feed::{AuthEntry, AuthFact, FeedEntry},
    id::{SignInId, UserId},
};
use rollcall_store::{PgConnection, StoreError, outbox::OutboxMessage, sign_ins};
use serde_json::json;

/// Access tokens that are being issued while their sign-in ends are a moment younger than its end.
const LATE: TimeDelta = TimeDelta::minutes(1);

/// Ends one sign-in, and puts it on record unless it had ended before. What is returned goes out with the transaction,
/// also then: telling it twice changes nothing.
pub(super) async fn end_one(
    api: &Api,
    tx: &mut PgConnection,
    audit: &Audit,
    (id, reason): (SignInId, &str),
) -> Result<OutboxMessage, ApiError> {
    let now = api.clock().now();
    if sign_ins::end(tx, id, now).await? {
        audit.record(tx, Act::of("sign_in.ended", id).after(&json!({ "reason": reason }))).await?;
    } else {
        audit.changed_nothing();
    }
    Ok(OutboxMessage::feed(&ended_entry(api, id, now)))
}

/// What everybody must know of sign-ins that ended and may have tokens still: for a log that does not know it.
pub(crate) async fn ended_entries(api: &Api, db: &mut PgConnection) -> Result<Vec<AuthEntry>, StoreError> {
    let now = api.clock().now();
    let ended = sign_ins::ended_since(db, now - remembered(api)).await?;
    Ok(ended.into_iter().map(|(id, ended_at)| ended_entry(api, id, ended_at)).collect())
}

/// Ends every sign-in of a person but this one.
pub(super) async fn end_others(
    api: &Api,
    tx: &mut PgConnection,
    user: UserId,
    but: Option<SignInId>,
) -> Result<Vec<OutboxMessage>, StoreError> {
    let now = api.clock().now();
    let ended = sign_ins::end_all(tx, user, but, now).await?;
    Ok(ended.into_iter().map(|id| OutboxMessage::feed(&ended_entry(api, id, now))).collect())
}

/// Ends every sign-in of a person: they lost their role, their password or their account. Each is told by itself, too: a
/// token that another process issues at this moment, by its own clock, may be younger than the revocation.
pub(crate) async fn end_everywhere(
    api: &Api,
    tx: &mut PgConnection,
    user_id: UserId,
) -> Result<Vec<OutboxMessage>, StoreError> {
    let mut messages = end_others(api, tx, user_id, None).await?;
    let fact = AuthFact::Revocation { user_id, issued_before: api.clock().now() };
    messages.push(OutboxMessage::feed(&AuthEntry { revision: api.revision_now(), fact }));
    Ok(messages)
}

/// Waits until this very process refuses the tokens of a sign-in that was ended.
pub(super) async fn is_known(api: &Api, id: SignInId) {
    api.knows(&ended_entry(api, id, api.clock().now()).key()).await;
}

fn ended_entry(api: &Api, sign_in_id: SignInId, ended_at: DateTime<Utc>) -> AuthEntry {
    let forget_at = ended_at + remembered(api);
    AuthEntry { revision: 1, fact: AuthFact::EndedSignIn { sign_in_id, ended_at, forget_at } }
}

/// How long a sign-in that ended may have tokens.
fn remembered(api: &Api) -> TimeDelta {
    TimeDelta::seconds(api.longest_token_lifetime_s().into()) + LATE
}
