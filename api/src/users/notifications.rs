//! `GET` and `PUT /users/profile/notifications`: how one wishes to be told.

use crate::{
    audit::{Act, Audit},
    error::ApiError,
    extract::{Body, Caller},
    reply::Reply,
    state::Api,
};
use axum::extract::State;
use garde::Validate;
use rollcall_schemas::{
    id::UserId,
    notification::{Channel, Digest, Language, Preferences, QuietHours, Topic},
};
use rollcall_service::http::{Success, SuccessEnvelope};
use rollcall_store::{PgConnection, preferences};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// How somebody wishes to be told.
#[derive(Serialize, ToSchema)]
pub(crate) struct NotificationsData {
    notifications: Preferences,
}

/// How one wishes to be told. What is absent gets its default.
#[derive(Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
#[derive(Default)]
#[schema(example = json!({
    "channels": { "attendance.late": [], "attendance.absent": ["email", "push"] }, "language": "de",
    "digest": { "every": "week", "weekday": "friday", "hour": 16 }, "quietHours": { "from": "21:00", "to": "07:00" }
}))]
pub(crate) struct NotificationsBody {
    /// By which channels one is told of what, of `email` and `push`: none mean not at all. A topic that is absent is told
    /// by e-mail.
    #[garde(custom(are_for_people))]
    channels: BTreeMap<Topic, BTreeSet<Channel>>,
    /// What it is written in; null for the organisation's language.
    #[garde(skip)]
    language: Option<Language>,
    /// E-mails are gathered, and one is sent for all of them; null for each by itself.
    #[garde(inner(custom(is_of_the_day)))]
    digest: Option<Digest>,
    /// When nothing is to arrive, by the clocks of the organisation; what would, arrives afterwards. A digest comes at its
    /// hour all the same.
    #[garde(skip)]
    quiet_hours: Option<QuietHours>,
}

fn are_for_people(channels: &BTreeMap<Topic, BTreeSet<Channel>>, (): &()) -> garde::Result {
    if channels.values().flatten().any(|channel| *channel == Channel::Webhook) {
        return Err(garde::Error::new(
            "people are told by email or push; webhooks are made by administrators",
        ));
    }
    Ok(())
}

fn is_of_the_day(digest: &Digest, (): &()) -> garde::Result {
    if digest.hour > 23 {
        return Err(garde::Error::new("hour must be 0 to 23"));
    }
    Ok(())
}

/// Read how one wishes to be told.
#[utoipa::path(
    get,
    path = "/api/v1/users/profile/notifications",
    tag = "users",
    responses((status = 200, description = "The wishes", body = SuccessEnvelope<NotificationsData>))
)]
pub(crate) async fn get_notifications(State(api): State<Api>, caller: Caller) -> Reply<NotificationsData> {
    let notifications = preferences::of_user(&mut *api.connection().await?, caller.id()).await?;
    Ok(Success::ok(NotificationsData { notifications }))
}

/// Set how one wishes to be told.
#[utoipa::path(
    put,
    path = "/api/v1/users/profile/notifications",
    tag = "users",
    request_body = NotificationsBody,
    responses((status = 200, description = "The wishes as set", body = SuccessEnvelope<NotificationsData>))
)]
pub(crate) async fn set_notifications(
    State(api): State<Api>,
    caller: Caller,
    audit: Audit,
    Body(body): Body<NotificationsBody>,
) -> Reply<NotificationsData> {
    let NotificationsBody { channels, language, digest, quiet_hours } = body;
    let notifications = Preferences { channels, language, digest, quiet_hours };
    let mut tx = api.begin().await?;
    let before = preferences::lock_of_user(&mut tx, caller.id()).await?;
    preferences::set(&mut tx, caller.id(), &notifications, api.clock().now()).await?;
    audit.record(&mut tx, was_set(caller.id(), &before, &notifications)).await?;
    api.commit(tx, vec![]).await?;
    Ok(Success::ok(NotificationsData { notifications }))
}

/// Changes how somebody wishes to be told. Nothing is done, and nothing given, where that is no change.
pub(super) async fn change(
    api: &Api,
    tx: &mut PgConnection,
    user: UserId,
    to: impl FnOnce(Preferences) -> Preferences,
) -> Result<Option<Act>, ApiError> {
    let before = preferences::lock_of_user(tx, user).await?;
    let after = to(before.clone());
    if after == before {
        return Ok(None);
    }
    preferences::set(tx, user, &after, api.clock().now()).await?;
    Ok(Some(was_set(user, &before, &after)))
}

fn was_set(user: UserId, before: &Preferences, after: &Preferences) -> Act {
    Act::of("notifications.set", user).before(before).after(after)
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApi;
    use serde_json::json;

    const NOTIFICATIONS: &str = "/api/v1/users/profile/notifications";

    #[tokio::test]
    async fn wishes_are_kept_as_they_were_set_and_are_ones_own() {
        let test = TestApi::start().await;
        let none = json!({ "channels": {}, "language": null, "digest": null, "quietHours": null });
        assert_eq!(test.student().get(NOTIFICATIONS).await.data()["notifications"], none);
        let wishes = json!({
            "channels": { "attendance.absent": ["email", "push"], "attendance.late": [] },
            "language": "de",
            "digest": { "every": "week", "weekday": "friday", "hour": 16 },
            "quietHours": { "from": "21:00:00", "to": "07:00:00" },
        });
        let set = test.student().put(NOTIFICATIONS, &wishes).await;
        assert_eq!(set.data()["notifications"], wishes);
        assert_eq!(test.student().get(NOTIFICATIONS).await.data()["notifications"], wishes);
        assert_eq!(test.teacher().get(NOTIFICATIONS).await.data()["notifications"], none);
        test.student().put(NOTIFICATIONS, &json!({})).await.data();
        assert_eq!(test.student().get(NOTIFICATIONS).await.data()["notifications"], none);
    }

    #[tokio::test]
    async fn what_cannot_be_wished_is_refused_by_name() {
        let test = TestApi::start().await;
        for (bad, field) in [
            (json!({ "channels": { "attendance.absent": ["webhook"] } }), "channels"),
            (json!({ "digest": { "every": "day", "hour": 24 } }), "digest"),
            (json!({ "digest": { "every": "year", "hour": 7 } }), "digest.every"),
            (json!({ "quietHours": { "from": "25:00", "to": "07:00" } }), "quietHours.from"),
            (json!({ "language": "tlh" }), "language"),
        ] {
            let answer = test.student().put(NOTIFICATIONS, &bad).await;
            assert_eq!(answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], field, "{bad}");
        }
    }
}
