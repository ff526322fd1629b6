//! Tickets are made here as the attendance worker makes them.

use super::*;
use crate::testing::TestApi;
use http::{Method, header::CONTENT_TYPE};
use rollcall_schemas::notification::UNSUBSCRIBE_PATH;
use rollcall_service::{clock::Entropy, config::Secret, seal::Sealer};
use serde_json::{Value, json};

const NOTIFICATIONS: &str = "/api/v1/users/profile/notifications";

impl TestApi {
    /// An address as it stands in an e-mail.
    pub(crate) fn ticket(&self, reader: Reader, topics: &[Topic]) -> String {
        let wish = Unsubscription { reader, topics: topics.iter().copied().collect() };
        let content = serde_json::to_vec(&wish).unwrap();
        let sealer = &self.api.deps().sealer;
        let ticket = sealer.ticket(UNSUBSCRIBE_PURPOSE, &content, self.api.entropy()).unwrap();
        format!("{UNSUBSCRIBE_PATH}?token={ticket}")
    }

    /// As a mail program does it (RFC 8058, section 3.2). Gives the status and the body.
    async fn click(&self, path: &str) -> (u16, Value) {
        let form = self.edge.client().request(Method::POST, path);
        let form = form.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let answer = form.body("List-Unsubscribe=One-Click").send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn one_click_ends_e_mails_of_that_kind_and_nothing_else() {
    let test = TestApi::start().await;
    let (student, teacher) = (test.student(), test.teacher());
    let wishes = json!({ "channels": { "attendance.late": ["email", "push"] }, "language": "de" });
    student.put(NOTIFICATIONS, &wishes).await.data();
    let path = test.ticket(Reader::User(test.school.student), &[Topic::Late, Topic::Absent]);
    let (status, body) = test.click(&path).await;
    assert_eq!((status, &body["code"]), (200, &json!("UNSUBSCRIBED")), "{body}");
    assert_eq!(body["data"]["topics"], json!(["attendance.absent", "attendance.late"]));
    let left = student.get(NOTIFICATIONS).await.data()["notifications"].clone();
    let channels = json!({ "attendance.absent": [], "attendance.late": ["push"] });
    assert_eq!((&left["channels"], &left["language"]), (&channels, &json!("de")));
    let of_teacher = teacher.get(NOTIFICATIONS).await.data()["notifications"]["channels"].clone();
    assert_eq!(of_teacher, json!({}));

    let audit = async || test.admin().get("/api/v1/audit/logs?limit=1").await;
    let recorded = audit().await;
    let line = &recorded.data()["logs"][0];
    assert_eq!(
        (&line["action"], &line["targetId"]),
        (&json!("notifications.set"), &json!(test.school.student))
    );
    // Again, it is as it was, and leaves nothing.
    let (status, again) = test.click(&path).await;
    assert_eq!((status, &again["data"]), (200, &body["data"]));
    assert_eq!(audit().await.body["meta"]["total"], recorded.body["meta"]["total"]);
}

#[tokio::test]
async fn a_guardian_is_told_no_more_of_that_kind() {
    let test = TestApi::start().await;
    let guardians = format!("/api/v1/students/{}/guardians", test.school.student);
    let new = json!({
        "fullName": "Gus", "email": "gus@home.example", "topics": ["attendance.absent", "attendance.late"],
    });
    let made = test.operator().post(&guardians, &new).await;
    let id: GuardianId = serde_json::from_value(made.data()["guardian"]["id"].clone()).unwrap();
    let path = test.ticket(Reader::Guardian(id), &[Topic::Absent]);
    for _ in 0..2 {
        assert_eq!(test.click(&path).await.0, 200);
        let left = test.operator().get(&guardians).await;
        assert_eq!(left.data()["guardians"][0]["topics"], json!(["attendance.late"]));
    }
    let line = test.admin().get("/api/v1/audit/logs?action=guardian.updated").await;
    let [line] = &line.data()["logs"].as_array().unwrap()[..] else { panic!("{}", line.body) };
    assert_eq!((&line["actorKind"], &line["targetId"]), (&json!("anonymous"), &json!(id)));
}

#[tokio::test]
async fn an_address_tells_nothing_of_anybody_and_nobody_makes_one() {
    let test = TestApi::start().await;
    let known = test.click(&test.ticket(Reader::User(test.school.student), &[Topic::Late])).await;
    let gone = Reader::User(UserId(Entropy::real().uuid_v4()));
    let gone = test.click(&test.ticket(gone, &[Topic::Late])).await;
    assert_eq!((known.0, &known.1["data"]), (gone.0, &gone.1["data"]));
    let removed = Reader::Guardian(GuardianId(Entropy::real().uuid_v4()));
    assert_eq!(test.click(&test.ticket(removed, &[Topic::Late])).await.0, 200);

    let content = br#"{"reader":{"user":"00000000-0000-0000-0000-000000000000"},"topics":[]}"#;
    let entropy = test.api.entropy();
    let other = Sealer::new(&Secret::new("another key"));
    let another_purpose = test.api.deps().sealer.ticket(b"another", content, entropy).unwrap();
    for ticket in
        [other.ticket(UNSUBSCRIBE_PURPOSE, content, entropy).unwrap(), another_purpose, String::new()]
    {
        for method in [Method::GET, Method::POST] {
            let path = format!("{UNSUBSCRIBE_PATH}?token={ticket}");
            test.edge.client().send(method, &path, None).await.refused(401, "AUTH_TOKEN_INVALID");
        }
    }
    test.edge.client().post(UNSUBSCRIBE_PATH, &json!({})).await.refused(400, "MISSING_REQUIRED_FIELD");
}

#[tokio::test]
async fn a_browser_gets_a_page_that_asks_first() {
    let test = TestApi::start().await;
    let path = test.ticket(Reader::User(test.school.student), &[Topic::Late]);
    let browser = test.edge.client().with_header(ACCEPT, "text/html,application/xhtml+xml");
    let page = async |method| {
        let answer = browser.request(method, &path).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()[CACHE_CONTROL]),
            (200, &"no-store".parse().unwrap())
        );
        assert!(answer.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
        answer.text().await.unwrap()
    };
    assert!(page(Method::GET).await.contains(r#"<form method="post">"#));
    let wishes = async || test.student().get(NOTIFICATIONS).await.data()["notifications"]["channels"].clone();
    assert_eq!(wishes().await, json!({}), "nothing yet");
    assert!(page(Method::POST).await.contains("no more e-mails"));
    assert_eq!(wishes().await, json!({ "attendance.late": [] }));
}
