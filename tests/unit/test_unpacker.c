/* SPDX-License-Identifier: Apache-2.0 */
/* Images packed by the programs that people pack them with: whole, cut off anywhere, with any byte
 * changed, with something behind them; from files and from pipes. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "io/unpacker.h"
#include "io/zstd.h"

enum { SIZE = 24 * 1024 + 5 };

static char *dir;
static uint8_t content[SIZE];

static void set_up(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-unpack", NULL);
    for (size_t i = 0; i < SIZE; i++) /* some of it compresses, some does not */
        content[i] = (uint8_t)(i / 4096 % 2 ? i * 2654435761U >> 21 : i / 512);
}

static void tear_down(void)
{
    ib_temp_dirp(&dir);
}

TestSuite(unpacker, .init = set_up, .fini = tear_down, .timeout = 100);

/* What `argv` (split at blanks) makes of data on its standard input. */
static struct ib_buf filter(const char *command, const void *data, size_t size)
{
    _cleanup_(ib_closep) int in = memfd_create("in", MFD_CLOEXEC);
    struct ib_strv argv = {0};
    struct ib_buf out = {0};

    ib_strv_split(&argv, command, " ");
    _cleanup_(ib_freep) char *program = ib_find_program(argv.items[0]);
    if (!program)
        cr_skip_test("%s is not installed", argv.items[0]);
    cr_assert(ib_write_full(in, data, size) == 0 && lseek(in, 0, SEEK_SET) == 0);
    cr_assert_eq(ib_run(&(struct ib_run){.argv = (const char *const *)argv.items,
                                         .stdin_fd = in,
                                         .out = &out,
                                         .max_out_bytes = 64 << 20},
                        NULL),
                 0, "%s", command);
    ib_strv_clear(&argv);
    return out;
}

static struct ib_source *source_of(const void *data, size_t size, const char *name)
{
    _cleanup_(ib_closep) int fd = memfd_create("packed", MFD_CLOEXEC);

    cr_assert_eq(ib_write_full(fd, data, size), 0);
    return ib_source_open_fd(fd, name, NULL);
}

static int unpack_source(struct ib_source *source, size_t step, struct ib_buf *ret,
                         struct ib_error **err)
{
    _cleanup_(ib_unpacker_freep) struct ib_unpacker *unpacker = ib_unpacker_new(source, err);
    size_t n = step;

    if (!unpacker)
        return -1;
    while (n == step) {
        if (ib_unpacker_read(unpacker, ib_buf_reserve(ret, step), step, &n, err) < 0)
            return -1;
        ret->size += n;
    }
    return 0;
}

static int unpack(const void *data, size_t size, size_t step, struct ib_buf *ret,
                  struct ib_error **err)
{
    _cleanup_(ib_source_freep) struct ib_source *source = source_of(data, size, "an image");

    return unpack_source(source, step, ret, err);
}

static bool is_content(const struct ib_buf *raw, size_t times)
{
    if (raw->size != times * SIZE)
        return false;
    for (size_t i = 0; i < times; i++)
        if (memcmp(raw->data + i * SIZE, content, SIZE) != 0)
            return false;
    return true;
}

static void unpacks(const void *data, size_t size, size_t times)
{
    static const size_t steps[] = {1, 4093, 1 << 20};

    for (size_t i = 0; i < IB_ARRAY_SIZE(steps); i++) {
        _cleanup_(ib_buf_clear) struct ib_buf raw = {0};
        _cleanup_(ib_error_freep) struct ib_error *err = NULL;
        int r = unpack(data, size, steps[i], &raw, &err);
        _cleanup_(ib_freep) char *text = err ? ib_error_text(err) : NULL;
        cr_assert_eq(r, 0, "%s", text);
        cr_assert(is_content(&raw, times), "%zu", raw.size);
    }
}

/* Fails with a cure, and these words. */
static void fails(const void *data, size_t size, enum ib_error_code code, const char *words)
{
    _cleanup_(ib_buf_clear) struct ib_buf raw = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    cr_assert_eq(unpack(data, size, 8192, &raw, &err), -1, "%s", words);
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_assert_eq(ib_error_code(err), code, "%s", text);
    cr_assert_not_null(ib_error_hint(err), "%s", text);
    cr_assert(strstr(text, words), "%s", text);
}

