//! Timetables over HTTP; that sessions follow them is tested against the real worker, which makes them.

use crate::testing::{SOON, TestApi};
use chrono::{DateTime, TimeDelta, Utc};
use http::Method;
use rollcall_schemas::id::ClassId;
use rollcall_test_support::{Client, eventually};
use serde_json::{Value, json};

const MONDAYS: &str = "2026-03-02";

/// Every Monday at nine, from the Monday on which tests begin.
fn mondays() -> Value {
    json!({ "entries": [{ "weekday": "monday", "startTime": "14:00", "endTime": "14:45", "from": MONDAYS }] })
}

async fn in_vienna() -> TestApi {
    let test = TestApi::start().await;
    let zone = json!({ "timeZone": "Europe/Vienna" });
    test.admin().send_json(Method::PATCH, "/api/v1/admin/config-org", &zone).await.data();
    test
}

fn timetable_of(class: impl std::fmt::Display) -> String {
    format!("/api/v1/classes/{class}/timetable")
}

/// When the lessons of a week begin that follow from timetables.
async fn week(client: &Client, date: &str) -> Vec<String> {
    let week = client.get(&format!("/api/v1/timetable?date={date}")).await;
    let lessons = week.data()["lessons"].as_array().unwrap().clone();
    let lessons = lessons.iter().filter(|lesson| lesson["origin"] != "manual");
    lessons.map(|lesson| lesson["startsAt"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_timetable_is_set_shown_and_expanded_over_the_night_of_the_clocks() {
    let test = in_vienna().await;
    let teacher = test.teacher();
    let path = timetable_of(test.school.class);
    let new = json!({
        "entries": [
            { "weekday": "monday", "startTime": "14:00", "endTime": "14:45", "room": "Lab", "from": MONDAYS, "everyWeeks": 2 },
            { "weekday": "sunday", "startTime": "09:00", "endTime": "10:00", "from": "2026-03-22", "until": "2026-04-05" },
        ],
        "exceptions": [
            { "date": "2026-03-16", "startTime": "14:00", "change": "moved",
              "toDate": "2026-03-17", "toStartTime": "08:00", "toEndTime": "08:45", "room": "Hall" },
            { "date": "2026-04-05", "startTime": "09:00", "change": "cancelled" },
            { "date": "2026-03-24", "startTime": "18:00", "change": "added", "endTime": "19:00" },
        ],
    });
    let set = teacher.put(&path, &new).await;
    let shown = teacher.get(&path).await;
    assert_eq!(set.data(), shown.data());
    let timetable = &shown.data()["timetable"];
    assert_eq!((&timetable["timeZone"], &timetable["revision"]), (&json!("Europe/Vienna"), &json!(1)));
    assert_eq!(timetable["entries"][0]["everyWeeks"], 2);
    assert_eq!(timetable["exceptions"].as_array().unwrap().len(), 3);

    for (date, wanted) in [
        ("2026-03-02", vec!["2026-03-02T13:00:00Z"]),
        ("2026-03-11", vec![]),
        ("2026-03-16", vec!["2026-03-17T07:00:00Z", "2026-03-22T08:00:00Z"]),
        ("2026-03-22", vec!["2026-03-17T07:00:00Z", "2026-03-22T08:00:00Z"]),
        ("2026-03-29", vec!["2026-03-24T17:00:00Z", "2026-03-29T07:00:00Z"]),
        ("2026-04-01", vec!["2026-03-30T12:00:00Z"]),
    ] {
        assert_eq!(week(&teacher, date).await, wanted, "{date}");
        assert_eq!(week(&test.student(), date).await, wanted, "{date}");
    }
    let other = test.client_of(test.school.other_teacher, rollcall_schemas::role::Role::Teacher);
    assert_eq!(week(&other, "2026-03-02").await, Vec::<String>::new());
    assert_eq!(week(&test.operator(), "2026-03-02").await.len(), 1);
    other.put(&path, &mondays()).await.refused(403, "AUTH_UNAUTHORIZED");
}

#[tokio::test]
async fn sessions_made_by_hand_stand_beside_the_lessons() {
    let test = in_vienna().await;
    test.start_attendance_worker();
    let (teacher, class) = (test.teacher(), test.school.class);
    teacher.put(&timetable_of(class), &mondays()).await.data();
    let plan = async |client: &Client, class: ClassId, day: &str, start: &str, end: &str| {
        let new = json!({
            "classId": class, "startTime": format!("{day}T{start}Z"), "endTime": format!("{day}T{end}Z"),
        });
        client.post("/api/v1/sessions", &new).await.data()["session"]["id"].clone()
    };
    // Sunday in London, and Monday in Vienna.
    let early = plan(&teacher, class, "2026-03-08", "23:30:00", "23:45:00").await;
    let cancelled = plan(&teacher, class, "2026-03-10", "09:00:00", "10:00:00").await;
    teacher.delete(&format!("/api/v1/sessions/{}", cancelled.as_str().unwrap())).await.data();
    let elsewhere = plan(&test.admin(), test.school.other_class, "2026-03-11", "09:00:00", "10:00:00").await;
    eventually("the lesson is planned", SOON, || async {
        (sessions(&teacher, class).await.len() >= 4).then_some(())
    })
    .await;

    let shown = async |client: &Client| {
        let week = client.get("/api/v1/timetable?date=2026-03-09").await;
        let lessons = week.data()["lessons"].as_array().unwrap().clone();
        lessons
            .iter()
            .map(|lesson| (lesson["origin"].clone(), lesson["sessionId"].clone()))
            .collect::<Vec<_>>()
    };
    for client in [&teacher, &test.student()] {
        let lessons = shown(client).await;
        let [by_hand, (origin, lesson)] = &lessons[..] else { panic!("{lessons:?}") };
        assert_eq!(by_hand, &(json!("manual"), early.clone()));
        assert!(origin == "regular" && lesson.is_string() && *lesson != early, "{lessons:?}");
    }
    assert!(shown(&test.operator()).await.contains(&(json!("manual"), elsewhere)));
    let week = teacher.get("/api/v1/timetable?date=2026-03-09").await;
    let first = &week.data()["lessons"][0];
    assert_eq!((&first["date"], &first["startTime"]), (&json!("2026-03-09"), &json!("00:30")));
    assert_eq!((&first["endTime"], &first["sessionStatus"]), (&json!("00:45"), &json!("scheduled")));

    let calendar =
        teacher.request(Method::GET, &format!("{}.ics", timetable_of(class))).send().await.unwrap();
    let calendar = calendar.text().await.unwrap();
    assert!(calendar.contains(&format!("UID:{}@rollcall", early.as_str().unwrap())), "{calendar}");
    assert!(!calendar.contains(cancelled.as_str().unwrap()), "{calendar}");
}

#[tokio::test]
async fn what_does_not_hold_together_is_named() {
    let test = in_vienna().await;
    let teacher = test.teacher();
    let path = timetable_of(test.school.class);
    let entry = |change: Value| {
        let mut entry =
            json!({ "weekday": "monday", "startTime": "14:00", "endTime": "14:45", "from": MONDAYS });
        entry.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({ "entries": [entry] })
    };
    let except = |exception: Value| {
        let mut timetable = mondays();
        timetable["exceptions"] = json!([exception]);
        timetable
    };
    for (body, field) in [
        (entry(json!({ "endTime": "13:00" })), "entries[0].endTime"),
        (entry(json!({ "endTime": null })), "entries[0].endTime"),
        (entry(json!({ "startTime": "25:00" })), "startTime"),
        (entry(json!({ "startTime": "9:00" })), "startTime"),
        (entry(json!({ "weekday": "someday" })), "weekday"),
        (entry(json!({ "everyWeeks": 0 })), "entries[0].everyWeeks"),
        (entry(json!({ "until": "2026-03-01" })), "entries[0].until"),
        (entry(json!({ "from": "+12026-03-01" })), "entries[0].from"),
        (json!({ "entries": [], "timeZone": "Mars/Olympus" }), "timeZone"),
        (
            except(json!({ "date": "2026-03-03", "startTime": "14:00", "change": "cancelled" })),
            "exceptions[0].date",
        ),
        (except(json!({ "date": MONDAYS, "startTime": "14:00", "change": "moved" })), "exceptions[0].change"),
    ] {
        let refused = teacher.put(&path, &body).await;
        refused.refused(422, "VALIDATION_FAILED");
        assert!(refused.body["error"]["details"].to_string().contains(field), "{body}: {}", refused.body);
    }
    assert_eq!(teacher.get(&path).await.data()["timetable"]["revision"], 0);
}

#[tokio::test]
async fn holidays_are_the_organisations_and_lessons_are_not_on_them() {
    let test = in_vienna().await;
    test.teacher().put(&timetable_of(test.school.class), &mondays()).await.data();
    let holidays = "/api/v1/settings/holidays";
    let new = json!({ "name": "Spring", "dateFrom": "2026-03-07", "dateTo": "2026-03-15" });
    test.teacher().post(holidays, &new).await.refused(403, "AUTH_UNAUTHORIZED");
    let added = test.operator().post(holidays, &new).await;
    assert_eq!((added.status.as_u16(), added.code()), (201, "HOLIDAY_CREATED"));
    assert_eq!(week(&test.student(), "2026-03-09").await, Vec::<String>::new());
    let shown = test.student().get("/api/v1/timetable?date=2026-03-09").await;
    assert_eq!(shown.data()["holidays"][0]["name"], "Spring");
    assert_eq!(test.student().get(holidays).await.data()["holidays"].as_array().unwrap().len(), 1);
    let id = added.data()["holiday"]["id"].as_str().unwrap();
    assert_eq!(test.admin().delete(&format!("{holidays}/{id}")).await.code(), "HOLIDAY_DELETED");
    test.admin().delete(&format!("{holidays}/{id}")).await.refused(404, "NOT_FOUND");
    assert_eq!(week(&test.student(), "2026-03-09").await, ["2026-03-09T13:00:00Z"]);
    let backwards = json!({ "name": "x", "dateFrom": "2026-03-07", "dateTo": "2026-03-06" });
    test.admin().post(holidays, &backwards).await.refused(422, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_teachers_settings_fill_the_schedule_up() {
    let test = in_vienna().await;
    let (teacher, class) = (test.teacher(), test.school.class);
    let path = "/api/v1/settings";
    let before = teacher.get(path).await;
    assert_eq!(before.data()["profile"]["fullName"], "Tom teacher");
    assert_eq!(before.data()["settings"], json!({ "defaultRoom": null, "lessonMinutes": null }));
    let patch = json!({ "settings": { "defaultRoom": "Lab", "lessonMinutes": 50 } });
    teacher.send_json(Method::PATCH, path, &patch).await.data();

    let short = json!({ "entries": [{ "weekday": "tuesday", "startTime": "10:00", "from": MONDAYS }] });
    let schedule = json!({ "schedule": [{ "classId": class, "timetable": short }] });
    let set = teacher.put("/api/v1/settings/schedule", &schedule).await;
    let entry = &set.data()["schedule"]["timetables"][0]["entries"][0];
    assert_eq!((&entry["endTime"], &entry["room"]), (&json!("10:50"), &json!("Lab")));
    // A null takes back one setting and leaves the other.
    let patch = json!({ "settings": { "defaultRoom": null } });
    let patched = teacher.send_json(Method::PATCH, path, &patch).await;
    assert_eq!(patched.data()["settings"], json!({ "defaultRoom": null, "lessonMinutes": 50 }));
    assert_eq!(patched.data()["schedule"]["timetables"][0]["entries"].as_array().unwrap().len(), 1);

    // The full schedule: what it does not name is gone.
    let full = json!({ "settings": {}, "schedule": [] });
    let put = teacher.put(path, &full).await;
    assert_eq!(put.data()["settings"], json!({ "defaultRoom": null, "lessonMinutes": null }));
    assert_eq!(put.data()["schedule"]["timetables"][0]["entries"], json!([]));
    let others = json!({ "schedule": [{ "classId": test.school.other_class, "timetable": mondays() }] });
    teacher.put("/api/v1/settings/schedule", &others).await.refused(403, "AUTH_UNAUTHORIZED");
}

#[tokio::test]
async fn calendars_are_read_by_address_and_imported() {
    let test = in_vienna().await;
    let (teacher, class) = (test.teacher(), test.school.class);
    teacher.put(&timetable_of(class), &mondays()).await.data();
    let text = async |client: &Client, path: &str| {
        let answer = client.request(Method::GET, path).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/calendar; charset=utf-8", "{path}");
        answer.text().await.unwrap()
    };
    let of_class = text(&teacher, &format!("{}.ics", timetable_of(class))).await;
    assert!(of_class.contains("DTSTART:20260302T130000Z") && of_class.contains("DTSTART:20260330T120000Z"));

    let address = test.student().post("/api/v1/timetable/address", &json!({})).await;
    let address = address.data()["address"].as_str().unwrap().to_owned();
    let visitor = test.edge.client();
    assert!(text(&visitor, &address).await.contains("SUMMARY:Class A1 (A1)"));
    visitor.get("/api/v1/timetable.ics?token=wrong").await.refused(401, "AUTH_TOKEN_INVALID");
    let newer = test.student().post("/api/v1/timetable/address", &json!({})).await;
    visitor.get(&address).await.refused(401, "AUTH_TOKEN_INVALID");
    let newer = newer.data()["address"].as_str().unwrap().to_owned();
    test.student().delete("/api/v1/timetable/address").await.data();
    visitor.get(&newer).await.refused(401, "AUTH_TOKEN_INVALID");

    let import = format!("{}/import", timetable_of(class));
    let file = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nUID:1\nSUMMARY:Algebra\nDTSTART;TZID=Europe/Vienna:20260303T080000\n\
                DURATION:PT1H\nRRULE:FREQ=WEEKLY\nEXDATE;TZID=Europe/Vienna:20260310T080000\nEND:VEVENT\nEND:VCALENDAR\n";
    let send = async |query: &str, file: &str| {
        let body = ("text/calendar", file.as_bytes().to_vec());
        teacher.send(Method::POST, &format!("{import}{query}"), Some(body)).await
    };
    let checked = send("?dryRun=true", file).await;
    assert_eq!(checked.code(), "IMPORT_CHECKED");
    assert_eq!(
        checked.data()["lines"],
        json!([{ "line": 2, "summary": "Algebra", "entries": 1, "exceptions": 1 }])
    );
    assert_eq!(week(&teacher, "2026-03-02").await, ["2026-03-02T13:00:00Z"]);
    let bad = file.replace("FREQ=WEEKLY", "FREQ=YEARLY");
    let refused = send("", &bad).await;
    refused.refused(422, "VALIDATION_FAILED");
    assert_eq!(refused.body["error"]["details"]["errors"][0]["line"], 2);
    assert_eq!(send("", file).await.code(), "TIMETABLE_IMPORTED");
    assert_eq!(week(&teacher, "2026-03-02").await, ["2026-03-03T07:00:00Z"]);
    assert_eq!(week(&teacher, "2026-03-09").await, Vec::<String>::new());
}

/// The sessions of a class that are not cancelled: when they begin, and in which room.
async fn sessions(client: &Client, class: impl std::fmt::Display) -> Vec<(DateTime<Utc>, Value)> {
    let list = client.get(&format!("/api/v1/sessions/class/{class}?limit=100")).await;
    let list = list.data()["sessions"].as_array().unwrap().clone();
    let kept = list.into_iter().filter(|session| session["status"] != "cancelled");
    let mut kept: Vec<_> = kept
        .map(|session| (session["startTime"].as_str().unwrap().parse().unwrap(), session["room"].clone()))
        .collect();
    kept.sort_by_key(|(starts_at, _)| *starts_at);
    kept
}

#[tokio::test]
async fn sessions_follow_the_timetable_and_what_is_in_the_way_is_told() {
    let test = in_vienna().await;
    test.start_attendance_worker();
    let (teacher, class) = (test.teacher(), test.school.class);
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    // The school has one session already, by hand.
    let by_hand = test.clock.now();
    let are_now = async |class, wanted: Vec<(DateTime<Utc>, Value)>| {
        let client = test.admin();
        let as_wanted = || async { (sessions(&client, class).await == wanted).then_some(()) };
        eventually(&format!("the sessions {wanted:?}"), SOON, as_wanted).await;
    };
    let mut timetable = mondays();
    timetable["entries"][0]["room"] = json!("Lab");
    teacher.put(&timetable_of(class), &timetable).await.data();
    let (first, second, third) =
        (at("2026-03-02T13:00:00Z"), at("2026-03-09T13:00:00Z"), at("2026-03-16T13:00:00Z"));
    let lab = json!("Lab");
    are_now(
        class,
        vec![(by_hand, Value::Null), (first, lab.clone()), (second, lab.clone()), (third, lab.clone())],
    )
    .await;

    // Another class wants the same room on one of the days.
    let other = test.client_of(test.school.other_teacher, rollcall_schemas::role::Role::Teacher);
    let clash = json!({ "entries": [
        { "weekday": "monday", "startTime": "14:30", "endTime": "15:30", "room": "LAB", "from": "2026-03-09", "until": "2026-03-09" },
        { "weekday": "monday", "startTime": "15:00", "endTime": "16:00", "room": "LAB", "from": "2026-03-16" },
    ] });
    let other_class = test.school.other_class;
    other.put(&timetable_of(other_class), &clash).await.data();
    are_now(other_class, vec![(at("2026-03-16T14:00:00Z"), json!("LAB"))]).await;
    let told = other.get(&timetable_of(other_class)).await;
    let [warning] = &told.data()["warnings"].as_array().unwrap()[..] else { panic!("{}", told.body) };
    assert_eq!((&warning["date"], &warning["startTime"]), (&json!("2026-03-09"), &json!("14:30")));
    assert!(warning["message"].as_str().unwrap().contains("Class A1"), "{warning}");
    // It names another class, which is not for everybody who may read the timetable.
    let other_student = test.client_of(test.school.other_student, rollcall_schemas::role::Role::Student);
    let new = json!({ "name": "Signage", "scopes": ["classes:read"] });
    let key = test.admin().post("/api/v1/api-keys", &new).await.data()["apiKey"].clone();
    let program = test.edge.client().with_api_key(key.as_str().unwrap());
    let path = timetable_of(other_class);
    eventually("the key is told", SOON, || async {
        program.get(&path).await.status.is_success().then_some(())
    })
    .await;
    for client in [&other_student, &program] {
        assert_eq!(client.get(&path).await.data()["warnings"], json!([]));
    }

    // The room changes, one day is cancelled: the sessions are the same ones.
    timetable["entries"][0]["room"] = json!("Hall");
    timetable["exceptions"] = json!([{ "date": "2026-03-09", "startTime": "14:00", "change": "cancelled" }]);
    teacher.put(&timetable_of(class), &timetable).await.data();
    let hall = json!("Hall");
    are_now(class, vec![(by_hand, Value::Null), (first, hall.clone()), (third, hall.clone())]).await;
    // The day is held after all, and the clocks go on: one more day is planned, the first stays as it was held.
    timetable["exceptions"] = json!([]);
    test.clock.advance(TimeDelta::days(7));
    let teacher = test.teacher();
    teacher.put(&timetable_of(class), &timetable).await.data();
    let fourth = at("2026-03-23T13:00:00Z");
    let hall_of = |day| (day, hall.clone());
    are_now(
        class,
        [vec![(by_hand, Value::Null)], [first, second, third, fourth].map(hall_of).to_vec()].concat(),
    )
    .await;
}

#[tokio::test]
async fn a_lesson_is_shown_where_its_session_is() {
    let test = in_vienna().await;
    test.start_attendance_worker();
    let (teacher, class) = (test.teacher(), test.school.class);
    let class_path = format!("/api/v1/classes/{class}");
    teacher.put(&class_path, &json!({ "room": "B 12" })).await.data();
    teacher.put(&timetable_of(class), &mondays()).await.data();
    // What does not concern lessons has them planned no second time.
    let name = json!({ "name": "Hill School" });
    test.admin().send_json(Method::PATCH, "/api/v1/admin/config-org", &name).await.data();
    assert_eq!(teacher.get(&timetable_of(class)).await.data()["timetable"]["revision"], 1);
    let lesson = async |date: &str| {
        let week = teacher.get(&format!("/api/v1/timetable?date={date}")).await;
        let lessons = week.data()["lessons"].as_array().unwrap().clone();
        let lessons: Vec<_> = lessons.into_iter().filter(|lesson| lesson["origin"] != "manual").collect();
        let [lesson] = &lessons[..] else { panic!("{lessons:?}") };
        lesson.clone()
    };
    let session_on = async |date: &str| {
        let planned = || async { lesson(date).await["sessionId"].as_str().map(str::to_owned) };
        format!("/api/v1/sessions/{}", eventually("the session", SOON, planned).await)
    };
    assert_eq!(lesson("2026-03-30").await["room"], "B 12", "of which there is no session yet");

    let moved = json!({
        "startTime": "2026-03-11T10:00:00Z", "endTime": "2026-03-11T11:00:00Z", "room": "Garden",
    });
    let path = session_on("2026-03-09").await;
    teacher.put(&path, &moved).await.data();
    let shown = lesson("2026-03-09").await;
    assert_eq!(
        [&shown["date"], &shown["startTime"], &shown["endTime"], &shown["room"], &shown["origin"]],
        ["2026-03-11", "11:00", "12:00", "Garden", "moved"]
    );
    let path = session_on("2026-03-16").await;
    teacher.delete(&path).await.data();
    assert_eq!(lesson("2026-03-16").await["sessionStatus"], "cancelled");

    let calendar = format!("{}.ics", timetable_of(class));
    let calendar = teacher.request(Method::GET, &calendar).send().await.unwrap().text().await.unwrap();
    let event = |date: &str| {
        let uid = format!("UID:{class}-{date}T1400@rollcall");
        let mut events =
            calendar.split("BEGIN:VEVENT").filter(|event| event.replace("\r\n ", "").contains(&uid));
        let event = events.next().unwrap_or_else(|| panic!("{uid}: {calendar}")).to_owned();
        assert!(events.next().is_none(), "{uid}: {calendar}");
        event
    };
    assert!(event("2026-03-09").contains("DTSTART:20260311T100000Z"), "{calendar}");
    assert!(event("2026-03-16").contains("STATUS:CANCELLED"), "{calendar}");
    assert!(!event("2026-03-30").contains("STATUS"), "{calendar}");

    // Whatever was not moved by hand follows the class.
    teacher.put(&class_path, &json!({ "room": "C 1" })).await.data();
    let path = session_on("2026-03-02").await;
    eventually("the session follows", SOON, || async {
        (teacher.get(&path).await.data()["session"]["room"] == "C 1").then_some(())
    })
    .await;
    assert_eq!(lesson("2026-03-09").await["room"], "Garden");
}

#[tokio::test]
async fn an_archived_class_takes_no_timetable_and_gives_its_planned_sessions_up() {
    let test = in_vienna().await;
    test.start_attendance_worker();
    let (teacher, class) = (test.teacher(), test.school.class);
    let plan = json!({
        "classId": class, "startTime": "2026-03-05T09:00:00Z", "endTime": "2026-03-05T10:00:00Z", "room": "Hall",
    });
    let planned = teacher.post("/api/v1/sessions", &plan).await.data()["session"]["id"].clone();
    teacher.delete(&format!("/api/v1/classes/{class}")).await.data();
    teacher.put(&timetable_of(class), &mondays()).await.refused(409, "CONFLICT");
    let path = format!("/api/v1/sessions/{}", planned.as_str().unwrap());
    eventually("the session is given up", SOON, || async {
        (teacher.get(&path).await.data()["session"]["status"] == "cancelled").then_some(())
    })
    .await;
    // The room is free.
    let mut other = plan.clone();
    other["classId"] = json!(test.school.other_class);
    test.admin().post("/api/v1/sessions", &other).await.data();
}
