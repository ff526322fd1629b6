use crate::{
    ApiConfig,
    testing::{SOON, TestApi},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::Method;
use rollcall_bus::Delivery;
use rollcall_schemas::{
    id::{PhotoId, UserId},
    outcome::{Answer, FacesErasedAnswer, OutcomeResult, PhotoAnswer},
    request::{EraseFaces, PhotoMeta},
    subject::{self, RequestKind, Stream},
};
use rollcall_test_support::eventually;
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::test]
async fn a_student_is_added_read_changed_and_deleted() {
    let test = TestApi::start().await;
    let operator = test.operator();
    let new = json!({ "email": "stu@school.example", "fullName": "Stu Dent", "rollNumber": "17" });
    let created = operator.post("/api/v1/students", &new).await;
    insta::assert_json_snapshot!(created.body);
    let path = format!("/api/v1/students/{}", created.data()["student"]["id"].as_str().unwrap());
    let changed = operator.put(&path, &json!({ "rollNumber": "18" })).await;
    assert_eq!(changed.data()["student"]["rollNumber"], "18");
    let taken = json!({ "email": "stu2@school.example", "fullName": "Stu", "rollNumber": "18" });
    operator.post("/api/v1/students", &taken).await.refused(409, "CONFLICT");
    assert_eq!(operator.delete(&path).await.code(), "STUDENT_DELETED");
    operator.get(&path).await.refused(404, "NOT_FOUND");
    // A teacher is no student.
    operator.get(&format!("/api/v1/students/{}", test.school.teacher)).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_teacher_lists_their_own_students() {
    let test = TestApi::start().await;
    let listed = test.teacher().get("/api/v1/students").await;
    assert_eq!(listed.body["meta"]["total"], 1);
    assert_eq!(listed.data()["students"][0]["id"], json!(test.school.student));
    assert_eq!(test.operator().get("/api/v1/students").await.body["meta"]["total"], 2);
}

/// Bytes that pass for a JPEG at this edge; `mark` tells the worker what to say.
fn photo(mark: u8) -> Vec<u8> {
    vec![0xff, 0xd8, 0xff, mark, 0xff, 0xd9]
}

fn data_urls(photos: &[Vec<u8>]) -> Value {
    let urls: Vec<_> = photos
        .iter()
        .map(|bytes| format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(bytes)))
        .collect();
    json!({ "images": urls })
}

/// Stands in for the face worker: refuses photographs marked 1, keeps the others.
fn answer_photos(test: &TestApi) {
    test.answer_with(RequestKind::EnrolPhoto, |delivery| {
        let meta = PhotoMeta::from_headers(delivery).expect("the metadata of a photograph");
        let user_id: UserId = meta.user_id.expect("an enrolment names the person");
        let refused = delivery.payload[3] == 1;
        OutcomeResult::Succeeded {
            answer: Answer::Photo(PhotoAnswer {
                user_id,
                photo_id: (!refused).then(|| PhotoId(Uuid::from_u128(u128::from(delivery.payload[3])))),
                refusal: refused.then(|| "several_faces".into()),
                quality: None,
                photos: 2,
            }),
        }
    });
}

#[tokio::test]
async fn each_photograph_is_answered_in_its_place() {
    let test = TestApi::start().await;
    answer_photos(&test);
    let path = format!("/api/v1/students/{}/faces", test.school.student);
    let photos = [photo(2), photo(1), b"GIF89a".to_vec(), photo(3)];
    let answer = test.operator().post(&path, &data_urls(&photos)).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (201, "FACES_ENROLLED"));
    insta::assert_json_snapshot!(answer.data());

    let none = test.operator().post(&path, &data_urls(&[photo(1), photo(1), photo(1)])).await;
    let details = none.refused(422, "VALIDATION_FAILED");
    assert_eq!(details["photos"][2]["refusal"], "several_faces");
}

#[tokio::test]
async fn the_same_key_for_another_student_enrols_the_other_student() {
    let test = TestApi::start().await;
    answer_photos(&test);
    let operator = test.operator().with_header(http::HeaderName::from_static("idempotency-key"), "once");
    let photos = data_urls(&[photo(2), photo(3), photo(4)]);
    let enrol = async |student: UserId| {
        operator.post(&format!("/api/v1/students/{student}/faces"), &photos).await.data();
    };
    enrol(test.school.student).await;
    enrol(test.school.other_student).await;
    enrol(test.school.student).await;
    let asked = requests(&test, RequestKind::EnrolPhoto).await;
    let asked: Vec<_> = asked.iter().map(|asked| PhotoMeta::from_headers(asked).unwrap().user_id).collect();
    let each = |student: UserId| asked.iter().filter(|asked| **asked == Some(student)).count();
    assert_eq!((each(test.school.student), each(test.school.other_student), asked.len()), (3, 3, 6));
}

/// The requests of a kind that the log holds.
async fn requests(test: &TestApi, kind: RequestKind) -> Vec<Delivery> {
    let last = test.bus.stream(Stream::Requests).await.unwrap().last_sequence;
    let mut found = Vec::new();
    for sequence in 1..=last {
        let stored = test.bus.get(Stream::Requests, sequence).await.unwrap();
        found.extend(stored.filter(|stored| stored.subject == subject::request(kind)));
    }
    found
}

