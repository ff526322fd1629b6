//! Which questions are put once more: the table of `docs/ATTENDANCE.md`.

use super::super::question::opens_again;
use rollcall_schemas::fact::Resolution::{self, *};
use rollcall_store::reviews::Past;

fn past(resolution: impl Into<Option<Resolution>>, rejected: &[&str]) -> Past {
    Past { resolution: resolution.into(), rejected: rejected.iter().map(|it| (*it).to_owned()).collect() }
}

const FACE_IN_DOUBT: [&str; 4] = ["uncertain", "outside_class", "look_alike", "seen_twice"];
const SCAN_IN_DOUBT: [&str; 4] = ["outside_networks", "too_far", "no_position", "shared_device"];

#[test]
fn what_a_person_has_said_no_to_is_not_put_again_and_other_evidence_is() {
    let shown = ["uncertain", "no_scan", "too_far", "no_face"];
    // A face in doubt, a face, a scan in doubt, a scan: after a no to the first of a row, which of them are put?
    let rows = [
        ("uncertain", [false, true, true, true]),
        ("no_scan", [false, false, true, true]),
        ("too_far", [true, true, false, true]),
        ("no_face", [true, true, false, false]),
    ];
    for (rejected, opens) in rows {
        for answer in [Rejected, Reassigned, Known, Overtaken] {
            let found = shown.map(|reason| opens_again(&past(answer, &[rejected]), reason));
            assert_eq!(found, opens, "{answer} after a no to {rejected}");
        }
    }
}

#[test]
fn every_doubt_of_a_kind_is_like_the_others() {
    for doubts in [FACE_IN_DOUBT, SCAN_IN_DOUBT] {
        for (rejected, reason) in doubts.iter().flat_map(|one| doubts.map(|other| (*one, other))) {
            assert!(!opens_again(&past(Rejected, &[rejected]), reason), "{reason} after {rejected}");
        }
    }
    for (face, scan) in FACE_IN_DOUBT.into_iter().zip(SCAN_IN_DOUBT) {
        assert!(opens_again(&past(Rejected, &[face]), scan) && opens_again(&past(Rejected, &[scan]), face));
        assert!(!opens_again(&past(Rejected, &[face, scan]), face), "both were answered");
    }
}

#[test]
fn what_is_open_stays_and_what_is_accepted_is_over() {
    for reason in ["uncertain", "no_scan", "too_far", "no_face"] {
        assert!(!opens_again(&past(None, &[]), reason) && !opens_again(&past(Accepted, &[]), reason));
        assert!(opens_again(&past(Known, &[]), reason) && opens_again(&past(Overtaken, &[]), reason));
    }
}
