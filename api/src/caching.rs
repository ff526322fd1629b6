//! How long callers may keep which lists. Whoever asks again is told what has changed since; attendance is never kept.

use crate::state::Api;
use axum::middleware::from_fn_with_state;
use rollcall_service::http::cached_for;
use std::time::Duration;
use utoipa_axum::router::{UtoipaMethodRouter, UtoipaMethodRouterExt};

/// Lists of classes.
const CLASSES: Duration = Duration::from_secs(5 * 60);
/// Who is in which class.
const ENROLMENTS: Duration = Duration::from_secs(10 * 60);

/// Routes of a list of classes.
pub(crate) fn of_classes(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    routes.layer(from_fn_with_state(CLASSES, cached_for))
}

/// Routes of a list of enrolments.
pub(crate) fn of_enrolments(routes: UtoipaMethodRouter<Api>) -> UtoipaMethodRouter<Api> {
    routes.layer(from_fn_with_state(ENROLMENTS, cached_for))
}

#[cfg(test)]
mod tests {
    use crate::testing::TestApi;
    use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
    use serde_json::json;

    #[tokio::test]
    async fn lists_are_kept_until_they_change_and_attendance_never() {
        let test = TestApi::start().await;
        let teacher = test.teacher();
        let students = format!("/api/v1/classes/{}/students", test.school.class);
        for (client, path, keep) in [
            (&teacher, "/api/v1/classes", "private, max-age=300"),
            (&teacher, "/api/v1/users/classes", "private, max-age=300"),
            (&teacher, &students, "private, max-age=600"),
            (&test.student(), "/api/v1/users/enrollments", "private, max-age=600"),
        ] {
            let first = client.get(path).await;
            assert_eq!(first.headers[CACHE_CONTROL], keep, "{path}");
            let known = client.with_header(IF_NONE_MATCH, first.headers[ETAG].to_str().unwrap());
            let again = known.request(http::Method::GET, path).send().await.unwrap();
            assert_eq!((again.status().as_u16(), again.bytes().await.unwrap().len()), (304, 0), "{path}");

            let new = json!({ "studentId": test.school.other_student });
            match path {
                "/api/v1/users/enrollments" => {
                    let class = format!("/api/v1/classes/{}", test.school.class);
                    teacher.put(&class, &json!({ "name": "Renamed" })).await.data();
                }
                path if path.ends_with("/students") => drop(teacher.post(path, &new).await.data()),
                path => drop(
                    teacher.post("/api/v1/classes", &json!({ "name": "New", "code": path })).await.data(),
                ),
            }
            let changed = known.get(path).await;
            assert_ne!(changed.headers[ETAG], first.headers[ETAG], "{path}");
        }
        let session = format!("/api/v1/attendance/session/{}", test.school.session);
        assert_eq!(teacher.get(&session).await.headers[CACHE_CONTROL], "no-store");
    }
}
