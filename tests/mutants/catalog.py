"""Every mistake that the tests are known to notice, room by room.

To add one: give it a name, the text as it stands in the source, the text with the mistake, and the
test or two that must fail. `python -m tests.mutants.run NAME` tries it.
"""

from __future__ import annotations

from tests.mutants.mutant import Change, Mutant, mutant

DELIVERY_TESTS = "tests/target_hubspot_calls/delivery"
HUBSPOT_TESTS = "tests/target_hubspot_calls/hubspot"
RECORDING_TESTS = "tests/target_hubspot_calls/recordings"
SHARED_HISTORY_TESTS = "tests/target_hubspot_calls/shared_history"
STREAM_TESTS = "tests/call_stream"
WEBHOOK_TESTS = "tests/receiver/webhooks"

DELIVERY = (
    mutant(
        "pass the pace of a portal whose run was killed",
        "target_hubspot_calls/delivery/portals.py",
        "pace.requests.close_for(WINDOW_S + SLACK_S - spent.ago_s)",
        "_ = WINDOW_S",
        f"{DELIVERY_TESTS}/test_two_runs.py"
        "::test_a_portal_held_by_a_killed_run_is_taken_over_at_once_and_left_alone_for_a_window",
    ),
    mutant(
        "retry without lookup",
        "target_hubspot_calls/delivery/round.py",
        "await self._write_all(await self._find_lost())",
        "self._unaccounted.clear(); await self._write_all(list(self._open.values()))",
        f"{DELIVERY_TESTS}/test_windows.py"
        "::test_a_write_announced_before_the_portal_had_the_property_is_found",
    ),
    mutant(
        "look up only by the unique property",
        "target_hubspot_calls/delivery/look_up.py",
        "found |= await _find_by_body(portal, kind, missing)",
        "_ = missing",
        f"{DELIVERY_TESTS}/test_deliver.py"
        "::test_a_create_whose_answer_was_lost_is_found_and_not_written_again",
    ),
    mutant(
        "repeat a create whose answer was lost",
        "target_hubspot_calls/hubspot/retry.py",
        "isinstance(error, TransientHubSpotError) and not isinstance(error, AnswerLost)",
        "isinstance(error, TransientHubSpotError | AnswerLost)",
        f"{HUBSPOT_TESTS}/test_client.py"
        "::test_a_create_is_repeated_only_where_it_was_certainly_not_done",
        f"{HUBSPOT_TESTS}/test_client.py"
        "::test_an_unreadable_2xx_to_a_create_is_a_lost_answer_and_not_repeated",
    ),
    mutant(
        "create without announcing it",
        "target_hubspot_calls/delivery/write.py",
        "    held = await announce(drafts)\n"
        "    by_id = {draft.call_id: draft for draft in held}\n"
        "    if not by_id:\n"
        "        return {}\n"
        "\n"
        "    async def confirm_all() -> None:\n"
        "        if len(await confirm(held)) < len(held):\n",
        "    held = list(drafts)\n"
        "    by_id = {draft.call_id: draft for draft in held}\n"
        "    if not by_id:\n"
        "        return {}\n"
        "\n"
        "    async def confirm_all() -> None:\n"
        "        if not held:\n",
        f"{DELIVERY_TESTS}/test_windows.py"
        "::test_a_create_on_a_newly_matched_contact_is_announced_there",
    ),
    mutant(
        "reckon a late write from its announcement",
        "target_hubspot_calls/delivery/round.py",
        "        return 0 <= oldest_s <= ANNOUNCED_FOR_S\n",
        "        return 0 <= oldest_s\n",
        f"{DELIVERY_TESTS}/test_held_back.py"
        "::test_a_create_held_back_for_minutes_is_waited_for_from_its_sending",
    ),
    mutant(
        "STATE before the ledger has the records",
        "target_hubspot_calls/target.py",
        "            super()._process_state_message(message_dict)\n"
        "            self._drain_sinks()\n",
        "            super()._process_state_message(message_dict)\n",
        "tests/target_hubspot_calls/test_target.py"
        "::test_records_read_before_a_signal_are_delivered_by_the_next_run",
    ),
    mutant(
        "ignore the errors of a 207",
        "target_hubspot_calls/hubspot/batches.py",
        "        errors.update(dict.fromkeys(named, error))\n",
        "        named = named\n",
        f"{DELIVERY_TESTS}/test_deliver.py::test_one_bad_call_of_a_batch_leaves_the_others_alone",
        f"{HUBSPOT_TESTS}/test_batches.py::test_each_input_of_a_207_is_judged_alone",
    ),
    mutant(
        "match the results of a batch by position",
        "target_hubspot_calls/delivery/write.py",
        "call_id = engagement.trace_id or call_id_of(engagement, kind.body_property)",
        "call_id = ([*by_id, *[None] * 9])[result.engagements.index(engagement)]",
        f"{DELIVERY_TESTS}/test_batches.py"
        "::test_results_in_another_order_belong_to_their_own_calls",
    ),
    mutant(
        "believe a short 2xx",
        "target_hubspot_calls/hubspot/batches.py",
        "if len(engagements) + len(errors) + len(unnamed) < len(sent):",
        "if len(engagements) + len(errors) + len(unnamed) < 0:",
        f"{HUBSPOT_TESTS}/test_batches.py::test_a_reply_that_leaves_an_input_out_is_malformed",
    ),
    Mutant(
        "follow redirects to any host",
        (
            Change(
                "target_hubspot_calls/hubspot/transport.py",
                "follow_redirects=False",
                "follow_redirects=True",
            ),
            Change(
                "target_hubspot_calls/hubspot/transport.py",
                "if _origin(request.url) != self._home:",
                "if not request.url.host:",
            ),
        ),
        (
            f"{HUBSPOT_TESTS}/test_sockets.py"
            "::test_a_redirect_is_refused_and_the_other_host_never_hears_of_us",
        ),
    ),
    mutant(
        "send a request to any host",
        "target_hubspot_calls/hubspot/transport.py",
        "if _origin(request.url) != self._home:",
        "if not request.url.host:",
        f"{HUBSPOT_TESTS}/test_sockets.py::test_a_request_for_another_host_is_never_sent",
    ),
    mutant(
        "let one public address of a recording's host speak for all",
        "target_hubspot_calls/recordings/network.py",
        "if min(reaches) < lowest:",
        "if max(reaches) < lowest:",
        f"{RECORDING_TESTS}/test_network.py"
        "::test_an_address_that_is_not_public_is_never_connected_to",
    ),
    mutant(
        "look the recording's host up a second time to connect",
        "target_hubspot_calls/recordings/network.py",
        "request.url = link.url.copy_with(host=str(address))",
        "request.url = link.url",
        f"{RECORDING_TESTS}/test_network.py"
        "::test_the_address_that_was_checked_is_the_one_connected_to",
    ),
    mutant(
        "skip html.escape",
        "target_hubspot_calls/engagement.py",
        'return html.escape(cleaned, quote=True).replace("\\n", "<br>")',
        'return cleaned.replace("\\n", "<br>")',
        "tests/target_hubspot_calls/test_engagement.py"
        "::test_everything_from_outside_is_text_and_never_markup",
    ),
    mutant(
        "let control characters through to the log",
        "target_hubspot_calls/hubspot/failures.py",
        'char if char.isprintable() else " " for char in plain',
        "char for char in plain",
        f"{HUBSPOT_TESTS}/test_failures.py"
        "::test_a_rejection_has_no_character_that_could_forge_a_log_line",
    ),
    mutant(
        "let a blank replace a value",
        "target_hubspot_calls/call.py",
        "merged[field.name] = old if new is None else new",
        "merged[field.name] = new",
        "tests/target_hubspot_calls/test_call.py::test_a_blank_never_replaces_a_value",
    ),
    mutant(
        "believe a hit of the search without its country",
        "target_hubspot_calls/delivery/match.py",
        "if best is NumberMatch.DIFFERENT:",
        "if not candidates:",
        f"{DELIVERY_TESTS}/test_match.py"
        "::test_the_same_digits_in_another_country_are_somebody_else",
    ),
    mutant(
        "pack searches by count alone",
        "target_hubspot_calls/hubspot/contacts.py",
        "if not packs or cost > left or len(packs[-1]) == MAX_VALUES:",
        "if not packs or len(packs[-1]) == MAX_VALUES:",
        f"{HUBSPOT_TESTS}/test_contacts.py::test_no_search_body_passes_3000_characters_on_any_page",
    ),
    mutant(
        "go through a proxy of the environment",
        "target_hubspot_calls/hubspot/transport.py",
        "        transport=bounded,\n        trust_env=False,",
        "        trust_env=True,",
        f"{HUBSPOT_TESTS}/test_sockets.py::test_a_proxy_in_the_environment_is_not_used",
    ),
    mutant(
        "accept any certificate",
        "target_hubspot_calls/hubspot/transport.py",
        "verify=_tls(),",
        "verify=False,",
        f"{HUBSPOT_TESTS}/test_tls.py",
    ),
    mutant(
        "tell of history's trouble at each try",
        "target_hubspot_calls/delivery/run.py",
        "            self._told_about_history = True\n",
        "",
        f"{DELIVERY_TESTS}/test_history_waits.py"
        "::test_calls_are_delivered_though_history_has_to_wait[no database]",
    ),
)

