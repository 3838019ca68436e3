use super::*;

fn berlin(steps_only: Option<&str>) -> Calendar {
    Calendar {
        timezone: time_zone("Europe/Berlin").unwrap(),
        steps_only: steps_only.map(|text| text.parse().unwrap()),
        ..Calendar::default()
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn local(text: &str) -> DateTime {
    read_local(text).unwrap()
}

#[test]
fn zones_are_known_by_name_only() {
    for name in ["Europe/Berlin", "UTC", "America/New_York", "Asia/Kolkata"] {
        assert!(time_zone(name).is_some(), "{name}");
    }
    for name in ["", "Europe/Berlim", "CET-1CEST", "../etc/passwd", "/etc/localtime"] {
        assert!(time_zone(name).is_none(), "{name}");
    }
}

#[test]
fn hours_read_back() {
    for text in ["mon-thu 09:00-17:00", "mon,wed 10:00-16:30", "mon-sun 00:00-24:00", "mon,fri-sun 09:00-17:00", "sat-sun 08:00-12:00"] {
        assert_eq!(text.parse::<Hours>().unwrap().to_string(), text);
    }
    assert_eq!("fri-mon 9:00-17:00".parse::<Hours>().unwrap().to_string(), "mon,fri-sun 09:00-17:00");
    for text in ["", "mon", "mon 9-17", "mon 17:00-09:00", "mon 09:00-09:00", "moon 09:00-17:00", "mon 09:00-25:00", "mon 09:60-17:00"] {
        assert!(text.parse::<Hours>().is_err(), "{text}");
    }
}

#[test]
fn a_step_waits_for_the_allowed_hours() {
    let calendar = berlin(Some("mon-thu 09:00-17:00"));
    // Thursday 16:59 local is allowed; 17:00 waits for Monday.
    assert_eq!(calendar.next_allowed(at("2026-12-03T15:59:00Z"), None, &[]), Some(at("2026-12-03T15:59:00Z")));
    assert_eq!(calendar.next_allowed(at("2026-12-03T16:00:00Z"), None, &[]), Some(at("2026-12-07T08:00:00Z")));
    assert_eq!(calendar.next_allowed(at("2026-12-01T05:00:00Z"), None, &[]), Some(at("2026-12-01T08:00:00Z")));
    let later = calendar.next_allowed(at("2026-12-01T05:00:00Z"), Some(local("2026-12-02 16:00")), &[]);
    assert_eq!(later, Some(at("2026-12-02T15:00:00Z")));
    assert!(!calendar.is_allowed(at("2026-12-05T12:00:00Z"), &[]));
}

#[test]
fn freezes_are_left_one_after_the_other() {
    let calendar = berlin(Some("mon-fri 09:00-17:00"));
    let freezes = [
        Freeze { from: at("2026-12-02T08:00:00Z"), to: at("2026-12-02T17:00:00Z") },
        Freeze { from: at("2026-12-01T08:00:00Z"), to: at("2026-12-02T08:00:00Z") },
        Freeze { from: at("2026-12-03T08:00:00Z"), to: at("2026-12-03T08:30:00Z") },
    ];
    assert_eq!(calendar.next_allowed(at("2026-12-01T10:00:00Z"), None, &freezes), Some(at("2026-12-03T08:30:00Z")));
    assert!(calendar.is_allowed(at("2026-12-03T08:30:00Z"), &freezes));
    let ages = [Freeze { from: Timestamp::MIN, to: Timestamp::MAX }];
    assert_eq!(calendar.next_allowed(at("2026-12-01T10:00:00Z"), None, &ages), None);
}

#[test]
fn a_night_is_at_least_eight_hours() {
    let calendar = berlin(None);
    // A step at 23:00 local: 08:00 is 9 h later. At 00:30, 08:00 would be 7.5 h: the next day's.
    assert_eq!(calendar.night_ends(at("2026-12-01T22:00:00Z")), Some(at("2026-12-02T07:00:00Z")));
    assert_eq!(calendar.night_ends(at("2026-12-01T23:30:00Z")), Some(at("2026-12-03T07:00:00Z")));
    assert_eq!(calendar.night_ends(at("2026-12-01T23:00:00Z")), Some(at("2026-12-02T07:00:00Z")));
    // In the night in which clocks go forward, 23:30 to 08:00 are 7.5 h.
    assert_eq!(calendar.night_ends(at("2026-03-28T22:30:00Z")), Some(at("2026-03-30T06:00:00Z")));
    // In the one in which they go back, 00:30 to 08:00 are 8.5 h.
    assert_eq!(calendar.night_ends(at("2026-10-24T22:30:00Z")), Some(at("2026-10-25T07:00:00Z")));
}

#[test]
fn local_times_that_are_skipped_or_come_twice() {
    let calendar = berlin(None);
    assert_eq!(calendar.moment(local("2026-03-29 02:30")), Some(at("2026-03-29T01:30:00Z")));
    assert_eq!(calendar.moment(local("2026-10-25 02:30")), Some(at("2026-10-25T00:30:00Z")));
    // Hours that begin in the gap begin when it is over; hours inside it do not exist that day.
    let gap = berlin(Some("sun 02:30-04:00"));
    assert_eq!(gap.next_allowed(at("2026-03-29T00:00:00Z"), None, &[]), Some(at("2026-03-29T01:30:00Z")));
    let inside = berlin(Some("sun 02:10-02:50"));
    assert_eq!(inside.next_allowed(at("2026-03-29T00:00:00Z"), None, &[]), Some(at("2026-04-05T00:10:00Z")));
    // In the fold, both passes are allowed.
    let fold = berlin(Some("sun 02:00-03:00"));
    assert!(fold.is_allowed(at("2026-10-25T00:30:00Z"), &[]) && fold.is_allowed(at("2026-10-25T01:30:00Z"), &[]));
}

#[test]
fn the_morning_of_a_deployment() {
    assert_eq!(berlin(None).morning_of(at("2026-12-01T22:30:00Z")), Some(at("2026-12-01T07:00:00Z")));
    assert_eq!(berlin(None).morning_of(at("2026-12-01T23:30:00Z")), Some(at("2026-12-02T07:00:00Z")));
}

#[test]
fn times_are_read_strictly() {
    assert_eq!(read_time("8:05"), Some(Time::constant(8, 5, 0, 0)));
    for text in ["", "8", "8:5", "24:00", "08:00:00", "+8:00", "8 am", "١:00"] {
        assert_eq!(read_time(text), None, "{text}");
    }
    assert_eq!(read_local("2026-12-01T16:00"), Some(local("2026-12-01 16:00")));
    for text in ["", "2026-12-01", "2026-13-01 10:00", "tomorrow 10:00", "[Date] 10:00", "2026-12-01 10:00Z"] {
        assert_eq!(read_local(text), None, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn the_next_allowed_moment_is_allowed_and_the_first(seconds in 1_700_000_000_i64..1_900_000_000, day in 0_usize..7, hour in 0_u8..23) {
        let hours = format!("{} {hour:02}:00-{:02}:00", DAYS[day], hour + 1);
        let calendar = berlin(Some(&hours));
        let now = Timestamp::from_second(seconds).unwrap();
        let next = calendar.next_allowed(now, None, &[]).unwrap();
        proptest::prop_assert!(next >= now && calendar.is_allowed(next, &[]));
        // Between now and then, no quarter of an hour is allowed.
        let mut moment = now;
        while moment < next {
            proptest::prop_assert!(!calendar.is_allowed(moment, &[]));
            moment = moment.checked_add(jiff::SignedDuration::from_mins(15)).unwrap();
        }
    }
}
