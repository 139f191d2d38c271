/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/subprocess.h"

Test(util, parse_u64_takes_only_whole_numbers_in_range)
{
    uint64_t v = 7;

    cr_assert(ib_parse_u64("18446744073709551615", UINT64_MAX, &v) && v == UINT64_MAX);
    cr_assert_not(ib_parse_u64("18446744073709551616", UINT64_MAX, &v));
    cr_assert_not(ib_parse_u64("", 10, &v));
    cr_assert_not(ib_parse_u64("-1", 10, &v));
    cr_assert_not(ib_parse_u64("1 ", 10, &v));
    cr_assert_not(ib_parse_u64("11", 10, &v));
}

Test(util, nearest_name)
{
    static const char *const names[] = {"packages", "overlays", "services"};

    cr_assert_str_eq(ib_nearest("pakages", names, 3), "packages");
    cr_assert_null(ib_nearest("xyz", names, 3));
}

Test(util, sizes_for_people)
{
    char b[16];

    cr_assert_str_eq(ib_format_size(0, b), "0 B");
    cr_assert_str_eq(ib_format_size(1536, b), "1.5 KiB");
    cr_assert_str_eq(ib_format_size(UINT64_C(583729152), b), "557 MiB");
}

Test(error, chain_prints_cause_and_cure)
{
    struct ib_error *err = NULL;
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    ib_fail(&err, IB_E_IO, ENOENT, "a.yaml", "open");
    ib_hint(&err, "write it");
    ib_hint(&err, "a later hint does not win");
    ib_wrap(&err, "odin", "build node");
    ib_error_print(err, "imgbuild", out);
    fclose(out);
    cr_assert_str_eq(text, "imgbuild: cannot build node 'odin'\n"
                           "  because: cannot open 'a.yaml': No such file or directory\n"
                           "  try: write it\n");
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    cr_assert_eq(ib_error_exit_status(ib_error_code(err)), 4);
    free(text);
    ib_error_free(err);
}

Test(error, names_cannot_command_the_terminal)
{
    struct ib_error *err = NULL;

    ib_failf(&err, IB_E_INVALID, "'%s'", "a\x1b[2J\xc2\x9b\xc3\xa9\x7f");
    ib_wrap(&err, "\r", "read");
    char *text = ib_error_text(err);
    cr_assert_str_eq(text, "cannot read '?': 'a?[2J??\xc3\xa9?'");
    free(text);
    ib_error_free(err);
}

Test(buffer, strv_sorts_by_bytes_and_drops_repeats)
{
    struct ib_strv l = {0};

    ib_strv_split(&l, "b,a,,B,a", ",");
    ib_strv_sort_unique(&l);
    char *joined = ib_strv_join(&l, " ");
    cr_assert_str_eq(joined, "B a b");
    free(joined);
    ib_strv_clear(&l);
}

Test(path, normalize_keeps_names_inside)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"./usr//bin/", "usr/bin"},
        {"/etc/passwd", "etc/passwd"},
        {".", ""},
        {"", ""},
        {"a/../b", NULL},
        {"..", NULL},
        {"...", "..."},
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(cases); i++) {
        char *p = ib_path_normalize(cases[i].in);
        cr_assert(ib_streq(p, cases[i].out), "%s gave %s", cases[i].in, p ? p : "NULL");
        free(p);
    }
}