CALL_STREAM = (
    mutant(
        "pass over what the writer put in place before it rotated",
        "call_stream/file_reader.py",
        "                return later_base\n",
        "                return self._base_after(segment.base)\n",
        f"{STREAM_TESTS}/test_file_reader.py"
        "::test_no_entry_is_passed_over_when_the_writer_rotates_at_any_moment",
    ),
    mutant(
        "remove fdatasync",
        "call_stream/segment_log.py",
        "            self._disk.fdatasync(self._fd)\n        except OSError as err:\n"
        "            # The kernel has marked",
        "            pass\n        except OSError as err:\n            # The kernel has marked",
        f"{STREAM_TESTS}/test_segment_log.py::test_an_entry_is_acknowledged_only_after_its_flush",
    ),
    mutant(
        "acknowledge before fdatasync",
        "call_stream/segment_log.py",
        "            self._disk.fdatasync(self._fd)\n        except OSError as err:\n"
        "            # The kernel has marked",
        "            import threading\n"
        "            threading.Timer(0.2, self._disk.fdatasync, [self._fd]).start()\n"
        "        except OSError as err:\n            # The kernel has marked",
        f"{STREAM_TESTS}/test_segment_log.py::test_an_entry_is_acknowledged_only_after_its_flush",
    ),
    mutant(
        "let a signal end the process that writes",
        "call_stream/writing_process.py",
        "    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n",
        "    for number in ():\n",
        f"{STREAM_TESTS}/test_process_writer.py::test_signals_are_left_to_the_receiver",
    ),
    mutant(
        "count on a batch before the disk has it",
        "call_stream/writing_process.py",
        "            result = log.commit(batch)\n",
        "            receiver.tell(Stored([1] * len(batch)))\n"
        "            result = log.commit(batch)\n",
        f"{STREAM_TESTS}/test_process_writer.py"
        "::test_entries_are_stored_in_order_where_their_futures_say",
    ),
    mutant(
        "drop the CRC check",
        "call_stream/frames.py",
        "if crc32(payload, crc32(checked)) != crc:",
        "if length < 0:",
        f"{STREAM_TESTS}/test_frames.py::test_a_frame_with_one_bit_flipped_is_no_frame",
    ),
)

