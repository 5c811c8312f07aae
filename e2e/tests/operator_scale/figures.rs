//! What was measured, and whether it is enough: a table for people and one line of JSON for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
    /// It is only told.
    None,
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::None => true,
        }
    }

    fn told(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}"),
            Self::AtLeast(least) => format!("≥ {least}"),
            Self::None => String::new(),
        }
    }
}

#[derive(Debug)]
struct Figure {
    what: String,
    unit: &'static str,
    value: f64,
    bound: Bound,
}

/// All figures, in the order in which they were measured.
#[derive(Debug, Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    pub(crate) fn add(&mut self, what: impl Into<String>, unit: &'static str, value: f64, bound: Bound) {
        let what = what.into();
        super::clock::say(&format!("{what}: {value:.2} {unit} {}", bound.told()));
        self.0.push(Figure { what, unit, value, bound });
    }

    /// The figures that are not what they must be.
    pub(crate) fn missed(&self) -> Vec<&str> {
        self.0.iter().filter(|figure| !figure.bound.holds(figure.value)).map(|figure| &*figure.what).collect()
    }

    pub(crate) fn table(&self) -> String {
        let width = self.0.iter().map(|figure| figure.what.chars().count()).max().unwrap_or_default();
        let mut table = String::new();
        for Figure { what, unit, value, bound } in &self.0 {
            let verdict = match bound {
                Bound::None => "",
                bound if bound.holds(*value) => "ok",
                _ => "MISSED",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(table, "{what:<width$}  {value:>10.2} {unit:<8} {:<8} {verdict}", bound.told());
        }
        table
    }

    pub(crate) fn line(&self, facts: &Value) -> String {
        let figures: Vec<Value> = self
            .0
            .iter()
            .map(|figure| {
                let bound = figure.bound.told();
                json!({
                    "what": figure.what, "unit": figure.unit, "value": figure.value, "bound": bound,
                    "holds": figure.bound.holds(figure.value),
                })
            })
            .collect();
        json!({"bench": "operator", "facts": facts, "figures": figures}).to_string()
    }
}
