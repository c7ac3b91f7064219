//! The provider suite over a fake, and over fakes with planted faults: a suite that lets one pass is no suite.

mod fake;
mod passed;

use libtest_mimic::{Arguments, Trial};
use mainstay_testkit::conformance::provider;

use fake::{Fault, opener};

fn main() {
    // Planted faults panic by design; a failed trial still shows its message.
    std::panic::set_hook(Box::new(|_| ()));
    let arguments = Arguments::from_args();
    let mut trials = provider::trials("fake", &opener(None), &[]);
    trials.extend(FAULTS.iter().map(|(fault, caught_by)| {
        Trial::test(format!("planted::{fault:?}"), move || caught(*fault, caught_by))
    }));
    libtest_mimic::run(&arguments, trials).exit();
}

/// Each fault with the check that must catch it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::FinishesTwice, "an_answer_starts_speaks_and_ends_once"),
    (Fault::SpeaksInOnePiece, "an_answer_starts_speaks_and_ends_once"),
    (Fault::WholeAnswersDiffer, "a_whole_answer_says_what_a_stream_says"),
    (Fault::CountsCachedTwice, "usage_comes_once_in_classes_that_add_up"),
    (Fault::LosesArguments, "a_tool_call_keeps_its_arguments"),
    (Fault::MixesCallsUp, "parallel_calls_stay_apart"),
    (Fault::ThinksAloud, "reasoning_is_told_apart_from_text"),
    (Fault::AlwaysStops, "a_bound_on_tokens_ends_with_length"),
    (Fault::AlwaysStops, "a_filtered_answer_says_so"),
    (Fault::AlwaysTemporary, "refused_credentials_are_told"),
    (Fault::AlwaysTemporary, "an_empty_account_is_not_a_rate_limit"),
    (Fault::AlwaysTemporary, "a_rate_limit_says_when_to_come_back"),
    (Fault::AlwaysUnavailable, "a_prompt_that_is_refused_is_told"),
    (Fault::AlwaysUnavailable, "a_model_that_the_provider_lacks_is_told"),
    (Fault::AlwaysUnavailable, "an_answer_of_another_kind_is_a_bad_response"),
    (Fault::RepeatsTheProvider, "a_request_that_is_not_accepted_is_invalid"),
    (Fault::HidesCuts, "a_stream_that_breaks_is_a_bad_response_after_what_came"),
    (Fault::HidesCuts, "a_stream_that_ends_early_is_a_bad_response_after_what_came"),
    (Fault::MindsTheConnection, "a_connection_that_breaks_after_the_end_is_no_failure"),
    (Fault::MindsTheConnection, "a_connection_that_breaks_after_the_end_of_a_passed_stream_is_no_failure"),
    (Fault::HidesCuts, "a_failure_inside_a_stream_keeps_its_class"),
    (Fault::HidesCuts, "a_whole_answer_that_breaks_is_a_bad_response"),
    (Fault::OutlivesItsCaller, "dropping_a_call_is_noticed_upstream"),
    (Fault::OutlivesItsCaller, "dropping_a_stream_is_noticed_upstream"),
    (Fault::OutlivesItsCaller, "dropping_a_passed_stream_is_noticed_upstream"),
    (Fault::Rewrites, "a_stream_passes_as_it_comes_and_is_noticed"),
    (Fault::Rewrites, "a_whole_answer_passes_as_it_is_and_is_noticed"),
    (Fault::NoticesNothing, "a_stream_passes_as_it_comes_and_is_noticed"),
    (Fault::KeepsUsage, "usage_that_only_metering_asked_for_is_left_out"),
    (Fault::SortsKeys, "the_request_arrives_as_it_was_but_for_its_model_and_edits"),
    (Fault::KeepsTheCallersModel, "the_request_arrives_as_it_was_but_for_its_model_and_edits"),
    (Fault::KeepsTheCallersModel, "the_model_asked_for_is_the_one_that_upstream_sees"),
    (Fault::DropsHeaders, "headers_pass_both_ways"),
    (Fault::SwallowsMeaning, "a_failed_answer_passes_with_its_meaning"),
    (Fault::PassesAnything, "an_answer_of_another_kind_does_not_pass"),
    (Fault::AnswersTooEarly, "an_answer_that_is_nothing_but_a_failure_is_a_failed_answer"),
    (Fault::AnswersTooEarly, "a_passed_stream_that_says_nothing_is_no_answer"),
    (Fault::NoticesNothing, "a_failure_inside_a_passed_stream_is_noticed"),
    (Fault::HidesLife, "a_provider_at_work_can_be_told_from_a_silent_one"),
    (Fault::HidesLife, "a_provider_at_work_on_a_passed_stream_can_be_told_from_a_silent_one"),
    (Fault::HidesCuts, "a_passed_stream_that_breaks_fails_after_what_came"),
    (Fault::HidesCuts, "a_passed_stream_that_ends_early_fails_after_what_came"),
    (Fault::SpeaksAnyDialect, "a_dialect_that_is_not_declared_is_unsupported"),
    (Fault::ChangesItsMind, "capabilities_do_not_change"),
    (Fault::ReadsOnePage, "a_list_of_models_is_read_to_its_last_page"),
    (Fault::SendsLess, "tools_are_sent_or_refused"),
    (Fault::SendsLess, "pictures_are_sent_or_refused"),
    (Fault::LosesInSilence, "fields_that_are_lost_are_told_before_anything_else"),
    (Fault::TellsLossesLast, "fields_that_are_lost_are_told_before_anything_else"),
    (Fault::TakesWhatItDoesNotDeclare, "schemas_are_sent_or_refused"),
];

fn caught(fault: Fault, caught_by: &str) -> Result<(), libtest_mimic::Failed> {
    let check = provider::checks().find(|check| check.name == caught_by);
    let check = check.ok_or_else(|| format!("no check is called `{caught_by}`"))?;
    let outcome = std::panic::catch_unwind(|| provider::prove(check, opener(Some(fault))));
    if outcome.is_ok() { Err("the suite let it pass".into()) } else { Ok(()) }
}