static void append(struct ib_buf *buf, const struct ib_buf *other)
{
    ib_buf_append(buf, other->data, other->size);
}

static void check_truncations(const struct ib_buf *packed)
{
    for (size_t size = 0; size < packed->size; size++) {
        _cleanup_(ib_buf_clear) struct ib_buf raw = {0};
        _cleanup_(ib_error_freep) struct ib_error *err = NULL;
        cr_assert_eq(unpack(packed->data, size, SIZE, &raw, &err), -1, "%zu of %zu", size,
                     packed->size);
        cr_assert_eq(ib_error_code(err), IB_E_INVALID);
        cr_assert_not_null(ib_error_hint(err));
    }
}

/* A changed bit is an error, or it changed nothing (a gzip header's time, say). */
static void check_flips(const struct ib_buf *packed)
{
    _cleanup_(ib_freep) uint8_t *copy = ib_memdup(packed->data, packed->size);

    for (size_t i = 0; i < packed->size * 8; i++) {
        _cleanup_(ib_buf_clear) struct ib_buf raw = {0};
        if (i / 8 > 64 && i / 8 + 64 < packed->size && i % 8 != i / 8 % 8)
            continue; /* in the middle one bit of each byte will do */
        copy[i / 8] ^= (uint8_t)(1 << i % 8);
        if (unpack(copy, packed->size, SIZE, &raw, NULL) == 0)
            /* without its magic number, it is an image like any other */
            cr_assert(is_content(&raw, 1) ||
                          (raw.size == packed->size && memcmp(raw.data, copy, raw.size) == 0),
                      "bit %zu", i);
        copy[i / 8] ^= (uint8_t)(1 << i % 8);
    }
}

static void check_trailing(const struct ib_buf *packed, bool zeros_allowed)
{
    static const char *const tails[] = {"x", "rubbish that is longer than any magic number is",
                                        "\x1f\x8b", "\x28\xb5\x2f"};
    for (size_t i = 0; i < IB_ARRAY_SIZE(tails); i++) {
        _cleanup_(ib_buf_clear) struct ib_buf raw = {0}, longer = {0};
        _cleanup_(ib_error_freep) struct ib_error *err = NULL;
        append(&longer, packed);
        ib_buf_append_str(&longer, tails[i]);
        cr_assert_eq(unpack(longer.data, longer.size, SIZE, &raw, &err), -1, "%zu", i);
        cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    }
    _cleanup_(ib_buf_clear) struct ib_buf raw = {0}, longer = {0};
    append(&longer, packed);
    ib_buf_append_zeros(&longer, 4);
    cr_assert_eq(unpack(longer.data, longer.size, SIZE, &raw, NULL), zeros_allowed ? 0 : -1);
}

static void check_format(const char *command, const char *format, uint64_t raw_size)
{
    _cleanup_(ib_buf_clear) struct ib_buf packed = filter(command, content, SIZE), twice = {0};
    _cleanup_(ib_source_freep) struct ib_source *source =
        source_of(packed.data, packed.size, "an image");
    _cleanup_(ib_unpacker_freep) struct ib_unpacker *unpacker = ib_unpacker_new(source, NULL);

    cr_assert_str_eq(ib_unpacker_format(unpacker), format);
    cr_assert_eq(ib_unpacker_raw_size(unpacker), raw_size, "%llu",
                 (unsigned long long)ib_unpacker_raw_size(unpacker));
    unpacks(packed.data, packed.size, 1);
    append(&twice, &packed), append(&twice, &packed), append(&twice, &packed);
    unpacks(twice.data, twice.size, 3);
    check_truncations(&packed);
    check_flips(&packed);
    check_trailing(&packed, ib_streq(format, "xz"));
}

Test(unpacker, zstd)
{
    check_format("zstd -c", "zstd", IB_SOURCE_SIZE_UNKNOWN);
}

Test(unpacker, zstd_sized)
{
    check_format("zstd -19 -c --stream-size=24581", "zstd", SIZE);
}

Test(unpacker, xz)
{
    check_format("xz -c", "xz", SIZE);
}

