/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a packed source to its format, member by member. Between two members stands nothing but the
 * padding that the format allows; a source may end there and nowhere else.
 */
#include "io/unpacker.h"

#include <inttypes.h>
#include <string.h>

#include "unpacker_internal.h"

enum {
    IN_SIZE = 1 << 20,
    HEAD_SIZE = 64,  /* enough for every magic number and for zstd's and lz4's headers */
    PLAIN_MIN = 512, /* no disk image is smaller; a cut-off packed one may be */
};

static const struct ib_unpack_format *const formats[] = {
    &ib_unpack_zstd, &ib_unpack_xz, &ib_unpack_gzip, &ib_unpack_bzip2, &ib_unpack_lz4,
};

struct ib_unpacker {
    struct ib_source *source;
    const struct ib_unpack_format *format; /* NULL: plain, or not known behind skippable frames */
    bool plain;
    void *state;
    uint64_t raw_size;
    uint64_t offset; /* in the source, of what is read next */
    uint8_t *in;     /* in[pos] to in[size] is not used yet */
    size_t pos, size;
    bool at_end;         /* the source has nothing more */
    bool in_member;      /* else between two */
    uint64_t skip_bytes; /* left of a skippable frame */
    bool finished;
};

/* What is surely no raw image of a disk: written as it is, it would only destroy what was there. */
static const struct {
    const char *magic;
    size_t size;
    const char *what, *cure;
} refused[] = {
    {"QFI\xfb", 4, "a qcow2 image", "convert it: qemu-img convert -O raw"},
    {"KDMV", 4, "a VMDK image", "convert it: qemu-img convert -O raw"},
    {"vhdxfile", 8, "a VHDX image", "convert it: qemu-img convert -O raw"},
    {"conectix", 8, "a VHD image", "convert it: qemu-img convert -O raw"},
    {"\x3a\xff\x26\xed", 4, "an Android sparse image", "convert it: simg2img"},
    {"PK\3\4", 4, "a zip archive", "unpack it first: unzip"},
    {"Rar!\x1a\7", 6, "a rar archive", "unpack it first"},
    {"7z\xbc\xaf\x27\x1c", 6, "a 7z archive", "unpack it first: 7z x"},
    {"LZIP", 4, "an lzip file", "pipe it in: lzip -dc FILE | imgbuild flash - DEVICE"},
    {"\x89LZO\0\r\n\x1a\n", 9, "an lzop file",
     "pipe it in: lzop -dc FILE | imgbuild flash - DEVICE"},
    {"\x02\x21\x4c\x18", 4, "an lz4 file of the legacy format",
     "pipe it in: lz4 -dc FILE | imgbuild flash - DEVICE"},
    {"\x1f\x9d", 2, "a file of compress", "pipe it in: zcat FILE | imgbuild flash - DEVICE"},
    {"\x7f"
     "ELF",
     4, "a program, not an image", "name the image"},
    {"!<arch>\n", 8, "an archive, not an image", "name the image"},
    {"<!DOCTYPE", 9, "a page, not an image", "check the address that it came from"},
    {"<!doctype", 9, "a page, not an image", "check the address that it came from"},
    {"<html", 5, "a page, not an image", "check the address that it came from"},
    {"<?xml", 5, "an XML file, not an image", "name the image"},
};

static int refuse_others(const struct ib_source *source, const uint8_t *head, size_t size,
                         struct ib_error **err)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(refused); i++) {
        if (size < refused[i].size || memcmp(head, refused[i].magic, refused[i].size) != 0)
            continue;
        ib_failf(err, IB_E_UNSUPPORTED, "'%s' is %s", ib_source_name(source), refused[i].what);
        return ib_hint(err, "%s", refused[i].cure);
    }
    return 0;
}

static uint32_t le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* RFC 8878 section 3.1.2: 0x184D2A50 to 0x184D2A5F; lz4 has the same. */
static bool is_skippable(const uint8_t *data, size_t size)
{
    return size >= 4 && (le32(data) & 0xfffffff0) == 0x184d2a50;
}

static const struct ib_unpack_format *find_format(const uint8_t *head, size_t size)
{
    for (size_t i = 0; i < IB_ARRAY_SIZE(formats); i++)
        if (formats[i]->begins(head, size))
            return formats[i];
    return NULL;
}

/* The length of a name without a query or fragment, where it is a URL. */
static size_t name_length(const char *name)
{
    return strstr(name, "://") ? strcspn(name, "?#") : strlen(name);
}

/* A name that promises a packed file which is none: a cut-off one, or a page that tells of a
 * failure. Written as it is, it would only destroy what was there. */
