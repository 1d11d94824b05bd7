"""Mistakes in the lives of segments and slots, and in the checks of what a segment says."""

from __future__ import annotations

from mutant import Mutant, mutant

HEADER = "test_checks.py::test_a_header_is_refused"
VALUE = "test_checks.py::test_a_values_record_is_refused"
HEAP = "test_checks.py::test_a_free_list_is_not_followed"

LIVES: dict[str, Mutant] = {
    "one who leaves and unlinks though others are seated": mutant(
        "segment.c",
        "segment_fd(seg) < 0 || !seat_take_all(seg->fd)) return;",
        "segment_fd(seg) < 0) return;",
        "test_lifetimes.py::test_the_last_one_out_unlinks_what_was_opened",
    ),
    "an attacher that unlinks when it leaves": mutant(
        "segment.c",
        "    if (seg->owner && !claimed) {\n        segment_unlink_name(seg);",
        "    if (!claimed) {\n        segment_unlink_name(seg);",
        "test_lifetimes.py::test_collecting_where_it_is_attached_removes_nothing[counter]",
    ),
    "a last one out that unlinks what is to persist": mutant(
        "segment.c",
        "kept && !(atomic_load(&seg->header->flags) & SEG_PERSIST) && !segment_in_flight(seg)) segment_unlink_name",
        "kept && !segment_in_flight(seg)) segment_unlink_name",
        "test_lifetimes.py::test_persist_keeps_it_until_it_is_unlinked",
    ),
    "a last one out that unlinks what is in flight": mutant(
        "segment.c",
        "(atomic_load(&seg->header->flags) & SEG_PERSIST) && !segment_in_flight(seg)) segment_unlink_name",
        "(atomic_load(&seg->header->flags) & SEG_PERSIST)) segment_unlink_name",
        "test_lifetimes.py::test_handed_over_by_a_process_that_is_gone[array-sys.exit()]",
    ),
    "a last one out that does not look at the claims again": mutant(
        "segment.c",
        "    bool kept = segment_claimed(seg);",
        "    bool kept = claimed;",
        "test_sync_stops.py::test_what_is_claimed_while_the_last_one_leaves_stays",
        dies=True,
    ),
    "an attacher that does not look at the name again": mutant(
        "attach.c",
        "    FAULT(segment_attached);\n    return segment_names(seg, seg->name);\n",
        "    FAULT(segment_attached);\n    return 1;\n",
        "test_sync_stops.py::test_what_is_unlinked_while_somebody_attaches_is_not_found",
        dies=True,
    ),
    "an attacher that was alone and stands up again": mutant(
        "attach.c",
        "    if (alone) seat_keep_one(seg->fd, (uint32_t)seg->seat);\n",
        "    if (alone) seat_drop_all(seg->fd);\n",
        "test_lifetimes.py::test_who_attaches_alone_is_seated",
    ),
    "a forked child that owns what is its parent's": mutant(
        "seat.c",
        "        seg->owner = false;\n",
        "",
        "test_lifetimes.py::test_a_forked_child_owns_nothing_of_its_parents[counter]",
    ),
    "a last one out that unlinks what a container keeps": mutant(
        "segment.c",
        "        if (atomic_load(segment_claim(seg, i)) != 0) return true;\n",
        "        if (false) return true;\n",
        "test_container_lifetimes.py::test_a_child_outlives_its_handles[array]",
    ),
    "an attacher to what should have gone with the dead": mutant(
        "attach.c",
        "    if (alone && is_garbage(seg->fd, h, &(past_t){0})) {",
        "    if (false) {",
        "test_lifetimes.py::test_opened_after_all_were_killed_it_is_fresh",
    ),
    "a claim that was made since the sweep looked": mutant(
        "attach.c",
        "        if (past->gone[i] == claim) return true;\n",
        "        return true;\n",
        "test_container_lifetimes.py::test_what_was_stored_since_a_sweep_looked_is_kept",
    ),
    "what was handed over since the sweep looked": mutant(
        "attach.c",
        "        if (!past->in_flight && (each->flags & SLOT_IN_FLIGHT)",
        "        if (false && (each->flags & SLOT_IN_FLIGHT)",
        "test_container_lifetimes.py::test_what_was_handed_over_since_a_sweep_looked_is_kept",
    ),
    "a name that is taken from another": mutant(
        "segment.c",
        "        if (error == EEXIST && segment_names(seg, seg->name)) break;",
        "        if (error == EEXIST) break;",
        "test_names.py::test_a_name_is_given_once[counter]",
    ),
    "space that is not reserved": mutant(
        "segment.c",
        "        if (fallocate(seg->fd, 0, (off_t)(offset + done), (off_t)step) == 0)\n",
        "        if (ftruncate(seg->fd, (off_t)(offset + done + step)) == 0)\n",
        "test_full_memory.py::test_an_array_that_is_too_big",
    ),
    "a slot that is used again though its name is known": mutant(
        "slab.c",
        "    bool private = !seg->slot_exported[index] && seg->born",
        "    bool private = seg->born",
        "test_lifetimes.py::test_a_slot_whose_name_was_known_is_gone",
    ),
    "a slot that is used again though a child knows it": mutant(
        "slab.c",
        "!seg->slot_exported[index] && seg->born[index] == fork_count + 1;",
        "!seg->slot_exported[index];",
        "test_forks.py::test_slots_that_lived_through_a_fork_are_not_used_again",
    ),
    "a slot that lives when its object is gone": mutant(
        "slab.c",
        "    FAULT(slab_freeing);\n    atomic_store(&slot->state, SLOT_DEAD);\n",
        "    FAULT(slab_freeing);\n",
        "test_lifetimes.py::test_a_slot_whose_name_was_known_is_gone",
    ),
    "a slot that is found by the name of another generation": mutant(
        "handle.c",
        "        (index > 0 && atomic_load(&slot->generation) != generation))",
        "        (index > 0 && generation == 0))",
        "test_names.py::test_a_slot_that_is_not_there_is_not_found",
    ),
    "an object that attaches as one of another kind": mutant(
        "handle.c",
        "    if (slot->kind != kind ||",
        "    if (",
        "test_names.py::test_another_kind_is_refused[SharedValue-counter]",
    ),
}

