//! Who calls: administrators and teachers by password, students and cameras in numbers.

use super::{Deployment, Service};
use rollcall_schemas::{
    id::{CameraId, ClassId, EnrolmentId, UserId},
    role::Role,
};
use rollcall_service::clock::{Clock, Entropy};
use rollcall_store::{enrolments, organisations, users, users::NewUser};
use rollcall_test_support::Client;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::{io::AsyncWriteExt, process::Command};

/// Of everybody who signs in.
pub(crate) const PASSWORD: &str = "Correct-horse-7";

/// A student who is signed in.
#[derive(Clone, Debug)]
pub(crate) struct Student {
    pub(crate) id: UserId,
    pub(crate) token: String,
}

/// A camera with its key, at the front door.
#[derive(Clone, Debug)]
pub(crate) struct Camera {
    pub(crate) id: CameraId,
    pub(crate) key: String,
    pub(crate) client: Client,
}

/// The staff, signed in at the api, and the means to make everybody else.
pub(crate) struct People {
    pub(crate) admin: Client,
    pub(crate) teacher: Client,
    pub(crate) teacher_id: UserId,
}

impl People {
    /// The administrator is made with `rollcall admin create-user`, and makes the teacher.
    pub(crate) async fn hire(deployment: &Deployment) -> Self {
        let visitor = deployment.visitor(Service::Api);
        create_admin(deployment, "admin@e2e.example").await;
        let admin = sign_in(&visitor, "admin@e2e.example").await;
        let teacher = json!({
            "email": "teacher@e2e.example", "fullName": "Ada Teacher", "password": PASSWORD, "role": "teacher",
        });
        admin.post("/api/v1/users", &teacher).await.data();
        let teacher = sign_in(&visitor, "teacher@e2e.example").await;
        let me = teacher.get("/api/v1/auth/me").await;
        let teacher_id = id_of(&me.data()["user"]);
        Self { admin, teacher, teacher_id: UserId(teacher_id) }
    }

    /// A camera of a class, with a key.
    pub(crate) async fn camera(&self, deployment: &Deployment, class: ClassId, name: &str) -> Camera {
        let camera = json!({ "name": name, "maxFramesPerSecond": 60 });
        let answer = self.admin.post("/api/v1/cameras", &camera).await;
        let id = id_of(&answer.data()["camera"]);
        self.admin.put(&format!("/api/v1/classes/{class}/cameras/{id}"), &json!({})).await.data();
        let key = self.admin.post(&format!("/api/v1/cameras/{id}/keys"), &json!({})).await;
        let key = key.data()["apiKey"].as_str().expect("a new key is shown once").to_owned();
        let client = deployment.visitor(Service::Ingest).with_api_key(&key);
        Camera { id: CameraId(id), key, client }
    }
}

/// Students without passwords, written as the api writes them: making hundreds one call at a time proves nothing more.
pub(crate) async fn students(
    deployment: &Deployment,
    names: &str,
    count: usize,
    class: Option<ClassId>,
) -> Vec<Student> {
    let (clock, entropy) = (Clock::real(), Entropy::real());
    let mut tx = deployment.pool.begin().await.expect("the database is up");
    let organisation = organisations::find(&mut tx).await.expect("the database is up").expect("there is one");
    let mut made = Vec::with_capacity(count);
    for number in 0..count {
        let id = UserId(entropy.uuid_v4());
        let email = format!("{names}-{number}@e2e.example");
        let student = NewUser {
            id,
            organisation_id: organisation.id,
            email: email.clone(),
            full_name: format!("{names} {number:03}"),
            role: Role::Student,
            roll_number: Some(format!("{names}-{number}")),
            password_hash: None,
            created_at: clock.now(),
        };
        users::create(&mut tx, &student).await.expect("the address is new");
        if let Some(class) = class {
            let enrolment = EnrolmentId(entropy.uuid_v4());
            enrolments::create(&mut tx, enrolment, (class, id), clock.now()).await.expect("both are there");
        }
        made.push(Student { id, token: deployment.signer.issue(id, &email, Role::Student).0 });
    }
    tx.commit().await.expect("the database is up");
    made
}

/// Runs `rollcall admin create-user` beside a deployment.
pub(crate) async fn create_admin(deployment: &Deployment, email: &str) {
    run_create_admin(deployment.tool(&[]), email).await;
}

/// Makes `command`, the binary with its settings, create an administrator. The password goes in by standard input.
pub(crate) async fn run_create_admin(mut command: Command, email: &str) {
    command.args(["admin", "create-user", "--email", email, "--name", "Grace Admin", "--role", "admin"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("setpriv is installed");
    let mut stdin = child.stdin.take().expect("it was asked for above");
    stdin.write_all(format!("{PASSWORD}\n").as_bytes()).await.expect("it reads its input");
    drop(stdin);
    let output = child.wait_with_output().await.expect("a child can be waited for");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Signs in with the password that everybody has here.
pub(crate) async fn sign_in(visitor: &Client, email: &str) -> Client {
    let answer = visitor.post("/api/v1/auth/login", &json!({ "email": email, "password": PASSWORD })).await;
    visitor.with_token(answer.data()["token"].as_str().expect("a sign-in is answered with a token"))
}

/// The id of what an answer shows.
pub(crate) fn id_of(value: &Value) -> uuid::Uuid {
    let id = value["id"].as_str().unwrap_or_else(|| panic!("no id in {value}"));
    id.parse().expect("an id is a UUID")
}
