//! Tells the api when API keys were used: one message for all of them a minute, never one for each call.

use rollcall_bus::{Bus, Message};
use rollcall_schemas::{
    request::KeyUses,
    subject::{self, RequestKind},
};
use rollcall_service::{auth::Authenticator, clock::Entropy};
use std::time::Duration;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(60);

/// Tells until `stop`, and then what is left.
pub(crate) async fn report(
    authenticator: Authenticator,
    bus: Bus,
    entropy: Entropy,
    stop: CancellationToken,
) {
    let mut ticks = interval(EVERY);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        tell(&authenticator, &bus, &entropy).await;
    }
    tell(&authenticator, &bus, &entropy).await;
}

async fn tell(authenticator: &Authenticator, bus: &Bus, entropy: &Entropy) {
    let uses = authenticator.take_key_uses();
    if uses.is_empty() {
        return;
    }
    let subject = subject::request(RequestKind::KeyUses);
    let message =
        Message::json(subject, entropy.uuid_v4(), &KeyUses { uses }).expect("ids and times have a JSON form");
    if let Err(error) = bus.publish(message).await {
        tracing::debug!(%error, "uses of keys are not told; the next use of each will be");
    }
}
