//! What both configurations have in common: versions, defaults underneath, changes as JSON Merge Patch (RFC 7396).

use crate::{
    audit::{Act, Audit},
    error::ApiError,
    extract::{Caller, validate},
    state::Api,
};
use axum::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use garde::Validate;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use rollcall_schemas::{code::Code, id::UserId};
use rollcall_service::http::{Problem, Success};
use rollcall_store::{
    PgConnection, StoreError,
    configuration::{self, Revision, Scope},
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use std::fmt;
use utoipa::ToSchema;

/// How many versions are listed.
const LISTED: i64 = 20;

/// A set of settings.
pub(super) trait Settings: Serialize + DeserializeOwned + Validate<Context = ()> + Send {
    /// Whose.
    const SCOPE: Scope;
    /// What the audit calls a change.
    const CHANGED: &'static str;

    /// What holds where nothing was set.
    async fn defaults(api: &Api, db: &mut PgConnection) -> Result<Self, ApiError>;
}

/// A configuration as it is now.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConfigurationData<T> {
    /// Every setting with its present value.
    config: T,
    /// The names of those that were set; the others have their defaults.
    set: Vec<String>,
    /// The version, for `If-Match`; 0 while nothing was ever set.
    revision: i64,
    /// The latest versions, newest first.
    history: Vec<VersionBody>,
}

impl<T> ConfigurationData<T> {
    pub(super) fn revision(&self) -> i64 {
        self.revision
    }

    /// The names of the settings that were set.
    pub(super) fn set(&self) -> &[String] {
        &self.set
    }

    pub(super) fn config(&self) -> &T {
        &self.config
    }

    pub(super) fn into_config(self) -> T {
        self.config
    }
}

/// A version of a configuration.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct VersionBody {
    revision: i64,
    /// What was set then.
    #[schema(value_type = Object)]
    settings: Value,
    valid_from: DateTime<Utc>,
    #[schema(value_type = Uuid)]
    changed_by: UserId,
}

/// What a change does with the settings that it does not name.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Others {
    /// They get their defaults.
    Reset,
    /// They stay.
    Keep,
}

/// The version that a change is made from, if the caller wants to be sure of it.
pub(crate) struct IfMatch(Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        read_if_match(&parts.headers).map(Self)
    }
}

fn read_if_match(headers: &HeaderMap) -> Result<Option<i64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let revision = text.trim_matches('"').parse();
    revision.map(Some).map_err(|_| Problem::invalid_input("If-Match must be the ETag of this configuration"))
}

/// The settings in force, and the versions that led to them.
pub(super) async fn present<T: Settings>(
    api: &Api,
    db: &mut PgConnection,
) -> Result<ConfigurationData<T>, ApiError> {
    let versions = configuration::newest(db, T::SCOPE, LISTED).await?;
    let set =
        versions.first().map(|version| object(version.settings.clone())).transpose()?.unwrap_or_default();
    let config = over_defaults::<T>(T::defaults(api, db).await?, &set)?;
    Ok(ConfigurationData {
        config,
        set: set.keys().cloned().collect(),
        revision: versions.first().map_or(0, |version| version.revision),
        history: versions.into_iter().map(VersionBody::from).collect(),
    })
}

/// Settings as they were sent. A name that comes twice is refused: one of the two would be lost.
pub(super) struct Given(Map<String, Value>);

impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EachOnce)
    }
}

struct EachOnce;

impl<'de> Visitor<'de> for EachOnce {
    type Value = Given;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object of settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Given, A::Error> {
        let mut settings = Map::new();
        while let Some((name, value)) = entries.next_entry::<String, Value>()? {
            if settings.contains_key(&name) {
                return Err(de::Error::custom(format_args!("duplicate field `{name}`")));
            }
            settings.insert(name, value);
        }
        Ok(Given(settings))
    }
}

/// Who changes what, from which version.
pub(super) struct Change<'a> {
    pub(super) caller: &'a Caller,
    pub(super) audit: &'a Audit,
    pub(super) from: IfMatch,
    pub(super) body: Given,
    pub(super) others: Others,
}

impl Change<'_> {
    /// Adds the next version, puts it on record, and gives every setting as it is then.
    ///
    /// # Errors
    /// `412` when it was made from another version than the present, `422` when a setting breaks a rule.
    pub(super) async fn make<T: Settings>(self, api: &Api, tx: &mut PgConnection) -> Result<T, ApiError> {
        let newest = configuration::newest(tx, T::SCOPE, 1).await?.into_iter().next();
        let (revision, set) = newest.map_or((0, Value::Null), |newest| (newest.revision, newest.settings));
        if self.from.0.is_some_and(|from| from != revision) {
            return Err(changed_meanwhile(revision).into());
        }
        let before = object(set)?;
        let mut after = if self.others == Others::Keep { before.clone() } else { Map::new() };
        for (name, value) in self.body.0 {
            // A null takes a setting back to its default (RFC 7396).
            if value.is_null() {
                after.remove(&name)
            } else {
                after.insert(name, value)
            };
        }
        let config = over_defaults::<T>(T::defaults(api, tx).await?, &after)?;
        validate(&config)?;
        let next = Revision {
            revision: revision + 1,
            settings: after.clone().into(),
            valid_from: api.clock().now(),
            changed_by: self.caller.id(),
        };
        configuration::add(tx, T::SCOPE, &next).await.map_err(|error| match error {
            StoreError::Taken { .. } => ApiError::from(changed_meanwhile(next.revision)),
            error => error.into(),
        })?;
        self.audit.record(tx, Act::on_all(T::CHANGED).before(&before).after(&after)).await?;
        Ok(config)
    }
}

fn changed_meanwhile(revision: i64) -> Problem {
    let message = "the configuration was changed meanwhile: read it again, and change what it is now";
    let mut problem = Problem::new(Code::Conflict, message);
    problem.status = StatusCode::PRECONDITION_FAILED;
    problem.with_details(serde_json::json!({ "revision": revision }))
}

/// What was set, over what holds where nothing was.
fn over_defaults<T: Settings>(defaults: T, set: &Map<String, Value>) -> Result<T, ApiError> {
    let mut all = object(serde_json::to_value(&defaults).map_err(Problem::internal)?)?;
    all.extend(set.clone());
    serde_path_to_error::deserialize(Value::Object(all))
        .map_err(|error| Problem::validation([(error.path().to_string(), error.inner().to_string())]).into())
}

fn object(settings: Value) -> Result<Map<String, Value>, ApiError> {
    match settings {
        Value::Object(settings) => Ok(settings),
        Value::Null => Ok(Map::new()),
        _ => Err(Problem::internal("a configuration is not an object").into()),
    }
}

impl From<Revision> for VersionBody {
    fn from(version: Revision) -> Self {
        Self {
            revision: version.revision,
            settings: version.settings,
            valid_from: version.valid_from,
            changed_by: version.changed_by,
        }
    }
}

impl<T: Serialize> IntoResponse for ConfigurationData<T> {
    fn into_response(self) -> Response {
        let tag = HeaderValue::from_str(&format!("\"{}\"", self.revision)).expect("a number in quotes");
        let mut response = Success::ok(self).into_response();
        response.headers_mut().insert(header::ETAG, tag);
        response
    }
}
