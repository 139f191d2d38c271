/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/subprocess.h"
#include "image/esp.h"

static char *dir;

static void make_dir(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    cr_assert_not_null(dir);
}

static void remove_dir(void)
{
    ib_temp_dirp(&dir);
}

TestSuite(esp, .init = make_dir, .fini = remove_dir);

static bool have_tools(void)
{
    char *mkfs = ib_find_program("mkfs.fat"), *mcopy = ib_find_program("mcopy");
    bool have = mkfs && mcopy;

    free(mkfs), free(mcopy);
    return have;
}

static void hash_file(const char *path, struct ib_sha256 *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert(fd >= 0);
    cr_assert_eq(ib_sha256_fd(fd, ret, NULL), 0);
    close(fd);
}

static char *write_payload(size_t size)
{
    char *path = ib_path_join(dir, "payload");
    unsigned char *data = ib_malloc(size);
    uint32_t v = 1;

    for (size_t i = 0; i < size; i++)
        data[i] = (unsigned char)((v = v * 1664525 + 1013904223) >> 24);
    cr_assert_eq(ib_atomic_write(path, 0600, data, size, NULL), 0);
    free(data);
    return path;
}

static const char loader_conf[] = "timeout 0\n";

Test(esp, depends_on_neither_the_time_nor_its_zone)
{
    static const char *const zones[] = {"Europe/Oslo", "Pacific/Kiritimati"};
    struct ib_sha256 hash[2];
    struct ib_error *err = NULL;

    if (!have_tools())
        cr_skip_test("mkfs.fat or mtools is not installed");
    char *uki = write_payload(5000001);
    const struct ib_esp_file files[] = {
        {"EFI/BOOT/BOOTX64.EFI", {.data = "stub", .size = 4}},
        {"EFI/Linux/odin_2026.11.22.efi", {.path = uki}},
        {"loader/loader.conf", {.data = loader_conf, .size = sizeof(loader_conf) - 1}},
    };
    const struct ib_esp esp = {.size_bytes = 64 * IB_MIB,
                               .volume_id = 0x1234abcd,
                               .mtime_s = 1700000000,
                               .files = files,
                               .file_count = 3};
    for (int i = 0; i < 2; i++) {
        char *path = ib_path_join(dir, i ? "b" : "a");
        setenv("TZ", zones[i], 1);
        cr_assert_eq(ib_esp_make(&esp, path, NULL, &err), 0, "%s", ib_error_text(err));
        hash_file(path, &hash[i]);
        free(path);
        if (i == 0)
            sleep(3); /* FAT's times have a step of 2 s */
    }
    cr_assert(ib_sha256_equal(&hash[0], &hash[1]));
    free(uki);
}

Test(esp, holds_what_went_in_and_stays_sparse)
{
    struct ib_error *err = NULL;
    struct ib_buf out = {0};
    struct stat st;

    if (!have_tools())
        cr_skip_test("mkfs.fat or mtools is not installed");
    const struct ib_esp_file files[] = {
        {"loader/loader.conf", {.data = loader_conf, .size = sizeof(loader_conf) - 1}},
    };
    const struct ib_esp esp = {.size_bytes = 512 * IB_MIB, .files = files, .file_count = 1};
    char *path = ib_path_join(dir, "esp");
    cr_assert_eq(ib_esp_make(&esp, path, NULL, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_size, (off_t)(512 * IB_MIB));
    cr_assert_lt(st.st_blocks, 4096);

    const char *const type[] = {"mtype", "-i", path, "::/loader/loader.conf", NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = type, .out = &out}, &err), 0);
    cr_assert_str_eq((char *)out.data, loader_conf);
    ib_buf_clear(&out);
    const char *const check[] = {"fsck.fat", "-n", path, NULL};
    cr_assert_eq(ib_run(&(struct ib_run){.argv = check, .out = &out}, &err), 0);
    const char *const kind[] = {"blkid", "-p", "-o", "export", path, NULL};
    ib_buf_clear(&out);
    cr_assert_eq(ib_run(&(struct ib_run){.argv = kind, .out = &out}, &err), 0);
    cr_assert_not_null(strstr((char *)out.data, "VERSION=FAT32"));
    ib_buf_clear(&out);
    free(path);
}

Test(esp, too_small_and_bad_names_are_refused)
{
    struct ib_error *err = NULL;
    char *path = ib_path_join(dir, "esp");
    char *big = write_payload(20 * IB_MIB);
    const struct ib_esp_file large = {"EFI/Linux/x.efi", {.path = big}};
    const struct ib_esp_file outside = {"../x", {.data = "", .size = 0}};
    struct ib_esp esp = {.size_bytes = 16 * IB_MIB, .files = &large, .file_count = 1};

    cr_assert_eq(ib_esp_make(&esp, path, NULL, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_NO_SPACE);
    cr_assert_not(ib_path_exists(path));
    ib_error_clear(&err);
    esp.files = &outside;
    cr_assert_eq(ib_esp_make(&esp, path, NULL, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_clear(&err);
    free(big), free(path);
}
