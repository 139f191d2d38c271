/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/render.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buffer.h"

enum { MAX_LIVE = 8, REDRAW_MS = 100, BAR_WIDTH = 20, SHOWN_DEPTH = 1 };

struct ib_render {
    enum ib_render_mode mode;
    bool color;
    const struct ib_step *live[MAX_LIVE]; /* running steps, oldest first */
    size_t live_count;
    int lines_drawn;
    uint64_t last_draw_ms, last_json_ms;
};

struct ib_render *ib_render_new(enum ib_render_mode mode, bool color)
{
    struct ib_render *r = ib_calloc(1, sizeof(*r));

    r->mode = mode;
    r->color = color;
    return r;
}

static void erase_live(struct ib_render *r, struct ib_buf *out)
{
    for (; r->lines_drawn > 0; r->lines_drawn--)
        ib_buf_append_str(out, "\033[1A\033[2K");
}

static void flush(struct ib_buf *out)
{
    if (out->size)
        fwrite(out->data, 1, out->size, stderr);
    fflush(stderr);
    ib_buf_clear(out);
}

struct ib_render *ib_render_free(struct ib_render *render)
{
    struct ib_buf out = {0};

    if (render) {
        erase_live(render, &out);
        flush(&out);
        free(render);
    }
    return NULL;
}

void ib_render_freep(struct ib_render **render)
{
    *render = ib_render_free(*render);
}

static int terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20)
        return size.ws_col;
    return 80;
}

static void append_amount(struct ib_buf *line, const struct ib_step *step)
{
    uint64_t done = ib_step_amount(step), total = ib_step_total(step);
    uint64_t ms = IB_MAX(ib_step_elapsed_ms(step), 1);
    char a[16], b[16];

    if (ib_step_unit(step) == IB_UNIT_BYTES) {
        if (total)
            ib_buf_printf(line, " %s of %s", ib_format_size(done, a), ib_format_size(total, b));
        else
            ib_buf_printf(line, " %s", ib_format_size(done, a));
        ib_buf_printf(line, ", %s/s", ib_format_size(done * 1000 / ms, a));
    } else if (total) {
        ib_buf_printf(line, " %llu of %llu", (unsigned long long)done, (unsigned long long)total);
    }
    if (total && done && done < total && ms > 2000)
        ib_buf_printf(line, ", %llu s left",
                      (unsigned long long)((total - done) / IB_MAX(done * 1000 / ms, 1)));
    else if (!total && ms > 2000)
        ib_buf_printf(line, " %llu s", (unsigned long long)(ms / 1000));
}

static void append_bar(struct ib_buf *line, const struct ib_step *step)
{
    uint64_t total = ib_step_total(step), done = IB_MIN(ib_step_amount(step), total);

    if (!total)
        return;
    int filled = (int)((double)done / (double)total * BAR_WIDTH);
    ib_buf_append_str(line, " [");
    for (int i = 0; i < BAR_WIDTH; i++)
        ib_buf_append_str(line, i < filled ? "#" : "-");
    ib_buf_printf(line, "] %3d %%", (int)((double)done / (double)total * 100));
}

static void append_title(struct ib_buf *line, const struct ib_step *step)
{
    const char *subject = ib_step_subject(step);

    ib_buf_printf(line, "%*s%s", 2 * (int)ib_step_depth(step), "", ib_step_name(step));
    if (subject)
        ib_buf_printf(line, " %s", subject);
}

static void draw_live(struct ib_render *r, struct ib_buf *out)
{
    int width = terminal_width();

    for (size_t i = 0; i < r->live_count; i++) {
        _cleanup_(ib_buf_clear) struct ib_buf line = {0};
        append_title(&line, r->live[i]);
        append_bar(&line, r->live[i]);
        append_amount(&line, r->live[i]);
        ib_buf_append(out, line.data, IB_MIN(line.size, (size_t)width - 1));
        ib_buf_append_str(out, "\n");
        r->lines_drawn++;
    }
    r->last_draw_ms = ib_now_ms();
}

static const char *status_word(const struct ib_render *r, enum ib_step_status status)
{
    static const char *const plain[] = {"done", "cached", "failed", "skipped"};
    static const char *const colored[] = {"\033[32mdone\033[0m", "\033[36mcached\033[0m",
                                          "\033[31mfailed\033[0m", "\033[33mskipped\033[0m"};

    return r->color ? colored[status] : plain[status];
}

