use super::*;

#[test]
fn a_silent_device_fires_and_being_heard_resolves() {
    let log = [
        Seen::heard(0, SENSOR),
        Seen::heard(10, SENSOR),
        Seen::tick(24),
        Seen::tick(30),
        Seen::heard(40, SENSOR),
    ];
    let records = run(&[rule("silent", &[SILENT])], &log);
    assert_eq!(told(&records), [(FIRING, 25), (RESOLVED, 40)]);
    assert_eq!(records[0].labels["data_source_device_id"], SENSOR.to_string());
    assert_eq!(records[0].value, "15m");
}

#[test]
fn a_device_that_was_never_heard_is_silent_from_the_zones_first_record_on() {
    let log = [Seen::heard(0, CAMERA), Seen::tick(20)];
    assert_eq!(told(&run(&[rule("silent", &[SILENT])], &log)), [(FIRING, 15)]);
}

#[test]
fn only_the_named_kinds_of_devices_are_watched() {
    let log = [Seen::heard(0, CAMERA), Seen::heard(14, SENSOR), Seen::tick(28)];
    assert!(run(&[rule("silent", &[SILENT])], &log).is_empty());
}

#[test]
fn a_lost_device_shows_no_sign_of_life() {
    let log = [Seen::heard(0, SENSOR), Seen::signal(10, SENSOR, DeviceState::Lost), Seen::tick(16)];
    assert_eq!(told(&run(&[rule("silent", &[SILENT])], &log)), [(FIRING, 15)]);
}

#[test]
fn a_device_out_of_service_may_be_silent_until_it_is_heard_again() {
    let rules = [rule("silent", &[SILENT])];
    let mut log =
        vec![Seen::heard(0, SENSOR), Seen::signal(10, SENSOR, DeviceState::Decommissioned), Seen::tick(99)];
    assert!(run(&rules, &log).is_empty());
    log.extend([Seen::heard(100, SENSOR), Seen::tick(200)]);
    assert_eq!(told(&run(&rules, &log)), [(FIRING, 115)]);
}

#[test]
fn an_older_word_neither_retires_a_device_nor_brings_it_back() {
    let rules = [rule("silent", &[SILENT])];
    let retired = |minute| Seen::signal(minute, SENSOR, DeviceState::Decommissioned);
    let log = [Seen::heard(0, SENSOR), retired(10), Seen::heard(5, SENSOR).late(), Seen::tick(99)];
    assert!(run(&rules, &log).is_empty());
    let log = [Seen::heard(0, SENSOR), Seen::heard(10, SENSOR), retired(5).late(), Seen::tick(99)];
    assert_eq!(told(&run(&rules, &log)), [(FIRING, 25)]);
}

#[test]
fn a_late_sign_of_life_resolves_with_the_next_record_on_time() {
    let log =
        [Seen::heard(0, SENSOR), Seen::tick(20), Seen::heard(19, SENSOR).late(), Seen::heard(22, CAMERA)];
    let rules = [rule("silent", &[SILENT])];
    assert_eq!(told(&run(&rules, &log[..3])), [(FIRING, 15)]);
    assert_eq!(told(&run(&rules, &log)), [(FIRING, 15), (RESOLVED, 22)]);
}
