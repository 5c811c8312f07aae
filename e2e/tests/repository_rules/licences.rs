//! Which licences the packages that we build with may have.

/// Permissive licences: their terms are met by the notices that a distribution carries.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "bzip2-1.0.6",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages with another licence: package, licence, why it is all right.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("option-ext", "MPL-2.0", "copyleft per file, and its files are used unchanged")];

/// Why the package may not be used, if so.
pub(crate) fn refused(package: &str, licence: Option<&str>) -> Option<String> {
    let Some(expression) = licence else {
        return Some(format!("{package}: names no licence"));
    };
    let excepted = EXCEPTIONS.iter().any(|(name, licence, _)| *name == package && *licence == expression);
    match satisfies(expression) {
        Some(true) => None,
        _ if excepted => None,
        Some(false) => Some(format!("{package}: licence {expression} is not allowed")),
        None => Some(format!("{package}: licence {expression} is no SPDX expression")),
    }
}

/// Whether the allowed licences satisfy an SPDX expression; `None` if it is malformed.
fn satisfies(expression: &str) -> Option<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let satisfied = either(&mut rest)?;
    rest.is_empty().then_some(satisfied)
}

fn either(rest: &mut &[&str]) -> Option<bool> {
    let mut satisfied = both(rest)?;
    while take(rest, "OR") {
        satisfied |= both(rest)?;
    }
    Some(satisfied)
}

fn both(rest: &mut &[&str]) -> Option<bool> {
    let mut satisfied = single(rest)?;
    while take(rest, "AND") {
        satisfied &= single(rest)?;
    }
    Some(satisfied)
}

fn single(rest: &mut &[&str]) -> Option<bool> {
    if take(rest, "(") {
        let satisfied = either(rest)?;
        return take(rest, ")").then_some(satisfied);
    }
    let name = next(rest).filter(|name| !["AND", "OR", "WITH", ")"].contains(name))?;
    if !take(rest, "WITH") {
        return Some(ALLOWED.contains(&name));
    }
    let exception = next(rest)?;
    Some(ALLOWED.contains(&format!("{name} WITH {exception}").as_str()))
}

fn next<'a>(rest: &mut &[&'a str]) -> Option<&'a str> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    Some(first)
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    let found = rest.first() == Some(&word);
    if found {
        next(rest);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_needs_one_allowed_licence_and_a_sum_needs_all() {
        let table = [
            ("MIT", Some(true)),
            ("GPL-3.0-only", Some(false)),
            ("MIT/Apache-2.0", Some(true)),
            ("Apache-2.0 OR GPL-2.0-only", Some(true)),
            ("Apache-2.0 AND GPL-2.0-only", Some(false)),
            ("ISC AND (GPL-2.0-only OR MIT)", Some(true)),
            ("(MIT OR ISC) AND GPL-2.0-only", Some(false)),
            ("GPL-2.0-only AND MIT OR ISC", Some(true)),
            ("Apache-2.0 WITH LLVM-exception", Some(true)),
            ("MIT WITH LLVM-exception", Some(false)),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT ISC", None),
        ];
        for (expression, expected) in table {
            assert_eq!(satisfies(expression), expected, "{expression}");
        }
    }

    #[test]
    fn a_package_without_an_allowed_licence_is_refused_by_name() {
        assert!(refused("secret", None).unwrap().starts_with("secret: names no licence"));
        assert!(refused("viral", Some("AGPL-3.0-only")).unwrap().contains("viral: licence AGPL-3.0-only"));
        assert_eq!(refused("kind", Some("MIT")), None);
    }

    #[test]
    fn an_exception_holds_for_one_package_and_one_licence() {
        assert_eq!(refused("option-ext", Some("MPL-2.0")), None);
        assert!(refused("option-ext", Some("GPL-3.0-only")).is_some());
        assert!(refused("other", Some("MPL-2.0")).is_some());
    }
}
