//! Forgetting what no longer says anything: sign-ins whose tokens have all ended, old failures, devices, invitations and
//! visits. Every replica does it; doing it twice changes nothing.

use super::begin::DEVICE_LIFETIME_S;
use crate::{error::ApiError, state::Api};
use chrono::TimeDelta;
use rollcall_schemas::subject::{self, Stream};
use rollcall_store::{invitations, provider_visits, sign_in_failures, sign_ins};
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(10 * 60);
const AT_ONCE: i64 = 500;

/// Sweeps from time to time.
pub(crate) async fn sweep(api: Api) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = sweep_once(&api).await {
            tracing::debug!(%error, "what is old is forgotten later");
        }
    }
}

pub(super) async fn sweep_once(api: &Api) -> Result<(), ApiError> {
    let now = api.clock().now();
    while forget_sign_ins(api).await? {}
    let mut db = api.connection().await?;
    let unlocked = now - TimeDelta::seconds(api.settings().now().lock_seconds.into()) * 2;
    let unused = now - TimeDelta::seconds(DEVICE_LIFETIME_S.into());
    sign_in_failures::forget_old(&mut db, unlocked, unused).await?;
    invitations::forget_old(&mut db, now).await?;
    provider_visits::forget_old(&mut db, now).await?;
    Ok(())
}

/// Forgets some sign-ins whose last token has ended. The log first, so that nothing stays there without a row.
async fn forget_sign_ins(api: &Api) -> Result<bool, ApiError> {
    let mut db = api.connection().await?;
    let expired = sign_ins::expired(&mut db, api.clock().now(), AT_ONCE).await?;
    for (id, _) in expired.iter().filter(|(_, was_ended)| *was_ended) {
        api.bus().purge(Stream::Auth, &subject::ended_sign_in(*id)).await?;
    }
    let ids: Vec<_> = expired.iter().map(|(id, _)| *id).collect();
    sign_ins::forget(&mut db, &ids).await?;
    Ok(!ids.is_empty())
}