RECEIVER: tuple[Mutant, ...] = (
    mutant(
        "compare signatures with ==",
        "receiver/hmac_signatures.py",
        "proven |= hmac.compare_digest(expected, signature)",
        "proven |= expected == signature",
        f"{WEBHOOK_TESTS}/test_hmac.py::test_signatures_are_compared_in_constant_time_only",
    ),
    mutant(
        "compare secrets with ==",
        "target_hubspot_calls/store/webhooks.py",
        "accepted |= hmac.compare_digest(digest, known)",
        "accepted |= digest == known",
        f"{WEBHOOK_TESTS}/test_secrets.py::test_secrets_are_compared_in_constant_time_only",
    ),
    mutant(
        "skip the timestamp check",
        "receiver/hmac_signatures.py",
        "if not now_s <= keep_until_s <= now_s + 2 * TOLERANCE_S:",
        "if now_s < 0:",
        f"{WEBHOOK_TESTS}/test_hmac.py::test_a_timestamp_may_be_five_minutes_off_and_no_more",
    ),
    mutant(
        "take timestamps of the future",
        "receiver/hmac_signatures.py",
        "if not now_s <= keep_until_s <= now_s + 2 * TOLERANCE_S:",
        "if not now_s <= keep_until_s:",
        f"{WEBHOOK_TESTS}/test_hmac.py::test_a_timestamp_may_be_five_minutes_off_and_no_more",
    ),
    mutant(
        "store a captured request again",
        "receiver/replays.py",
        "if any(mark in self._kept for mark in marks):",
        "if not marks:",
        f"{WEBHOOK_TESTS}/test_hmac.py::test_a_captured_request_is_stored_once_and_dies_of_age",
    ),
    mutant(
        "take a request for stored before it is",
        "receiver/replays.py",
        "            await store()\n"
        "            self._kept.update(dict.fromkeys(marks, keep_until_s))\n",
        "            self._kept.update(dict.fromkeys(marks, keep_until_s))\n"
        "            await store()\n",
        f"{WEBHOOK_TESTS}/test_hmac.py"
        "::test_a_report_that_could_not_be_stored_is_stored_when_it_comes_again",
    ),
    mutant(
        "let the last of two secrets count",
        "receiver/signatures.py",
        "if len(raw) == len(headers):",
        "if raw:",
        f"{WEBHOOK_TESTS}/test_secrets.py::test_why_a_secret_was_refused_is_counted_and_not_told",
    ),
    mutant(
        "sign with an empty key",
        "receiver/hmac_signatures.py",
        "for key in keys if key",
        'for key in (keys or [b""])',
        f"{WEBHOOK_TESTS}/test_secrets.py::test_a_webhook_without_a_secret_in_force_lets_nobody_in",
    ),
)

