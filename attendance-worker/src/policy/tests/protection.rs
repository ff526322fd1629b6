use super::{
    super::{
        protection::{Found, Objection, ScanDoubt, check},
        question::Question,
        scan::ScanDecision,
    },
    *,
};
use proptest::prelude::*;
use rollcall_schemas::{
    code::Code,
    id::RequestId,
    scan::{OnDoubt, Position, QrToken, Scan},
};
use rollcall_store::protections::{Protections, RoomPosition};
use std::net::IpAddr;

/// A room in Vienna, with twenty metres around it.
const ROOM: RoomPosition = RoomPosition { latitude: 48.2082, longitude: 16.3738, radius_m: 20 };
/// A metre to the north, in degrees.
const METRE: f64 = 1.0 / 111_195.08;

fn a_scan(ip: Option<&str>, position: Option<Position>) -> Scan {
    Scan {
        scan_id: scan_id(1),
        request_id: RequestId(Uuid::from_u128(1)),
        student_id: user(1),
        token: QrToken(Uuid::from_u128(3)),
        scanned_at: at(10),
        ip: ip.map(|ip| ip.parse().unwrap()),
        user_agent: None,
        position,
        device_id: None,
    }
}

/// So many metres north of the room, known to so many metres.
fn north(metres: f64, accuracy_m: Option<f64>) -> Option<Position> {
    let latitude = ROOM.latitude + metres * METRE;
    Some(Position { latitude, longitude: ROOM.longitude, accuracy_m })
}

fn refusal(scan: &Scan, rules: &Protections, shared: bool) -> Option<Code> {
    match check(scan, &context(), rules, shared).1? {
        Objection::Refusal(code) => Some(code),
        Objection::Review(doubt) => panic!("{doubt:?}"),
    }
}

#[test]
fn a_class_without_rules_refuses_nothing() {
    let scan = a_scan(None, north(1e6, None));
    let (found, objection) = check(&scan, &context(), &Protections::default(), false);
    assert_eq!(objection, None);
    let only_the_code = Found {
        code_age_ms: 10_000,
        code_life_ms: 4_000_000,
        network_allowed: None,
        distance_m: None,
        accuracy_m: None,
        in_room: None,
        device_shared: None,
    };
    assert_eq!(found, only_the_code);
}

#[test]
fn whether_a_scan_comes_from_an_allowed_network() {
    let networks = ["10.20.0.0/16", "2001:db8:5::/48", "192.0.2.7/32"];
    let allowed_networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    let rules = Protections { allowed_networks, ..Protections::default() };
    let cases = [
        (Some("10.20.0.0"), true),
        (Some("10.20.255.255"), true),
        (Some("10.21.0.0"), false),
        (Some("192.0.2.7"), true),
        (Some("192.0.2.8"), false),
        (Some("2001:db8:5:ffff::1"), true),
        (Some("2001:db8:6::1"), false),
        (Some("127.0.0.1"), false),
        // Nobody knows where it came from.
        (None, false),
    ];
    for (ip, is_allowed) in cases {
        let expected = (!is_allowed).then_some(Code::NetworkNotAllowed);
        let (found, refusal) = check(&a_scan(ip, None), &context(), &rules, false);
        assert_eq!(
            (refusal, found.network_allowed),
            (expected.map(Objection::Refusal), Some(is_allowed)),
            "{ip:?}"
        );
    }
}

#[test]
fn whether_a_phone_is_near_enough() {
    let rules = Protections { room: Some(ROOM), ..Protections::default() };
    let cases = [
        (0.0, None, true),
        (19.9, None, true),
        (20.1, None, false),
        (20.1, Some(0.0), false),
        // It may be in the room for all it knows.
        (29.9, Some(10.0), true),
        (30.1, Some(10.0), false),
        (39.9, Some(20.0), true),
        // It knows nothing: then it is believed for one radius.
        (39.9, Some(5_000.0), true),
        (40.1, Some(5_000.0), false),
        (1_000.0, Some(1e12), false),
    ];
    for (metres, accuracy_m, is_near) in cases {
        let expected = (!is_near).then_some(Code::TooFarFromRoom);
        let (found, refusal) = check(&a_scan(None, north(metres, accuracy_m)), &context(), &rules, false);
        assert_eq!(
            (refusal, found.in_room),
            (expected.map(Objection::Refusal), Some(is_near)),
            "{metres} m, {accuracy_m:?}"
        );
        assert!((found.distance_m.unwrap() - metres).abs() < 0.01 * metres.max(1.0), "{found:?}");
    }
}