Test(unpacker, xz_of_several_blocks)
{
    check_format("xz -c -T2 --block-size=4096 --check=sha256", "xz", SIZE);
}

Test(unpacker, gzip)
{
    check_format("gzip -c", "gzip", IB_SOURCE_SIZE_UNKNOWN);
}

Test(unpacker, bzip2)
{
    check_format("bzip2 -c", "bzip2", IB_SOURCE_SIZE_UNKNOWN);
}

Test(unpacker, lz4)
{
    check_format("lz4 -c", "lz4", IB_SOURCE_SIZE_UNKNOWN);
}

Test(unpacker, plain)
{
    _cleanup_(ib_source_freep) struct ib_source *source = source_of(content, SIZE, "disk.img");
    _cleanup_(ib_unpacker_freep) struct ib_unpacker *unpacker = ib_unpacker_new(source, NULL);

    cr_assert_str_eq(ib_unpacker_format(unpacker), "plain");
    cr_assert_eq(ib_unpacker_raw_size(unpacker), SIZE);
    unpacks(content, SIZE, 1);
    fails(content, 511, IB_E_INVALID, "511 bytes");
    fails(content, 0, IB_E_INVALID, "0 bytes");
}

Test(unpacker, skippable_frames)
{
    static const uint8_t skippable[] = {0x5b, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'};
    static const char *const commands[] = {"zstd -c", "lz4 -c"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(commands); i++) {
        _cleanup_(ib_buf_clear) struct ib_buf packed = filter(commands[i], content, SIZE),
                                              all = {0};
        ib_buf_append(&all, skippable, sizeof(skippable));
        append(&all, &packed);
        ib_buf_append(&all, skippable, sizeof(skippable));
        append(&all, &packed);
        ib_buf_append(&all, skippable, sizeof(skippable));
        unpacks(all.data, all.size, 2);
        for (size_t cut = 1; cut < sizeof(skippable); cut++)
            fails(all.data, all.size - cut, IB_E_INVALID, "ends in the middle");
    }
    uint8_t wrong[600] = {0x5b, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c', 'x', 'y', 'z', 'x'};
    fails(wrong, sizeof(wrong), IB_E_INVALID, "neither zstd nor lz4");
    fails(skippable, 10, IB_E_INVALID, "ends in the middle");
}

Test(unpacker, memory_is_bounded)
{
    _cleanup_(ib_buf_clear) struct ib_buf zstd = filter("zstd -c --long=31", content, SIZE);
    _cleanup_(ib_buf_clear) struct ib_buf allowed = filter("zstd -c --long=27", content, SIZE);
    _cleanup_(ib_buf_clear) struct ib_buf xz =
        filter("xz -c --lzma2=preset=0,dict=256MiB", content, SIZE);
    _cleanup_(ib_buf_clear) struct ib_buf xz_allowed =
        filter("xz -c --lzma2=preset=0,dict=64MiB", content, SIZE);

    fails(zstd.data, zstd.size, IB_E_UNSUPPORTED, "128 MiB");
    unpacks(allowed.data, allowed.size, 1);
    fails(xz.data, xz.size, IB_E_UNSUPPORTED, "128 MiB");
    unpacks(xz_allowed.data, xz_allowed.size, 1);
}

Test(unpacker, what_is_no_image)
{
    static const struct {
        const char *magic, *words;
    } cases[] = {
        {"QFI\xfb", "qcow2"},
        {"PK\3\4", "zip"},
        {"<!DOCTYPE html>", "page"},
        {"\x7f"
         "ELF",
         "program"},
        {"\x02\x21\x4c\x18", "legacy"},
        {"LZIP", "lzip"},
    };
    uint8_t data[1024] = {0};

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        memcpy(data, cases[i].magic, strlen(cases[i].magic));
        fails(data, sizeof(data), IB_E_UNSUPPORTED, cases[i].words);
    }
}

Test(unpacker, name_and_content_differ)
{
    static const char *const names[] = {"a.img.zst", "a.xz", "http://h/a.img.gz?q=.img"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++) {
        _cleanup_(ib_source_freep) struct ib_source *source = source_of(content, SIZE, names[i]);
        _cleanup_(ib_buf_clear) struct ib_buf raw = {0};
        _cleanup_(ib_error_freep) struct ib_error *err = NULL;
        cr_assert_eq(unpack_source(source, 4096, &raw, &err), -1, "%s", names[i]);
        cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    }
    _cleanup_(ib_source_freep) struct ib_source *fine =
        source_of(content, SIZE, "http://h/a.img?was=a.img.gz");
    _cleanup_(ib_buf_clear) struct ib_buf raw = {0};
    cr_assert_eq(unpack_source(fine, 4096, &raw, NULL), 0);
}

struct writer {
    const struct ib_buf *data;
    size_t step;
    int fd;
};

static void *write_pieces(void *userdata)
{
    const struct writer *writer = userdata;

    for (size_t i = 0; i < writer->data->size; i += writer->step)
        if (ib_write_full(writer->fd, writer->data->data + i,
                          IB_MIN(writer->step, writer->data->size - i)) < 0)
            break;
    close(writer->fd);
    return NULL;
}

Test(unpacker, pipes)
{
    static const char *const commands[] = {"zstd -c",  "xz -c",  "gzip -c",
                                           "bzip2 -c", "lz4 -c", "cat"};

    for (size_t i = 0; i < IB_ARRAY_SIZE(commands) * 2; i++) {
        _cleanup_(ib_buf_clear) struct ib_buf packed = filter(commands[i / 2], content, SIZE);
        _cleanup_(ib_buf_clear) struct ib_buf raw = {0};
        int ends[2];
        pthread_t thread;
        cr_assert_eq(pipe(ends), 0);
        struct writer writer = {&packed, i % 2 ? 7 : 5000, ends[1]};
        _cleanup_(ib_source_freep) struct ib_source *source =
            ib_source_open_fd(ends[0], "a pipe", NULL);
        close(ends[0]);
        cr_assert_eq(pthread_create(&thread, NULL, write_pieces, &writer), 0);
        cr_assert_eq(unpack_source(source, 3000, &raw, NULL), 0, "%s", commands[i / 2]);
        pthread_join(thread, NULL);
        cr_assert(is_content(&raw, 1));
        cr_assert_eq(ib_source_size(source), packed.size);
    }
}

/* Into a file, with holes where there are zeros. */
Test(unpacker, zstd_into_a_file)
{
    enum { HOLE = 4 << 20 };
    _cleanup_(ib_closep) int in = memfd_create("in", MFD_CLOEXEC);
    _cleanup_(ib_closep) int out = memfd_create("out", MFD_CLOEXEC);
    _cleanup_(ib_buf_clear) struct ib_buf image = {0}, packed = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    uint64_t size = 0;
    struct stat st;

    ib_buf_append(&image, content, SIZE);
    ib_buf_append_zeros(&image, HOLE);
    ib_buf_append(&image, content, SIZE);
    ib_buf_append_zeros(&image, HOLE);
    packed = filter("zstd -c", image.data, image.size);
    cr_assert_eq(ib_write_full(in, packed.data, packed.size), 0);
    cr_assert_eq(lseek(in, 0, SEEK_SET), 0);
    cr_assert_eq(ib_zstd_unpack(in, out, image.size, NULL, NULL, &size, NULL), 0);
    cr_assert(size == image.size && fstat(out, &st) == 0 && (uint64_t)st.st_size == size);
    cr_assert_lt(st.st_blocks * 512, HOLE);
    uint8_t *raw = mmap(NULL, size, PROT_READ, MAP_SHARED, out, 0);
    cr_assert(raw != MAP_FAILED && memcmp(raw, image.data, size) == 0);
    munmap(raw, size);

    cr_assert_eq(lseek(in, 0, SEEK_SET), 0);
    cr_assert_eq(ib_zstd_unpack(in, out, image.size - 1, NULL, NULL, &size, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    cr_assert(ftruncate(in, (off_t)packed.size - 1) == 0 && lseek(in, 0, SEEK_SET) == 0);
    cr_assert_eq(ib_zstd_unpack(in, out, image.size, NULL, NULL, &size, NULL), -1);
    cr_assert(ftruncate(in, 0) == 0 && ib_pwrite_full(in, content, SIZE, 0) == 0);
    cr_assert_eq(ib_zstd_unpack(in, out, image.size, NULL, NULL, &size, NULL), -1);
}
