//! Who takes part in the demo: an organisation and its administrator, a teacher, students, a class, a camera. Made on
//! the first run, found again on the next.

use super::stage::{self, Photographs};
use crate::{
    client::{Client, send},
    config::Config,
    up::System,
};
use anyhow::{Context, bail, ensure};
use reqwest::{Method, multipart};
use rollcall_service::{clock::Entropy, config::Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{fs, io::Write, os::unix::fs::OpenOptionsExt, path::Path};

/// The file, in the data folder, that remembers drawn secrets.
pub const SECRETS: &str = "demo-secrets.json";
const ADMIN: &str = "admin@demo.example";
const TEACHER: &str = "teacher@demo.example";
const CLASS_CODE: &str = "DEMO-101";
const CAMERA_NAME: &str = "Demo room, front";

/// Everybody, signed in.
pub struct Cast {
    pub teacher: Client,
    pub camera: Client,
    pub camera_id: String,
    pub class_id: String,
    /// Enrolled, with a face.
    pub known: Student,
    /// Enrolled; scans the code.
    pub scanner: Student,
    /// Enrolled; does not come.
    pub missing: Student,
    /// Not enrolled in the class; scans all the same.
    pub outsider: Student,
}

/// A student, signed in.
pub struct Student {
    pub id: String,
    pub name: &'static str,
    pub client: Client,
}

/// What the demo must remember between runs: drawn secrets, never defaults.
#[derive(Serialize, Deserialize)]
struct Secrets {
    password: String,
    camera_key: Option<String>,
}

/// Makes or finds everybody.
pub async fn assemble(config: &Config, system: &System, photographs: &Photographs) -> anyhow::Result<Cast> {
    let path = config.data_dir.join(SECRETS);
    let mut secrets = read_or_draw(&path)?;
    let visitor = Client::new(&format!("http://{}", system.address()))?;

    let admin = stage::step("Creating the organisation and its administrator", async {
        system.ensure_admin("Demo School", ADMIN, &Secret::new(&secrets.password)).await?;
        visitor.sign_in(ADMIN, &secrets.password).await
    })
    .await?;
    let people = People { admin: &admin, visitor: &visitor, password: &secrets.password };
    let (teacher_id, teacher) =
        stage::step("Creating a teacher", people.ensure("users", TEACHER, "Ada Teacher", None)).await?;
    let [known, scanner, missing, outsider] =
        stage::step("Creating four students", people.students()).await?;
    let class_id = stage::step("Creating a class with three of them", async {
        let class_id = ensure_class(&admin, &teacher_id).await?;
        for student in [&known, &scanner, &missing] {
            let path = format!("/api/v1/classes/{class_id}/students");
            accept(admin.post(&path, &json!({ "studentId": student.id })).await?, &["CONFLICT"])?;
        }
        Ok(class_id)
    })
    .await?;
    let (camera_id, key) = stage::step("Registering a camera", async {
        let camera_id = ensure_camera(&admin, &class_id).await?;
        let key = match secrets.camera_key.take() {
            Some(key) => key,
            None => {
                let path = format!("/api/v1/cameras/{camera_id}/keys");
                text(&admin.post(&path, &json!({})).await?.data()?, "apiKey")?
            }
        };
        Ok((camera_id, key))
    })
    .await?;
    secrets.camera_key = Some(key.clone());
    write_private(&path, &secrets)?;
    stage::step("Enrolling a face from three photographs", enrol(&admin, &known, photographs)).await?;
    let camera = visitor.with_api_key(&key);
    Ok(Cast { teacher, camera, camera_id, class_id, known, scanner, missing, outsider })
}

/// How people are made.
struct People<'a> {
    admin: &'a Client,
    visitor: &'a Client,
    password: &'a str,
}