static int check_plain(struct ib_source *source, struct ib_error **err)
{
    static const char *const suffixes[] = {".zst", ".xz", ".gz", ".bz2", ".lz4"};
    const char *name = ib_source_name(source);
    const size_t length = name_length(name);
    const uint8_t *head;
    size_t size;

    if (ib_source_peek(source, PLAIN_MIN, &head, &size, err) < 0)
        return -1;
    for (size_t i = 0; i < IB_ARRAY_SIZE(suffixes); i++) {
        const size_t n = strlen(suffixes[i]);
        if (length <= n || memcmp(name + length - n, suffixes[i], n) != 0)
            continue;
        ib_failf(err, IB_E_INVALID, "'%s' does not hold what its name says (%s)", name,
                 suffixes[i]);
        return ib_hint(err, "it is damaged, or not packed: get it again, or rename it");
    }
    if (size == PLAIN_MIN)
        return 0;
    ib_failf(err, IB_E_INVALID, "'%s' has only %zu bytes, too few for the image of a disk", name,
             size);
    return ib_hint(err, "it is incomplete: get it again");
}

struct ib_unpacker *ib_unpacker_new(struct ib_source *source, struct ib_error **err)
{
    const uint8_t *head;
    size_t size;

    if (ib_source_peek(source, HEAD_SIZE, &head, &size, err) < 0 ||
        refuse_others(source, head, size, err) < 0)
        return NULL;
    const struct ib_unpack_format *format = find_format(head, size);
    const bool plain = !format && !is_skippable(head, size);
    if (plain && check_plain(source, err) < 0)
        return NULL;
    struct ib_unpacker *unpacker = ib_calloc(1, sizeof(*unpacker));
    unpacker->source = source;
    unpacker->format = format;
    unpacker->plain = plain;
    unpacker->raw_size = unpacker->plain ? ib_source_size(source) : IB_SOURCE_SIZE_UNKNOWN;
    if (unpacker->format)
        unpacker->raw_size = unpacker->format->raw_size(head, size, source);
    if (!unpacker->plain)
        unpacker->in = ib_malloc(IN_SIZE);
    return unpacker;
}

struct ib_unpacker *ib_unpacker_free(struct ib_unpacker *unpacker)
{
    if (!unpacker)
        return NULL;
    if (unpacker->state)
        unpacker->format->free(unpacker->state);
    free(unpacker->in);
    free(unpacker);
    return NULL;
}

void ib_unpacker_freep(struct ib_unpacker **unpacker)
{
    *unpacker = ib_unpacker_free(*unpacker);
}

const char *ib_unpacker_format(const struct ib_unpacker *unpacker)
{
    return unpacker->format ? unpacker->format->name : unpacker->plain ? "plain" : "zstd";
}

uint64_t ib_unpacker_raw_size(const struct ib_unpacker *unpacker)
{
    return unpacker->raw_size;
}

uint64_t ib_unpacker_consumed(const struct ib_unpacker *unpacker)
{
    return unpacker->offset - (unpacker->size - unpacker->pos);
}

/* At least `wanted` (small) bytes of input, or all that is left. */
static int fill(struct ib_unpacker *unpacker, size_t wanted, struct ib_error **err)
{
    size_t left = unpacker->size - unpacker->pos, n;

    if (left >= wanted || unpacker->at_end)
        return 0;
    if (left)
        memmove(unpacker->in, unpacker->in + unpacker->pos, left);
    unpacker->pos = 0;
    unpacker->size = left;
    while (unpacker->size < wanted) {
        if (ib_source_read_some(unpacker->source, unpacker->in + unpacker->size,
                                IN_SIZE - unpacker->size, unpacker->offset, &n, err) < 0)
            return -1;
        unpacker->size += n;
        unpacker->offset += n;
        if (n == 0) {
            unpacker->at_end = true;
            return 0;
        }
    }
    return 0;
}

static int damaged(const struct ib_unpacker *unpacker, const char *what, struct ib_error **err)
{
    ib_failf(err, IB_E_INVALID, "%s at byte %" PRIu64 " of '%s'", what,
             ib_unpacker_consumed(unpacker), ib_source_name(unpacker->source));
    return ib_hint(err, "the image is damaged: get it again");
}

static int truncated(const struct ib_unpacker *unpacker, struct ib_error **err)
{
    ib_failf(err, IB_E_INVALID, "'%s' ends in the middle of its %s data, after %" PRIu64 " bytes",
             ib_source_name(unpacker->source), ib_unpacker_format(unpacker), unpacker->offset);
    return ib_hint(err, "the image is incomplete: get it again");
}