/* The line that stays when a step has ended; deeper steps leave none. */
static void append_end(const struct ib_render *r, struct ib_buf *out, const struct ib_event *e)
{
    char size[16];

    if (ib_step_depth(e->step) > SHOWN_DEPTH && e->status != IB_STEP_FAILED)
        return;
    append_title(out, e->step);
    ib_buf_printf(out, ": %s", status_word(r, e->status));
    if (e->status == IB_STEP_DONE) {
        uint64_t ms = ib_step_elapsed_ms(e->step);
        ib_buf_printf(out, ", %llu.%llu s", (unsigned long long)(ms / 1000),
                      (unsigned long long)(ms % 1000 / 100));
        if (ib_step_unit(e->step) == IB_UNIT_BYTES && ib_step_amount(e->step))
            ib_buf_printf(out, ", %s", ib_format_size(ib_step_amount(e->step), size));
    }
    ib_buf_append_str(out, "\n");
}

static void track(struct ib_render *r, const struct ib_event *e)
{
    if (e->kind == IB_EVENT_BEGIN && r->live_count < MAX_LIVE)
        r->live[r->live_count++] = e->step;
    if (e->kind != IB_EVENT_END)
        return;
    for (size_t i = 0; i < r->live_count; i++) {
        if (r->live[i] == e->step) {
            r->live_count--;
            memmove(&r->live[i], &r->live[i + 1], (r->live_count - i) * sizeof(r->live[0]));
            return;
        }
    }
}

static void on_terminal(struct ib_render *r, const struct ib_event *e)
{
    struct ib_buf out = {0};

    track(r, e);
    if (e->kind == IB_EVENT_ADVANCE && ib_now_ms() - r->last_draw_ms < REDRAW_MS)
        return;
    erase_live(r, &out);
    if (e->kind == IB_EVENT_NOTE)
        ib_buf_printf(&out, "note: %s\n", e->text);
    if (e->kind == IB_EVENT_END)
        append_end(r, &out, e);
    draw_live(r, &out);
    flush(&out);
}

static void on_lines(struct ib_render *r, const struct ib_event *e)
{
    struct ib_buf out = {0};

    if (e->kind == IB_EVENT_NOTE)
        ib_buf_printf(&out, "note: %s\n", e->text);
    if (e->kind == IB_EVENT_END)
        append_end(r, &out, e);
    flush(&out);
}

static void on_json(struct ib_render *r, const struct ib_event *e)
{
    static const char *const kinds[] = {"begin", "advance", "end", "note"};
    static const char *const statuses[] = {"done", "cached", "failed", "skipped"};

    if (e->kind == IB_EVENT_ADVANCE && ib_now_ms() - r->last_json_ms < 5 * REDRAW_MS)
        return;
    json_t *o = json_pack("{s:s}", "event", kinds[e->kind]);
    if (e->step) {
        json_object_set_new(o, "id", json_integer((json_int_t)ib_step_id(e->step)));
        json_object_set_new(o, "parent", json_integer((json_int_t)ib_step_parent_id(e->step)));
        json_object_set_new(o, "name", json_string(ib_step_name(e->step)));
        json_object_set_new(o, "subject", json_string_nocheck(ib_step_subject(e->step) ?: ""));
        json_object_set_new(o, "done", json_integer((json_int_t)ib_step_amount(e->step)));
        json_object_set_new(o, "total", json_integer((json_int_t)ib_step_total(e->step)));
        json_object_set_new(o, "elapsed_ms", json_integer((json_int_t)ib_step_elapsed_ms(e->step)));
    }
    if (e->kind == IB_EVENT_END)
        json_object_set_new(o, "status", json_string(statuses[e->status]));
    if (e->kind == IB_EVENT_NOTE)
        json_object_set_new(o, "text", json_string(e->text));
    char *text = json_dumps(o, JSON_COMPACT);
    fprintf(stderr, "%s\n", text);
    free(text);
    json_decref(o);
    r->last_json_ms = ib_now_ms();
}

void ib_render_event(const struct ib_event *event, void *userdata)
{
    struct ib_render *r = userdata;

    switch (r->mode) {
    case IB_RENDER_QUIET:
        break;
    case IB_RENDER_LINES:
        on_lines(r, event);
        break;
    case IB_RENDER_TERMINAL:
        on_terminal(r, event);
        break;
    case IB_RENDER_JSON:
        on_json(r, event);
        break;
    }
}
