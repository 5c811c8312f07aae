//! What the API server was asked: its audit log, one event a finished request.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
};

use serde::Deserialize;

/// The log file of one control plane.
#[derive(Clone, Debug)]
pub struct AuditLog {
    path: PathBuf,
}

/// A place in the log: what comes later is read from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// One request and its answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub uri: String,
    /// When it came.
    #[serde(rename = "requestReceivedTimestamp")]
    pub received: jiff::Timestamp,
    /// When it was answered.
    pub stage_timestamp: jiff::Timestamp,
    /// What the client calls itself.
    #[serde(default)]
    pub user_agent: String,
    stage: Stage,
    user: User,
    #[serde(default)]
    object_ref: Target,
    #[serde(default)]
    response_status: Answer,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Stage {
    ResponseStarted,
    ResponseComplete,
    Panic,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Target {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    code: u16,
}

/// Bytes that are read at once in search of the last whole line.
const PART: u64 = 64 << 10;

impl AuditLog {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The end of the log now. A line that is half-written lies behind it.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn mark(&self) -> io::Result<Mark> {
        let mut file = File::open(&self.path)?;
        let mut end = file.metadata()?.len();
        let mut part = Vec::new();
        while end > 0 {
            let start = end.saturating_sub(PART);
            file.seek(SeekFrom::Start(start))?;
            part.clear();
            file.by_ref().take(end - start).read_to_end(&mut part)?;
            if let Some(newline) = part.iter().rposition(|byte| *byte == b'\n') {
                return Ok(Mark(start + newline as u64 + 1));
            }
            end = start;
        }
        Ok(Mark(0))
    }

    /// All requests.
    ///
    /// # Errors
    /// When the file cannot be read or a line is no event.
    pub fn all(&self) -> io::Result<Vec<AuditEvent>> {
        self.since(Mark(0))
    }

    /// The requests that were answered after the mark. A watch is listed when it begins.
    ///
    /// # Errors
    /// When the file cannot be read or a line is no event.
    pub fn since(&self, mark: Mark) -> io::Result<Vec<AuditEvent>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(mark.0))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // The last line may be half-written.
        let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
        let events: Vec<AuditEvent> = whole.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        Ok(events.into_iter().filter(AuditEvent::is_listed).collect())
    }
}

impl AuditEvent {
    /// Every request once: a watch by its beginning, all else by its end.
    fn is_listed(&self) -> bool {
        (self.stage == Stage::ResponseStarted) == (self.verb == "watch")
    }

    /// Who asked.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user.username
    }

    /// Which of the user's tokens was shown, or empty.
    #[must_use]
    pub fn credential(&self) -> &str {
        let id = self.user.extra.get("authentication.kubernetes.io/credential-id");
        id.and_then(|id| id.first()).map(String::as_str).unwrap_or_default()
    }

    /// API group of what was asked for; empty for the core.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.object_ref.api_group
    }

    /// Plural name of what was asked for, without subresource.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.object_ref.resource
    }

    /// As RBAC writes it: `pods/status`.
    #[must_use]
    pub fn resource_path(&self) -> String {
        match self.subresource() {
            "" => self.resource().to_owned(),
            below => format!("{}/{below}", self.resource()),
        }
    }

    /// Subresource, or empty.
    #[must_use]
    pub fn subresource(&self) -> &str {
        &self.object_ref.subresource
    }

    /// Namespace, or empty.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.object_ref.namespace
    }

    /// Name, or empty for a list and for an object that the server named.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.object_ref.name
    }

    /// HTTP status.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.response_status.code
    }

    /// Whether the client had no right to ask.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        self.annotations.get("authorization.k8s.io/decision").is_some_and(|decision| decision == "forbid")
    }

    /// Whether it asked for a change; a dry run does not.
    #[must_use]
    pub fn changes(&self) -> bool {
        let writes =
            matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection");
        writes && !self.uri.contains("dryRun=")
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_line_that_is_half_written_at_the_mark_is_listed_after_it() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let log = AuditLog::at(file.path().to_owned());
        let line = |verb: &str| {
            format!(
                r#"{{"verb":"{verb}","stage":"ResponseComplete","requestURI":"/{}","user":{{"username":"u"}},"requestReceivedTimestamp":"2026-01-01T00:00:00.4Z","stageTimestamp":"2026-01-01T00:00:00.5Z"}}"#,
                "x".repeat(150_000)
            )
        };
        let verbs =
            |mark| log.since(mark).unwrap().into_iter().map(|event| event.verb.clone()).collect::<Vec<_>>();
        assert_eq!(log.mark().unwrap(), Mark(0));
        let (create, patch) = (line("create"), line("patch"));
        let (half, rest) = patch.split_at(patch.len() - 9);
        write!(file, "{create}\n{half}").unwrap();
        let mark = log.mark().unwrap();
        assert_eq!(verbs(mark), Vec::<String>::new());
        writeln!(file, "{rest}").unwrap();
        assert_eq!(verbs(mark), ["patch"]);
        assert_eq!(verbs(log.mark().unwrap()), Vec::<String>::new());
    }

    #[test]
    fn a_watch_is_listed_when_it_begins_and_all_else_when_it_ends() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for (verb, stage) in
            [("watch", "ResponseStarted"), ("watch", "ResponseComplete"), ("patch", "ResponseComplete")]
        {
            writeln!(
                file,
                r#"{{"verb":"{verb}","stage":"{stage}","requestURI":"/x?dryRun=All","user":{{"username":"u","extra":{{"authentication.kubernetes.io/credential-id":["JTI=1"]}}}},"requestReceivedTimestamp":"2026-01-01T00:00:00.4Z","stageTimestamp":"2026-01-01T00:00:00.5Z","objectRef":{{"resource":"pods","subresource":"status"}},"responseStatus":{{"code":200}}}}"#
            )
            .unwrap();
        }
        write!(file, "{{\"half").unwrap();
        let log = AuditLog::at(file.path().to_owned());
        let events = log.all().unwrap();
        assert_eq!(events.iter().map(|event| event.verb.as_str()).collect::<Vec<_>>(), ["watch", "patch"]);
        assert_eq!(
            (events[1].resource_path().as_str(), events[1].code(), events[1].credential()),
            ("pods/status", 200, "JTI=1")
        );
        assert!(!events[1].changes(), "a dry run changes nothing");
    }
}
