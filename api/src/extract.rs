//! Extractors of this crate: a validated body, an uploaded file, and the caller that the access table let in.

use axum::{
    body::HttpBody,
    extract::{FromRequest, FromRequestParts, Request},
};
use garde::Validate;
use http::{header::CONTENT_TYPE, request::Parts};
use rollcall_schemas::{
    access::Principal,
    code::Code,
    id::{SignInId, UserId},
    role::Role,
};
use rollcall_service::{
    auth,
    http::{Bytes, Json, Multipart, Problem},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::json;

/// A JSON body that keeps its own rules; one that breaks them is refused with each field named (`422`).
pub(crate) struct Body<T>(pub(crate) T);

impl<T, S> FromRequest<S> for Body<T>
where
    T: DeserializeOwned + Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let Json(body) = Json::<T>::from_request(request, state).await?;
        validate(&body)?;
        Ok(Self(body))
    }
}

/// The same where the body may be absent, and stands for its default.
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T, S> FromRequest<S> for OptionalBody<T>
where
    T: DeserializeOwned + Validate<Context = ()> + Default,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.body().is_end_stream() {
            return Ok(Self(T::default()));
        }
        Body::from_request(request, state).await.map(|Body(body)| Self(body))
    }
}

/// The bytes of a file: the body itself, as `media_type`, or `file` of a form.
pub(crate) async fn uploaded_file(
    request: Request,
    media_type: &'static str,
) -> Result<axum::body::Bytes, Problem> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(media_type) {
        return Ok(Bytes::from_request(request, &()).await?.0);
    }
    if !essence.eq_ignore_ascii_case("multipart/form-data") {
        let message =
            format!("the body must be {media_type}, or multipart/form-data with the file as `file`");
        return Err(Problem::new(Code::UnsupportedMediaType, message));
    }
    let Multipart(mut form) = Multipart::from_request(request, &()).await?;
    while let Some(field) = form.next_field().await? {
        if field.name() == Some("file") {
            return Ok(field.bytes().await?);
        }
    }
    Err(Problem::new(Code::MissingRequiredField, "the form has no `file`")
        .with_details(json!({ "fields": [{ "field": "file", "message": "required" }] })))
}

/// Reads a field that may be null, and tells that from its absence: null is `Some(None)`.
///
/// # Errors
/// When the field is neither null nor a `T`.
pub(crate) fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// Reads a field that may be absent, but not null: null would say something that nothing follows from.
///
/// # Errors
/// When the field is no `T`.
pub(crate) fn not_null<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Names each field that breaks a rule.
pub(crate) fn validate(body: &impl Validate<Context = ()>) -> Result<(), Problem> {
    body.validate().map_err(|report| {
        Problem::validation(
            report.iter().map(|(path, error)| (camel_case(&path.to_string()), error.to_string())),
        )
    })
}

/// The name that something of ours has on the wire.
pub(crate) fn camel_case(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    let mut raise = false;
    for letter in path.chars() {
        match letter {
            '_' => raise = true,
            letter if raise => {
                name.push(letter.to_ascii_uppercase());
                raise = false;
            }
            letter => name.push(letter),
        }
    }
    name
}

/// Whoever [`crate::access::enforce`] let in.
#[derive(Clone, Debug)]
pub(crate) enum Caller {
    /// A signed-in user.
    User(auth::User),
    /// Another program, with a key whose scopes cover the route.
    Integration(auth::Integration),
}

impl Caller {
    /// The user. An integration goes by the id of its key, which is nobody's account.
    pub(crate) fn id(&self) -> UserId {
        match self {
            Caller::User(user) => user.user_id,
            Caller::Integration(key) => UserId(key.key_id.0),
        }
    }

    /// The role. Within its scopes an integration does what an operator does.
    pub(crate) fn role(&self) -> Role {
        match self {
            Caller::User(user) => user.role,
            Caller::Integration(_) => Role::Operator,
        }
    }

    /// Whether it is another program.
    pub(crate) fn is_integration(&self) -> bool {
        matches!(self, Caller::Integration(_))
    }

    /// The sign-in of a user.
    pub(crate) fn sign_in_id(&self) -> Option<SignInId> {
        match self {
            Caller::User(user) => Some(user.sign_in_id),
            Caller::Integration(_) => None,
        }
    }

    /// What the access table knows them as.
    pub(crate) fn principal(&self) -> Principal<'_> {
        match self {
            Caller::User(user) => Principal::User(user.role),
            Caller::Integration(key) => Principal::Integration(&key.scopes),
        }
    }

    /// The caller, if they are a teacher: what narrows a list to their own.
    pub(crate) fn as_teacher(&self) -> Option<UserId> {
        (self.role() == Role::Teacher).then(|| self.id())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Caller>().cloned();
        caller.ok_or_else(|| Problem::internal("a route without a rule asked for its caller"))
    }
}

#[cfg(test)]
mod tests {
    use super::camel_case;

    #[test]
    fn fields_are_named_as_on_the_wire() {
        assert_eq!(camel_case("max_frames_per_second"), "maxFramesPerSecond");
        assert_eq!(camel_case("images[2]"), "images[2]");
    }
}
