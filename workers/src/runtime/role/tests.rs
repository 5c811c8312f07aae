use super::*;

const ZONE: &str = "02885f6f-ef93-441b-9e74-487279380656";
const STRANGE_ZONE: &str = "7e6be807-ff61-4f12-85c8-0fb740b24436";
const T0: Millis = 1_760_601_600_000;

fn stage() -> RoleStage<Together> {
    let text = format!(
        "revisions:\n- validFrom: 2016-01-01T00:00:00Z\n  timeZone: UTC\n  zones:\n  \
         - {{id: {ZONE}, userZoneId: A, capacity: 10}}\n"
    );
    let inventory = Arc::new(Inventory::parse(&text).unwrap());
    let rules = Arc::new(RuleSet::compile(&[]).0);
    let settings = Settings { tenant: "city".to_owned(), partition: 0 };
    RoleStage::together(EventLimits::default(), &inventory, &rules, settings)
}

fn report(zone: &str, device: Uuid) -> Vec<u8> {
    let id = Uuid::new_v5(&device, zone.as_bytes());
    format!(
        r#"{{"event_id":"{id}","event_type":"scheduled_report","event_time":{T0},"event_publication_time":{T0},"curb_zone_id":"{zone}","data_source_type":"in_ground","data_source_device_id":"{device}","ext":{{"schema_version":1,"tenant":"city","seq":1,"occupied":3}}}}"#
    )
    .into_bytes()
}

#[test]
fn a_device_that_is_only_refused_is_not_remembered() {
    let (mut stage, mut outputs) = (stage(), Outputs::new(0));
    let (known, stranger) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let (of_known, of_stranger) = (report(ZONE, known), report(STRANGE_ZONE, stranger));
    stage.step(&[(0, &of_known), (1, &of_stranger), (2, b"{}")], &mut outputs);
    let totals = stage.duty().0.totals();
    assert_eq!((totals.accepted, totals.dead_letters.values().sum::<u64>()), (1, 2));
    assert!(stage.hints.get(known).is_some());
    assert!(stage.hints.get(stranger).is_none() && stage.hints.get(Uuid::nil()).is_none());
}