Test(hash, known_answer_and_uuid)
{
    struct ib_sha256 h, again;
    struct ib_uuid u, v;
    char hex[IB_SHA256_HEX_SIZE], text[IB_UUID_TEXT_SIZE];

    ib_sha256("abc", 3, &h); /* FIPS 180-4, appendix B.1 */
    cr_assert_str_eq(ib_sha256_hex(&h, hex),
                     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    cr_assert(ib_sha256_parse(hex, &again) && ib_sha256_equal(&h, &again));
    cr_assert_not(ib_sha256_parse("ba78", &again));
    ib_uuid_derive("disk", "odin", &u);
    cr_assert(ib_uuid_parse(ib_uuid_format(&u, text), &v));
    cr_assert_eq(memcmp(&u, &v, sizeof(u)), 0);
    cr_assert_eq(text[14], '8');
}

Test(util, only_processors_that_we_may_use_count)
{
    cpu_set_t all, one;

    cr_assert_eq(sched_getaffinity(0, sizeof(all), &all), 0);
    cr_assert_eq(ib_cpu_count(), (unsigned)CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
        if (CPU_ISSET(i, &all))
            CPU_SET(i, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    cr_assert_eq(ib_cpu_count(), 1);
}

Test(atomic, nothing_under_the_name_before_commit)
{
    struct ib_error *err = NULL;
    char *dir = ib_make_temp_dir("/tmp", "ib-test", &err);
    char *path = ib_path_join(dir, "out");
    struct stat st;

    struct ib_atomic *f = ib_atomic_open(path, 0640, &err);
    cr_assert(f && write(ib_atomic_fd(f), "x", 1) == 1);
    cr_assert_not(ib_path_exists(path));
    f = ib_atomic_free(f);
    cr_assert_not(ib_path_exists(path));
    cr_assert_eq(ib_atomic_write(path, 0640, "abc", 3, &err), 0);
    cr_assert(stat(path, &st) == 0 && st.st_size == 3 && (st.st_mode & 07777) == 0640);
    free(path);
    ib_temp_dirp(&dir);
}

Test(atomic, leftovers_go_and_work_stays)
{
    const struct timespec epoch[2] = {{0, 0}, {0, 0}};
    const char *const names[] = {".odin.img.abcdef.tmp", ".young.abcdef.tmp", "odin.img", "a.tmp"};
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    char *path = ib_path_join(dir, "freyja.img");
    struct ib_atomic *ours = ib_atomic_open(path, 0644, NULL);
    uint64_t freed = 0;

    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++) {
        _cleanup_(ib_freep) char *file = ib_path_join(dir, names[i]);
        cr_assert_eq(ib_write_file(file, 0644, "left", 4, NULL), 0);
        cr_assert(i == 1 || utimensat(AT_FDCWD, file, epoch, 0) == 0);
    }
    cr_assert_eq(futimens(ib_atomic_fd(ours), epoch), 0);
    cr_assert_eq(ib_atomic_remove_leftovers(dir, &freed, NULL), 0);
    cr_assert_gt(freed, 0);
    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++) {
        _cleanup_(ib_freep) char *file = ib_path_join(dir, names[i]);
        cr_assert_eq(ib_path_exists(file), i > 0, "%s", names[i]);
    }
    cr_assert_eq(ib_atomic_commit(ours, NULL), 0, "it is still there");
    ib_atomic_free(ours);
    free(path);
    ib_temp_dirp(&dir);
}

Test(file, remove_tree_does_not_follow_links)
{
    char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    char *keep = ib_path_join(dir, "keep"), *gone = ib_path_join(dir, "gone");
    char *deep = ib_path_join(gone, "a/b"), *link = ib_path_join(gone, "a/link");

    cr_assert_eq(ib_mkdir_p(keep, NULL), 0);
    cr_assert_eq(ib_mkdir_p(deep, NULL), 0);
    cr_assert_eq(symlink(keep, link), 0);
    cr_assert_eq(ib_remove_tree(gone, NULL), 0);
    cr_assert(ib_path_exists(keep) && !ib_path_exists(gone));
    cr_assert_eq(ib_remove_tree(gone, NULL), 0);
    free(keep), free(gone), free(deep), free(link);
    ib_temp_dirp(&dir);
}

Test(subprocess, collects_output_and_tells_failures)
{
    struct ib_error *err = NULL;
    struct ib_buf out = {0};
    const char *const echo[] = {"sh", "-c", "printf '%s %s' \"$LC_ALL\" \"$X\"", NULL};
    const char *const env[] = {"X=y", NULL};
    const char *const fails[] = {"sh", "-c", "echo no luck >&2; exit 3", NULL};
    const char *const missing[] = {"no-such-program-here", NULL};

    cr_assert_eq(ib_run(&(struct ib_run){.argv = echo, .env = env, .out = &out}, &err), 0);
    cr_assert_str_eq((char *)out.data, "C.UTF-8 y");
    ib_buf_clear(&out);
    cr_assert_eq(ib_run(&(struct ib_run){.argv = fails}, &err), -1);
    cr_assert_str_eq(ib_error_line(err, 0), "'sh' ended with exit status 3: no luck");
    ib_error_clear(&err);
    cr_assert_eq(ib_run(&(struct ib_run){.argv = missing}, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_UNSUPPORTED);
    ib_error_clear(&err);
}

Test(subprocess, cancel_ends_the_program)
{
    static volatile sig_atomic_t cancel = 1;
    struct ib_error *err = NULL;
    struct ib_progress *p = ib_progress_new(NULL, NULL, &cancel);
    const char *const argv[] = {"sleep", "30", NULL};

    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv, .progress = p}, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERRUPTED);
    ib_error_clear(&err);
    ib_progress_free(p);
}

static int child_that_reports(void *userdata)
{
    dprintf(1, "%s in %d", (const char *)userdata, getpid());
    dprintf(2, "it did not like it");
    return 3;
}

Test(subprocess, runs_a_function_of_ours_in_a_child)
{
    struct ib_error *err = NULL;
    _cleanup_(ib_buf_clear) struct ib_buf out = {0}, log = {0};
    const char *const argv[] = {"worker", NULL};
    char data[] = "here";
    int status = 0, pid = 0;

    cr_assert_eq(ib_run(&(struct ib_run){.argv = argv,
                                         .out = &out,
                                         .log = &log,
                                         .child_main = child_that_reports,
                                         .userdata = data,
                                         .ret_status = &status},
                        &err),
                 0);
    cr_assert_eq(status, 3);
    cr_assert(sscanf((const char *)out.data, "here in %d", &pid) == 1 && pid != getpid());
    cr_assert_str_eq((const char *)log.data, "it did not like it");
    cr_assert_eq(
        ib_run(&(struct ib_run){.argv = argv, .child_main = child_that_reports, .userdata = data},
               &err),
        -1);
    _cleanup_(ib_freep) char *text = ib_error_text(err);
    cr_assert_str_eq(text, "'worker' ended with exit status 3: it did not like it");
    ib_error_free(err);
}
