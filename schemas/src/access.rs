//! Who may call what over HTTP: the form of a rule, and what it grants to whom. Each service keeps the table of its own
//! routes beside them, and enforces it; the document and the tests read the same tables.

use crate::{role::Role, scope::Scope};
use std::fmt;

/// One row of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The method.
    pub method: &'static str,
    /// The path, as the router knows it.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
    /// What of it must be the caller's own.
    pub ownership: Ownership,
    /// The scope that lets an integration's API key in; none does where there is none.
    pub scope: Option<Scope>,
    /// What a repeated call does.
    pub retry: Retry,
    /// What a call that succeeds leaves in the audit. Refusals are always on record.
    pub audited: Audited,
}

/// What a call does that is repeated with the same `Idempotency-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same as the first, by its nature: it reads, sets or deletes.
    Harmless,
    /// Nothing: it is answered as the first was.
    Kept,
    /// Nothing: the first was answered with a secret, and the answer is not kept.
    Secret,
    /// Nothing: the request is the same one in the log, with its outcome.
    Asked,
}

/// What a call leaves in the audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// Nothing: it only reads, and nothing biometric.
    No,
    /// What it did.
    Write,
    /// That somebody saw biometric data, and whose.
    BiometricRead,
}

impl Audited {
    /// Whether there must be a line.
    pub fn leaves_a_line(self) -> bool {
        self != Self::No
    }
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Anybody, without credentials.
    Anyone,
    /// Signed-in users of these roles.
    Users(&'static [Role]),
    /// Signed-in users of these roles, and cameras by their API keys.
    UsersAndCameras(&'static [Role]),
}

/// What must be the caller's own. Administrators, operators and integrations own everything that they may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Nothing: the roles say it all.
    Any,
    /// The class that this parameter names: a teacher teaches it, a student is in it.
    Class(&'static str),
    /// The class of the session that this parameter names, in the same way.
    Session(&'static str),
    /// The record that this parameter names: a teacher teaches its class, a student is who it is about.
    Record(&'static str),
    /// The class of the review that this parameter names: a teacher teaches it.
    Review(&'static str),
    /// The student that this parameter names: oneself, or for a teacher somebody in a class of theirs.
    Person(&'static str),
    /// The camera that this parameter names: itself.
    Camera(&'static str),
    /// What the handler shows or takes; nothing in the path belongs to anybody.
    Narrowed,
}

/// A kind of caller: a column of the published table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal<'a> {
    /// Without credentials.
    Nobody,
    /// A signed-in user.
    User(Role),
    /// A camera, by its API key.
    Camera,
    /// Another program, by an API key of these scopes.
    Integration(&'a [Scope]),
}

/// What a rule grants to a kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Nothing: `401` without credentials, `403` with them.
    Refused,
    /// What is the caller's own; the rest is refused with `403`.
    Own,
    /// What the handler narrows it to.
    Narrowed,
    /// Everything.
    Full,
}

impl Rule {
    /// A rule, as a row. What is not a `GET` is a write, unless the row says otherwise.
    pub const fn new(method: &'static str, path: &'static str, who: Who, ownership: Ownership) -> Self {
        let retry = if matches!(method.as_bytes(), b"POST") { Retry::Kept } else { Retry::Harmless };
        let audited = if matches!(method.as_bytes(), b"GET") { Audited::No } else { Audited::Write };
        Self { method, path, who, ownership, scope: None, retry, audited }
    }

    /// The same, answered with a secret.
    pub const fn secret(self) -> Self {
        Self { retry: Retry::Secret, ..self }
    }

    /// The same, asked for over the log.
    pub const fn asked(self) -> Self {
        Self { retry: Retry::Asked, ..self }
    }

    /// The same, with another mark in the audit than its method would leave.
    pub const fn audited(self, audited: Audited) -> Self {
        Self { audited, ..self }
    }

    /// The same, open to API keys of that scope too.
    pub const fn or_key(self, scope: Scope) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// What it grants to this kind of caller.
    pub fn grant(&self, principal: Principal<'_>) -> Grant {
        let is_let_in = match (self.who, principal) {
            (Who::Anyone, _) | (Who::UsersAndCameras(_), Principal::Camera) => true,
            (Who::Users(roles) | Who::UsersAndCameras(roles), Principal::User(role)) => roles.contains(&role),
            (_, Principal::Integration(scopes)) => self.scope.is_some_and(|scope| scopes.contains(&scope)),
            (Who::Users(_) | Who::UsersAndCameras(_), _) => false,
        };
        if !is_let_in {
            return Grant::Refused;
        }
        match self.ownership {
            Ownership::Any => Grant::Full,
            Ownership::Narrowed => Grant::Narrowed,
            _ if principal.owns_everything() => Grant::Full,
            _ => Grant::Own,
        }
    }
}

impl Principal<'_> {
    /// Every kind, in the order of the columns.
    pub const ALL: [Principal<'static>; 7] = [
        Principal::Nobody,
        Principal::User(Role::Admin),
        Principal::User(Role::Operator),
        Principal::User(Role::Teacher),
        Principal::User(Role::Student),
        Principal::Camera,
        Principal::Integration(&Scope::ALL),
    ];

    fn owns_everything(self) -> bool {
        matches!(self, Principal::User(Role::Admin | Role::Operator) | Principal::Integration(_))
    }
}

impl fmt::Display for Principal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Nobody => f.write_str("nobody"),
            Principal::User(role) => role.fmt(f),
            Principal::Camera => f.write_str("camera"),
            Principal::Integration(_) => f.write_str("integration"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_come_first_and_then_what_is_owned() {
        let rule = Rule::new(
            "GET",
            "/classes/{id}",
            Who::Users(&[Role::Admin, Role::Teacher]),
            Ownership::Class("id"),
        );
        let granted = Principal::ALL.map(|principal| rule.grant(principal));
        let wanted = [
            Grant::Refused,
            Grant::Full,
            Grant::Refused,
            Grant::Own,
            Grant::Refused,
            Grant::Refused,
            Grant::Refused,
        ];
        assert_eq!(granted, wanted);
    }

    #[test]
    fn a_key_is_let_in_by_its_scope_and_by_nothing_else() {
        let rule = Rule::new("GET", "/classes/{id}", Who::Users(&[Role::Admin]), Ownership::Class("id"));
        assert_eq!(rule.grant(Principal::Integration(&Scope::ALL)), Grant::Refused);
        let rule = rule.or_key(Scope::ClassesRead);
        assert_eq!(rule.grant(Principal::Integration(&[Scope::ClassesRead])), Grant::Full);
        assert_eq!(rule.grant(Principal::Integration(&[Scope::PeopleRead])), Grant::Refused);
    }

    #[test]
    fn a_camera_is_let_in_where_cameras_are_named_and_as_itself() {
        let frames = Rule::new(
            "POST",
            "/cameras/{id}/frames",
            Who::UsersAndCameras(&[Role::Admin]),
            Ownership::Camera("id"),
        );
        assert_eq!(frames.grant(Principal::Camera), Grant::Own);
        assert_eq!(frames.grant(Principal::User(Role::Admin)), Grant::Full);
        assert_eq!(frames.grant(Principal::User(Role::Student)), Grant::Refused);
        let status = Rule::new("GET", "/status", Who::Anyone, Ownership::Any);
        assert!(Principal::ALL.iter().all(|principal| status.grant(*principal) == Grant::Full));
    }
}
