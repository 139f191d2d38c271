/* SPDX-License-Identifier: Apache-2.0 */
#include "image/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

enum { ALIGN = 4096, THREADS_MAX = 8 };

struct ib_reader {
    char *name;
    int fd;
    int direct; /* the same device with O_DIRECT; -1: a file, or a device that cannot */
    uint64_t size;
    bool is_device;
};

struct ib_reader *ib_reader_free(struct ib_reader *reader)
{
    if (reader) {
        ib_closep(&reader->fd);
        ib_closep(&reader->direct);
        free(reader->name);
        free(reader);
    }
    return NULL;
}

void ib_reader_freep(struct ib_reader **reader)
{
    *reader = ib_reader_free(*reader);
}

struct ib_reader *ib_reader_open(const char *path, struct ib_error **err)
{
    _cleanup_(ib_reader_freep) struct ib_reader *r = ib_calloc(1, sizeof(*r));
    struct stat st;

    r->name = ib_strdup(path);
    r->direct = -1;
    r->fd = ib_open_read(path, err);
    if (r->fd < 0)
        return NULL;
    off_t end = lseek(r->fd, 0, SEEK_END);
    if (fstat(r->fd, &st) < 0 || end < 0) {
        ib_fail(err, IB_E_IO, errno, path, "read");
        return NULL;
    }
    r->is_device = S_ISBLK(st.st_mode);
    if (!r->is_device && !S_ISREG(st.st_mode)) {
        ib_failf(err, IB_E_INVALID, "'%s' is neither a disk nor a file", path);
        return NULL;
    }
    r->size = (uint64_t)end;
    if (r->is_device)
        r->direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    return ib_steal(&r);
}

const char *ib_reader_name(const struct ib_reader *reader)
{
    return reader->name;
}

uint64_t ib_reader_size(const struct ib_reader *reader)
{
    return reader->size;
}

bool ib_reader_is_device(const struct ib_reader *reader)
{
    return reader->is_device;
}

int ib_reader_fd(const struct ib_reader *reader)
{
    return reader->fd;
}

void ib_reader_buffer_clear(struct ib_reader_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct ib_reader_buffer){0};
}

static void reserve(struct ib_reader_buffer *buffer, size_t size)
{
    if (buffer->capacity >= size)
        return;
    ib_reader_buffer_clear(buffer);
    buffer->capacity = (size_t)ib_round_up(size, IB_MIB);
    buffer->data = aligned_alloc(ALIGN, buffer->capacity);
    if (!buffer->data)
        abort();
}

int ib_reader_read(const struct ib_reader *reader, struct ib_reader_buffer *buffer, uint64_t offset,
                   size_t size, const uint8_t **ret, struct ib_error **err)
{
    const struct ib_reader *r = reader;
    unsigned long long need = (unsigned long long)offset + size;
    uint64_t begin = offset / ALIGN * ALIGN, end = ib_round_up(offset + size, ALIGN);

    if (offset > r->size || size > r->size - offset)
        return ib_failf(err, IB_E_INVALID, "'%s' ends before byte %llu", r->name, need);
    if (end > r->size) /* a device's size may be no multiple of 4096, but is of its sectors */
        end = r->size;
    reserve(buffer, (size_t)(end - begin));
    bool done =
        r->direct >= 0 && ib_pread_full(r->direct, buffer->data, (size_t)(end - begin), begin) == 0;
    if (!done && r->direct >= 0 && errno != EINVAL)
        return ib_fail(err, IB_E_IO, errno, r->name, "read");
    if (!done && ib_pread_full(r->fd, buffer->data, (size_t)(end - begin), begin) < 0)
        return ib_fail(err, IB_E_IO, errno, r->name, "read");
    *ret = buffer->data + (offset - begin);
    return 0;
}

bool ib_reader_is_hole(const struct ib_reader *reader, uint64_t offset, uint64_t size)
{
    const struct ib_reader *r = reader;

    if (r->is_device || offset > r->size || size > r->size - offset)
        return false;
    off_t data = lseek(r->fd, (off_t)offset, SEEK_DATA); /* all reads are pread(): no race */
    return data < 0 ? errno == ENXIO : (uint64_t)data >= offset + size;
}

unsigned ib_reader_threads(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return 4;
    return (unsigned)IB_MIN(CPU_COUNT(&set) + 2, THREADS_MAX);
}