SHARED_HISTORY = (
    mutant(
        "let rows of a workspace overtake each other",
        "target_hubspot_calls/store/history_rows.py",
        'connection.execute(_LOCK, {"locks": _LOCKS, "workspace": workspace})',
        "_ = workspace",
        "tests/target_hubspot_calls/store/test_history_rows.py"
        "::test_whoever_writes_a_workspaces_rows_waits_for_the_one_before_it_to_commit",
    ),
    mutant(
        "take rows out of the outbox without the office",
        "target_hubspot_calls/store/held_outbox.py",
        "if connection.scalar(holding.with_for_update(read=True)) != self._holder:",
        "if not self._holder:",
        f"{SHARED_HISTORY_TESTS}/test_filling.py"
        "::test_what_a_run_that_lost_the_office_still_has_in_hand_is_not_deleted",
    ),
    mutant(
        "fill on as if nobody had had the office meanwhile",
        "target_hubspot_calls/shared_history/filling.py",
        "if taken is Taken.TAKEN_OVER or (taken",
        "if (taken",
        f"{SHARED_HISTORY_TESTS}/test_filling.py"
        "::test_a_run_that_was_believed_dead_for_a_moment_has_what_others_wrote_meanwhile",
    ),
    mutant(
        "fill a file without what others were given before",
        "target_hubspot_calls/shared_history/filling.py",
        "        if taken is Taken.TAKEN_OVER or (taken and had_until <= asked_at):\n",
        "        if taken is Taken.OURS and had_until <= asked_at:\n",
        f"{SHARED_HISTORY_TESTS}/test_filling.py"
        "::test_a_run_that_leaves_is_followed_by_one_whose_file_gets_all_there_is",
    ),
)

MUTANTS = (*DELIVERY, *CALL_STREAM, *RECEIVER, *SHARED_HISTORY)
