//! Expressions that the custom resources share, for what a schema cannot say.
//!
//! Must not: touch anything unbounded; the API server estimates a rule's cost from the bounds of its inputs.

use kube::core::{Message, Rule};

/// Exactly one of the members is set.
pub(crate) fn exactly_one(members: &[&str]) -> Rule {
    let set: Vec<String> = members.iter().map(|member| format!("has(self.{member})")).collect();
    Rule::new(format!("[{}].filter(set, set).size() == 1", set.join(", ")))
        .message(Message::Message(format!("exactly one of {} must be set", members.join(", "))))
}

/// The required field keeps its value.
pub(crate) fn immutable(field: &str, why: &str) -> Rule {
    let name = field.split('.').next_back().unwrap_or(field);
    Rule::new(format!("self.{field} == oldSelf.{field}"))
        .message(Message::Message(format!("{name} cannot be changed: {why}")))
        .field_path(format!(".{field}"))
}

/// The duration is longer than nothing.
pub(crate) fn positive(field: &str) -> Rule {
    Rule::new(format!("!has(self.{field}) || self.{field}.matches('[1-9]')"))
        .message(Message::Message(format!("{field} must be longer than 0s")))
        .field_path(format!(".{field}"))
}

/// The text begins like an HTTP address.
pub(crate) fn http(field: &str) -> Rule {
    Rule::new(format!(
        "!has(self.{field}) || self.{field}.startsWith('http://') || self.{field}.startsWith('https://')"
    ))
    .message(Message::Message(format!("{field} must begin with http:// or https://")))
    .field_path(format!(".{field}"))
}

/// The object's name is a label that begins with a letter and leaves room for what is derived from it.
pub(crate) fn name(longest: usize) -> Rule {
    Rule::new(format!(
        "self.metadata.name.size() <= {longest} && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')"
    ))
    .message(Message::Message(format!(
        "metadata.name must be a lower case letter, then letters, digits and inner dashes, at most {longest}, so that every derived name is valid"
    )))
}

/// Whole seconds of a duration. CEL's own function knows no days; `substring` keeps the bound of its text, which
/// `split` and a concatenation lose, and with it the API server's trust that the rule is cheap.
pub(crate) fn seconds(text: &str) -> String {
    format!(
        "(({text}.contains('d') ? int({text}.substring(0, {text}.indexOf('d'))) * 86400 : 0) \
         + {}.getSeconds())",
        below_a_day(text)
    )
}

/// What a duration says below its days.
pub(crate) fn below_a_day(text: &str) -> String {
    format!("duration({text}.endsWith('d') ? '0s' : {text}.substring({text}.indexOf('d') + 1))")
}
