//! Whose account: the candidates a record offers become one account and its aliases, or a refusal.

use std::borrow::Cow;

use super::Rejection;
use super::reason::refuse;
use crate::model::Account;
use crate::model::account::AccountRefusal;

/// Aliases kept per event.
const ALIASES_MAX: usize = 4;

/// An account and the other names the record gives it.
#[derive(Debug)]
pub(super) struct Person<'a> {
    pub(super) account: Account<'a>,
    pub(super) aliases: Vec<Account<'a>>,
}

/// The first candidate that can be an account; the others that can be become aliases.
///
/// An empty or masked candidate gives way to the next. A machine's name, an oversized or a garbled one refuses the whole
/// event: the names beside it belong to the same machine, or to the same forged record. `field` names the
/// candidates in a rejection.
pub(super) fn resolve<'a>(
    candidates: impl IntoIterator<Item = Cow<'a, str>>,
    field: &str,
) -> Result<Person<'a>, Rejection> {
    let mut person: Option<Person<'a>> = None;
    let mut refusal = AccountRefusal::Missing;
    for candidate in candidates {
        match (canonical(candidate), &mut person) {
            (Ok(account), None) => {
                person = Some(Person {
                    account,
                    aliases: Vec::new(),
                });
            }
            (Ok(alias), Some(person)) => person.add(alias),
            (Err(fatal @ (AccountRefusal::Machine | AccountRefusal::TooLong | AccountRefusal::Garbled)), _) => {
                return Err(refuse(fatal, field));
            }
            (Err(AccountRefusal::Masked), _) => refusal = AccountRefusal::Masked,
            (Err(AccountRefusal::Missing), _) => {}
        }
    }
    person.ok_or_else(|| refuse(refusal, field))
}

impl<'a> Person<'a> {
    fn add(&mut self, alias: Account<'a>) {
        if alias != self.account && !self.aliases.contains(&alias) && self.aliases.len() < ALIASES_MAX {
            self.aliases.push(alias);
        }
    }
}

#[inline]
fn canonical(name: Cow<'_, str>) -> Result<Account<'_>, AccountRefusal> {
    match name {
        Cow::Borrowed(name) => Account::canonical(name),
        Cow::Owned(name) => Account::canonical(&name).map(Account::into_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&'static str]) -> Result<(String, Vec<String>), &'static str> {
        let candidates = names.iter().map(|name| Cow::Borrowed(*name));
        resolve(candidates, "user")
            .map(|person| {
                let aliases = person.aliases.iter().map(|a| a.as_str().to_owned()).collect();
                (person.account.as_str().to_owned(), aliases)
            })
            .map_err(|rejection| rejection.reason)
    }

    #[test]
    fn the_first_usable_name_is_the_account() {
        assert_eq!(
            check(&["", "*****", "Ann@corp.example", r"CORP\ann", "ann", "N/A"]),
            Ok(("ann@corp.example".to_owned(), vec!["ann".to_owned()]))
        );
    }

    #[test]
    fn the_identifier_of_nobody_is_no_alias() {
        assert_eq!(check(&["S-1-0-0"]), Err("account_missing"));
        assert_eq!(check(&["ann", "S-1-0-0"]), Ok(("ann".to_owned(), Vec::new())));
        assert_eq!(check(&["DWM-2", "S-1-5-90-0-2"]), Err("account_machine"));
    }

    #[test]
    fn names_that_merge_people_are_refused() {
        assert_eq!(check(&[]), Err("account_missing"));
        assert_eq!(check(&["", " "]), Err("account_missing"));
        assert_eq!(check(&["", "*****", ""]), Err("account_masked"));
        assert_eq!(check(&["LT-7$", "S-1-5-21-7"]), Err("account_machine"));
        let giant: &'static str = Box::leak("a".repeat(1 << 20).into_boxed_str());
        assert_eq!(check(&["ann", giant]), Err("account_too_long"));
        assert_eq!(check(&["ann", "a\u{0}nn"]), Err("account_garbled"));
    }
}