impl People<'_> {
    async fn students(&self) -> anyhow::Result<[Student; 4]> {
        const NAMES: [(&str, &str); 4] =
            [("Kim Known", "1"), ("Sam Scanner", "2"), ("Mia Missing", "3"), ("Otto Outsider", "4")];
        let mut students = Vec::with_capacity(NAMES.len());
        for (name, roll_number) in NAMES {
            let email = format!("student{roll_number}@demo.example");
            let (id, client) = self.ensure("students", &email, name, Some(roll_number)).await?;
            students.push(Student { id, name, client });
        }
        students.try_into().map_err(|_| anyhow::anyhow!("as many students as names"))
    }

    async fn ensure(
        &self,
        kind: &str,
        email: &str,
        name: &str,
        roll_number: Option<&str>,
    ) -> anyhow::Result<(String, Client)> {
        let mut body = json!({ "email": email, "fullName": name, "password": self.password });
        match roll_number {
            Some(roll_number) => body["rollNumber"] = roll_number.into(),
            None => body["role"] = "teacher".into(),
        }
        accept(self.admin.post(&format!("/api/v1/{kind}"), &body).await?, &["CONFLICT"])?;
        let client = self.visitor.sign_in(email, self.password).await?;
        let me = client.get("/api/v1/auth/me").await?.data()?;
        Ok((text(&me["user"], "id")?, client))
    }
}

async fn ensure_class(admin: &Client, teacher_id: &str) -> anyhow::Result<String> {
    let body = json!({ "name": "Introduction to attendance", "code": CLASS_CODE, "teacherId": teacher_id });
    accept(admin.post("/api/v1/classes", &body).await?, &["CONFLICT"])?;
    find(admin, "/api/v1/classes?limit=100", "classes", "code", CLASS_CODE).await
}

async fn ensure_camera(admin: &Client, class_id: &str) -> anyhow::Result<String> {
    accept(admin.post("/api/v1/cameras", &json!({ "name": CAMERA_NAME })).await?, &["CONFLICT"])?;
    let camera_id = find(admin, "/api/v1/cameras?limit=100", "cameras", "name", CAMERA_NAME).await?;
    let path = format!("/api/v1/classes/{class_id}/cameras/{camera_id}");
    accept(admin.put(&path, &json!({})).await?, &["CONFLICT"])?;
    Ok(camera_id)
}

async fn enrol(admin: &Client, student: &Student, photographs: &Photographs) -> anyhow::Result<()> {
    let mut form = multipart::Form::new();
    for (number, photograph) in photographs.enrolled.iter().enumerate() {
        let part = multipart::Part::bytes(photograph.clone())
            .file_name(format!("{number}.jpg"))
            .mime_str("image/jpeg")?;
        form = form.part("images", part);
    }
    let request =
        admin.request(Method::POST, &format!("/api/v1/students/{}/faces", student.id)).multipart(form);
    let answer = send(request).await?.body;
    // When none is new, which a second run finds, the answer is a refusal with the same list.
    let photos = answer["data"]["photos"].as_array().or(answer["error"]["details"]["photos"].as_array());
    let photos =
        photos.with_context(|| format!("the answer lists no photos: {}", answer["error"]["message"]))?;
    ensure!(photos.len() == photographs.enrolled.len(), "each photograph is answered, got {photos:?}");
    for photo in photos {
        let refusal = photo["refusal"].as_str();
        ensure!(matches!(refusal, None | Some("duplicate")), "a photograph was refused: {photo}");
    }
    Ok(())
}

/// Takes a success, or a refusal with one of `codes`, which on a second run only says that the thing is there.
fn accept(answer: crate::client::Answer, codes: &[&str]) -> anyhow::Result<()> {
    if codes.contains(&answer.code()) { Ok(()) } else { answer.data().map(|_| ()) }
}

async fn find(client: &Client, path: &str, list: &str, field: &str, value: &str) -> anyhow::Result<String> {
    let data = client.get(path).await?.data()?;
    let items = data[list].as_array().with_context(|| format!("{path} lists no {list}"))?;
    match items.iter().find(|item| item[field] == value) {
        Some(item) => text(item, "id"),
        None => bail!("{value} is not among the {list}"),
    }
}

/// A text field of an answer.
pub fn text(value: &Value, field: &str) -> anyhow::Result<String> {
    Ok(value[field].as_str().with_context(|| format!("the answer has no {field}"))?.to_owned())
}

fn read_or_draw(path: &Path) -> anyhow::Result<Secrets> {
    if path.exists() {
        return serde_json::from_slice(&fs::read(path)?)
            .with_context(|| format!("reading {}", path.display()));
    }
    // A drawn secret with each kind of character that the password rules ask for.
    let secrets = Secrets { password: format!("Aa1!{}", Entropy::real().secret()), camera_key: None };
    write_private(path, &secrets)?;
    Ok(secrets)
}

fn write_private(path: &Path, secrets: &Secrets) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(&serde_json::to_vec_pretty(secrets)?)?)
}
