/* SPDX-License-Identifier: Apache-2.0 */
/* Hash trees are compared with what veritysetup makes of the same data, salt and UUID. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "image/verity.h"

struct place {
    char *dir, *data, *hash;
    struct ib_verity_params params;
};

static struct place place_new(void)
{
    struct place p = {.dir = ib_make_temp_dir("/tmp", "ib-test", NULL)};

    p.data = ib_path_join(p.dir, "data");
    p.hash = ib_path_join(p.dir, "hash");
    ib_sha256("salt", 4, &p.params.salt);
    ib_uuid_derive("test", "verity", &p.params.uuid);
    return p;
}

static void place_clear(struct place *p)
{
    free(p->data);
    free(p->hash);
    ib_temp_dirp(&p->dir);
}

/* Blocks that differ from each other and are the same in every run. */
static void write_data(const char *path, size_t blocks)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    unsigned char block[IB_VERITY_BLOCK_SIZE];

    for (size_t i = 0; i < blocks; i++) {
        memset(block, (int)(i % 251), sizeof(block));
        memcpy(block, &i, sizeof(i));
        cr_assert_eq(ib_write_full(fd, block, sizeof(block)), 0);
    }
    close(fd);
}

static void flip_byte(const char *path, off_t offset)
{
    int fd = open(path, O_RDWR);
    unsigned char byte;

    cr_assert_eq(pread(fd, &byte, 1, offset), 1);
    byte ^= 0x20;
    cr_assert_eq(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

static void ok(int result, struct ib_error **err)
{
    cr_assert_eq(result, 0, "%s", *err ? ib_error_text(*err) : "");
}

Test(verity, same_bytes_as_veritysetup)
{
    static const size_t block_counts[] = {1, 2, 127, 128, 129, 128 * 128, 128 * 128 + 1};
    _cleanup_(place_clear) struct place p = place_new();
    _cleanup_(ib_freep) char *program = ib_find_program("veritysetup");
    char salt[IB_SHA256_HEX_SIZE], uuid[IB_UUID_TEXT_SIZE], root[IB_SHA256_HEX_SIZE];
    struct ib_error *err = NULL;

    if (!program)
        cr_skip_test("veritysetup is not installed");
    _cleanup_(ib_freep) char *theirs = ib_path_join(p.dir, "theirs");
    _cleanup_(ib_freep) char *salt_option =
        ib_asprintf("--salt=%s", ib_sha256_hex(&p.params.salt, salt));
    _cleanup_(ib_freep) char *uuid_option =
        ib_asprintf("--uuid=%s", ib_uuid_format(&p.params.uuid, uuid));
    for (size_t i = 0; i < IB_ARRAY_SIZE(block_counts); i++) {
        struct ib_buf a = {0}, b = {0}, out = {0};
        struct ib_sha256 root_hash;
        write_data(p.data, block_counts[i]);
        unlink(theirs);
        const char *const format[] = {program,     "format",    p.data, theirs,
                                      salt_option, uuid_option, NULL};
        ok(ib_run(&(struct ib_run){.argv = format, .out = &out}, &err), &err);
        ok(ib_verity_format(p.data, p.hash, &p.params, &root_hash, &err), &err);
        cr_assert(strstr((char *)out.data, ib_sha256_hex(&root_hash, root)));
        ok(ib_read_file(p.hash, IB_MIB, &a, &err), &err);
        ok(ib_read_file(theirs, IB_MIB, &b, &err), &err);
        cr_assert(a.size == b.size && memcmp(a.data, b.data, a.size) == 0, "%zu blocks",
                  block_counts[i]);
        cr_assert_eq(a.size, ib_verity_hash_size(block_counts[i] * IB_VERITY_BLOCK_SIZE));

        const char *const verify[] = {program, "verify", p.data, p.hash, root, NULL};
        ok(ib_run(&(struct ib_run){.argv = verify}, &err), &err);
        ib_buf_clear(&a);
        ib_buf_clear(&b);
        ib_buf_clear(&out);
    }
}

Test(verity, check_finds_one_flipped_byte_anywhere)
{
    _cleanup_(place_clear) struct place p = place_new();
    struct ib_error *err = NULL;
    struct ib_sha256 root_hash, wrong;

    write_data(p.data, 300);
    ok(ib_verity_format(p.data, p.hash, &p.params, &root_hash, &err), &err);
    ok(ib_verity_check(p.data, p.hash, &root_hash, &err), &err);

    flip_byte(p.data, 299 * IB_VERITY_BLOCK_SIZE + 17);
    cr_assert_eq(ib_verity_check(p.data, p.hash, &root_hash, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_clear(&err);
    flip_byte(p.data, 299 * IB_VERITY_BLOCK_SIZE + 17);

    flip_byte(p.hash, 2 * IB_VERITY_BLOCK_SIZE + 5);
    cr_assert_eq(ib_verity_check(p.data, p.hash, &root_hash, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_clear(&err);
    flip_byte(p.hash, 2 * IB_VERITY_BLOCK_SIZE + 5);

    wrong = root_hash;
    wrong.bytes[31] ^= 1;
    cr_assert_eq(ib_verity_check(p.data, p.hash, &wrong, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    cr_assert_str_eq(ib_error_line(err, 1), "Verification of root hash failed");
    ib_error_clear(&err);
    ok(ib_verity_check(p.data, p.hash, &root_hash, &err), &err);
}

/* Data and tree one behind the other in one file, at places that are multiples of 512 only. */
enum { DATA_AT = 3 * 512, GAP = 5 * 512 };

static char *make_disk(const struct place *p, struct ib_verity_place *place, uint64_t data_size)
{
    char *path = ib_path_join(p->dir, "disk");
    _cleanup_(ib_closep) int out = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    _cleanup_(ib_closep) int data = open(p->data, O_RDONLY | O_CLOEXEC);
    _cleanup_(ib_closep) int hash = open(p->hash, O_RDONLY | O_CLOEXEC);

    *place = (struct ib_verity_place){.data_offset = DATA_AT,
                                      .data_size = data_size,
                                      .hash_offset = DATA_AT + data_size + GAP,
                                      .hash_size = ib_verity_hash_size(data_size)};
    cr_assert_eq(lseek(out, DATA_AT, SEEK_SET), DATA_AT);
    cr_assert_eq(ib_copy_range(data, 0, out, data_size), 0);
    cr_assert_eq(lseek(out, (off_t)place->hash_offset, SEEK_SET), (off_t)place->hash_offset);
    cr_assert_eq(ib_copy_range(hash, 0, out, place->hash_size), 0);
    return path;
}

/* Each level of the tree, first and last block, and the data; four levels with 128^2 + 1 blocks. */
Test(verity, a_tree_in_place_is_checked_as_libcryptsetup_does)
{
    static const size_t block_counts[] = {2, 128, 129, 128 * 128 + 1};

    for (size_t i = 0; i < IB_ARRAY_SIZE(block_counts); i++) {
        _cleanup_(place_clear) struct place p = place_new();
        uint64_t size = block_counts[i] * (uint64_t)IB_VERITY_BLOCK_SIZE, covered;
        struct ib_sha256 expected, root;
        struct ib_error *err = NULL;
        struct ib_verity_place place;
        write_data(p.data, block_counts[i]);
        ok(ib_verity_format(p.data, p.hash, &p.params, &expected, &err), &err);
        _cleanup_(ib_freep) char *disk = make_disk(&p, &place, size);
        _cleanup_(ib_reader_freep) struct ib_reader *reader = ib_reader_open(disk, &err);
        place.reader = reader;
        ok(ib_verity_read_root_hash(&place, &root, &covered, &err), &err);
        cr_assert(ib_sha256_equal(&root, &expected) && covered == size);
        ok(ib_verity_check_place(&place, &root, NULL, NULL, &err), &err);

        for (uint64_t at = 0; at < place.hash_size / IB_VERITY_BLOCK_SIZE; at += 1 + at / 2) {
            off_t byte = (off_t)(place.hash_offset + at * IB_VERITY_BLOCK_SIZE + 2);
            flip_byte(disk, byte);
            cr_assert_eq(ib_verity_check_place(&place, &root, NULL, NULL, &err), -1, "block %llu",
                         (unsigned long long)at);
            ib_error_clear(&err);
            flip_byte(disk, byte);
        }
        const uint64_t bytes[] = {0, size / 2, size - 1};
        for (size_t j = 0; j < IB_ARRAY_SIZE(bytes); j++) {
            flip_byte(disk, (off_t)(DATA_AT + bytes[j]));
            cr_assert_eq(ib_verity_check_place(&place, &root, NULL, NULL, &err), -1);
            cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
            ib_error_clear(&err);
            flip_byte(disk, (off_t)(DATA_AT + bytes[j]));
        }
        place.data_size = size - 1;
        cr_assert_eq(ib_verity_read_root_hash(&place, &root, &covered, &err), -1);
        ib_error_clear(&err);
        place.data_size = size;
        place.hash_size -= IB_VERITY_BLOCK_SIZE;
        cr_assert_eq(ib_verity_read_root_hash(&place, &root, &covered, &err), -1);
        ib_error_clear(&err);
    }
}

Test(verity, refuses_what_is_no_block_multiple_or_no_hash_tree)
{
    _cleanup_(place_clear) struct place p = place_new();
    struct ib_error *err = NULL;
    struct ib_sha256 root_hash = {0};

    write_data(p.data, 3);
    write_data(p.hash, 3);
    cr_assert_eq(ib_verity_check(p.data, p.hash, &root_hash, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID, "%s", ib_error_text(err));
    ib_error_clear(&err);
    cr_assert_eq(truncate(p.data, 5000), 0);
    cr_assert_eq(ib_verity_format(p.data, p.hash, &p.params, &root_hash, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_clear(&err);
    cr_assert_eq(truncate(p.data, 0), 0);
    cr_assert_eq(ib_verity_format(p.data, p.hash, &p.params, &root_hash, &err), -1);
    ib_error_clear(&err);
    unlink(p.data);
    cr_assert_eq(ib_verity_format(p.data, p.hash, &p.params, &root_hash, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    ib_error_clear(&err);
}

Test(verity, needs_no_privilege)
{
    _cleanup_(place_clear) struct place p = place_new();
    int status;

    write_data(p.data, 200);
    cr_assert_eq(chmod(p.data, 0644), 0);
    cr_assert_eq(chmod(p.dir, 0777), 0);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct ib_error *err = NULL;
        struct ib_sha256 root_hash;
        if (geteuid() == 0 && setuid(65534) < 0)
            _exit(1);
        if (ib_verity_format(p.data, p.hash, &p.params, &root_hash, &err) < 0 ||
            ib_verity_check(p.data, p.hash, &root_hash, &err) < 0) {
            ib_error_print(err, "test", stderr);
            _exit(2);
        }
        _exit(0);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
}

Test(verity, partition_uuids_are_the_halves_of_the_root_hash)
{
    struct ib_sha256 root_hash;
    struct ib_uuid root, verity;
    char text[IB_UUID_TEXT_SIZE];

    cr_assert(ib_sha256_parse("c8e479a3424c2d54e29b8ed1863de458b6341cd0e459789e197838f12de118b9",
                              &root_hash));
    ib_verity_partition_uuids(&root_hash, &root, &verity);
    cr_assert_str_eq(ib_uuid_format(&root, text), "c8e479a3-424c-2d54-e29b-8ed1863de458");
    cr_assert_str_eq(ib_uuid_format(&verity, text), "b6341cd0-e459-789e-1978-38f12de118b9");
}
