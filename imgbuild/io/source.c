/* SPDX-License-Identifier: Apache-2.0 */
/* What all sources have in common; the kinds are source_file.c and source_http.c. */
#include <inttypes.h>
#include <string.h>

#include "source_internal.h"

void ib_source_init(struct ib_source *source, const struct ib_source_ops *ops, char *name,
                    bool sequential)
{
    source->ops = ops;
    source->name = name;
    source->fd = -1;
    source->size = IB_SOURCE_SIZE_UNKNOWN;
    source->sequential = sequential;
}

void ib_source_clear(struct ib_source *source)
{
    ib_closep(&source->fd);
    free(source->name);
    free(source->head);
}

struct ib_source *ib_source_free(struct ib_source *source)
{
    if (source)
        source->ops->free(source);
    return NULL;
}

void ib_source_freep(struct ib_source **source)
{
    *source = ib_source_free(*source);
}

const char *ib_source_name(const struct ib_source *source)
{
    return source->name;
}

int ib_source_fd(const struct ib_source *source)
{
    return source->fd;
}

uint64_t ib_source_size(const struct ib_source *source)
{
    return source->size;
}

bool ib_source_is_sequential(const struct ib_source *source)
{
    return source->sequential;
}

void ib_source_plan(struct ib_source *source, const struct ib_source_range *ranges, size_t count)
{
    if (source->ops->plan)
        source->ops->plan(source, ranges, count);
}

/* The kept head first, then the source itself. */
static int read_sequential(struct ib_source *source, void *data, size_t size, uint64_t offset,
                           size_t *ret, struct ib_error **err)
{
    if (offset < source->position)
        return ib_failf(err, IB_E_INTERNAL,
                        "'%s' cannot be read backwards, from %" PRIu64 " to %" PRIu64, source->name,
                        source->position, offset);
    if (offset < source->head_size) {
        *ret = IB_MIN(size, source->head_size - (size_t)offset);
        memcpy(data, source->head + offset, *ret);
    } else if (source->ops->read_some(source, data, size, offset, ret, err) < 0) {
        return -1;
    }
    source->position = offset + *ret;
    return 0;
}

int ib_source_read_some(struct ib_source *source, void *data, size_t size, uint64_t offset,
                        size_t *ret, struct ib_error **err)
{
    *ret = 0;
    if (size == 0 || offset >= source->size)
        return 0;
    if (source->sequential)
        return read_sequential(source, data, size, offset, ret, err);
    return source->ops->read_some(source, data, size, offset, ret, err);
}

static int ends_early(const struct ib_source *source, uint64_t end, uint64_t wanted,
                      struct ib_error **err)
{
    ib_failf(err, IB_E_INVALID, "'%s' ends early: after %" PRIu64 " of %" PRIu64 " bytes",
             source->name, end, wanted);
    return ib_hint(err, "it is incomplete, or changes while it is read: get it again");
}

int ib_source_read(struct ib_source *source, void *data, size_t size, uint64_t offset,
                   struct ib_error **err)
{
    uint8_t *p = data;
    uint64_t end;
    size_t n;

    if (!ib_add_u64(offset, size, &end))
        return ends_early(source, source->size, UINT64_MAX, err);
    for (; offset < end; offset += n) {
        if (ib_source_read_some(source, p, (size_t)(end - offset), offset, &n, err) < 0)
            return -1;
        if (n == 0)
            return ends_early(source, IB_MIN(offset, source->size), end, err);
        p += n;
    }
    return 0;
}

int ib_source_peek(struct ib_source *source, size_t size, const uint8_t **ret_data, size_t *ret,
                   struct ib_error **err)
{
    size_t n = 1;

    size = IB_MIN(size, IB_SOURCE_PEEK_MAX);
    if (!source->head)
        source->head = ib_malloc(IB_SOURCE_PEEK_MAX);
    while (source->head_size < size && source->head_size < source->size && n > 0) {
        if (source->ops->read_some(source, source->head + source->head_size,
                                   size - source->head_size, source->head_size, &n, err) < 0)
            return -1;
        source->head_size += n;
    }
    *ret_data = source->head;
    *ret = IB_MIN(size, source->head_size);
    return 0;
}

int ib_source_expect_end(struct ib_source *source, uint64_t offset, struct ib_error **err)
{
    uint8_t byte;
    size_t n = 0;

    if (source->size == IB_SOURCE_SIZE_UNKNOWN &&
        ib_source_read_some(source, &byte, 1, offset, &n, err) < 0)
        return -1;
    if (source->size < offset)
        return ends_early(source, source->size, offset, err);
    if (n == 0 && source->size == offset)
        return 0;
    ib_failf(err, IB_E_INVALID, "'%s' goes on behind its end at %" PRIu64, source->name, offset);
    return ib_hint(err, "it is damaged, or something was appended to it: get it again");
}
