//! What an expression asks for, and what is wrong with it.

use std::collections::BTreeSet;

use promql_parser::parser::{
    AggregateExpr, BinaryExpr, Call, Expr, MatrixSelector, ParenExpr, SubqueryExpr, UnaryExpr,
    VectorSelector, parse,
};

use crate::references::Families;

/// Labels that every series has from its target; monitors copy two of them from the pods.
const OF_TARGETS: [&str; 6] =
    ["app_kubernetes_io_component", "instance", "job", "namespace", "parking_tinyx_io_pipeline", "pod"];
/// Functions over the growth of a counter.
const OF_COUNTERS: [&str; 2] = ["increase", "rate"];

/// A series that is asked for.
struct Selected {
    name: String,
    matchers: Vec<String>,
    /// The function over its range, if any.
    over: Option<String>,
}

#[derive(Default)]
struct Asked {
    series: Vec<Selected>,
    grouped: BTreeSet<String>,
}

impl Asked {
    fn walk(&mut self, expr: &Expr, over: Option<&str>) {
        match expr {
            Expr::Aggregate(AggregateExpr { expr, param, modifier, .. }) => {
                self.grouped.extend(modifier.iter().flat_map(|by| by.labels().labels.clone()));
                self.walk(expr, None);
                if let Some(param) = param {
                    self.walk(param, None);
                }
            }
            Expr::Unary(UnaryExpr { expr }) | Expr::Paren(ParenExpr { expr }) => self.walk(expr, over),
            Expr::Subquery(SubqueryExpr { expr, .. }) => self.walk(expr, None),
            Expr::Binary(BinaryExpr { lhs, rhs, .. }) => {
                self.walk(lhs, None);
                self.walk(rhs, None);
            }
            Expr::Call(Call { func, args }) => {
                for argument in &args.args {
                    self.walk(argument, Some(func.name));
                }
            }
            Expr::VectorSelector(selector) => self.select(selector, None),
            Expr::MatrixSelector(MatrixSelector { vs, .. }) => self.select(vs, over),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
        }
    }

    fn select(&mut self, selector: &VectorSelector, over: Option<&str>) {
        self.series.push(Selected {
            name: selector.name.clone().unwrap_or_default(),
            matchers: selector.matchers.matchers.iter().map(|matcher| matcher.name.clone()).collect(),
            over: over.map(str::to_owned),
        });
    }
}

/// The family of a series: those of a histogram have names of their own.
fn family_of<'a>(series: &'a str, known: &Families) -> &'a str {
    let base = ["_bucket", "_count", "_sum"].into_iter().find_map(|suffix| series.strip_suffix(suffix));
    base.filter(|base| known.get(*base).is_some_and(|family| family.kind == "histogram")).unwrap_or(series)
}

/// The families that an expression asks for.
pub(crate) fn metrics_of(query: &str, known: &Families) -> BTreeSet<String> {
    let mut asked = Asked::default();
    asked.walk(&parse(query).unwrap(), None);
    asked.series.iter().map(|series| family_of(&series.name, known).to_owned()).collect()
}

/// What is wrong with an expression, and with a text that names the labels of its result.
pub(crate) fn check(query: &str, named: &[String], known: &Families) -> Vec<String> {
    let parsed = match parse(query) {
        Ok(parsed) => parsed,
        Err(error) => return vec![format!("{query} is no PromQL: {error}")],
    };
    let (mut asked, mut faults) = (Asked::default(), Vec::new());
    asked.walk(&parsed, None);
    let mut labels: BTreeSet<String> = OF_TARGETS.map(str::to_owned).into();
    for series in &asked.series {
        faults.extend(faults_of(series, known, &mut labels));
    }
    faults.extend(
        asked
            .grouped
            .iter()
            .filter(|label| !labels.contains(*label))
            .map(|label| format!("no series has the label {label}")),
    );
    let lacks = |label: &&String| {
        let result = if asked.grouped.is_empty() { &labels } else { &asked.grouped };
        !result.contains(*label)
    };
    let lacking = named.iter().filter(lacks);
    faults.extend(lacking.map(|label| format!("its text names the label {label}, which its result lacks")));
    faults
}

fn faults_of(series: &Selected, known: &Families, labels: &mut BTreeSet<String>) -> Vec<String> {
    let Selected { name, matchers, over } = series;
    let family = family_of(name, known);
    let Some(told) = known.get(family) else { return vec![format!("{name} is told by nobody")] };
    let mut own = told.labels.clone();
    if told.kind == "histogram" {
        own.insert("le".to_owned());
    }
    let unknown = |label: &&String| !own.contains(*label) && !OF_TARGETS.contains(&label.as_str());
    let mut faults: Vec<_> =
        matchers.iter().filter(unknown).map(|label| format!("{name} has no label {label}")).collect();
    labels.extend(own.iter().cloned());
    let of_growth = over.as_deref().is_some_and(|function| OF_COUNTERS.contains(&function));
    match told.kind.as_str() {
        "histogram" if family == name => faults.push(format!("{name} is a histogram, its series are others")),
        "counter" | "histogram" if !of_growth => faults.push(format!("{name} only grows: ask for its rate")),
        "gauge" if of_growth => faults.push(format!("{name} is no counter")),
        _ => {}
    }
    faults
}
