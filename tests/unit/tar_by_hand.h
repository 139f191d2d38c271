/* SPDX-License-Identifier: Apache-2.0 */
/* Archives made by hand, for tests: no tool would make what these need. */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "io/archive.h"

static inline void put_number(char *header, size_t offset, size_t size, uint64_t value)
{
    snprintf(header + offset, size, "%0*llo", (int)size - 1, (unsigned long long)value);
}

static inline void seal(char header[static 512])
{
    unsigned sum = 0;

    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
}

static inline void put_padded(struct ib_buf *tar, const void *data, size_t size)
{
    ib_buf_append(tar, data, size);
    ib_buf_append_zeros(tar, -size & 511);
}

static inline void put_header(struct ib_buf *tar, char type, const char *name, const char *link,
                              uint64_t size)
{
    char header[512] = {0};

    memcpy(header, name, IB_MIN(strlen(name), (size_t)100));
    put_number(header, 100, 8, type == '5' ? 0755 : 0644);
    put_number(header, 108, 8, 7);
    put_number(header, 116, 8, 8);
    put_number(header, 124, 12, size);
    put_number(header, 136, 12, 1700000000);
    header[156] = type;
    memcpy(header + 157, link, IB_MIN(strlen(link), (size_t)100));
    memcpy(header + 257, "ustar\00000", 8);
    put_number(header, 329, 8, 1);
    put_number(header, 337, 8, 3);
    seal(header);
    ib_buf_append(tar, header, 512);
}

static inline void put_entry(struct ib_buf *tar, char type, const char *name, const char *content)
{
    bool file = type == '0';

    put_header(tar, type, name, file ? "" : content, file ? strlen(content) : 0);
    if (file)
        put_padded(tar, content, strlen(content));
}

static inline void add_record(struct ib_buf *records, const char *key, const void *value,
                              size_t size)
{
    size_t rest = strlen(key) + size + 3, length = rest + 1;

    for (char digits[24]; rest + (size_t)snprintf(digits, 24, "%zu", length) != length;)
        length = rest + strlen(digits);
    ib_buf_printf(records, "%zu %s=", length, key);
    ib_buf_append(records, value, size);
    ib_buf_append(records, "\n", 1);
}

static inline void put_records(struct ib_buf *tar, struct ib_buf *records)
{
    put_header(tar, 'x', "PaxHeader", "", records->size);
    put_padded(tar, records->data, records->size);
    ib_buf_clear(records);
}

static inline void put_record(struct ib_buf *tar, const char *key, const void *value, size_t size)
{
    struct ib_buf records = {0};

    add_record(&records, key, value, size);
    put_records(tar, &records);
}

static inline void put_end(struct ib_buf *tar)
{
    ib_buf_append_zeros(tar, 1024);
}

static const struct ib_archive_limits small = {100, 10000};

static inline int read_bytes(struct ib_tree *tree, int spool, const struct ib_buf *tar,
                             unsigned flags, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = memfd_create("archive", MFD_CLOEXEC);

    cr_assert_eq(ib_write_full(fd, tar->data, tar->size), 0);
    cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
    return ib_archive_read(tree, fd, "bad.tar", spool, IB_LAYER_BASE, flags, &small, NULL, NULL,
                           err);
}

/* Reads an archive that must be good over the tree, and empties it. */
static inline void lay(struct ib_tree *tree, int spool, struct ib_buf *tar, unsigned flags)
{
    struct ib_error *err = NULL;

    cr_assert_eq(read_bytes(tree, spool, tar, flags, &err), 0, "%s", ib_error_text(err));
    ib_buf_clear(tar);
}

static inline int spool_file(void)
{
    return memfd_create("spool", MFD_CLOEXEC);
}

static inline void assert_content(const struct ib_tree *tree, const char *path,
                                  const char *expected)
{
    struct ib_buf content = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_tree_read_file(tree, path, IB_MIB, &content, &err), 0, "%s",
                 ib_error_text(err));
    cr_assert_str_eq((const char *)content.data, expected);
    ib_buf_clear(&content);
}
