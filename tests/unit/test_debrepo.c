/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "os/debrepo.h"

/* A .deb by hand, so that any byte of it can be wrong: ar(5) members around a POSIX ustar. */
static void add_member(struct ib_buf *deb, const char *name, const void *data, size_t size)
{
    if (!deb->size)
        ib_buf_append_str(deb, "!<arch>\n");
    ib_buf_printf(deb, "%-16s%-12d%-6d%-6d%-8s%-10zu`\n", name, 0, 0, 0, "100644", size);
    ib_buf_append(deb, data, size);
    if (size % 2)
        ib_buf_append_str(deb, "\n");
}

static void add_tar_file(struct ib_buf *tar, const char *name, uint64_t size, const void *data)
{
    char header[512] = {0};
    unsigned sum = 0;

    snprintf(header, 100, "%s", name);
    memcpy(header + 100, "0000644\0000000000\0000000000", 24);
    for (size_t i = 0; i < 11; i++)
        header[124 + i] = (char)('0' + (size >> (3 * (10 - i)) & 7));
    memcpy(header + 136, "00000000000\000        0", 21);
    memcpy(header + 257, "ustar\00000", 8);
    for (size_t i = 0; i < sizeof(header); i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    ib_buf_append(tar, header, sizeof(header));
    if (data) {
        ib_buf_append(tar, data, size);
        ib_buf_append_zeros(tar, (512 - size % 512) % 512);
    }
}

static void make_deb(struct ib_buf *deb, const char *control)
{
    _cleanup_(ib_buf_clear) struct ib_buf tar = {0};

    add_tar_file(&tar, "./md5sums", 2, "x\n");
    add_tar_file(&tar, "./control", strlen(control), control);
    ib_buf_append_zeros(&tar, 1024);
    add_member(deb, "debian-binary", "2.0\n", 4);
    add_member(deb, "control.tar", tar.data, tar.size);
    add_member(deb, "data.tar", "", 0);
}

static int read_deb(const char *control, struct ib_deb_control *ret, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf deb = {0};

    make_deb(&deb, control);
    return ib_deb_control_read_memory("x.deb", deb.data, deb.size, ret, err);
}

Test(debfile, reads_the_control_paragraph)
{
    _cleanup_(ib_deb_control_clear) struct ib_deb_control control = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(read_deb("Package: libc6\nVersion: 1:2.41-12\nArchitecture: amd64\n"
                          "depends: a (>= 1), b | c\nDescription: short\n long\n .\n more\n",
                          &control, &err),
                 0, "%s", ib_error_text(err));
    cr_assert_str_eq(control.package, "libc6");
    cr_assert_str_eq(control.version, "1:2.41-12");
    cr_assert_str_eq(control.architecture, "amd64");
    cr_assert_str_eq(ib_deb_control_get(&control, "Depends"), "a (>= 1), b | c");
    cr_assert_str_eq(ib_deb_control_get(&control, "Description"), "short\n long\n .\n more");
    cr_assert_null(ib_deb_control_get(&control, "Essential"));
    char *name = ib_deb_file_name(&control);
    cr_assert_str_eq(name, "libc6_2.41-12_amd64.deb");
    free(name);
}

Test(debfile, refuses_what_policy_does_not_allow)
{
    static const char *const bad[] = {
        "",
        "\n",
        "Package: a\nVersion: 1\n",                                       /* a field is missing */
        "Package: ../a\nVersion: 1\nArchitecture: all\n",                 /* leaves a directory */
        "Package: a\nVersion: 1/2\nArchitecture: all\n",                  /* likewise */
        "Package: a\nVersion: 1\nArchitecture: all\nVersion: 2\n",        /* twice */
        "Package: -a\nVersion: 1\nArchitecture: all\n",                   /* an option */
        "Package: a\nVersion: 1\nArchitecture: all\n\nPackage: b\n",      /* two paragraphs */
        "Package: a\nVersion: 1\nArchitecture: all\nX\n",                 /* no colon */
        " x\nPackage: a\nVersion: 1\nArchitecture: all\n",                /* continues nothing */
        "Package: a\nVersion: 1\nArchitecture: all\nX: a\rSize: 1\n",     /* a control character */
        "Package: a\nVersion: 1\nArchitecture: all\nDescription: x\n \n", /* an empty line */
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(bad); i++) {
        struct ib_deb_control control = {0};
        struct ib_error *err = NULL;
        cr_assert_eq(read_deb(bad[i], &control, &err), -1, "case %zu was taken", i);
        cr_assert_eq(ib_error_code(err), IB_E_INVALID);
        cr_assert_null(control.fields);
        ib_error_free(err);
    }
}

Test(debfile, refuses_broken_containers)
{
    _cleanup_(ib_buf_clear) struct ib_buf good = {0};
    _cleanup_(ib_buf_clear) struct ib_buf bomb = {0};
    _cleanup_(ib_buf_clear) struct ib_buf tar = {0};
    struct ib_deb_control control = {0};
    struct ib_error *err = NULL;

    make_deb(&good, "Package: a\nVersion: 1\nArchitecture: all\n");
    for (size_t cut = 0; cut < good.size - 1100; cut += 7) { /* before the control file's end */
        cr_assert_eq(ib_deb_control_read_memory("cut.deb", good.data, cut, &control, &err), -1);
        ib_error_clear(&err);
    }
    add_tar_file(&tar, "./control", UINT64_C(1) << 32, NULL); /* 4 GiB, says its header */
    add_member(&bomb, "debian-binary", "2.0\n", 4);
    add_member(&bomb, "control.tar", tar.data, tar.size);
    cr_assert_eq(ib_deb_control_read_memory("bomb.deb", bomb.data, bomb.size, &control, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 0),
                     "'bomb.deb' holds a './control' that is larger than 1048576 bytes");
    ib_error_clear(&err);
    memcpy(strstr((char *)good.data, "2.0\n"), "3.0\n", 4);
    cr_assert_eq(ib_deb_control_read_memory("v3.deb", good.data, good.size, &control, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 0), "'v3.deb' is not of the Debian package format 2.x");
    ib_error_clear(&err);
}

Test(debfile, reads_every_compression_that_dpkg_writes)
{
    static const char *const kinds[] = {"none", "gzip", "xz", "zstd"};
    char *dir = ib_make_temp_dir("/tmp", "ib-deb", NULL);
    char *tree = ib_path_join(dir, "t"), *meta = ib_path_join(dir, "t/DEBIAN");
    char *file = ib_path_join(meta, "control"), *deb = ib_path_join(dir, "x.deb");
    char *program = ib_find_program("dpkg-deb");

    if (!program)
        cr_skip_test("dpkg-deb is not installed");
    cr_assert_eq(ib_mkdir_p(meta, NULL), 0);
    FILE *f = fopen(file, "w");
    fputs("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: m <m@example.org>\n"
          "Description: d\n",
          f);
    fclose(f);
    for (size_t i = 0; i < IB_ARRAY_SIZE(kinds); i++) {
        struct ib_deb_control control = {0};
        struct ib_error *err = NULL;
        const char *const argv[] = {
            "dpkg-deb", "--uniform-compression", "-Z", kinds[i], "--build", tree, deb, NULL};
        cr_assert_eq(ib_run(&(struct ib_run){.argv = argv}, &err), 0, "%s", ib_error_text(err));
        cr_assert_eq(ib_deb_control_read(deb, &control, &err), 0, "%s: %s", kinds[i],
                     ib_error_text(err));
        cr_assert_str_eq(control.package, "x");
        ib_deb_control_clear(&control);
    }
    free(tree), free(meta), free(file), free(deb), free(program);
    ib_temp_dirp(&dir);
}

/* A directory of .deb files, and the set of them. */
struct pool {
    char *dir;
    struct ib_strv paths;
    struct ib_deb_file *files;
    struct ib_debset set;
};

static int make_pool(struct pool *pool, const char *const *controls, size_t count,
                     struct ib_error **err)
{
    pool->dir = ib_make_temp_dir("/tmp", "ib-pool", NULL);
    pool->files = ib_calloc(count, sizeof(*pool->files));
    for (size_t i = 0; i < count; i++) {
        _cleanup_(ib_buf_clear) struct ib_buf deb = {0};
        ib_strv_addf(&pool->paths, "%s/%zu", pool->dir, i);
        make_deb(&deb, controls[i]);
        FILE *f = fopen(pool->paths.items[i], "w");
        cr_assert(f && fwrite(deb.data, 1, deb.size, f) == deb.size && fclose(f) == 0);
        pool->files[i].path = pool->paths.items[i];
        pool->files[i].size_bytes = deb.size;
        ib_sha256(deb.data, deb.size, &pool->files[i].sha256);
    }
    return ib_debset_read(pool->files, count, NULL, &pool->set, err);
}

static void pool_clear(struct pool *pool)
{
    ib_debset_clear(&pool->set);
    free(pool->files);
    ib_strv_clear(&pool->paths);
    ib_temp_dirp(&pool->dir);
}

#define CONTROL(name, more) "Package: " name "\nVersion: 1\nArchitecture: all\n" more

static char *names_of(const struct ib_deb_list *list)
{
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    for (size_t i = 0; i < list->count; i++)
        ib_strv_add(&names, list->items[i]->control.package);
    return ib_strv_join(&names, " ");
}

Test(debset, closure_follows_needs)
{
    static const char *const controls[] = {
        CONTROL("base-files", "Essential: yes\nPre-Depends: awk\n"),
        CONTROL("mawk", "Provides: other, awk (= 1)\nDepends: libc6 (>= 2), x:any | y\n"),
        CONTROL("gawk", "Provides: awk\nDepends: missing\n"),
        CONTROL("libc6", "Recommends: z\n"),
        CONTROL("y", "Depends: libc6, ,mawk\n"),
        CONTROL("z", ""),
        CONTROL("apt", "Depends: z | awk\n"),
    };
    static const char *const none[] = {NULL}, *const apt[] = {"apt", "not-there", NULL};
    static const char *const gawk[] = {"gawk", NULL};
    _cleanup_(pool_clear) struct pool pool = {0};
    struct ib_deb_list list = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(make_pool(&pool, controls, IB_ARRAY_SIZE(controls), &err), 0);
    cr_assert_eq(ib_debset_closure(&pool.set, none, &list, &err), -1); /* gawk is first by name */
    cr_assert_str_eq(ib_error_line(err, 0),
                     "the package 'gawk' needs 'missing', which the list lacks");
    ib_error_clear(&err);
    pool_clear(&pool);
    pool = (struct pool){0};

    const char *fixed[IB_ARRAY_SIZE(controls)];
    memcpy(fixed, controls, sizeof(fixed));
    fixed[2] = CONTROL("gawk", "Provides: notawk\n");
    cr_assert_eq(make_pool(&pool, fixed, IB_ARRAY_SIZE(fixed), &err), 0);
    cr_assert_eq(ib_debset_closure(&pool.set, none, &list, &err), 0, "%s", ib_error_text(err));
    char *names = names_of(&list);
    cr_assert_str_eq(names, "base-files libc6 mawk y");
    free(names);
    ib_deb_list_clear(&list);
    cr_assert_eq(ib_debset_closure(&pool.set, apt, &list, &err), 0);
    names = names_of(&list);
    cr_assert_str_eq(names, "apt base-files libc6 mawk y z");
    free(names);
    ib_deb_list_clear(&list);
    cr_assert_eq(ib_debset_closure(&pool.set, gawk, &list, &err), 0);
    cr_assert_eq(list.count, 5);
    ib_deb_list_clear(&list);
}

Test(debset, one_package_twice_is_refused)
{
    static const char *const controls[] = {CONTROL("a", ""), CONTROL("a", "")};
    _cleanup_(pool_clear) struct pool pool = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(make_pool(&pool, controls, 2, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 0), "the package 'a' is listed twice (1 and 1)");
    ib_error_free(err);
}

Test(debrepo, index_says_what_the_lock_says)
{
    static const char *const controls[] = {
        CONTROL("b", "Size: 7\nFilename: /etc/passwd\nDescription: d\n e\n"), CONTROL("a", "")};
    _cleanup_(pool_clear) struct pool pool = {0};
    _cleanup_(ib_buf_clear) struct ib_buf index = {0};
    struct ib_deb_list list = {0};
    struct ib_error *err = NULL;
    char hex[2][IB_SHA256_HEX_SIZE];
    struct stat a, b;

    cr_assert_eq(make_pool(&pool, controls, 2, &err), 0);
    char *dir = ib_path_join(pool.dir, "repo"), *file = ib_path_join(dir, "Packages");
    char *deb = ib_path_join(dir, "a_1_all.deb");
    ib_debset_all(&pool.set, &list);
    cr_assert_eq(ib_debrepo_make(dir, &list, NULL, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(ib_read_file(file, 1 << 20, &index, &err), 0);
    char *expected = ib_asprintf(
        "Package: a\nVersion: 1\nArchitecture: all\n"
        "Filename: ./a_1_all.deb\nSize: %llu\nSHA256: %s\n\n"
        "Package: b\nVersion: 1\nArchitecture: all\nDescription: d\n e\n"
        "Filename: ./b_1_all.deb\nSize: %llu\nSHA256: %s\n\n",
        (unsigned long long)pool.files[1].size_bytes, ib_sha256_hex(&pool.files[1].sha256, hex[0]),
        (unsigned long long)pool.files[0].size_bytes, ib_sha256_hex(&pool.files[0].sha256, hex[1]));
    cr_assert_str_eq((char *)index.data, expected);
    cr_assert(stat(deb, &a) == 0 && stat(pool.files[1].path, &b) == 0 && a.st_ino == b.st_ino);
    cr_assert_eq(ib_debrepo_make(dir, &list, NULL, &err), -1); /* never into an existing one */
    ib_error_free(err);
    ib_deb_list_clear(&list);
    free(expected), free(dir), free(file), free(deb);
}
