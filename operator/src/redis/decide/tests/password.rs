//! Passwords that change, and those that are refused.

use super::*;
use crate::redis::Target;

#[test]
fn a_password_is_admitted_by_all_before_anybody_uses_it_and_dropped_last() {
    let mut seen = calm();
    let each = |seen: &mut RedisSeen, known: &[&str], uses: bool| {
        for asked in &mut seen.servers {
            if let Answer::Says(said) = &mut asked.answer {
                (said.login, said.uses_current) = (login(known), uses);
            }
        }
        for asked in &mut seen.sentinels {
            if let Answer::Says(said) = &mut asked.answer {
                (said.login, said.uses_current) = (login(known), uses);
            }
        }
    };
    let passwords = Passwords { current: secret("new"), next: None, previous: Some(secret("old")) };
    let both = Wanted { passwords, ..wanted() };
    // Before the Secret shows it, while the old one is current.
    each(&mut seen, &["old"], true);
    let passwords = Passwords { current: secret("old"), next: Some(secret("new")), previous: None };
    let coming = Wanted { passwords, ..wanted() };
    let unknown = look(&seen, &coming);
    assert!(unknown.actions.iter().all(|action| matches!(action, RedisAction::AdmitNext(_))));
    assert!(unknown.actions.len() == 6 && !unknown.report.next_admitted);
    each(&mut seen, &["old", "new"], true);
    let known = look(&seen, &coming);
    assert!(known.actions.is_empty() && known.report.next_admitted);
    assert!(known.report.progressing.unwrap().contains("password"));
    // A pod that was started meanwhile knows the old one alone.
    each(&mut seen, &["old"], false);
    let admitted = look(&seen, &both);
    assert!(admitted.actions.iter().all(|action| matches!(action, RedisAction::Admit(_))));
    assert_eq!(admitted.actions.len(), 6);
    each(&mut seen, &["old", "new"], false);
    assert_eq!(look(&seen, &both).actions[0], RedisAction::UseCurrent(Target::Server(0)));
    let mut one_away = seen.clone();
    one_away.servers[0].answer = Answer::Silent;
    assert_eq!(look(&one_away, &both).actions, []);
    each(&mut seen, &["old", "new"], true);
    let adopted = look(&seen, &both);
    assert!(adopted.actions.is_empty() && adopted.report.password_adopted);
    assert!(!adopted.report.previous_may_go, "the files of some pod may still hold the old one alone");
    let later = decide(&seen, &both, &adopted.waits, at(FILES_WAIT.as_secs()));
    assert!(later.report.previous_may_go);
    let dropped = look(&seen, &wanted());
    assert_eq!(dropped.actions.len(), 6);
    assert_eq!(dropped.actions[0], RedisAction::AdmitOnlyCurrent(Target::Server(0)));
}

#[test]
fn a_pod_with_another_password_is_named_with_the_cure() {
    let mut seen = calm();
    seen.servers[0].answer = Answer::Refused;
    let problem = look(&seen, &wanted()).report.problems.remove(0);
    assert_eq!(problem.reason, Reason::CredentialsRefused);
    assert!(problem.message.contains("r-0") && problem.message.contains("delete the pod"));
}
