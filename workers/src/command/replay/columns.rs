//! Rows of CSV files, one line each: the columns that a format needs, found by the names in the header.
//!
//! Must not know what the columns mean.
//! Invariant: a row has as many fields as the header, so a line that was cut is told from a whole one.

use std::borrow::Cow;

use super::Flaw;

/// Where `N` named columns stand.
#[derive(Clone, Debug)]
pub(super) struct Columns<const N: usize> {
    places: [usize; N],
    width: usize,
}

impl<const N: usize> Columns<N> {
    /// Finds the columns; else the name of the first one that is not there.
    pub(super) fn resolve(header: &[u8], names: [&'static str; N]) -> Result<Self, &'static str> {
        let header = header.strip_prefix(b"\xef\xbb\xbf").unwrap_or(header);
        let header = String::from_utf8_lossy(header);
        let fields: Vec<_> = Fields(Some(&header)).collect();
        let mut places = [0; N];
        for (place, name) in places.iter_mut().zip(names) {
            *place = fields.iter().position(|field| field.trim() == name).ok_or(name)?;
        }
        Ok(Self { places, width: fields.len() })
    }

    /// The columns of a row, in the order of the names.
    pub(super) fn pick<'a>(&self, row: &'a [u8]) -> Result<[Cow<'a, str>; N], Flaw> {
        let row =
            std::str::from_utf8(row).map_err(|error| Flaw::NotUtf8 { byte: error.valid_up_to() + 1 })?;
        let mut picked = [const { Cow::Borrowed("") }; N];
        let mut found = 0;
        for (place, field) in Fields(Some(row)).enumerate() {
            found = place + 1;
            if let Some((_, slot)) = self.places.iter().zip(&mut picked).find(|(wanted, _)| **wanted == place)
            {
                *slot = field;
            }
        }
        if found == self.width { Ok(picked) } else { Err(Flaw::Width { found, needed: self.width }) }
    }
}

/// Fields of a line; a quoted one may hold commas and doubled quotes.
struct Fields<'a>(Option<&'a str>);

impl<'a> Iterator for Fields<'a> {
    type Item = Cow<'a, str>;

    fn next(&mut self) -> Option<Self::Item> {
        let line = self.0?;
        let Some(quoted) = line.strip_prefix('"') else {
            let (field, rest) =
                line.split_once(',').map_or((line, None), |(field, rest)| (field, Some(rest)));
            self.0 = rest;
            return Some(Cow::Borrowed(field));
        };
        let mut marks = quoted.match_indices('"').map(|(at, _)| at).peekable();
        let end = loop {
            match marks.next() {
                Some(at) if marks.peek() == Some(&(at + 1)) => marks.next(),
                end => break end.unwrap_or(quoted.len()),
            };
        };
        let (field, rest) = quoted.split_at(end);
        self.0 = rest.split_once(',').map(|(_, rest)| rest);
        Some(if field.contains('"') { Cow::Owned(field.replace("\"\"", "\"")) } else { Cow::Borrowed(field) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        let columns = Columns::resolve(b"\xef\xbb\xbfa,b,\"c\"", ["c", "a"]).unwrap();
        assert_eq!(columns.pick(b"1,2,3").unwrap(), ["3", "1"]);
    }

    #[test]
    fn quoted_fields_keep_commas_and_quotes() {
        let columns = Columns::resolve(b"a,b,c", ["b", "c"]).unwrap();
        assert_eq!(columns.pick(br#"1,"x, ""y""",3"#).unwrap(), [r#"x, "y""#, "3"]);
        assert_eq!(columns.pick(br#"1,"","-37.8, 144.9""#).unwrap(), ["", "-37.8, 144.9"]);
    }

    #[test]
    fn missing_column_is_named() {
        assert_eq!(Columns::resolve(b"a,b", ["a", "Occupancy"]).unwrap_err(), "Occupancy");
    }

    #[test]
    fn cut_row_and_foreign_bytes_are_told() {
        let columns = Columns::resolve(b"a,b", ["a", "b"]).unwrap();
        assert!(matches!(columns.pick(b"1"), Err(Flaw::Width { found: 1, needed: 2 })));
        assert!(matches!(columns.pick(b"1,2,3"), Err(Flaw::Width { found: 3, needed: 2 })));
        assert!(matches!(columns.pick(b"1,\xff"), Err(Flaw::NotUtf8 { byte: 3 })));
    }
}
