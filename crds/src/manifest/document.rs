//! Where one YAML document ends and the next begins.

/// The documents of a text, each with the number of its first line, from 1.
///
/// Block scalars of a mapping are indented, so a marker in the first column is never content.
pub(super) fn split(text: &str) -> Vec<(u64, String)> {
    let mut documents = Vec::new();
    let (mut first_line, mut chunk) = (1, String::new());
    for (number, line) in (1_u64..).zip(text.split_inclusive('\n')) {
        match line.strip_prefix("---").filter(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
        {
            Some(rest) => {
                push(&mut documents, first_line, std::mem::take(&mut chunk));
                (first_line, chunk) = (number, format!("   {rest}"));
            }
            None => chunk.push_str(line),
        }
    }
    push(&mut documents, first_line, chunk);
    documents
}

fn push(documents: &mut Vec<(u64, String)>, first_line: u64, chunk: String) {
    let is_content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    if chunk.lines().any(is_content) {
        documents.push((first_line, chunk));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_their_first_line() {
        let found = split("# head\n---\na: 1\n--- # second\nb: |\n  ---\n  text\n---\n");
        assert_eq!(
            found,
            [(2, "   \na: 1\n".to_owned()), (4, "    # second\nb: |\n  ---\n  text\n".to_owned())]
        );
    }

    #[test]
    fn a_text_without_content_has_no_documents() {
        assert!(split("\n# nothing\n---\n---\n").is_empty());
    }
}