#[test]
fn distances_that_everybody_can_look_up() {
    // Of great circles on a sphere of 6371 km: a quarter of it, half of it, and from one side of the date line to the other.
    let cases = [
        ((0.0, 0.0), (90.0, 0.0), 10_007_557.2),
        ((0.0, 0.0), (0.0, 180.0), 20_015_114.4),
        ((0.0, 179.999), (0.0, -179.999), 222.4),
        ((48.2082, 16.3738), (48.1486, 17.1077), 54_860.0),
    ];
    for ((latitude, longitude), (room_latitude, room_longitude), metres) in cases {
        let room = RoomPosition { latitude: room_latitude, longitude: room_longitude, radius_m: 1 };
        let rules = Protections { room: Some(room), ..Protections::default() };
        let scan = a_scan(None, Some(Position { latitude, longitude, accuracy_m: None }));
        let distance = check(&scan, &context(), &rules, false).0.distance_m.unwrap();
        assert!((distance - metres).abs() < metres * 0.005, "{distance} m instead of {metres} m");
    }
}

#[test]
fn a_doubt_is_what_the_class_makes_of_it() {
    use OnDoubt::{Accept, Refuse};
    let rules = |without_position, shared_device, room: Option<RoomPosition>| Protections {
        room,
        without_position,
        shared_device,
        ..Protections::default()
    };
    let (no_position, used) = (Some(Code::PositionRequired), Some(Code::DeviceAlreadyUsed));
    let cases = [
        (rules(Refuse, Refuse, None), None, false, None),
        (rules(Accept, Accept, Some(ROOM)), None, false, None),
        (rules(Refuse, Accept, Some(ROOM)), None, false, no_position),
        (rules(Refuse, Accept, Some(ROOM)), north(1.0, None), false, None),
        (rules(Accept, Accept, None), None, true, None),
        (rules(Accept, Refuse, None), None, true, used),
        (rules(Accept, Refuse, Some(ROOM)), None, true, used),
        // The first of two reasons is the answer.
        (rules(Refuse, Refuse, Some(ROOM)), None, true, no_position),
        (rules(Refuse, Refuse, Some(ROOM)), north(99.0, None), true, Some(Code::TooFarFromRoom)),
    ];
    for (rules, position, device_shared, expected) in cases {
        assert_eq!(refusal(&a_scan(None, position), &rules, device_shared), expected, "{rules:?}");
    }
}

/// Each doubt, with what the class makes of it, and a scan that raises all of them.
fn rules_of(then: [OnDoubt; 4]) -> Protections {
    let [outside_networks, too_far, without_position, shared_device] = then;
    let allowed_networks = vec!["10.0.0.0/8".parse().unwrap()];
    Protections {
        allowed_networks,
        outside_networks,
        room: Some(ROOM),
        too_far,
        without_position,
        shared_device,
    }
}

#[test]
fn each_doubt_is_accepted_reviewed_or_refused() {
    use OnDoubt::{Accept, Refuse, Review};
    let doubts = [
        (ScanDoubt::OutsideNetworks, Code::NetworkNotAllowed),
        (ScanDoubt::TooFar, Code::TooFarFromRoom),
        (ScanDoubt::NoPosition, Code::PositionRequired),
        (ScanDoubt::SharedDevice, Code::DeviceAlreadyUsed),
    ];
    for (place, (doubt, code)) in doubts.into_iter().enumerate() {
        let position = if doubt == ScanDoubt::NoPosition { None } else { north(99.0, None) };
        let scan = a_scan(None, position);
        for (then, objection) in [
            (Accept, None),
            (Review, Some(Objection::Review(doubt))),
            (Refuse, Some(Objection::Refusal(code))),
        ] {
            let mut rules = [Accept; 4];
            rules[place] = then;
            assert_eq!(check(&scan, &context(), &rules_of(rules), true).1, objection, "{doubt:?}: {then:?}");
        }
        assert_eq!(ScanDoubt::parse(doubt.as_str()), Some(doubt));
    }
}

