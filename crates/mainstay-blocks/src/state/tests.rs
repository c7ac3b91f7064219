//! What an app's words ask of a store.

use super::*;

fn item(etag: Option<&str>, concurrency: Concurrency) -> Item {
    let etag = etag.map(str::to_owned);
    Item { key: "k".to_owned(), etag, concurrency, metadata: BTreeMap::new() }
}

#[test]
fn an_etag_and_a_concurrency_become_one_condition() {
    let check = |etag: Option<&str>, concurrency: Concurrency, set: Precondition, delete: Precondition| {
        let item = || item(etag, concurrency);
        assert_eq!(precondition(item(), true), set, "{:?}", item());
        assert_eq!(precondition(item(), false), delete, "{:?}", item());
    };
    let is = |etag: &str| Precondition::Etag(etag.to_owned());
    check(None, Concurrency::Unspecified, Precondition::None, Precondition::None);
    check(Some(""), Concurrency::Unspecified, Precondition::None, Precondition::None);
    check(Some("7"), Concurrency::Unspecified, is("7"), is("7"));
    check(Some("7"), Concurrency::FirstWrite, is("7"), is("7"));
    check(None, Concurrency::FirstWrite, Precondition::Absent, Precondition::None);
    check(Some("7"), Concurrency::LastWrite, Precondition::None, Precondition::None);
}

#[test]
fn a_time_to_live_is_a_number_of_seconds() {
    let check = |text: &str, expect: Option<Option<u64>>| {
        let metadata = BTreeMap::from([("ttlInSeconds".to_owned(), text.to_owned())]);
        assert_eq!(ttl(&metadata).ok(), expect.map(|ttl| ttl.map(Duration::from_secs)), "{text:?}");
    };
    check("60", Some(Some(60)));
    check("-1", Some(None));
    check("", Some(None));
    check("soon", None);
    check("-2", None);
    check("1.5", None);
}
