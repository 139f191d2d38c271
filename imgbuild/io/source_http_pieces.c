/* SPDX-License-Identifier: Apache-2.0 */
/* Which parts of the file are held, and which are wanted next. */
#include <string.h>

#include "source_http.h"

enum { PIECES_MAX = 256, FIRST_WINDOW = 64 * 1024 };

struct ib_http_piece *ib_http_find_piece(struct ib_http_source *http, uint64_t offset)
{
    for (struct ib_http_piece *p = http->pieces; p && p->offset <= offset; p = p->next)
        if (!p->dropped && offset - p->offset < p->size)
            return p;
    return NULL;
}

/* Buffers are used again: fresh memory costs a page fault for every 4 KiB. Those in use and the
 * spare ones together keep to the bound. */
static uint8_t *new_buffer(struct ib_http_source *http, size_t size)
{
    struct ib_http_spare *spare = http->spares;

    if (spare && size == http->piece_bytes) {
        http->spares = spare->next;
        http->spare_count--;
        return (uint8_t *)spare;
    }
    while ((spare = http->spares) &&
           http->held + size + http->spare_count * http->piece_bytes > http->ahead_bytes) {
        http->spares = spare->next;
        http->spare_count--;
        free(spare);
    }
    return ib_malloc(size);
}

static void free_buffer(struct ib_http_source *http, struct ib_http_piece *piece)
{
    struct ib_http_spare *spare = (void *)piece->data;

    if (piece->capacity != http->piece_bytes ||
        http->held + (http->spare_count + 1) * http->piece_bytes > http->ahead_bytes) {
        free(piece->data);
        return;
    }
    spare->next = http->spares;
    http->spares = spare;
    http->spare_count++;
}

struct ib_http_piece *ib_http_add_piece(struct ib_http_source *http, uint64_t offset, size_t size)
{
    struct ib_http_piece *piece = ib_calloc(1, sizeof(*piece)), **at = &http->pieces;

    while (*at && (*at)->offset < offset)
        at = &(*at)->next;
    piece->offset = offset;
    piece->size = size;
    piece->capacity = size;
    piece->data = new_buffer(http, size);
    piece->next = *at;
    *at = piece;
    http->held += size;
    return piece;
}

/* The first part of [offset, end) that no piece covers, at most a piece long. */
static bool gap_in(const struct ib_http_source *http, uint64_t offset, uint64_t end,
                   uint64_t *ret_offset, size_t *ret_size)
{
    const struct ib_http_piece *p = http->pieces;

    while (offset < end) {
        while (p && (p->dropped || p->offset + p->size <= offset))
            p = p->next;
        if (!p || p->offset > offset) {
            *ret_offset = offset;
            *ret_size = (size_t)IB_MIN(IB_MIN(end, p ? p->offset : end) - offset,
                                       (uint64_t)http->piece_bytes);
            return true;
        }
        offset = p->offset + p->size;
    }
    return false;
}

/* Without a plan: the more was read in a row, the more is fetched ahead, in ever larger pieces. */
static uint64_t window_end(const struct ib_http_source *http)
{
    const uint64_t window = IB_MIN(http->ahead_bytes, FIRST_WINDOW + http->position);
    uint64_t step = FIRST_WINDOW;

    while (step * 2 <= http->piece_bytes && step * 2 <= http->position)
        step *= 2;
    return IB_MIN((http->position + window) / step * step, http->base.size);
}

bool ib_http_next_gap(struct ib_http_source *http, uint64_t *ret_offset, size_t *ret_size)
{
    size_t count = 0;

    for (const struct ib_http_piece *p = http->pieces; p; p = p->next)
        count++;
    if (count >= PIECES_MAX)
        return false;
    if (!http->plan)
        return gap_in(http, http->position, window_end(http), ret_offset, ret_size);
    for (size_t i = http->plan_at; i < http->plan_count; i++) {
        const struct ib_source_range *range = &http->plan[i];
        const uint64_t end = range->offset + range->size;
        if (end <= http->position)
            http->plan_at = i + 1;
        else if (gap_in(http, IB_MAX(range->offset, http->position), end, ret_offset, ret_size))
            return true;
    }
    return false;
}

void ib_http_demand(struct ib_http_source *http, uint64_t offset, size_t size)
{
    uint64_t gap;
    size_t gap_size;

    if (ib_http_next_gap(http, &gap, &gap_size) && gap == offset)
        size = gap_size;
    else if (!gap_in(http, offset, IB_MIN(offset + size, http->base.size), &gap, &size))
        return;
    ib_http_add_piece(http, offset, size);
}

static bool is_planned(const struct ib_http_source *http, const struct ib_http_piece *piece)
{
    for (size_t i = 0; i < http->plan_count; i++)
        if (http->plan[i].offset < piece->offset + piece->size &&
            piece->offset < http->plan[i].offset + http->plan[i].size)
            return true;
    return false;
}

void ib_http_set_plan(struct ib_http_source *http, const struct ib_source_range *ranges,
                      size_t count)
{
    struct ib_source_range *plan = ib_calloc(count + 1, sizeof(*plan)), *last = NULL;

    for (size_t i = 0; i < count; i++) {
        const uint64_t begin = IB_MIN(ranges[i].offset, http->base.size);
        const uint64_t size = IB_MIN(ranges[i].size, http->base.size - begin);
        if (last && begin >= last->offset && begin <= last->offset + last->size)
            last->size = IB_MAX(last->size, begin + size - last->offset);
        else if (size)
            *(last = last ? last + 1 : plan) = (struct ib_source_range){begin, size};
    }
    free(http->plan);
    http->plan = plan;
    http->plan_count = last ? (size_t)(last - plan) + 1 : 0;
    http->plan_at = 0;
    for (struct ib_http_piece *p = http->pieces; p; p = p->next)
        if (!is_planned(http, p))
            p->dropped = true;
}

void ib_http_free_unwanted(struct ib_http_source *http)
{
    struct ib_http_piece **at = &http->pieces, *piece;

    while ((piece = *at)) {
        if (piece->offset + piece->size <= http->position)
            piece->dropped = true;
        if (!piece->dropped || piece->state == PIECE_RUNNING) {
            at = &piece->next;
            continue;
        }
        *at = piece->next;
        http->held -= piece->size;
        free_buffer(http, piece);
        free(piece);
    }
}

void ib_http_free_pieces(struct ib_http_source *http)
{
    for (struct ib_http_piece *p = http->pieces; p; p = p->next) {
        p->state = PIECE_DONE;
        p->dropped = true;
    }
    ib_http_free_unwanted(http);
    for (struct ib_http_spare *spare; (spare = http->spares);) {
        http->spares = spare->next;
        free(spare);
    }
}