/* Passes over the rest of a skippable frame. */
static int skip(struct ib_unpacker *unpacker, struct ib_error **err)
{
    while (unpacker->skip_bytes) {
        if (fill(unpacker, 1, err) < 0)
            return -1;
        size_t n = (size_t)IB_MIN(unpacker->skip_bytes, unpacker->size - unpacker->pos);
        if (n == 0)
            return truncated(unpacker, err);
        unpacker->pos += n;
        unpacker->skip_bytes -= n;
    }
    return 0;
}

/* The first member behind skippable frames tells whose they were. */
static int learn_format(struct ib_unpacker *unpacker, const uint8_t *head, size_t size,
                        struct ib_error **err)
{
    unpacker->format = find_format(head, size);
    if (!unpacker->format || !unpacker->format->skippable) {
        unpacker->format = NULL;
        return damaged(unpacker, "neither zstd nor lz4 data behind a skippable frame", err);
    }
    return 0;
}

/* Between two members: begins the next one, or finds the end. */
static int next_member(struct ib_unpacker *unpacker, struct ib_error **err)
{
    if (skip(unpacker, err) < 0 || fill(unpacker, HEAD_SIZE, err) < 0)
        return -1;
    const uint8_t *head = unpacker->in + unpacker->pos;
    const size_t size = unpacker->size - unpacker->pos;
    if (size == 0) {
        unpacker->finished = true;
        return 0;
    }
    if ((!unpacker->format || unpacker->format->skippable) && is_skippable(head, size)) {
        if (size < 8)
            return truncated(unpacker, err);
        unpacker->skip_bytes = le32(head + 4);
        unpacker->pos += 8;
        return 0;
    }
    if (!unpacker->format && learn_format(unpacker, head, size, err) < 0)
        return -1;
    if (!unpacker->format->begins(head, size)) {
        if (size < 4 && unpacker->offset > size) /* perhaps a magic number's first bytes */
            return truncated(unpacker, err);
        return damaged(unpacker, "something that does not belong there", err);
    }
    if (!unpacker->state)
        unpacker->state = unpacker->format->new ();
    unpacker->format->restart(unpacker->state);
    unpacker->in_member = true;
    return 0;
}

static int run_member(struct ib_unpacker *unpacker, struct ib_unpack_io *io, struct ib_error **err)
{
    if (fill(unpacker, 1, err) < 0)
        return -1;
    io->in = unpacker->in + unpacker->pos;
    io->in_size = unpacker->size - unpacker->pos;
    io->at_end = unpacker->at_end;
    const size_t in_before = io->in_size, out_before = io->out_size;
    enum ib_unpack_result result = unpacker->format->run(unpacker->state, io, err);
    unpacker->pos = unpacker->size - io->in_size;
    if (result == IB_UNPACK_FAILED) {
        ib_hint(err, "the image is damaged: get it again");
        return ib_wrapf(err, "cannot unpack '%s' at byte %" PRIu64,
                        ib_source_name(unpacker->source), ib_unpacker_consumed(unpacker));
    }
    if (result == IB_UNPACK_MEMBER_END)
        unpacker->in_member = false;
    else if (io->in_size == in_before && io->out_size == out_before && unpacker->at_end)
        return truncated(unpacker, err);
    return 0;
}

static int read_plain(struct ib_unpacker *unpacker, uint8_t *data, size_t size, size_t *ret,
                      struct ib_error **err)
{
    size_t done = 0, n = 1;

    for (; done < size && n > 0; done += n, unpacker->offset += n)
        if (ib_source_read_some(unpacker->source, data + done, size - done, unpacker->offset, &n,
                                err) < 0)
            return -1;
    const uint64_t total = ib_source_size(unpacker->source);
    if (done < size && total != IB_SOURCE_SIZE_UNKNOWN && unpacker->offset < total)
        return ib_source_expect_end(unpacker->source, unpacker->offset, err);
    *ret = done;
    return 0;
}

int ib_unpacker_read(struct ib_unpacker *unpacker, void *data, size_t size, size_t *ret,
                     struct ib_error **err)
{
    struct ib_unpack_io io = {.out = data, .out_size = size};

    *ret = 0;
    if (unpacker->plain)
        return read_plain(unpacker, data, size, ret, err);
    while (io.out_size > 0 && !unpacker->finished) {
        if (unpacker->in_member ? run_member(unpacker, &io, err) < 0
                                : next_member(unpacker, err) < 0)
            return -1;
    }
    *ret = size - io.out_size;
    return 0;
}
