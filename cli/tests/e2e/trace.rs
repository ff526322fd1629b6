//! One trace from the caller's request to the row in the database.

use crate::harness::{Deployment, Pictures, School, Service, records, wait_until};
use reqwest::{Method, StatusCode};
use rollcall_schemas::{
    frame::rfc3339,
    header::{self, HeaderSource},
    subject::Stream,
};
use serde_json::json;

const OF_CAMERA: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OF_PHONE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_names_the_trace_of_the_request_that_led_to_it() {
    let deployment = Deployment::start().await;
    let school = School::open(&deployment).await;
    school.enrol_face().await;
    // One look is enough here, so that it is the look of this one request.
    let rules = json!({ "votesWanted": 1 });
    school.people.teacher.put(&format!("/api/v1/classes/{}/settings", school.class), &rules).await.data();
    let student = school.students(&deployment, 1).await.remove(0);
    let session = school.start_session().await;
    let traceparent = |trace: &str| format!("00-{trace}-00f067aa0ba902b7-01");

    let frame = school
        .camera
        .client
        .request(Method::POST, &format!("/api/v1/cameras/{}/frames", school.camera.id))
        .header("traceparent", traceparent(OF_CAMERA))
        .header("content-type", "image/jpeg")
        .header("x-captured-at", rfc3339(session.started_at + chrono::TimeDelta::milliseconds(1)))
        .body(Pictures::get().known.clone());
    assert_eq!(frame.send().await.unwrap().status(), StatusCode::ACCEPTED);
    let scan = deployment
        .visitor(Service::Ingest)
        .with_token(&student.token)
        .request(Method::POST, "/api/v1/attendance/mark")
        .header("traceparent", traceparent(OF_PHONE))
        .json(&json!({ "qrToken": session.qr_token }));
    assert_eq!(scan.send().await.unwrap().status(), StatusCode::OK);

    wait_until("both are recorded", async || records(&deployment, session.id).await.len() == 2).await;
    for record in records(&deployment, session.id).await {
        let wanted = if record.student_id == student.id { OF_PHONE } else { OF_CAMERA };
        assert_eq!(record.trace_id.as_deref(), Some(wanted));
    }
    for (stream, trace) in
        [(Stream::Frames, OF_CAMERA), (Stream::Sightings, OF_CAMERA), (Stream::Scans, OF_PHONE)]
    {
        let message = deployment.bus.get(stream, 1).await.unwrap().unwrap();
        let carried = message.header(header::TRACEPARENT).unwrap_or_default();
        assert!(carried.contains(trace), "{}: {carried:?}", stream.name());
    }
}
