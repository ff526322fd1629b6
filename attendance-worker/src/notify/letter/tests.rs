use super::*;
use chrono_tz::Europe::Vienna;
use rollcall_schemas::{
    fact::{AttendanceStatus, Evidence, Scope},
    id::{AttendanceId, FactId, GuardianId, ReviewId, SightingId},
    notification::Topic,
};
use uuid::Uuid;

const STUDENT: UserId = UserId(Uuid::from_u128(1));
const GUARDIAN: Recipient = Recipient::Guardian(GuardianId(Uuid::from_u128(2)));

fn told(topic: Topic) -> Told {
    let at = "2026-03-02T08:00:00Z".parse().unwrap();
    let (attendance_id, evidence) = (AttendanceId(Uuid::nil()), Evidence::None);
    let recorded = |status| FactEvent::AttendanceRecorded {
        attendance_id,
        student_id: STUDENT,
        status,
        marked_at: at,
        evidence,
        similarity: None,
    };
    let event = match topic {
        Topic::Absent => recorded(AttendanceStatus::Absent),
        Topic::Late => recorded(AttendanceStatus::Late),
        Topic::Corrected => FactEvent::AttendanceCorrected {
            attendance_id,
            student_id: STUDENT,
            from: AttendanceStatus::Absent,
            to: AttendanceStatus::Excused,
            marked_at: at,
            evidence,
        },
        Topic::SessionSummary => {
            FactEvent::SessionEnded { ended_at: at, present: 20, late: 3, absent: 2, excused: 1 }
        }
        Topic::ReviewOpened => FactEvent::ReviewOpened {
            review_id: ReviewId(Uuid::nil()),
            sighting_id: Some(SightingId(Uuid::nil())),
            face_index: Some(0),
            candidates: vec![],
        },
        Topic::WebhookDisabled => {
            FactEvent::WebhookDisabled { webhook_id: WebhookId(Uuid::nil()), failing_since: at }
        }
        Topic::MessageParked => {
            FactEvent::MessageParked { stream: "SCANS".into(), consumer: "attendance-scans".into() }
        }
    };
    let fact = Fact { fact_id: FactId(Uuid::nil()), at, scope: Scope::default(), event };
    Told { topic: topic.to_string(), fact }
}

fn names(student: &str) -> Names {
    Names {
        student: Some(student.into()),
        class: Some("Mathematics 1".into()),
        starts_at: Some("2026-03-02T08:00:00Z".parse().unwrap()),
        webhook: Some("Student register".into()),
    }
}

fn texts() -> Environment<'static> {
    let mut texts = Environment::new();
    for (name, text) in TEXTS {
        texts.add_template(name, text).unwrap();
    }
    texts
}

fn letter(recipient: Recipient, language: Language, topic: &str, told: &[(&Told, Names)]) -> Letter {
    let texts = texts();
    let place = Place { name: "Hill School".into(), zone: Vienna, language: Language::English };
    let to = Address { full_name: "Robin".into(), email: "r@home.example".into(), language: Some(language) };
    Page { texts: &texts, place: &place, recipient, to }.write((topic, told.len()), told).unwrap()
}

#[test]
fn every_topic_is_written_in_every_language_to_oneself_and_to_others() {
    let mut lines = Vec::new();
    for language in Language::ALL {
        for topic in Topic::ALL {
            for recipient in [Recipient::User(STUDENT), GUARDIAN] {
                let told = told(*topic);
                let letter = letter(recipient, *language, topic.as_str(), &[(&told, names("Anna"))]);
                lines.push(format!(
                    "{language} {topic}: {} | {}",
                    letter.subject,
                    letter.sentences.join(" ")
                ));
            }
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn of_very_much_the_rest_is_counted() {
    let told = told(Topic::Late);
    let texts = texts();
    let place = Place { name: "Hill School".into(), zone: Vienna, language: Language::German };
    let to = Address { full_name: "Robin".into(), email: "r@home.example".into(), language: None };
    let page = Page { texts: &texts, place: &place, recipient: GUARDIAN, to };
    let letter = page.write((DIGEST, 240), &vec![(&told, names("Anna")); 100]).unwrap();
    assert_eq!((letter.subject.as_str(), letter.sentences.len()), ("240 Mitteilungen", 100));
    assert!(letter.text.contains("\n- und 140 weitere\n"), "{}", letter.text);
    assert!(letter.html.contains("<li>und 140 weitere</li>"), "{}", letter.html);
}

#[test]
fn a_record_taken_back_and_a_scan_in_doubt_have_words_of_their_own() {
    let withdrawn = FactEvent::AttendanceWithdrawn {
        attendance_id: AttendanceId(Uuid::nil()),
        student_id: STUDENT,
        from: AttendanceStatus::Absent,
    };
    let scan = FactEvent::ReviewOpened {
        review_id: ReviewId(Uuid::nil()),
        sighting_id: None,
        face_index: None,
        candidates: vec![STUDENT],
    };
    let mut lines = Vec::new();
    for language in Language::ALL {
        for (topic, event) in [(Topic::Corrected, &withdrawn), (Topic::ReviewOpened, &scan)] {
            let like = told(topic);
            let told = Told { fact: Fact { event: event.clone(), ..like.fact }, ..like };
            let letter = letter(GUARDIAN, *language, topic.as_str(), &[(&told, names("Anna"))]);
            lines.push(format!("{} | {}", letter.subject, letter.sentences.join(" ")));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_mail_is_text_and_html_and_a_digest_is_a_list() {
    let (absent, late) = (told(Topic::Absent), told(Topic::Late));
    let one = letter(GUARDIAN, Language::German, "attendance.absent", &[(&absent, names("Anna"))]);
    let parts = [(&absent, names("Anna")), (&late, names("Anna"))];
    let digest = letter(GUARDIAN, Language::English, DIGEST, &parts);
    insta::assert_snapshot!([one.text, one.html, digest.subject, digest.text, digest.html].join("\n=====\n"));
}

#[test]
fn a_name_is_a_name_and_nothing_else() {
    let name = "<img src=x onerror=alert(1)>\r\nBcc: all@school.example\u{2028}{{ organisation }}";
    let told = told(Topic::Absent);
    let letter = letter(GUARDIAN, Language::English, "attendance.absent", &[(&told, names(name))]);
    assert!(!letter.subject.contains(['\r', '\n', '\u{2028}']), "{}", letter.subject);
    assert!(!letter.html.contains("<img"), "{}", letter.html);
    assert!(
        letter.html.contains("&lt;img src=x onerror=alert(1)&gt; Bcc: all@school.example"),
        "{}",
        letter.html
    );
    assert!(letter.text.contains("{{ organisation }}"), "{}", letter.text);
}
