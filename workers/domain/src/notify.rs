//! Which alerts are told on which route, and what makes a notification the same one.
//!
//! Must not deliver. Invariants: the idempotency key depends on the alert record and the route alone, so
//! a repeated delivery is known as one; old data that is played again is told only where a route asks.

use std::collections::BTreeMap;

use parking_crds::{alert_rule::AlertRule, pipeline::Route};

use super::alert::{AlertRecord, AlertStatus, bare_name};

/// The routes of a pipeline and the rules that use them.
#[derive(Clone, Debug, Default)]
pub struct Routing {
    include_replayed: BTreeMap<String, bool>,
    /// Nothing where a rule is told nowhere.
    rules: BTreeMap<String, Option<RuleRoutes>>,
}

#[derive(Clone, Debug)]
struct RuleRoutes {
    routes: Vec<String>,
    send_resolved: bool,
}

impl Routing {
    /// From the pipeline's routes and its rules.
    pub fn new<'a>(routes: &[Route], rules: impl IntoIterator<Item = &'a AlertRule>) -> Self {
        let include_replayed =
            routes.iter().map(|route| (route.name.as_str().to_owned(), route.include_replayed()));
        let rules = rules.into_iter().filter_map(|rule| {
            let told = rule.spec.notify.as_ref().map(|notify| {
                let routes = notify.routes.iter().map(|route| route.as_str().to_owned()).collect();
                RuleRoutes { routes, send_resolved: notify.send_resolved() }
            });
            Some((rule.metadata.name.clone()?, told))
        });
        Self { include_replayed: include_replayed.collect(), rules: rules.collect() }
    }

    /// Whether the rule of the record is known at all.
    pub fn knows(&self, alert: &AlertRecord) -> bool {
        self.rules.contains_key(bare_name(&alert.rule))
    }

    /// Whether the record is told on this route.
    pub fn tells(&self, route: &str, alert: &AlertRecord) -> bool {
        let rule = self.rules.get(bare_name(&alert.rule)).and_then(Option::as_ref);
        let wanted = rule.is_some_and(|rule| {
            rule.routes.iter().any(|name| name == route)
                && (rule.send_resolved || alert.state != AlertStatus::Resolved)
        });
        wanted && (!alert.replayed || self.include_replayed.get(route).copied().unwrap_or(false))
    }
}

/// The same for every delivery of the record on the route: `alert/state/route/generation`.
pub fn idempotency_key(alert: &AlertRecord, route: &str) -> String {
    format!("{}/{}/{route}/{}", alert.alert_id, alert.state.as_str(), alert.generation)
}

#[cfg(test)]
mod tests {
    use parking_crds::manifest::{self, Manifest};

    use super::*;

    fn routing(route: &str, notify: &str) -> Routing {
        let route: Route = serde_json::from_str(route).unwrap();
        let text = format!(
            "apiVersion: parking.tinyx.io/v1alpha1\nkind: AlertRule\nmetadata: {{name: full}}\nspec:\n  \
             pipelineRef: {{name: city}}\n  severity: critical\n  scope: {{}}\n  instanceKey: [curb_zone_id]\n  \
             condition: {{threshold: {{metric: occupancy_now, op: \">=\", value: \"0.9\", recover: \"0.8\"}}}}\n  \
             notify: {notify}\n"
        );
        let documents = manifest::parse(&text).unwrap();
        let Manifest::Rule(rule) = &documents[0].manifest else { panic!("a rule") };
        Routing::new(&[route], &[rule.as_ref().clone()])
    }

    fn alert(state: &str, replayed: bool) -> AlertRecord {
        let text = format!(
            r#"{{"record_type":"alert","alert_id":"02885f6f-ef93-441b-9e74-487279380656","fingerprint":"f","rule":"parking/full","rule_hash":"h","state":"{state}","reason":null,"severity":"critical","labels":{{}},"annotations":{{}},"value":"1","active_at":1,"starts_at":1,"fired_at":1,"ends_at":null,"cause_event_ids":[],"generation":1,"replayed":{replayed},"origin":{{"partition":0,"offset":0,"ordinal":0}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    const OPS: &str = r#"{"name":"ops","console":{}}"#;

    #[test]
    fn rule_is_told_on_its_routes_alone() {
        let routing = routing(OPS, "{routes: [ops]}");
        assert!(routing.tells("ops", &alert("firing", false)));
        assert!(!routing.tells("others", &alert("firing", false)));
        let stranger = AlertRecord { rule: "parking/other".into(), ..alert("firing", false) };
        assert!(!routing.tells("ops", &stranger));
        assert!(routing.knows(&alert("firing", false)) && !routing.knows(&stranger));
    }

    #[test]
    fn resolved_is_told_unless_switched_off() {
        assert!(routing(OPS, "{routes: [ops]}").tells("ops", &alert("resolved", false)));
        let quiet = routing(OPS, "{routes: [ops], sendResolved: false}");
        assert!(!quiet.tells("ops", &alert("resolved", false)));
        assert!(quiet.tells("ops", &alert("firing", false)));
    }

    #[test]
    fn replayed_alert_is_told_only_where_the_route_asks() {
        assert!(!routing(OPS, "{routes: [ops]}").tells("ops", &alert("firing", true)));
        let asks = r#"{"name":"ops","console":{},"includeReplayed":true}"#;
        assert!(routing(asks, "{routes: [ops]}").tells("ops", &alert("firing", true)));
    }

    #[test]
    fn key_tells_states_and_routes_apart() {
        let firing = idempotency_key(&alert("firing", false), "ops");
        assert_eq!(firing, "02885f6f-ef93-441b-9e74-487279380656/firing/ops/1");
        assert_ne!(firing, idempotency_key(&alert("resolved", false), "ops"));
        assert_ne!(firing, idempotency_key(&alert("firing", false), "others"));
    }
}