TRUST: dict[str, Mutant] = {
    "a link that is followed": mutant(
        "attach.c",
        "O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY",
        "O_CLOEXEC | O_NONBLOCK | O_NOCTTY",
        "test_names.py::test_a_symlink_is_refused",
    ),
    "a pipe that is taken for a file": mutant(
        "attach.c", "!S_ISREG(st->st_mode)", "false", "test_names.py::test_a_fifo_is_refused"
    ),
    "another user's file": mutant(
        "trust.c", "st->st_uid != geteuid() && ", "false && ", "test_names.py::test_another_users_file_is_refused"
    ),
    "a file that others may write": mutant(
        "trust.c",
        "(st->st_mode & 07) && ",
        "false && ",
        "test_permissions.py::test_who_is_let_in_is_trusted_or_it_is_refused[SharedDict-438]",
    ),
    "a file that is no segment": mutant(
        "attach.c",
        "memcmp(h->magic, LAYOUT_MAGIC, sizeof h->magic) != 0",
        "false",
        "test_names.py::test_garbage_is_corrupt",
    ),
    "a file of another layout": mutant(
        "attach.c", "h->layout != LAYOUT_VERSION", "false", "test_names.py::test_another_layout_version_is_refused[1]"
    ),
    "a file that is shorter than it says": mutant(
        "attach.c", " || h->size > file_size) return", ") return", f"{HEADER}[larger than its file]"
    ),
    "a kind one beyond the last": mutant(
        "attach.c", "h->kind >= KIND_END", "h->kind > KIND_END", f"{HEADER}[the first kind that there is not]"
    ),
    "a payload over the header": mutant(
        "attach.c", "h->payload < HEADER_SIZE || ", "", f"{HEADER}[a payload over the header]"
    ),
    "a payload one byte too long": mutant(
        "attach.c",
        "h->payload_size > h->size - h->payload)",
        "h->payload_size > h->size - h->payload + 1)",
        f"{HEADER}[a payload longer than what is left]",
    ),
    "a description over the fields": mutant(
        "attach.c",
        "h->meta != META_OFFSET && h->meta < HEADER_SIZE",
        "false",
        f"{HEADER}[a description over the fields]",
    ),
    "a description one byte too long": mutant(
        "attach.c",
        "h->meta_size > h->payload - h->meta)",
        "h->meta_size > h->payload - h->meta + 1)",
        f"{HEADER}[a description longer than what is left]",
    ),
    "a description that runs into the seats": mutant(
        "attach.c",
        "h->meta_size > META_ROOM)",
        "h->meta_size > META_ROOM + 1)",
        f"{HEADER}[a description that runs into the seats]",
    ),
    "a slot too many": mutant(
        "attach.c", "if (h->slots != (h->kind", "if (false && h->slots != (h->kind", f"{HEADER}[a slot too many]"
    ),
    "a slab that is shorter than its slots": mutant(
        "attach.c", "h->kind == KIND_SLAB && h->size != SLAB_SIZE", "false", f"{HEADER}[a slab without its slots]"
    ),
    "a queue that is shorter than its leases": mutant(
        "attach.c", "h->kind == KIND_QUEUE && h->size != QUEUE_SIZE", "false", f"{HEADER}[a queue without its leases]"
    ),
    "a name without an end": mutant(
        "attach.c", "memchr(h->name, 0, NAME_ROOM) == NULL", "false", f"{HEADER}[a name without an end]"
    ),
    "a record one byte longer than its buffer": mutant(
        "store.c",
        "length > capacity(buffer) - RECORD_HEADER",
        "length > capacity(buffer) - RECORD_HEADER + 1",
        f"{VALUE}[a record one byte longer than its buffer]",
    ),
    "a buffer that is no buffer": mutant(
        "store.c",
        "(buffer & 63) < 5 || (buffer & 63) >= 48 || (buffer >> 6)",
        "(buffer >> 6)",
        f"{VALUE}[a record in no buffer]",
    ),
    "a free extent anywhere": mutant("heap.c", "offset < seg->size || (", "(", f"{HEAP}[a free extent over the seats]"),
    "a free extent that is not aligned": mutant(
        "heap.c", "(offset & (length - 1)) != 0 || ", "", f"{HEAP}[a free extent that is not aligned]"
    ),
    "a heap that ends behind its file": mutant(
        "heap.c",
        " || end > (uint64_t)st.st_size + PAGE) return NO_SENSE;",
        ") return NO_SENSE;",
        "test_checks.py::test_a_heap_ends_where_its_file_does",
    ),
    "an extent that is given out twice": mutant(
        "heap.c",
        "    atomic_store(&h->heap_free[order], next);\n",
        "",
        "test_checks.py::test_an_extent_is_given_out_once",
    ),
}

SEGMENTS: dict[str, Mutant] = {**LIVES, **TRUST}
