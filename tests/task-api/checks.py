"""What the example promises, each as a check of a service at work. They are run in order, on one service."""

import api
import crashes
import events
import served

ALL = [
    # The capstone's five: ready with a sidecar each; state with etags; events with a subscriber; the invocation; the SDK alone.
    api.all_services_are_ready_each_with_its_sidecar,
    api.tasks_are_created_read_changed_and_deleted,
    api.what_is_no_task_is_refused,
    api.the_first_writer_wins_and_its_event_is_the_only_one,
    api.what_the_store_does_not_answer_is_503_until_it_is_back,
    api.who_does_not_know_the_secret_notifies_nobody,
    api.the_apps_know_the_sidecar_alone,
    api.another_backend_is_other_component_files_and_nothing_else,
    # Events: two groups that see everything, in the order of each task; committed after success; a small lag; resumed.
    events.an_event_says_what_happened_and_where,
    events.both_consumers_see_every_event_in_the_order_of_its_task,
    events.completing_is_told_once_and_invokes_the_notification_service,
    events.what_fails_is_not_committed_and_comes_again,
    events.an_event_that_comes_twice_is_written_once,
    events.a_load_is_worked_off,
    events.a_restart_goes_on_where_it_was,
    # And whatever ends in between, no event is lost.
    crashes.what_is_saved_while_the_broker_is_away_is_told_after_a_crash,
    crashes.every_saved_change_has_exactly_its_event_whenever_the_runtime_is_killed,
    events.both_files_hold_every_event_of_the_topic,
    api.it_ends_with_0,
]

SERVED = [
    served.only_what_is_opened_is_reached,
    api.tasks_are_created_read_changed_and_deleted,
    api.what_is_no_task_is_refused,
    api.the_first_writer_wins_and_its_event_is_the_only_one,
    api.who_does_not_know_the_secret_notifies_nobody,
    events.an_event_says_what_happened_and_where,
    events.both_consumers_see_every_event_in_the_order_of_its_task,
    events.completing_is_told_once_and_invokes_the_notification_service,
    events.what_fails_is_not_committed_and_comes_again,
    events.an_event_that_comes_twice_is_written_once,
    events.a_load_is_worked_off,
    crashes.every_saved_change_has_exactly_its_event_whenever_the_runtime_is_killed,
    events.both_files_hold_every_event_of_the_topic,
    api.it_ends_with_0,
]
"""The same of the services as the apps of one, through its public port."""