fn erasure_of(request: &Delivery) -> EraseFaces {
    serde_json::from_slice(&request.payload).unwrap()
}

#[tokio::test]
async fn a_face_is_erased_and_the_answer_says_what_there_was() {
    let test = TestApi::start().await;
    test.answer_with(RequestKind::EraseFaces, |delivery| {
        let user_id = erasure_of(delivery).user_id;
        OutcomeResult::Succeeded { answer: Answer::FacesErased(FacesErasedAnswer { user_id, photos: 3 }) }
    });
    let student = test.school.student;
    let erased = test.operator().delete(&format!("/api/v1/students/{student}/faces")).await;
    assert_eq!((erased.status.as_u16(), erased.code()), (200, "FACES_ERASED"));
    assert_eq!(erased.data()["erased"], json!({ "userId": student, "photos": 3 }));
    let nobody = format!("/api/v1/students/{}/faces", Uuid::nil());
    test.operator().delete(&nobody).await.refused(404, "NOT_FOUND");
    assert_eq!(requests(&test, RequestKind::EraseFaces).await.len(), 1);
}

#[tokio::test]
async fn whoever_is_deleted_keeps_no_face() {
    let test = TestApi::start().await;
    let (student, other) = (test.school.student, test.school.other_student);
    test.operator().delete(&format!("/api/v1/students/{student}")).await.data();
    test.admin().delete(&format!("/api/v1/users/{other}")).await.data();
    let asked: Vec<_> = requests(&test, RequestKind::EraseFaces).await.iter().map(erasure_of).collect();
    let expected = [(student, test.school.operator), (other, test.school.admin)];
    assert_eq!(asked.iter().map(|asked| (asked.user_id, asked.requested_by)).collect::<Vec<_>>(), expected);
    assert!(asked.iter().all(|asked| asked.requested_at == test.clock.now()));
    // Who is deleted is still known to the worker that erases.
    test.start_attendance_worker();
    for EraseFaces { request_id, user_id, .. } in asked {
        let outcome =
            eventually("the face is erased", SOON, || async { test.bus.outcome(request_id).await.unwrap() })
                .await;
        let answer = Answer::FacesErased(FacesErasedAnswer { user_id, photos: 0 });
        assert_eq!(outcome.result, OutcomeResult::Succeeded { answer });
    }
}

#[tokio::test]
async fn photographs_come_as_parts_too() {
    let test = TestApi::start().await;
    answer_photos(&test);
    let path = format!("/api/v1/students/{}/faces", test.school.student);
    let form = |names: [&str; 3]| {
        let mut body = Vec::new();
        for (name, mark) in names.into_iter().zip(2..) {
            body.extend(
                format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a\"\r\n\r\n")
                    .bytes(),
            );
            body.extend(photo(mark));
            body.extend(b"\r\n");
        }
        body.extend(b"--x--\r\n");
        body
    };
    let send = async |names| {
        let body = Some(("multipart/form-data; boundary=x", form(names)));
        test.operator().send(Method::POST, &path, body).await
    };
    assert_eq!(send(["images"; 3]).await.data()["photos"][2]["status"], "accepted");
    send(["images", "images", "other"]).await.refused(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn three_to_five_photographs_are_wanted() {
    let test = TestApi::start().await;
    let path = format!("/api/v1/students/{}/faces", test.school.student);
    for count in [0, 2, 6] {
        let photos: Vec<_> = (0..count).map(photo).collect();
        let answer = test.operator().post(&path, &data_urls(&photos)).await;
        assert_eq!(answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "images");
    }
    let bad = json!({ "images": ["data:image/png;base64,AAAA", "nonsense", "data:image/png;base64,AAAA"] });
    let answer = test.operator().post(&path, &bad).await;
    assert_eq!(answer.refused(422, "VALIDATION_FAILED")["fields"][0]["field"], "images[1]");
    let nobody = format!("/api/v1/students/{}/faces", Uuid::nil());
    test.operator()
        .post(&nobody, &data_urls(&[photo(2), photo(3), photo(4)]))
        .await
        .refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn without_a_worker_the_answer_comes_later() {
    let test = TestApi::start_with(ApiConfig { ask_deadline_ms: 300, ..ApiConfig::default() }).await;
    let path = format!("/api/v1/students/{}/faces", test.school.student);
    let answer = test.operator().post(&path, &data_urls(&[photo(2), photo(3), photo(4)])).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (202, "FACES_PENDING"));
    let status_url = answer.data()["photos"][0]["pending"]["statusUrl"].as_str().unwrap();
    assert_eq!(answer.headers["location"], status_url);
    assert_eq!(test.operator().get(status_url).await.code(), "REQUEST_PENDING");
    answer_photos(&test);
    let done = eventually("the request is answered", SOON, || async {
        let answer = test.operator().get(status_url).await;
        (answer.code() == "OK").then_some(answer)
    })
    .await;
    assert_eq!(done.data()["status"], "succeeded");
    assert_eq!(done.data()["answer"]["kind"], "photo");
    // Somebody else's request is nobody else's business.
    test.teacher().get(status_url).await.refused(403, "AUTH_UNAUTHORIZED");
}
