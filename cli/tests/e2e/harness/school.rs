//! One class as tests use it: a teacher, a camera that looks at it, one student whose face is known.

use super::{
    Camera, Deployment, People, Pictures, Student,
    people::{id_of, students},
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use reqwest::multipart::{Form, Part};
use rollcall_schemas::id::{ClassId, SessionId};
use rollcall_service::clock::Clock;
use serde_json::json;

/// A class and what belongs to it.
pub(crate) struct School {
    pub(crate) people: People,
    pub(crate) class: ClassId,
    pub(crate) camera: Camera,
    /// Enrolled in the class, and by face.
    pub(crate) known: Student,
}

/// An open session.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// What its code says.
    pub(crate) qr_token: String,
    pub(crate) started_at: DateTime<Utc>,
}

impl School {
    /// Makes everything, over HTTP where it is not about numbers.
    pub(crate) async fn open(deployment: &Deployment) -> Self {
        let people = People::hire(deployment).await;
        let class = json!({ "name": "Attendance", "code": "E2E-1", "teacherId": people.teacher_id });
        let class = people.admin.post("/api/v1/classes", &class).await;
        let class = ClassId(id_of(&class.data()["class"]));
        let camera = people.camera(deployment, class, "Front").await;
        let known = students(deployment, "known", 1, Some(class)).await.remove(0);
        Self { people, class, camera, known }
    }

    /// Enrols the known student's face from three photographs.
    pub(crate) async fn enrol_face(&self) {
        let mut form = Form::new();
        for photograph in &Pictures::get().enrolment {
            let part = Part::stream(photograph.clone()).file_name("photograph.jpg").mime_str("image/jpeg");
            form = form.part("images", part.expect("image/jpeg is a media type"));
        }
        let path = format!("/api/v1/students/{}/faces", self.known.id);
        let answer = self.people.admin.post_form(&path, form).await;
        let photos = answer.data()["photos"].as_array().expect("each photograph is answered").clone();
        assert_eq!(photos.len(), 3, "{}", answer.body);
        assert!(photos.iter().all(|photo| photo["status"] == "accepted"), "{}", answer.body);
    }

    /// More students of the class.
    pub(crate) async fn students(&self, deployment: &Deployment, count: usize) -> Vec<Student> {
        students(deployment, "student", count, Some(self.class)).await
    }

    /// Students who are not in the class.
    pub(crate) async fn outsiders(&self, deployment: &Deployment, count: usize) -> Vec<Student> {
        students(deployment, "outsider", count, None).await
    }

    /// Plans a session and starts it.
    pub(crate) async fn start_session(&self) -> Session {
        let teacher = &self.people.teacher;
        let time = |minutes| {
            (Clock::real().now() + TimeDelta::minutes(minutes)).to_rfc3339_opts(SecondsFormat::Micros, true)
        };
        let planned = json!({ "classId": self.class, "startTime": time(0), "endTime": time(45) });
        let planned = teacher.post("/api/v1/sessions", &planned).await;
        let id = id_of(&planned.data()["session"]);
        teacher.put(&format!("/api/v1/sessions/{id}/start"), &json!({})).await.data();
        let session = teacher.get(&format!("/api/v1/sessions/{id}")).await;
        let started_at = session.data()["session"]["startedAt"].as_str().expect("it is started").parse();
        let code = teacher.get(&format!("/api/v1/sessions/{id}/qr")).await;
        let qr_token =
            code.data()["qrCode"]["token"].as_str().expect("an open session has a code").to_owned();
        Session { id: SessionId(id), qr_token, started_at: started_at.expect("times are RFC 3339") }
    }
}
