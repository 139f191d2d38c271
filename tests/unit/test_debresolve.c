/* SPDX-License-Identifier: Apache-2.0 */
/* Resolving a Debian suite with the host's apt, from a small signed mirror that a fixture makes. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/atomic.h"
#include "httpd.h"
#include "os/debresolve.h"

static char *dir, *keyring, *mirror;
static struct httpd httpd;

static void set_up(void)
{
    const char *argv[] = {IB_SOURCE_DIR "/tests/fixtures/debian-mirror", NULL, NULL};
    _cleanup_(ib_freep) char *apt = ib_find_program("apt-get");
    int status = -1;

    dir = ib_make_temp_dir("/tmp", "ib-resolve", NULL);
    keyring = ib_path_join(dir, "keyring.gpg");
    argv[1] = dir;
    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv, .ret_status = &status}, NULL), 0);
    if (!apt || status == 77 || !httpd_start(&httpd, dir, NULL))
        cr_skip_test("apt-get, gpg, dpkg-deb and python3 are needed");
    cr_assert_eq(status, 0);
    mirror = httpd_url(&httpd, "tree/mirror");
}

static void tear_down(void)
{
    httpd_stop(&httpd);
    ib_temp_dirp(&dir);
    free(keyring), free(mirror);
}

TestSuite(debresolve, .init = set_up, .fini = tear_down, .timeout = 60);

static struct ib_debresolve *open_from(const char *mirrors, const char *suite,
                                       struct ib_error **err)
{
    struct ib_strv list = {0};

    ib_strv_split(&list, mirrors, " ");
    struct ib_debresolve *r = ib_debresolve_open(
        &(struct ib_debresolve_options){
            .suite = suite,
            .architecture = "amd64",
            .mirrors = &list,
            .keyring = keyring,
            .scratch_dir = dir,
        },
        err);
    ib_strv_clear(&list);
    return r;
}

static void free_packages(struct ib_lock_package *packages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ib_lock_package_clear(&packages[i]);
    free(packages);
}

Test(debresolve, exact_set_without_recommends)
{
    static const char *const names[] = {"app"};
    static const struct {
        const char *name, *version, *file;
    } expected[] = {
        {"app", "1.0~rc1-2", "app_1.0%7erc1-2_amd64.deb"},
        {"apt", "3.0", "apt_3.0_amd64.deb"},
        {"base-tiny", "13-1", "base-tiny_13-1_amd64.deb"},
        {"lib-app", "1.0", "lib-app_1.0_amd64.deb"},
        {"libtiny", "1:2.0-1+b1", "libtiny_2.0-1%2bb1_amd64.deb"},
    };
    struct ib_lock_package *packages = NULL;
    struct ib_error *err = NULL;
    size_t count = 0;

    struct ib_debresolve *r = open_from(mirror, "tiny", &err);
    cr_assert_not_null(r, "%s", err ? ib_error_text(err) : "");
    cr_assert_eq(ib_debresolve_date(r), 1789199741);
    cr_assert_eq(ib_debresolve_packages(r, names, 1, &packages, &count, &err), 0);
    cr_assert_eq(count, IB_ARRAY_SIZE(expected));
    for (size_t i = 0; i < count; i++) {
        _cleanup_(ib_freep) char *path =
            ib_asprintf("%s/mirror/pool/main/%s_%s_amd64.deb", dir, expected[i].name,
                        strchr(expected[i].version, ':') ? strchr(expected[i].version, ':') + 1
                                                         : expected[i].version);
        struct ib_sha256 hash;
        uint64_t size = 0;
        int fd = ib_open_read(path, NULL);
        cr_assert_eq(ib_sha256_fd(fd, &hash, &size), 0);
        close(fd);
        cr_assert_str_eq(packages[i].name, expected[i].name);
        cr_assert_str_eq(packages[i].version, expected[i].version);
        cr_assert_str_eq(packages[i].architecture, "amd64");
        cr_assert(ib_endswith(packages[i].url, expected[i].file), "%s", packages[i].url);
        cr_assert(ib_startswith(packages[i].url, mirror));
        cr_assert_eq(packages[i].size_bytes, size);
        cr_assert(ib_sha256_equal(&packages[i].sha256, &hash));
    }
    free_packages(packages, count);
    ib_debresolve_free(r);
}

Test(debresolve, unknown_and_impossible_packages)
{
    static const struct {
        const char *name;
        enum ib_error_code code;
        const char *words;
    } cases[] = {
        {"no-such", IB_E_NOT_FOUND, "Unable to locate package no-such"},
        {"broken", IB_E_INVALID, "broken : Depends: no-such-package but it is not installable"},
        {"app-", IB_E_INVALID, "'app-' cannot be the name of a Debian package"},
        {"--purge", IB_E_INVALID, "'--purge' cannot be the name of a Debian package"},
        {"?obsolete", IB_E_INVALID, "'?obsolete' cannot be the name of a Debian package"},
    };
    struct ib_lock_package *packages = NULL;
    size_t count = 0;

    struct ib_debresolve *r = open_from(mirror, "tiny", NULL);
    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        struct ib_error *err = NULL;
        cr_assert_eq(ib_debresolve_packages(r, &cases[i].name, 1, &packages, &count, &err), -1);
        _cleanup_(ib_freep) char *text = ib_error_text(err);
        cr_assert_eq(ib_error_code(err), cases[i].code, "%s", text);
        cr_assert(strstr(text, cases[i].words), "%s", text);
        ib_error_free(err);
    }
    ib_debresolve_free(r);
}

Test(debresolve, next_mirror_when_one_is_gone)
{
    _cleanup_(ib_freep) char *both = ib_asprintf("http://127.0.0.1:%u/gone %s", httpd.port, mirror);
    struct ib_error *err = NULL;

    struct ib_debresolve *r = open_from(both, "tiny", &err);
    cr_assert_not_null(r);
    ib_debresolve_free(r);
    cr_assert_null(open_from("http://127.0.0.1:1/", "tiny", &err));
    cr_assert_eq(ib_error_code(err), IB_E_NETWORK, "%s", ib_error_line(err, 0));
    ib_error_clear(&err);
    cr_assert_null(open_from(mirror, "no-such-suite", &err));
    cr_assert_eq(ib_error_code(err), IB_E_NETWORK, "%s", ib_error_line(err, 0));
    ib_error_clear(&err);
}

Test(debresolve, changed_index_is_refused)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, "mirror/dists/tiny/InRelease");
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_read_file(path, IB_MIB, &text, NULL), 0);
    strstr((char *)text.data, "Sat, 12")[5] = '2';
    cr_assert_eq(ib_atomic_write(path, 0644, text.data, text.size, NULL), 0);
    cr_assert_null(open_from(mirror, "tiny", &err));
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY, "%s", ib_error_line(err, 0));
    ib_error_clear(&err);
}

Test(debresolve, other_key_is_refused)
{
    static const char other[] = "/usr/share/keyrings/debian-archive-keyring.gpg";
    struct ib_error *err = NULL;

    if (!ib_path_exists(other))
        cr_skip_test("debian-archive-keyring is not installed");
    free(keyring);
    keyring = ib_strdup(other);
    cr_assert_null(open_from(mirror, "tiny", &err));
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY, "%s", ib_error_line(err, 0));
    ib_error_clear(&err);
}

Test(debresolve, changed_package_list_is_refused)
{
    _cleanup_(ib_freep) char *path =
        ib_path_join(dir, "mirror/dists/tiny/main/binary-amd64/Packages");
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_read_file(path, IB_MIB, &text, NULL), 0);
    text.data[text.size / 2] ^= 1;
    cr_assert_eq(ib_atomic_write(path, 0644, text.data, text.size, NULL), 0);
    cr_assert_null(open_from(mirror, "tiny", &err));
    _cleanup_(ib_freep) char *why = ib_error_text(err);
    cr_assert(strstr(why, "Hash Sum mismatch") || strstr(why, "unexpected size"), "%s", why);
    ib_error_clear(&err);
}

Test(debresolve, missing_apt_is_told)
{
    struct ib_error *err = NULL;

    setenv("PATH", "/nowhere", 1);
    struct ib_debresolve *r = open_from(mirror, "tiny", &err);
    if (r) { /* found in sbin after all */
        ib_debresolve_free(r);
        return;
    }
    cr_assert_eq(ib_error_code(err), IB_E_UNSUPPORTED);
    cr_assert(strstr(ib_error_hint(err), "serves everywhere"));
    ib_error_clear(&err);
}

Test(debresolve_names, debian_architectures)
{
    cr_assert_str_eq(ib_debian_architecture("x86_64"), "amd64");
    cr_assert_str_eq(ib_debian_architecture("aarch64"), "arm64");
    cr_assert_null(ib_debian_architecture("riscv64"));
}