#[test]
fn a_refusal_goes_before_a_review_and_the_first_doubt_before_the_others() {
    use OnDoubt::{Accept, Refuse, Review};
    let of = |then, position| check(&a_scan(None, position), &context(), &rules_of(then), true).1;
    let far = north(99.0, None);
    let shared = Some(Objection::Refusal(Code::DeviceAlreadyUsed));
    assert_eq!(of([Review, Review, Review, Refuse], far), shared);
    assert_eq!(of([Review; 4], far), Some(Objection::Review(ScanDoubt::OutsideNetworks)));
    assert_eq!(of([Accept, Review, Accept, Review], far), Some(Objection::Review(ScanDoubt::TooFar)));
    assert_eq!(of([Accept, Review, Review, Accept], None), Some(Objection::Review(ScanDoubt::NoPosition)));
}

#[test]
fn a_scan_in_doubt_is_asked_about_and_is_no_evidence() {
    let scan = ScanMark { scanned_at: at(10), scan_id: scan_id(1) };
    let good = ScanDecision {
        change: Some(scanned(AttendanceStatus::Present, 1, at(10))),
        kept: Some(scan),
        ..ScanDecision::default()
    };
    let doubt = ScanDoubt::TooFar;
    let review = Some(Objection::Review(doubt));
    let kept = ScanDecision { kept: Some(scan), doubt: Some(doubt), ..ScanDecision::default() };
    let asked = ScanDecision { question: Some(Question::Doubted(scan, doubt)), ..kept };
    assert_eq!(good.held_against(review, scan), asked);
    assert_eq!(good.held_against(None, scan), good);
    let marked = Some(Code::AlreadyMarkedAttendance);
    let again = ScanDecision { refusal: marked, ..good };
    let unasked = ScanDecision { refusal: marked, ..kept };
    assert_eq!(again.held_against(review, scan), unasked, "nobody asks about who is recorded");
    let expired = ScanDecision { refusal: Some(Code::QrTokenExpired), ..ScanDecision::default() };
    assert_eq!(expired.held_against(review, scan), expired, "whoever may not scan at all is told so");
}

#[test]
fn what_was_found_is_kept_in_words_that_stay() {
    let allowed_networks = vec!["10.0.0.0/8".parse().unwrap()];
    let rules = Protections { allowed_networks, shared_device: OnDoubt::Refuse, ..Protections::default() };
    let (found, _) = check(&a_scan(Some("10.1.1.1"), None), &context(), &rules, true);
    let expected = serde_json::json!({
        "codeAgeMs": 10_000, "codeLifeMs": 4_000_000, "networkAllowed": true, "deviceShared": true,
    });
    assert_eq!(serde_json::to_value(found).unwrap(), expected);
}

proptest! {
    #[test]
    fn a_phone_farther_than_twice_the_radius_is_never_in_the_room(
        (latitude, longitude) in (-90.0..90.0, -180.0..180.0),
        (room_latitude, room_longitude) in (-90.0..90.0, -180.0..180.0),
        radius_m in 1i32..10_000,
        accuracy_m in proptest::option::of(0.0..1e9),
    ) {
        let room = RoomPosition { latitude: room_latitude, longitude: room_longitude, radius_m };
        let rules = Protections { room: Some(room), ..Protections::default() };
        let position = Position { latitude, longitude, accuracy_m };
        let (found, objection) = check(&a_scan(None, Some(position)), &context(), &rules, false);
        let distance = found.distance_m.unwrap();
        prop_assert!((0.0..=20_015_115.0).contains(&distance), "{distance}");
        if objection.is_none() {
            prop_assert!(distance <= 2.0 * f64::from(radius_m));
        }
    }

    #[test]
    fn an_address_is_allowed_exactly_when_one_of_the_networks_holds_it(
        ip: u32, network: u32, bits in 0u8..=32,
    ) {
        let network = ipnet::Ipv4Net::new(network.into(), bits).unwrap();
        let rules = Protections { allowed_networks: vec![network.into()], ..Protections::default() };
        let ip = std::net::Ipv4Addr::from(ip);
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        let is_in = u32::from(ip) & mask == u32::from(network.addr()) & mask;
        let scan = Scan { ip: Some(IpAddr::V4(ip)), ..a_scan(None, None) };
        prop_assert_eq!(refusal(&scan, &rules, false).is_none(), is_in);
    }
}
