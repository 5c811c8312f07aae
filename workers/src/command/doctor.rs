//! `parking doctor`: what was checked and what is wrong, and the configuration as it will be used.
//!
//! Must not read files: findings and the configuration come in, text goes out. Invariant: no secret
//! leaves: passwords, tokens and keys are masked, and of a URL only scheme, host and port are shown.

use serde_json::Value;

const MASK: &str = "****";
const SECRETS: [&str; 6] = ["password", "token", "secret", "apikey", "accesskey", "privatekey"];

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was checked, as people name it: a file, a rule, a port.
    pub subject: String,
    /// What is wrong with it; `None` if all is well.
    pub problem: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn fine(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), problem: None }
    }

    /// Something is wrong.
    pub fn wrong(subject: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { subject: subject.into(), problem: Some(problem.into()) }
    }
}

/// The findings, one a line, and a last line that counts the problems.
pub fn render(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| match &finding.problem {
        None => format!("ok     {}\n", finding.subject),
        Some(problem) => format!("WRONG  {}: {problem}\n", finding.subject),
    });
    let wrong = findings.iter().filter(|finding| finding.problem.is_some()).count();
    let verdict = match wrong {
        0 => "All is well.\n".to_owned(),
        1 => "1 problem.\n".to_owned(),
        wrong => format!("{wrong} problems.\n"),
    };
    lines.chain([verdict]).collect()
}

/// Replaces every secret in a configuration. References to secrets name where they lie and stay.
pub fn mask_secrets(configuration: &mut Value) {
    match configuration {
        Value::Array(items) => items.iter_mut().for_each(mask_secrets),
        Value::Object(fields) => {
            for (field, value) in fields {
                match value {
                    Value::String(text) if is_secret(field) => MASK.clone_into(text),
                    Value::String(text) => mask_url(text),
                    Value::Object(_) | Value::Array(_) => mask_secrets(value),
                    _ => {}
                }
            }
        }
        Value::String(text) => mask_url(text),
        _ => {}
    }
}

fn is_secret(field: &str) -> bool {
    let plain: String = field.chars().filter(char::is_ascii_alphanumeric).collect();
    SECRETS.iter().any(|secret| plain.to_ascii_lowercase().ends_with(secret))
}

/// User, password and path of a URL may be secret: webhooks carry their key in the path.
fn mask_url(text: &mut String) {
    let Some((scheme, rest)) = text.split_once("://") else { return };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let user = if host.len() < authority.len() { "****@" } else { "" };
    let path = if path.len() > 1 { "/****" } else { path };
    *text = format!("{scheme}://{user}{host}{path}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_secret_is_shown_and_references_stay() {
        let mut configuration = json!({
            "redis": {"password": "hunter2", "sentinels": ["redis://user:hunter2@s1:26379"]},
            "routes": [{"name": "ops", "webhook": {"url": "https://hooks.example.com/T0/B0/hunter2"}}],
            "objectStore": {"endpoint": "http://minio:9000", "secretAccessKey": "hunter2", "bucket": "lake"},
            "ingest": {"api_key": "hunter2", "apiKeysSecretRef": {"name": "keys"}},
            "partitions": 4,
        });
        mask_secrets(&mut configuration);
        assert!(!configuration.to_string().contains("hunter2"), "{configuration}");
        assert_eq!(configuration["redis"]["sentinels"][0], "redis://****@s1:26379");
        assert_eq!(configuration["routes"][0]["webhook"]["url"], "https://hooks.example.com/****");
        assert_eq!(configuration["objectStore"]["endpoint"], "http://minio:9000");
        assert_eq!(configuration["objectStore"]["bucket"], "lake");
        assert_eq!(configuration["ingest"]["apiKeysSecretRef"]["name"], "keys");
    }

    #[test]
    fn findings_are_lines_and_problems_are_counted() {
        let findings =
            [Finding::fine("pipeline.yaml"), Finding::wrong("rules.yaml, line 4", "unknown field `worth`")];
        assert_eq!(
            render(&findings),
            "ok     pipeline.yaml\nWRONG  rules.yaml, line 4: unknown field `worth`\n1 problem.\n"
        );
        assert_eq!(render(&[]), "All is well.\n");
    }
}
