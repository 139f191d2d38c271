/* SPDX-License-Identifier: Apache-2.0 */
#include "base/progress.h"

#include <pthread.h>
#include <stdarg.h>
#include <time.h>

#include "base/buffer.h"

struct ib_progress {
    ib_event_fn fn;
    void *userdata;
    const volatile sig_atomic_t *cancel;
    uint64_t last_id;
    pthread_mutex_t lock;
};

struct ib_step {
    struct ib_progress *progress;
    uint64_t id, parent_id;
    unsigned depth;
    char *name, *subject;
    uint64_t total, amount;
    enum ib_unit unit;
    struct timespec start;
};

struct ib_progress *ib_progress_new(ib_event_fn fn, void *userdata,
                                    const volatile sig_atomic_t *cancel)
{
    struct ib_progress *p = ib_calloc(1, sizeof(*p));

    p->fn = fn;
    p->userdata = userdata;
    p->cancel = cancel;
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

struct ib_progress *ib_progress_free(struct ib_progress *progress)
{
    if (progress) {
        pthread_mutex_destroy(&progress->lock);
        free(progress);
    }
    return NULL;
}

void ib_progress_freep(struct ib_progress **progress)
{
    *progress = ib_progress_free(*progress);
}

bool ib_progress_cancelled(const struct ib_progress *progress)
{
    return progress && progress->cancel && *progress->cancel;
}

int ib_progress_check(struct ib_progress *progress, struct ib_error **err)
{
    if (!ib_progress_cancelled(progress))
        return 0;
    return ib_failf(err, IB_E_INTERRUPTED, "stopped at your request; finished stages are kept");
}

static void emit(struct ib_progress *p, const struct ib_event *event)
{
    if (!p->fn)
        return;
    pthread_mutex_lock(&p->lock);
    p->fn(event, p->userdata);
    pthread_mutex_unlock(&p->lock);
}

static void note(struct ib_progress *p, const struct ib_step *step, const char *fmt, va_list ap)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    ib_buf_vprintf(&text, fmt, ap);
    emit(p, &(struct ib_event){IB_EVENT_NOTE, step, IB_STEP_DONE, (const char *)text.data});
}

void ib_progress_note(struct ib_progress *progress, const char *fmt, ...)
{
    va_list ap;

    if (!progress)
        return;
    va_start(ap, fmt);
    note(progress, NULL, fmt, ap);
    va_end(ap);
}

struct ib_step *ib_step_begin(struct ib_progress *progress, struct ib_step *parent,
                              const char *name, const char *subject, uint64_t total,
                              enum ib_unit unit)
{
    if (!progress)
        return NULL;
    struct ib_step *step = ib_calloc(1, sizeof(*step));
    step->progress = progress;
    step->id = __atomic_add_fetch(&progress->last_id, 1, __ATOMIC_RELAXED);
    step->parent_id = parent ? parent->id : 0;
    step->depth = parent ? parent->depth + 1 : 0;
    step->name = ib_strdup(name);
    step->subject = ib_strdup(subject);
    step->total = total;
    step->unit = unit;
    clock_gettime(CLOCK_MONOTONIC, &step->start);
    emit(progress, &(struct ib_event){IB_EVENT_BEGIN, step, IB_STEP_DONE, NULL});
    return step;
}

void ib_step_set_total(struct ib_step *step, uint64_t total)
{
    if (step)
        __atomic_store_n(&step->total, total, __ATOMIC_RELAXED);
}

void ib_step_advance(struct ib_step *step, uint64_t amount)
{
    if (!step)
        return;
    __atomic_add_fetch(&step->amount, amount, __ATOMIC_RELAXED);
    emit(step->progress, &(struct ib_event){IB_EVENT_ADVANCE, step, IB_STEP_DONE, NULL});
}

void ib_step_note(struct ib_step *step, const char *fmt, ...)
{
    va_list ap;

    if (!step)
        return;
    va_start(ap, fmt);
    note(step->progress, step, fmt, ap);
    va_end(ap);
}

void ib_step_end(struct ib_step *step, enum ib_step_status status)
{
    if (!step)
        return;
    emit(step->progress, &(struct ib_event){IB_EVENT_END, step, status, NULL});
    free(step->name);
    free(step->subject);
    free(step);
}

void ib_step_failp(struct ib_step **step)
{
    ib_step_end(*step, IB_STEP_FAILED);
    *step = NULL;
}

const char *ib_step_name(const struct ib_step *step)
{
    return step->name;
}

const char *ib_step_subject(const struct ib_step *step)
{
    return step->subject;
}

uint64_t ib_step_total(const struct ib_step *step)
{
    return __atomic_load_n(&step->total, __ATOMIC_RELAXED);
}

uint64_t ib_step_amount(const struct ib_step *step)
{
    return __atomic_load_n(&step->amount, __ATOMIC_RELAXED);
}

enum ib_unit ib_step_unit(const struct ib_step *step)
{
    return step->unit;
}

unsigned ib_step_depth(const struct ib_step *step)
{
    return step->depth;
}

uint64_t ib_step_id(const struct ib_step *step)
{
    return step->id;
}

uint64_t ib_step_parent_id(const struct ib_step *step)
{
    return step->parent_id;
}

uint64_t ib_step_elapsed_ms(const struct ib_step *step)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)((now.tv_sec - step->start.tv_sec) * 1000 +
                      (now.tv_nsec - step->start.tv_nsec) / 1000000);
}
