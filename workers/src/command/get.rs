//! `parking get`: alerts, zones and statistics as tables for people and JSON for programs.
//!
//! Must not fetch: rows come in, text goes out. Invariant: an unknown value is −1 in statistics (the rule
//! of CDS), an empty cell or `null` elsewhere; times are RFC 3339 in UTC.

use std::str::FromStr;

use crate::rows::{AlertRow, ZoneRow};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// How rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Aligned columns.
    #[default]
    Table,
    /// One array.
    Json,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            _ => Err(format!("`{name}` is no output: use table or json")),
        }
    }
}

/// A kind of row.
pub trait Row: Serialize {
    /// Titles of the columns; those of numbers begin with `#`.
    const COLUMNS: &'static [&'static str];

    /// The cells, in the order of the titles.
    fn cells(&self) -> Vec<String>;
}

impl Row for AlertRow {
    const COLUMNS: &'static [&'static str] =
        &["RULE", "SEVERITY", "STATE", "ZONE", "#VALUE", "STARTS", "ENDS"];

    fn cells(&self) -> Vec<String> {
        let ends = self.ends_at.map(|time| time.to_string()).unwrap_or_default();
        let words = [&self.rule, &self.severity, &self.state, &self.zone, &self.value];
        words.into_iter().cloned().chain([self.starts_at.to_string(), ends]).collect()
    }
}

impl Row for ZoneRow {
    const COLUMNS: &'static [&'static str] =
        &["ZONE", "#CAPACITY", "#OCCUPIED", "#UNKNOWN", "#OCCUPANCY", "AS OF"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.zone.clone(),
            self.capacity.to_string(),
            self.occupied.map(|occupied| occupied.to_string()).unwrap_or_default(),
            self.unknown.to_string(),
            self.occupancy.map(|ratio| format!("{:.1} %", ratio * 100.0)).unwrap_or_default(),
            self.as_of.map(|time| time.to_string()).unwrap_or_default(),
        ]
    }
}

/// One value of a statistic.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatRow {
    /// The city's code of the zone.
    pub zone: String,
    /// Its id.
    pub zone_id: String,
    /// First instant of the bucket.
    pub start: Timestamp,
    /// `occupancy`, `turnover`, …
    pub statistic: String,
    /// The value; −1 where it is unknown.
    #[serde(serialize_with = "value_or_minus_one")]
    pub value: Option<f64>,
}

impl Row for StatRow {
    const COLUMNS: &'static [&'static str] = &["ZONE", "START", "STATISTIC", "#VALUE"];

    fn cells(&self) -> Vec<String> {
        let value = self.value.map_or_else(|| "-1".to_owned(), |value| format!("{value:.4}"));
        vec![self.zone.clone(), self.start.to_string(), self.statistic.clone(), value]
    }
}

/// The rows as text, with a line end.
pub fn render<R: Row>(rows: &[R], output: Output) -> String {
    match output {
        Output::Json => {
            // Rows are plain data and always have a JSON form.
            let mut text = serde_json::to_string(rows).unwrap_or_default();
            text.push('\n');
            text
        }
        Output::Table if rows.is_empty() => "Nothing found.\n".to_owned(),
        Output::Table => table(rows),
    }
}

fn table<R: Row>(rows: &[R]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(R::COLUMNS.iter().map(|title| title.trim_start_matches('#')));
    for row in rows {
        table.add_row(row.cells());
    }
    for (column, title) in table.column_iter_mut().zip(R::COLUMNS) {
        column.set_padding((0, 2));
        if title.starts_with('#') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.to_string();
    lines.lines().flat_map(|line| [line.trim_end(), "\n"]).collect()
}

#[expect(clippy::ref_option, reason = "the shape that serde asks for")]
fn value_or_minus_one<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.serialize_f64(*value),
        None => serializer.serialize_i64(-1),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::rows::instant;

    fn stat(value: Option<f64>) -> StatRow {
        StatRow {
            zone: "BHMBCCMKT01".into(),
            zone_id: Uuid::nil().to_string(),
            start: instant(1_475_564_400_000),
            statistic: "occupancy".into(),
            value,
        }
    }

    #[test]
    fn statistics_are_an_array_with_numbers_and_minus_one_for_unknown() {
        let head = r#"{"zone":"BHMBCCMKT01","zoneId":"00000000-0000-0000-0000-000000000000","start":"2016-10-04T07:00:00Z","statistic":"occupancy","value":"#;
        let text = render(&[stat(Some(0.123_456_789_012)), stat(None)], Output::Json);
        assert_eq!(text, format!("[{head}0.123456789012}},{head}-1}}]\n"));
        assert_eq!(render::<StatRow>(&[], Output::Json), "[]\n");
    }

    #[test]
    fn table_aligns_words_left_and_numbers_right() {
        let zone = |code: &str, capacity, occupied| ZoneRow {
            zone: code.into(),
            zone_id: Uuid::nil(),
            capacity,
            occupied,
            unknown: 0,
            occupancy: occupied.map(|occupied| f64::from(occupied) / f64::from(capacity)),
            as_of: occupied.map(|_| instant(1_475_564_400_000)),
        };
        let text = render(&[zone("A", 577, Some(61)), zone("LONG-NAME", 20, None)], Output::Table);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "ZONE       CAPACITY  OCCUPIED  UNKNOWN  OCCUPANCY  AS OF");
        assert_eq!(lines[1], "A               577        61        0     10.6 %  2016-10-04T07:00:00Z");
        assert_eq!(lines[2], "LONG-NAME        20                  0");
    }

    #[test]
    fn open_alert_has_no_end() {
        let alert = AlertRow {
            alert_id: Uuid::nil(),
            rule: "zone-full".into(),
            severity: "critical".into(),
            state: "firing".into(),
            zone: "A".into(),
            zone_id: None,
            value: "0.99".into(),
            starts_at: instant(1_475_564_400_000),
            ends_at: None,
            replayed: true,
        };
        let json: serde_json::Value =
            serde_json::from_str(&render(std::slice::from_ref(&alert), Output::Json)).unwrap();
        assert_eq!(
            (&json[0]["startsAt"], &json[0]["endsAt"]),
            (&"2016-10-04T07:00:00Z".into(), &serde_json::Value::Null)
        );
        assert!(render(&[alert], Output::Table).contains("zone-full  critical  firing  A"));
    }

    #[test]
    fn no_rows_are_said_in_words() {
        assert_eq!(render::<AlertRow>(&[], Output::Table), "Nothing found.\n");
        assert!("yaml".parse::<Output>().unwrap_err().contains("table or json"));
    }
}
