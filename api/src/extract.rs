//! Extractors of this crate: a validated body, and the caller that the access table let in.

use axum::extract::{FromRequest, FromRequestParts, Request};
use garde::Validate;
use http::request::Parts;
use rollcall_schemas::{id::UserId, role::Role};
use rollcall_service::{
    auth,
    http::{Json, Problem},
};
use serde::de::DeserializeOwned;

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
        body.validate().map_err(|report| {
            Problem::validation(
                report.iter().map(|(path, error)| (camel_case(&path.to_string()), error.to_string())),
            )
        })?;
        Ok(Self(body))
    }
}

/// The name that a field of ours has on the wire.
fn camel_case(path: &str) -> String {
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
