//! Who may call what: one table, and the one place that enforces it.
//!
//! A route without a row cannot be reached: [`enforce`] stands before every handler and knows the routes by the table
//! alone. What a row grants is said by [`Rule::grant`]: roles come first, then ownership of what the path names. What a
//! list, a body or a stream names is narrowed by its handler, and the row says so.
//!
//! One door is beside the table: `/socket.io`, which speaks another protocol. Who is calling is said there after the
//! connection is open, and `crate::live` lets in whom [`watcher`] does.

use crate::{audit::Audit, error::ApiError, extract::Caller, state::Api};
use axum::{
    extract::{MatchedPath, RawPathParams, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Method, StatusCode, header::ALLOW};
use rollcall_schemas::{
    access::{Audited, Grant, Ownership, Rule, Who},
    id::{AttendanceId, ClassId, ReviewId, SessionId, UserId},
    role::Role::{self, Admin, Operator, Student, Teacher},
    scope::Scope::{AttendanceRead, ClassesRead, CodesRead, EventsRead, PeopleRead, PeopleWrite},
};
use rollcall_service::{auth::Principal, http::Problem, limits::Authenticated};
use rollcall_store::{PgConnection, attendance_views, classes, enrolments, review_views, session_views};
use std::{ops::DerefMut, str::FromStr};

const EVERYBODY: Who = Who::Users(&Role::ALL);
const ADMIN: Who = Who::Users(&[Admin]);
const STAFF: Who = Who::Users(&[Admin, Operator]);
const TEACHING: Who = Who::Users(&[Admin, Teacher]);
const STAFF_AND_TEACHERS: Who = Who::Users(&[Admin, Operator, Teacher]);

/// A row. What is not a `GET` is a write, unless the row says otherwise.
const fn rule(method: &'static str, path: &'static str, who: Who, ownership: Ownership) -> Rule {
    Rule::new(method, path, who, ownership)
}

/// The table.
#[rustfmt::skip]
pub const RULES: &[Rule] = &[
    rule("POST",   "/api/v1/auth/login",                        Who::Anyone,                 Ownership::Any),
    rule("POST",   "/api/v1/auth/register",                     Who::Anyone,                 Ownership::Narrowed),
    rule("POST",   "/api/v1/auth/refresh",                      Who::Anyone,                 Ownership::Narrowed),
    rule("POST",   "/api/v1/auth/logout",                       Who::Anyone,                 Ownership::Narrowed),
    rule("GET",    "/api/v1/auth/oidc",                         Who::Anyone,                 Ownership::Any),
    rule("GET",    "/api/v1/auth/oidc/{provider}/start",        Who::Anyone,                 Ownership::Any),
    rule("GET",    "/api/v1/auth/oidc/{provider}/callback",     Who::Anyone,                 Ownership::Any),
    rule("POST",   "/api/v1/auth/invitations",                  STAFF,                       Ownership::Narrowed).secret(),
    rule("PUT",    "/api/v1/auth/password",                     EVERYBODY,                   Ownership::Any),
    rule("GET",    "/api/v1/auth/me",                           EVERYBODY,                   Ownership::Any),
    rule("GET",    "/api/v1/auth/verify",                       EVERYBODY,                   Ownership::Any),
    rule("GET",    "/.well-known/jwks.json",                    Who::Anyone,                 Ownership::Any),
    rule("GET",    "/api/v1/status",                            Who::Anyone,                 Ownership::Any),

    rule("GET",    "/api/v1/users",                             STAFF,                       Ownership::Any).or_key(PeopleRead),
    rule("POST",   "/api/v1/users",                             STAFF,                       Ownership::Narrowed).or_key(PeopleWrite),
    rule("GET",    "/api/v1/users/profile",                     EVERYBODY,                   Ownership::Any),
    rule("PUT",    "/api/v1/users/profile",                     EVERYBODY,                   Ownership::Any),
    rule("GET",    "/api/v1/users/profile/notifications",       EVERYBODY,                   Ownership::Any),
    rule("PUT",    "/api/v1/users/profile/notifications",       EVERYBODY,                   Ownership::Any),
    // Whoever has the address out of an e-mail: one click must be enough.
    rule("GET",    "/api/v1/notifications/unsubscribe",         Who::Anyone,                 Ownership::Narrowed),
    rule("POST",   "/api/v1/notifications/unsubscribe",         Who::Anyone,                 Ownership::Narrowed),
    rule("GET",    "/api/v1/users/classes",                     Who::Users(&[Teacher]),      Ownership::Narrowed),
    rule("GET",    "/api/v1/users/enrollments",                 Who::Users(&[Student]),      Ownership::Narrowed),
    rule("GET",    "/api/v1/users/{id}",                        STAFF,                       Ownership::Any).or_key(PeopleRead),
    rule("PUT",    "/api/v1/users/{id}",                        STAFF,                       Ownership::Narrowed).or_key(PeopleWrite),
    rule("DELETE", "/api/v1/users/{id}",                        STAFF,                       Ownership::Narrowed).or_key(PeopleWrite),

    rule("POST",   "/api/v1/users/{id}/restore",                STAFF,                       Ownership::Narrowed).or_key(PeopleWrite),
    rule("POST",   "/api/v1/users/import",                      STAFF,                       Ownership::Narrowed).or_key(PeopleWrite),

    rule("GET",    "/api/v1/admin/operators",                   ADMIN,                       Ownership::Any),
    rule("POST",   "/api/v1/admin/operators",                   ADMIN,                       Ownership::Any),
    rule("GET",    "/api/v1/admin/operators/{id}",              ADMIN,                       Ownership::Any),
    rule("PUT",    "/api/v1/admin/operators/{id}",              ADMIN,                       Ownership::Any),
    rule("DELETE", "/api/v1/admin/operators/{id}",              ADMIN,                       Ownership::Any),

    rule("GET",    "/api/v1/students",                          STAFF_AND_TEACHERS,          Ownership::Narrowed).or_key(PeopleRead),
    rule("POST",   "/api/v1/students",                          STAFF,                       Ownership::Any).or_key(PeopleWrite),
    rule("GET",    "/api/v1/students/{id}",                     EVERYBODY,                   Ownership::Person("id")).or_key(PeopleRead),
    rule("PUT",    "/api/v1/students/{id}",                     STAFF,                       Ownership::Any).or_key(PeopleWrite),
    rule("DELETE", "/api/v1/students/{id}",                     STAFF,                       Ownership::Any).or_key(PeopleWrite),
    rule("POST",   "/api/v1/students/{id}/faces",               STAFF,                       Ownership::Any).asked(),
    rule("DELETE", "/api/v1/students/{id}/faces",               STAFF,                       Ownership::Any),

    rule("GET",    "/api/v1/students/{id}/guardians",           STAFF_AND_TEACHERS,          Ownership::Person("id")),
    rule("POST",   "/api/v1/students/{id}/guardians",           STAFF,                       Ownership::Any),
    rule("PUT",    "/api/v1/students/{id}/guardians/{guardianId}",    STAFF,                 Ownership::Any),
    rule("DELETE", "/api/v1/students/{id}/guardians/{guardianId}",    STAFF,                 Ownership::Any),

    rule("GET",    "/api/v1/classes",                           EVERYBODY,                   Ownership::Narrowed).or_key(ClassesRead),
    rule("POST",   "/api/v1/classes",                           TEACHING,                    Ownership::Narrowed),
    rule("GET",    "/api/v1/classes/{id}",                      EVERYBODY,                   Ownership::Class("id")).or_key(ClassesRead),
    rule("PUT",    "/api/v1/classes/{id}",                      TEACHING,                    Ownership::Class("id")),
    rule("DELETE", "/api/v1/classes/{id}",                      TEACHING,                    Ownership::Class("id")),
    rule("POST",   "/api/v1/classes/{id}/restore",              TEACHING,                    Ownership::Class("id")),
    rule("GET",    "/api/v1/classes/{id}/settings",             STAFF_AND_TEACHERS,          Ownership::Class("id")),
    rule("PUT",    "/api/v1/classes/{id}/settings",             TEACHING,                    Ownership::Class("id")),
    rule("POST",   "/api/v1/classes/{id}/enroll",               Who::Users(&[Student]),      Ownership::Any),
    rule("GET",    "/api/v1/classes/{id}/students",             STAFF_AND_TEACHERS,          Ownership::Class("id")).or_key(PeopleRead),
    rule("POST",   "/api/v1/classes/{id}/students",             STAFF_AND_TEACHERS,          Ownership::Class("id")),
    rule("DELETE", "/api/v1/classes/{id}/students/{studentId}", STAFF_AND_TEACHERS,          Ownership::Class("id")),
    rule("PUT",    "/api/v1/classes/{id}/cameras/{cameraId}",   STAFF,                       Ownership::Any),
    rule("DELETE", "/api/v1/classes/{id}/cameras/{cameraId}",   STAFF,                       Ownership::Any),

    rule("GET",    "/api/v1/cameras",                           STAFF,                       Ownership::Any),
    rule("POST",   "/api/v1/cameras",                           STAFF,                       Ownership::Any),
    rule("GET",    "/api/v1/cameras/{id}",                      STAFF,                       Ownership::Any),
    rule("PUT",    "/api/v1/cameras/{id}",                      STAFF,                       Ownership::Any),
    rule("DELETE", "/api/v1/cameras/{id}",                      STAFF,                       Ownership::Any),
    rule("POST",   "/api/v1/cameras/{id}/keys",                 ADMIN,                       Ownership::Any).secret(),
    rule("DELETE", "/api/v1/cameras/{id}/keys/{keyId}",         ADMIN,                       Ownership::Any),

    rule("GET",    "/api/v1/cameras/{id}/keys",                 ADMIN,                       Ownership::Any),
    rule("POST",   "/api/v1/cameras/{id}/keys/{keyId}/rotate",  ADMIN,                       Ownership::Any).secret(),

    rule("GET",    "/api/v1/api-keys",                          ADMIN,                       Ownership::Any),
    rule("POST",   "/api/v1/api-keys",                          ADMIN,                       Ownership::Any).secret(),
    rule("DELETE", "/api/v1/api-keys/{keyId}",                  ADMIN,                       Ownership::Any),
    rule("POST",   "/api/v1/api-keys/{keyId}/rotate",           ADMIN,                       Ownership::Any).secret(),

    rule("GET",    "/api/v1/webhooks",                          ADMIN,                       Ownership::Any),
    rule("POST",   "/api/v1/webhooks",                          ADMIN,                       Ownership::Any).secret(),
    rule("GET",    "/api/v1/webhooks/{id}",                     ADMIN,                       Ownership::Any),
    rule("PUT",    "/api/v1/webhooks/{id}",                     ADMIN,                       Ownership::Any),
    rule("DELETE", "/api/v1/webhooks/{id}",                     ADMIN,                       Ownership::Any),
    rule("POST",   "/api/v1/webhooks/{id}/rotate",              ADMIN,                       Ownership::Any).secret(),
    rule("POST",   "/api/v1/webhooks/{id}/ping",                ADMIN,                       Ownership::Any).asked(),
    rule("POST",   "/api/v1/webhooks/{id}/replay",              ADMIN,                       Ownership::Any).asked(),
    rule("GET",    "/api/v1/webhooks/{id}/deliveries",          ADMIN,                       Ownership::Any),

    rule("POST",   "/api/v1/sessions",                          TEACHING,                    Ownership::Narrowed).asked(),
    rule("GET",    "/api/v1/sessions/class/{classId}",          EVERYBODY,                   Ownership::Class("classId")).or_key(ClassesRead),
    rule("GET",    "/api/v1/sessions/{id}",                     EVERYBODY,                   Ownership::Session("id")).or_key(ClassesRead),
    rule("PUT",    "/api/v1/sessions/{id}",                     TEACHING,                    Ownership::Session("id")),
    rule("DELETE", "/api/v1/sessions/{id}",                     TEACHING,                    Ownership::Session("id")),
    rule("PUT",    "/api/v1/sessions/{id}/start",               TEACHING,                    Ownership::Session("id")),
    rule("PUT",    "/api/v1/sessions/{id}/end",                 TEACHING,                    Ownership::Session("id")),
    rule("PUT",    "/api/v1/sessions/{id}/reopen",              TEACHING,                    Ownership::Session("id")),
    rule("GET",    "/api/v1/sessions/{id}/scan-checks",         STAFF_AND_TEACHERS,          Ownership::Session("id")),
    rule("GET",    "/api/v1/sessions/{id}/qr",                  STAFF_AND_TEACHERS,          Ownership::Session("id")).or_key(CodesRead),
    rule("POST",   "/api/v1/sessions/{id}/qr",                  TEACHING,                    Ownership::Session("id")).asked(),
    rule("GET",    "/api/v1/sessions/{id}/qr.png",              STAFF_AND_TEACHERS,          Ownership::Session("id")).or_key(CodesRead),
    rule("GET",    "/api/v1/sessions/{id}/qr.svg",              STAFF_AND_TEACHERS,          Ownership::Session("id")).or_key(CodesRead),

    rule("GET",    "/api/v1/attendance/session/{id}",           STAFF_AND_TEACHERS,          Ownership::Session("id")).or_key(AttendanceRead),
    rule("GET",    "/api/v1/attendance/student/{id}",           EVERYBODY,                   Ownership::Person("id")).or_key(AttendanceRead),
    rule("GET",    "/api/v1/attendance/class/{id}/report",      STAFF_AND_TEACHERS,          Ownership::Class("id")).or_key(AttendanceRead),
    rule("GET",    "/api/v1/attendance/student/{id}/report",    EVERYBODY,                   Ownership::Person("id")).or_key(AttendanceRead),
    rule("GET",    "/api/v1/analytics/attendance-trend",        STAFF_AND_TEACHERS,          Ownership::Narrowed).or_key(AttendanceRead),
    rule("GET",    "/api/v1/analytics/monthly-summary",         STAFF_AND_TEACHERS,          Ownership::Narrowed).or_key(AttendanceRead),
    rule("GET",    "/api/v1/analytics/class-risk",              STAFF_AND_TEACHERS,          Ownership::Narrowed).or_key(AttendanceRead),
    rule("GET",    "/api/v1/analytics/global",                  STAFF_AND_TEACHERS,          Ownership::Narrowed).or_key(AttendanceRead),

    rule("GET",    "/api/v1/timetable",                         EVERYBODY,                   Ownership::Narrowed),
    // Whoever knows the address: calendar programs cannot sign in.
    rule("GET",    "/api/v1/timetable.ics",                     Who::Anyone,                 Ownership::Narrowed),
    rule("POST",   "/api/v1/timetable/address",                 EVERYBODY,                   Ownership::Narrowed).secret(),
    rule("DELETE", "/api/v1/timetable/address",                 EVERYBODY,                   Ownership::Narrowed),
    rule("GET",    "/api/v1/classes/{id}/timetable",            EVERYBODY,                   Ownership::Class("id")).or_key(ClassesRead),
    rule("PUT",    "/api/v1/classes/{id}/timetable",            TEACHING,                    Ownership::Class("id")),
    rule("GET",    "/api/v1/classes/{id}/timetable.ics",        EVERYBODY,                   Ownership::Class("id")).or_key(ClassesRead),
    rule("POST",   "/api/v1/classes/{id}/timetable/import",     TEACHING,                    Ownership::Class("id")),
    rule("GET",    "/api/v1/settings",                          Who::Users(&[Teacher]),      Ownership::Narrowed),
    rule("PATCH",  "/api/v1/settings",                          Who::Users(&[Teacher]),      Ownership::Narrowed),
    rule("PUT",    "/api/v1/settings",                          Who::Users(&[Teacher]),      Ownership::Narrowed),
    rule("GET",    "/api/v1/settings/schedule",                 Who::Users(&[Teacher]),      Ownership::Narrowed),
    rule("PUT",    "/api/v1/settings/schedule",                 Who::Users(&[Teacher]),      Ownership::Narrowed),
    rule("GET",    "/api/v1/settings/holidays",                 EVERYBODY,                   Ownership::Any),
    rule("POST",   "/api/v1/settings/holidays",                 STAFF,                       Ownership::Any),
    rule("DELETE", "/api/v1/settings/holidays/{id}",            STAFF,                       Ownership::Any),
    rule("GET",    "/api/v1/user/attendance",                   Who::Users(&[Student]),      Ownership::Narrowed),
    rule("POST",   "/api/v1/attendance/manual",                 STAFF_AND_TEACHERS,          Ownership::Narrowed).asked(),
    rule("PUT",    "/api/v1/attendance/{id}",                   STAFF_AND_TEACHERS,          Ownership::Record("id")),
    rule("POST",   "/api/v1/attendance/{id}/excuse",            STAFF_AND_TEACHERS,          Ownership::Record("id")).asked(),
    rule("POST",   "/api/v1/attendance/{id}/withdraw",          STAFF_AND_TEACHERS,          Ownership::Record("id")).asked(),
    rule("GET",    "/api/v1/attendance/{id}/history",           EVERYBODY,                   Ownership::Record("id")).or_key(AttendanceRead),
    rule("GET",    "/api/v1/reviews",                           STAFF_AND_TEACHERS,          Ownership::Narrowed).audited(Audited::BiometricRead),
    rule("GET",    "/api/v1/reviews/{id}",                      STAFF_AND_TEACHERS,          Ownership::Review("id")).audited(Audited::BiometricRead),
    rule("GET",    "/api/v1/reviews/{id}/face",                 STAFF_AND_TEACHERS,          Ownership::Review("id")).audited(Audited::BiometricRead),
    rule("POST",   "/api/v1/reviews/{id}/accept",               STAFF_AND_TEACHERS,          Ownership::Review("id")).asked(),
    rule("POST",   "/api/v1/reviews/{id}/reject",               STAFF_AND_TEACHERS,          Ownership::Review("id")).asked(),
    rule("POST",   "/api/v1/reviews/{id}/reassign",             STAFF_AND_TEACHERS,          Ownership::Review("id")).asked(),
    rule("GET",    "/api/v1/events",                            EVERYBODY,                   Ownership::Narrowed).or_key(EventsRead),
    rule("GET",    "/api/v1/requests/{id}",                     EVERYBODY,                   Ownership::Narrowed),

    rule("GET",    "/api/v1/admin/config-org",                  ADMIN,                       Ownership::Any),
    rule("POST",   "/api/v1/admin/config-org",                  ADMIN,                       Ownership::Any),
    rule("PATCH",  "/api/v1/admin/config-org",                  ADMIN,                       Ownership::Any),
    rule("GET",    "/api/v1/admin/system-config",               ADMIN,                       Ownership::Any),
    rule("POST",   "/api/v1/admin/system-config",               ADMIN,                       Ownership::Any),
    rule("PATCH",  "/api/v1/admin/system-config",               ADMIN,                       Ownership::Any),
    rule("GET",    "/api/v1/admin/system-health",               ADMIN,                       Ownership::Any),
    rule("GET",    "/api/v1/system/health",                     STAFF,                       Ownership::Any),
    rule("GET",    "/api/v1/system/stats",                      STAFF,                       Ownership::Any),
    rule("GET",    "/api/v1/system/logs",                       STAFF,                       Ownership::Any),
    rule("GET",    "/api/v1/system/metrics/{area}",             STAFF,                       Ownership::Any),
    rule("GET",    "/api/v1/models/status",                     STAFF,                       Ownership::Any),
    rule("GET",    "/api/v1/audit/logs",                        ADMIN,                       Ownership::Any),
];

/// Lets a call through to its handler, with its [`Caller`], or refuses it.
pub(crate) async fn enforce(
    State(api): State<Api>,
    path: MatchedPath,
    parameters: RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let Some(rule) = find(method, path.as_str()) else { return Ok(not_a_route(path.as_str())) };
    let principal = match rule.who {
        Who::Anyone => None,
        Who::Users(_) | Who::UsersAndCameras(_) => Some(Authenticated::caller(&request)?),
    };
    let audit = Audit::begin(&api, principal.as_ref(), &mut request).await;
    let asked = request.uri().path().to_owned();
    let answer = match admit(&api, rule, principal, &parameters).await {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(error) => error.into_response(),
    };
    if answer.status() == StatusCode::FORBIDDEN {
        let reason = answer.extensions().get::<Problem>();
        let route = format!("{} {}", rule.method, rule.path);
        api.record_refusal(audit.refusal(route, &asked, reason)).await;
    }
    audit.check(rule, &answer);
    Ok(answer)
}

/// The caller that a rule lets in; nobody where it asks for nobody.
async fn admit(
    api: &Api,
    rule: &Rule,
    principal: Option<Principal>,
    parameters: &RawPathParams,
) -> Result<Option<Caller>, ApiError> {
    let Some(principal) = principal else { return Ok(None) };
    let (caller, grant) = granted(rule, principal)?;
    if grant == Grant::Own {
        check_ownership(api, rule.ownership, &caller, parameters).await?;
    }
    Ok(Some(caller))
}

/// The caller, with what a rule grants to their kind.
fn granted(rule: &Rule, principal: Principal) -> Result<(Caller, Grant), Problem> {
    let caller = match principal {
        Principal::User(user) => Caller::User(user),
        Principal::Integration(key) => Caller::Integration(key),
        Principal::Camera(_) => return Err(Problem::forbidden("a camera may only push its own frames")),
    };
    match rule.grant(caller.principal()) {
        Grant::Refused => Err(refusal(rule, &caller)),
        grant => Ok((caller, grant)),
    }
}

/// Whoever may watch events, by the rule of their stream: it is the rule of Socket.IO, too.
///
/// # Errors
/// `403` for everybody else.
pub(crate) fn watcher(principal: Principal) -> Result<Caller, Problem> {
    let rule = find(&Method::GET, "/api/v1/events").expect("the stream of events has a rule");
    granted(rule, principal).map(|(caller, _)| caller)
}

pub(crate) fn find(method: &Method, path: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.path == path && rule.method == method.as_str())
}

