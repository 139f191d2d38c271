/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Progress as events: library code reports steps through a callback and never prints.
 *
 * A step has a name ("fetch"), a subject ("k3s"), and an amount of work in a unit. Steps nest;
 * a child's share of its parent is its weight. cli/ renders events as a bar, as lines or as JSON.
 *
 *     struct ib_step *step = ib_step_begin(progress, parent, "fetch", name, size, IB_UNIT_BYTES);
 *     ib_step_advance(step, n);            (any thread)
 *     ib_step_end(step, IB_STEP_DONE);     (frees it)
 *
 * Every function accepts a NULL progress or step and then does nothing, so callers need no checks.
 * Cancellation travels the same way: long loops ask ib_progress_check between pieces of work.
 */
#pragma once

#include <signal.h>

#include "base/error.h"

enum ib_unit { IB_UNIT_NONE, IB_UNIT_BYTES, IB_UNIT_ITEMS };
enum ib_step_status { IB_STEP_DONE, IB_STEP_CACHED, IB_STEP_FAILED, IB_STEP_SKIPPED };
enum ib_event_kind { IB_EVENT_BEGIN, IB_EVENT_ADVANCE, IB_EVENT_END, IB_EVENT_NOTE };

struct ib_step;

struct ib_event {
    enum ib_event_kind kind;
    const struct ib_step *step; /* NULL for a note outside every step */
    enum ib_step_status status; /* END */
    const char *text;           /* NOTE: one line for the user ("KVM does not work here: …") */
};

/* Called with a lock held: events never overlap. `userdata` belongs to the receiver. */
typedef void (*ib_event_fn)(const struct ib_event *event, void *userdata);

struct ib_progress;

/* `cancel` may be NULL; nonzero means: stop as soon as it is safe. Both must outlive the progress.
 */
struct ib_progress *ib_progress_new(ib_event_fn fn, void *userdata,
                                    const volatile sig_atomic_t *cancel);
struct ib_progress *ib_progress_free(struct ib_progress *progress); /* returns NULL */
void ib_progress_freep(struct ib_progress **progress);

/* 0, or -1 with IB_E_INTERRUPTED once the user asked to stop. */
int ib_progress_check(struct ib_progress *progress, struct ib_error **err) _must_check_;
bool ib_progress_cancelled(const struct ib_progress *progress);
void ib_progress_note(struct ib_progress *progress, const char *fmt, ...) _printf_(2, 3);

/* total 0: not known. parent may be NULL. */
struct ib_step *ib_step_begin(struct ib_progress *progress, struct ib_step *parent,
                              const char *name, const char *subject, uint64_t total,
                              enum ib_unit unit);
void ib_step_set_total(struct ib_step *step, uint64_t total);
void ib_step_advance(struct ib_step *step, uint64_t amount);
void ib_step_note(struct ib_step *step, const char *fmt, ...) _printf_(2, 3);
void ib_step_end(struct ib_step *step, enum ib_step_status status);
/* For _cleanup_: a step that was not ended has failed. */
void ib_step_failp(struct ib_step **step);

/* What an event's receiver may ask of a step. */
const char *ib_step_name(const struct ib_step *step);
const char *ib_step_subject(const struct ib_step *step); /* NULL where none */
uint64_t ib_step_total(const struct ib_step *step);
uint64_t ib_step_amount(const struct ib_step *step);
enum ib_unit ib_step_unit(const struct ib_step *step);
unsigned ib_step_depth(const struct ib_step *step);     /* 0: outermost */
uint64_t ib_step_id(const struct ib_step *step);        /* unique in its progress, from 1 */
uint64_t ib_step_parent_id(const struct ib_step *step); /* 0: none */
uint64_t ib_step_elapsed_ms(const struct ib_step *step);
