//! A YAML document as a tree in which every value knows where it stands.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

/// A value and where it stands in the text.
#[derive(Clone, Debug)]
pub(super) struct Outline {
    line: u64,
    column: u64,
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    Scalar(Value),
    List(Vec<Outline>),
    Map(Vec<(Outline, Outline)>),
}

/// Why and where a text is not YAML, or not what was expected.
#[derive(Clone, Debug)]
pub(crate) struct Error {
    pub(crate) line: u64,
    pub(crate) column: u64,
    pub(crate) message: String,
}

impl Error {
    pub(crate) fn new(error: &serde_saphyr::Error, first_line: u64) -> Self {
        let error = error.without_snippet();
        let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
        let message = match error {
            serde_saphyr::Error::Message { msg, .. } => msg.clone(),
            other => other.to_string(),
        };
        Self {
            line: line + first_line - 1,
            column,
            message: message.lines().next().unwrap_or_default().to_owned(),
        }
    }
}

impl Outline {
    pub(super) fn read(chunk: &str, first_line: u64) -> Result<Self, Error> {
        let mut outline: Self =
            serde_saphyr::from_str(chunk).map_err(|error| Error::new(&error, first_line))?;
        outline.shift(first_line - 1);
        Ok(outline)
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.node, Node::Scalar(Value::Null))
    }

    pub(super) fn to_json(&self) -> Value {
        match &self.node {
            Node::Scalar(value) => value.clone(),
            Node::List(items) => items.iter().map(Self::to_json).collect(),
            Node::Map(entries) => {
                entries.iter().map(|(key, value)| (key.text(), value.to_json())).collect::<Map<_, _>>().into()
            }
        }
    }

    /// The line of the field, or of its nearest written ancestor.
    pub(super) fn line_of(&self, field: &str) -> u64 {
        let (mut line, mut at, mut path) = (self.line, self, field);
        while let Some(found) = at.descend(path) {
            (line, at, path) = found;
        }
        line
    }

    /// The line and value of the path's first step, and the path from there. A key may hold dots.
    fn descend<'a, 'b>(&'a self, path: &'b str) -> Option<(u64, &'a Self, &'b str)> {
        match &self.node {
            Node::Scalar(_) => None,
            Node::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                items.get(index.parse::<usize>().ok()?).map(|item| (item.line, item, rest))
            }
            Node::Map(entries) => {
                let path = path.strip_prefix('.').unwrap_or(path);
                entries.iter().find_map(|(name, value)| {
                    let rest = path.strip_prefix(name.text().as_str())?;
                    let whole = rest.is_empty() || rest.starts_with(['.', '[']);
                    whole.then_some((name.line, value, rest))
                })
            }
        }
    }

    /// The path of the last field that begins at or before the position.
    pub(super) fn field_at(&self, line: u64, column: u64) -> String {
        let mut best = ((0, 0), String::new());
        self.visit("", &mut |outline, path| {
            let begins = (outline.line, outline.column);
            if begins <= (line, column) && begins >= best.0 {
                best = (begins, path.to_owned());
            }
        });
        best.1
    }

    fn visit(&self, path: &str, see: &mut impl FnMut(&Self, &str)) {
        see(self, path);
        match &self.node {
            Node::Scalar(_) => {}
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    item.visit(&format!("{path}[{index}]"), see);
                }
            }
            Node::Map(entries) => {
                for (key, value) in entries {
                    let path = super::schema::join(path, &key.text());
                    see(key, &path);
                    value.visit(&path, see);
                }
            }
        }
    }

    fn shift(&mut self, lines: u64) {
        self.line += lines;
        match &mut self.node {
            Node::Scalar(_) => {}
            Node::List(items) => items.iter_mut().for_each(|item| item.shift(lines)),
            Node::Map(entries) => {
                for (key, value) in entries {
                    key.shift(lines);
                    value.shift(lines);
                }
            }
        }
    }

    fn text(&self) -> String {
        match &self.node {
            Node::Scalar(Value::String(text)) => text.clone(),
            Node::Scalar(other) => other.to_string(),
            Node::List(_) | Node::Map(_) => String::new(),
        }
    }
}

impl From<Spanned<Node>> for Outline {
    fn from(spanned: Spanned<Node>) -> Self {
        let at: Location = spanned.referenced;
        Self { line: at.line(), column: at.column(), node: spanned.value }
    }
}

impl<'de> Deserialize<'de> for Outline {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::<Node>::deserialize(deserializer).map(Self::from)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Scalar(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}
