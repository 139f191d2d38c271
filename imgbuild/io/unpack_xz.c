/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xz files (The .xz File Format 1.2) by liblzma: one or several streams with padding between them,
 * every check made. Files of several blocks (xz -T) are unpacked by several threads.
 */
#include <lzma.h>
#include <string.h>

#include "unpacker_internal.h"

enum { THREADS_MAX = 4 };
/* xz -9 has a dictionary of 64 MiB. Threads get less, so that a stated bound holds for all. */
static const uint64_t MEMORY_MAX = 128 * IB_MIB, THREADS_MEMORY_MAX = 96 * IB_MIB;
static const uint64_t INDEX_MEMORY_MAX = 16 * IB_MIB;

static bool begins(const uint8_t *data, size_t size)
{
    return size >= 6 && memcmp(data,
                               "\xfd"
                               "7zXZ",
                               6) == 0; /* with the closing NUL */
}

static void *new (void)
{
    return ib_calloc(1, sizeof(lzma_stream));
}

static void restart(void *state)
{
    const lzma_mt options = {
        .flags = LZMA_CONCATENATED | LZMA_TELL_UNSUPPORTED_CHECK,
        .threads = IB_MAX(IB_MIN(lzma_cputhreads(), (uint32_t)THREADS_MAX), 1U),
        .memlimit_threading = THREADS_MEMORY_MAX,
        .memlimit_stop = MEMORY_MAX,
    };

    if (lzma_stream_decoder_mt(state, &options) != LZMA_OK)
        abort(); /* memory */
}

static enum ib_unpack_result fail(lzma_ret code, struct ib_error **err)
{
    switch (code) {
    case LZMA_MEM_ERROR:
        abort();
    case LZMA_MEMLIMIT_ERROR:
        ib_failf(err, IB_E_UNSUPPORTED,
                 "it was packed with a dictionary that needs more than "
                 "128 MiB of memory");
        ib_hint(err, "pipe it in: xz -dc FILE | imgbuild flash - DEVICE");
        break;
    case LZMA_UNSUPPORTED_CHECK:
    case LZMA_OPTIONS_ERROR:
        ib_failf(err, IB_E_UNSUPPORTED, "its xz data need a check or filter that liblzma lacks");
        ib_hint(err, "pipe it in: xz -dc FILE | imgbuild flash - DEVICE");
        break;
    default:
        ib_failf(err, IB_E_INVALID, "damaged xz data: %s",
                 code == LZMA_FORMAT_ERROR ? "wrong magic number" : "wrong checksum or structure");
    }
    return IB_UNPACK_FAILED;
}

static enum ib_unpack_result run(void *state, struct ib_unpack_io *io, struct ib_error **err)
{
    lzma_stream *stream = state;

    stream->next_in = io->in;
    stream->avail_in = io->in_size;
    stream->next_out = io->out;
    stream->avail_out = io->out_size;
    const lzma_ret r = lzma_code(stream, io->at_end ? LZMA_FINISH : LZMA_RUN);
    ib_unpack_advance(io, io->in_size - stream->avail_in, io->out_size - stream->avail_out);
    if (r == LZMA_STREAM_END)
        return IB_UNPACK_MEMBER_END;
    if (r == LZMA_OK || r == LZMA_BUF_ERROR) /* the latter: it needs more of one of them */
        return IB_UNPACK_MORE;
    return fail(r, err);
}

static void release(void *state)
{
    lzma_end(state);
    free(state);
}

/* One step of reading the indexes at a file's end; false where that cannot go on. */
static bool index_step(lzma_stream *stream, struct ib_source *source, uint8_t *buffer, size_t size,
                       uint64_t *offset, lzma_ret *ret)
{
    size_t n;

    if (stream->avail_in == 0) {
        if (ib_source_read_some(source, buffer, size, *offset, &n, NULL) < 0)
            return false;
        stream->next_in = buffer;
        stream->avail_in = n;
        *offset += n;
    }
    *ret = lzma_code(stream, LZMA_RUN);
    if (*ret == LZMA_SEEK_NEEDED) {
        *offset = stream->seek_pos;
        stream->avail_in = 0;
        return true;
    }
    return *ret == LZMA_OK;
}

/* From the indexes, which stand at the end of each stream. */
static uint64_t raw_size(const uint8_t *head _unused_, size_t size _unused_,
                         struct ib_source *source)
{
    enum { CHUNK = 8192 };
    uint64_t offset = 0, result = IB_SOURCE_SIZE_UNKNOWN;
    lzma_stream stream = LZMA_STREAM_INIT;
    lzma_index *index = NULL;
    uint8_t buffer[CHUNK];
    lzma_ret r = LZMA_OK;

    if (ib_source_is_sequential(source) ||
        lzma_file_info_decoder(&stream, &index, INDEX_MEMORY_MAX, ib_source_size(source)) !=
            LZMA_OK)
        return result;
    while (index_step(&stream, source, buffer, sizeof(buffer), &offset, &r))
        ;
    if (r == LZMA_STREAM_END && index)
        result = lzma_index_uncompressed_size(index);
    lzma_end(&stream);
    lzma_index_end(index, NULL);
    return result;
}

const struct ib_unpack_format ib_unpack_xz = {
    .name = "xz",
    .begins = begins,
    .new = new,
    .restart = restart,
    .run = run,
    .free = release,
    .raw_size = raw_size,
};
