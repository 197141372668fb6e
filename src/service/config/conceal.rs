//! A line of a configuration as it may be shown beside its mistake: without what may be a secret.

/// What names of keys with secrets have in common, ours, librdkafka's and misspelled ones.
const WORDS: [&str; 9] = ["sasl", "ssl", "oauth", "pass", "secr", "pem", "token", "cred", "jaas"];

/// What is shown instead.
pub(super) const HIDDEN: &str = "***";

/// The line up to the end of the name of such a key. A line that sets nothing may be a part of a longer text, and is
/// not shown. Where one plain value follows, the name alone is looked at, because `sasl_ssl` is no secret; anywhere else a
/// name may stand in what follows too.
pub(super) fn conceal(line: &str) -> String {
    let trimmed = line.trim_start();
    if !line.contains('=') && !trimmed.is_empty() && !trimmed.starts_with(['[', '#']) {
        return HIDDEN.to_owned();
    }
    let lower = line.to_ascii_lowercase();
    let lower = match lower.split_once('=') {
        Some((key, value)) if is_plain(value) => key,
        _ => &*lower,
    };
    let Some(word) = WORDS.iter().filter_map(|word| lower.find(word)).min() else {
        return line.to_owned();
    };
    let rest = line.get(word..).unwrap_or_default();
    match rest.find(|c: char| c == '=' || c.is_whitespace()) {
        Some(end) => format!("{} = {HIDDEN}", line.get(..word + end).unwrap_or_default()),
        None => line.to_owned(),
    }
}

fn is_plain(value: &str) -> bool {
    let value = value.trim().trim_matches(['"', '\'']);
    !value.contains(|c: char| c.is_whitespace() || matches!(c, '=' | '"' | '\''))
}

#[cfg(test)]
mod tests {
    use super::conceal;

    #[test]
    fn a_line_is_shown_up_to_the_value_of_a_secret() {
        for (line, shown) in [
            ("workers = 0", "workers = 0"),
            ("[kafka]", "[kafka]"),
            ("security_protocol = \"sasl_ssl\"", "security_protocol = \"sasl_ssl\""),
            (
                "security_protocol = 'a', sasl_password = 'CANARY'",
                "security_protocol = 'a', sasl_password = ***",
            ),
            (
                "brokers = 'a:1, sasl_password = 'CANARY'",
                "brokers = 'a:1, sasl_password = ***",
            ),
            ("sasl_password = 'CANARY'", "sasl_password = ***"),
            ("sasl_pasword='CANARY'", "sasl_pasword = ***"),
            ("  'ssl.key.pem' = 'CANARY'", "  'ssl.key.pem' = ***"),
            (
                "kafka = { brokers = 'a:1', oauth_client_secret = 'CANARY' }",
                "kafka = { brokers = 'a:1', oauth_client_secret = ***",
            ),
            (
                "brokers = 'a:1' sasl_password 'CANARY'",
                "brokers = 'a:1' sasl_password = ***",
            ),
            ("CANARY", "***"),
            ("sasl_password 'CANARY'", "***"),
        ] {
            assert_eq!(conceal(line), shown);
        }
    }
}
