//! Takes out of a text what identifies a person, as far as its form tells: a name in its place says what it was.

use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What is looked for, in this order: a number that is a card is no telephone. All are linear in the text's length.
static FORMS: LazyLock<Vec<Form>> = LazyLock::new(|| {
    vec![
        form(
            r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b",
            "<EMAIL_ADDRESS>",
            any,
        ),
        form(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", "<IBAN>", any),
        form(r"\b[0-9](?:[ -]?[0-9]){12,18}\b", "<CREDIT_CARD>", is_card),
        form(r"\b[0-9]{3}-[0-9]{2}-[0-9]{4}\b", "<SSN>", any),
        form(r"\b[0-9]{1,3}(?:\.[0-9]{1,3}){3}\b", "<IP_ADDRESS>", is_address),
        form(r"\([0-9]{3}\)[ -]?[0-9]{3}[ -]?[0-9]{4}\b", "<PHONE_NUMBER>", any),
        form(r"(?:\+|\b)[0-9](?:[ ().-]{0,2}[0-9]){8,14}\b", "<PHONE_NUMBER>", any),
    ]
});

/// A pattern, what stands in its place, and whether what fits the pattern is meant.
type Form = (Regex, &'static str, fn(&str) -> bool);

fn form(pattern: &str, name: &'static str, holds: fn(&str) -> bool) -> Form {
    (Regex::new(pattern).expect("a pattern of ours is sound"), name, holds)
}

fn any(_: &str) -> bool {
    true
}

/// Whether the digits have the check digit of a card (ISO/IEC 7812, annex B).
fn is_card(text: &str) -> bool {
    let digits = text.chars().rev().filter_map(|digit| digit.to_digit(10));
    let sum: u32 = digits
        .enumerate()
        .map(|(at, digit)| if at % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    sum.is_multiple_of(10)
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok()
}

/// The text without.
pub(super) fn text(text: &str) -> String {
    FORMS.iter().fold(text.to_owned(), |text, (pattern, name, holds)| {
        let replace =
            |found: &Captures<'_>| if holds(&found[0]) { (*name).to_owned() } else { found[0].to_owned() };
        pattern.replace_all(&text, replace).into_owned()
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_identifies_a_person_is_taken_out_and_nothing_else() {
        let check = |text: &str, expect: &str| assert_eq!(super::text(text), expect);
        check("write to jane.doe+x@mail.example.org.", "write to <EMAIL_ADDRESS>.");
        check("card 4111 1111 1111 1111, please", "card <CREDIT_CARD>, please");
        check("call +49 (30) 123-45678 or (555) 123-4567", "call <PHONE_NUMBER> or <PHONE_NUMBER>");
        check("ssn 123-45-6789 from 10.0.0.1", "ssn <SSN> from <IP_ADDRESS>");
        check("to DE89 3704 0044 0532 0130 00", "to <IBAN>");
        for kept in ["version 1.18.3", "in 2026", "12345678", "user@host", "3.14159", "2026-11-21", ""] {
            check(kept, kept);
        }
    }
}
