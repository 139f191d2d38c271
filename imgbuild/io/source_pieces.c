/* SPDX-License-Identifier: Apache-2.0 */
/* A source made of pieces of one file: what several images share is there once. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/file.h"
#include "source_internal.h"

struct pieces_source {
    struct ib_source base;
    struct ib_source_range *pieces;
    uint64_t *starts; /* of each piece in the source; one more for the end */
    size_t count;
};

/* The piece that holds this offset, which is less than the size. */
static size_t find(const struct pieces_source *s, uint64_t offset)
{
    size_t low = 0, high = s->count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        *(s->starts[middle] <= offset ? &low : &high) = middle;
    }
    return low;
}

static int pieces_read_some(struct ib_source *source, void *data, size_t size, uint64_t offset,
                            size_t *ret, struct ib_error **err)
{
    const struct pieces_source *s = (struct pieces_source *)source;
    ssize_t n;

    *ret = 0;
    if (offset >= source->size)
        return 0;
    size_t i = find(s, offset);
    size = (size_t)IB_MIN(size, s->starts[i + 1] - offset);
    do
        n = pread(source->fd, data, size, (off_t)(s->pieces[i].offset + (offset - s->starts[i])));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return ib_fail(err, IB_E_IO, errno, source->name, "read");
    *ret = (size_t)n;
    return 0;
}

static void pieces_free(struct ib_source *source)
{
    struct pieces_source *s = (struct pieces_source *)source;

    free(s->pieces);
    free(s->starts);
    ib_source_clear(source);
    free(s);
}

static const struct ib_source_ops pieces_ops = {pieces_read_some, NULL, pieces_free};

/* Takes over the pieces that are not empty, each checked against the file. */
static int add_pieces(struct pieces_source *s, const struct ib_source_range *pieces, size_t count,
                      struct ib_error **err)
{
    off_t end = lseek(s->base.fd, 0, SEEK_END);
    uint64_t total = 0;

    if (end < 0)
        return ib_fail(err, IB_E_IO, errno, s->base.name, "find the size of");
    s->pieces = ib_calloc(count + 1, sizeof(*s->pieces));
    s->starts = ib_calloc(count + 1, sizeof(*s->starts));
    for (size_t i = 0; i < count; i++) {
        uint64_t piece_end;
        if (pieces[i].size == 0)
            continue;
        if (!ib_add_u64(pieces[i].offset, pieces[i].size, &piece_end) ||
            piece_end > (uint64_t)end || !ib_add_u64(total, pieces[i].size, &total))
            return ib_failf(err, IB_E_INVALID, "'%s' lies partly beyond the end of what holds it",
                            s->base.name);
        s->pieces[s->count++] = pieces[i];
        s->starts[s->count] = total;
    }
    s->base.size = total;
    return 0;
}

struct ib_source *ib_source_open_pieces(int fd, const char *name,
                                        const struct ib_source_range *pieces, size_t count,
                                        struct ib_error **err)
{
    struct pieces_source *s = ib_calloc(1, sizeof(*s));
    _cleanup_(ib_source_freep) struct ib_source *source = &s->base;

    ib_source_init(source, &pieces_ops, ib_strdup(name), false);
    source->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (source->fd < 0) {
        ib_fail(err, IB_E_IO, errno, name, "open");
        return NULL;
    }
    return add_pieces(s, pieces, count, err) < 0 ? NULL : ib_steal(&source);
}
