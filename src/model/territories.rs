//! Territories that have a country code of their own although they belong to another country.
//!
//! Codes are those of ISO 3166-1; to whom each belongs is what the US Department of State lists as "Dependencies and Areas of
//! Special Sovereignty", with the parts of France, Finland, the Netherlands and Norway that ISO 3166-1 gives a code. What is
//! disputed, such as Taiwan or Western Sahara, is in neither.

/// Countries, and their territories.
const TERRITORIES: [(&str, &[&str]); 10] = [
    ("AU", &["CC", "CX", "HM", "NF"]),
    ("CN", &["HK", "MO"]),
    ("DK", &["FO", "GL"]),
    ("FI", &["AX"]),
    (
        "FR",
        &["BL", "GF", "GP", "MF", "MQ", "NC", "PF", "PM", "RE", "TF", "WF", "YT"],
    ),
    (
        "GB",
        &[
            "AI", "BM", "FK", "GG", "GI", "GS", "IM", "IO", "JE", "KY", "MS", "PN", "SH", "TC", "VG",
        ],
    ),
    ("NL", &["AW", "BQ", "CW", "SX"]),
    ("NO", &["BV", "SJ"]),
    ("NZ", &["CK", "NU", "TK"]),
    ("US", &["AS", "GU", "MP", "PR", "UM", "VI"]),
];

/// Whether what lies in `place` lies in `country`: it is that country, or a territory of it. Both are alpha-2. A territory is
/// the narrower of the two, so the country does not lie in it.
#[must_use]
pub fn is_in_country(place: &str, country: &str) -> bool {
    let is_territory = || {
        let mut countries = TERRITORIES.iter();
        countries.any(|(of, territories)| *of == country && territories.contains(&place))
    };
    place == country || is_territory()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_territory_lies_in_its_country_and_not_the_other_way() {
        for (place, country, expected) in [
            ("US", "US", true),
            ("PR", "US", true),
            ("US", "PR", false),
            ("IM", "GB", true),
            ("IM", "JE", false),
            ("HK", "CN", true),
            ("TW", "CN", false),
            ("RE", "US", false),
            ("", "US", false),
        ] {
            assert_eq!(is_in_country(place, country), expected, "{place} in {country}");
        }
    }

    #[test]
    fn a_territory_belongs_to_one_country_which_is_no_territory() {
        let all: Vec<&str> = TERRITORIES.iter().flat_map(|(_, of)| of.iter().copied()).collect();
        for territory in &all {
            assert_eq!(all.iter().filter(|other| *other == territory).count(), 1, "{territory}");
            assert!(!TERRITORIES.iter().any(|(country, _)| country == territory));
        }
    }
}
