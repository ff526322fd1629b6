//! What people are told of, by which channel, and how they wish it. Shared by the api, which keeps the wishes, and the
//! attendance worker, which follows them.

use crate::{
    fact::names,
    id::{GuardianId, UserId},
};
use chrono::NaiveTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use utoipa::ToSchema;

names! {
    /// What somebody is told of.
    Topic {
        /// A student was absent: told to them and their guardians.
        Absent = "attendance.absent",
        /// A student came late: told to them and their guardians.
        Late = "attendance.late",
        /// A record of a student changed: told to them and their guardians.
        Corrected = "attendance.corrected",
        /// A session ended: told to its teacher, with how many were there.
        SessionSummary = "session.summary",
        /// A face waits for a decision: told to the teacher.
        ReviewOpened = "review.opened",
        /// A webhook is no longer sent to: told to administrators.
        WebhookDisabled = "webhook.disabled",
        /// Messages could not be handled: told to administrators.
        MessageParked = "message.parked",
    }

    /// Which way a notification goes.
    Channel {
        /// To a person's address.
        Email = "email",
        /// To a person's devices, by the push relay.
        Push = "push",
        /// To another system.
        Webhook = "webhook",
    }

    /// What a notification is written in.
    Language {
        /// English.
        English = "en",
        /// German.
        German = "de",
    }

    /// How often a digest is sent.
    Every {
        /// Each day.
        Day = "day",
        /// Each week.
        Week = "week",
    }

    /// A day of the week.
    Weekday {
        /// The first (ISO 8601).
        Monday = "monday",
        /// The second.
        Tuesday = "tuesday",
        /// The third.
        Wednesday = "wednesday",
        /// The fourth.
        Thursday = "thursday",
        /// The fifth.
        Friday = "friday",
        /// The sixth.
        Saturday = "saturday",
        /// The seventh.
        Sunday = "sunday",
    }
}

impl Language {
    /// The language of a tag (RFC 5646), if it is one of ours: `de-AT` is German.
    pub fn of_tag(tag: &str) -> Option<Self> {
        Self::parse(tag.split('-').next().unwrap_or_default())
    }
}

/// How somebody wishes to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Preferences {
    /// By which channels one is told of what: none mean not at all. What is absent is told by e-mail.
    pub channels: BTreeMap<Topic, BTreeSet<Channel>>,
    /// What it is written in; null for the organisation's language.
    pub language: Option<Language>,
    /// E-mails are gathered, and one is sent for all of them; null for each by itself.
    pub digest: Option<Digest>,
    /// When nothing is to arrive; what would, arrives afterwards. A digest comes at its hour all the same.
    pub quiet_hours: Option<QuietHours>,
}

impl Preferences {
    /// The same without e-mails about these topics.
    pub fn without_emails(mut self, topics: &BTreeSet<Topic>) -> Self {
        for topic in topics {
            // By e-mail alone is what an absent topic means.
            self.channels.entry(*topic).or_default().remove(&Channel::Email);
        }
        self
    }
}

/// Where the wish to get no more of some e-mails is sent to (RFC 8058), with a ticket in `token` that says which.
pub const UNSUBSCRIBE_PATH: &str = "/api/v1/notifications/unsubscribe";
/// What such tickets are made for.
pub const UNSUBSCRIBE_PURPOSE: &[u8] = b"unsubscribe from e-mails";

/// What the ticket says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscription {
    /// Who.
    pub reader: Reader,
    /// From e-mails about what.
    pub topics: BTreeSet<Topic>,
}

/// Somebody who gets e-mails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reader {
    /// Somebody with an account.
    User(UserId),
    /// Somebody who is told of a student.
    Guardian(GuardianId),
}

/// When a digest is sent, by the clocks of the organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Digest {
    /// How often.
    pub every: Every,
    /// On which day, where it is weekly.
    #[serde(default = "monday")]
    pub weekday: Weekday,
    /// At which full hour, 0 to 23.
    #[schema(maximum = 23)]
    pub hour: u8,
}

fn monday() -> Weekday {
    Weekday::Monday
}

/// From when to when it is quiet, by the clocks of the organisation; over midnight where the end is not after the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct QuietHours {
    /// The first quiet minute.
    #[schema(value_type = String, example = "21:00:00")]
    pub from: NaiveTime,
    /// The first minute that is not quiet any more.
    #[schema(value_type = String, example = "07:00:00")]
    pub to: NaiveTime,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_come_back_from_the_database_as_they_went() {
        let text = r#"{"channels":{"attendance.late":["email","push"],"session.summary":[]},"language":"de",
            "digest":{"every":"week","weekday":"friday","hour":16},"quietHours":{"from":"21:30","to":"07:00:00"}}"#;
        let wishes: Preferences = serde_json::from_str(text).unwrap();
        assert_eq!(wishes.quiet_hours.unwrap().from, NaiveTime::from_hms_opt(21, 30, 0).unwrap());
        let stored = serde_json::to_string(&wishes).unwrap();
        assert_eq!(serde_json::from_str::<Preferences>(&stored).unwrap(), wishes);
        assert_eq!(serde_json::from_str::<Preferences>("{}").unwrap(), Preferences::default());
        assert!(serde_json::from_str::<Preferences>(r#"{"channels":{"weather":[]}}"#).is_err());
    }

    #[test]
    fn who_wants_no_more_emails_keeps_every_other_wish() {
        let wishes: Preferences = serde_json::from_str(
            r#"{"channels":{"attendance.late":["email","push"],"session.summary":["push"]},"language":"de"}"#,
        )
        .unwrap();
        let after = wishes.clone().without_emails(&[Topic::Late, Topic::Absent].into());
        let left = |topic| after.channels.get(&topic).cloned();
        assert_eq!(left(Topic::Late), Some([Channel::Push].into()));
        assert_eq!(left(Topic::Absent), Some(BTreeSet::new()), "it would be told by e-mail");
        assert_eq!(
            (left(Topic::SessionSummary), after.language),
            (Some([Channel::Push].into()), wishes.language)
        );
        assert_eq!(after.clone().without_emails(&[Topic::Late].into()), after, "once is as good as twice");
    }

    #[test]
    fn a_tag_names_a_language_by_its_first_part() {
        assert_eq!(Language::of_tag("de-AT"), Some(Language::German));
        assert_eq!(Language::of_tag("en"), Some(Language::English));
        assert_eq!(Language::of_tag("fr-CH"), None);
    }
}