fn refusal(rule: &Rule, caller: &Caller) -> Problem {
    match (caller, rule.scope) {
        (Caller::User(_), _) => Problem::forbidden("your role may not do this"),
        (Caller::Integration(_), Some(scope)) => {
            Problem::forbidden(format!("this needs an API key with the scope {scope}"))
        }
        (Caller::Integration(_), None) => Problem::forbidden("this is not for API keys: sign in as a user"),
    }
}

/// A method that the path does not have, or a path that is not in the table.
fn not_a_route(path: &str) -> Response {
    let methods: Vec<_> = RULES.iter().filter(|rule| rule.path == path).map(|rule| rule.method).collect();
    if methods.is_empty() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let mut response = StatusCode::METHOD_NOT_ALLOWED.into_response();
    let allow = HeaderValue::from_str(&methods.join(",")).expect("methods are ASCII");
    response.headers_mut().insert(ALLOW, allow);
    response
}

async fn check_ownership(
    api: &Api,
    ownership: Ownership,
    caller: &Caller,
    parameters: &RawPathParams,
) -> Result<(), ApiError> {
    match ownership {
        Ownership::Any | Ownership::Narrowed => Ok(()),
        // No user is a camera.
        Ownership::Camera(_) => Err(Problem::forbidden("this camera is not yours").into()),
        Ownership::Class(name) => {
            let class: ClassId = parameter(parameters, name)?;
            owns_class(api.connection().await?.deref_mut(), caller, class).await
        }
        Ownership::Session(name) => {
            let session: SessionId = parameter(parameters, name)?;
            let mut db = api.connection().await?;
            let session =
                session_views::find(&mut db, session).await?.ok_or_else(|| Problem::not_found("session"))?;
            owns_class(&mut db, caller, session.class_id).await
        }
        Ownership::Record(name) => {
            let record: AttendanceId = parameter(parameters, name)?;
            let mut db = api.connection().await?;
            let record = attendance_views::subject(&mut db, record)
                .await?
                .ok_or_else(|| Problem::not_found("record"))?;
            match caller.role() {
                Student if record.student_id == caller.id() => Ok(()),
                Student => Err(Problem::forbidden("this record is not yours to see").into()),
                _ => owns_class(&mut db, caller, record.class_id).await,
            }
        }
        Ownership::Review(name) => {
            let review: ReviewId = parameter(parameters, name)?;
            let mut db = api.connection().await?;
            let review =
                review_views::find(&mut db, review).await?.ok_or_else(|| Problem::not_found("review"))?;
            owns_class(&mut db, caller, review.class_id).await
        }
        Ownership::Person(name) => {
            let person: UserId = parameter(parameters, name)?;
            let own = match caller.role() {
                Teacher => {
                    enrolments::is_taught_by(api.connection().await?.deref_mut(), person, caller.id()).await?
                }
                _ => person == caller.id(),
            };
            if own { Ok(()) } else { Err(Problem::forbidden("this person is not yours to see").into()) }
        }
    }
}

/// Passes the teacher of a class, its students, and everybody whose role owns all classes.
///
/// # Errors
/// `404` when there is no such class, `403` when it is somebody else's.
pub(crate) async fn owns_class(
    db: &mut PgConnection,
    caller: &Caller,
    class: ClassId,
) -> Result<(), ApiError> {
    let teacher = classes::teacher(db, class).await?.ok_or_else(|| Problem::not_found("class"))?;
    let own = match caller.role() {
        Admin | Operator => true,
        Teacher => teacher == caller.id(),
        Student => enrolments::is_enrolled(db, class, caller.id()).await?,
    };
    if own { Ok(()) } else { Err(Problem::forbidden("this class is not yours").into()) }
}

fn parameter<T: FromStr<Err = uuid::Error>>(
    parameters: &RawPathParams,
    name: &'static str,
) -> Result<T, Problem> {
    let value = parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| value).unwrap_or_default();
    value.parse().map_err(|error: uuid::Error| Problem::validation([(name, error.to_string())]))
}

#[cfg(test)]
mod tests;
