//! What there is: every family of metrics, with its kind and its labels.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use crate::metrics_told;

pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) labels: BTreeSet<String>,
}

pub(crate) type Families = BTreeMap<String, Family>;

/// Names in backquotes.
fn quoted(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

/// The families of a reference, which is a table of names, kinds and labels.
fn read(reference: &str) -> Families {
    let rows = reference.lines().filter(|line| line.starts_with("| `"));
    let family = |row: &str| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let family = Family { kind: cells[2].to_owned(), labels: quoted(cells[3]).collect() };
        (quoted(cells[1]).next().unwrap(), family)
    };
    rows.map(family).collect()
}

/// Those of workers, and of the operator; and what Prometheus itself tells of each target.
pub(crate) fn known() -> Families {
    let path = PathBuf::from("../workers/metrics.md");
    let mut families = read(&fs::read_to_string(path).unwrap());
    assert!(families.len() > 30, "the reference of workers cannot be read");
    for (name, (kind, labels)) in metrics_told::families() {
        let before = families.insert(name.clone(), Family { kind, labels });
        assert!(before.is_none(), "{name} is told by workers, too");
    }
    families.insert("up".to_owned(), Family { kind: "gauge".to_owned(), labels: BTreeSet::new() });
    families
}
