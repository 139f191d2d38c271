/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "io/cache.h"

static char *dir;

static void set_up(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-cache", NULL);
    cr_assert_not_null(dir);
}

static void tear_down(void)
{
    ib_temp_dirp(&dir);
}

static struct ib_key *make_key(const char *value)
{
    static const char *const packages[] = {"openssh-server", "chrony"};
    struct ib_key *key = ib_key_new("base");

    ib_key_add(key, "name", value);
    ib_key_add_u64(key, "size", 42);
    ib_key_add_strv(key, "packages", packages, 2);
    return key;
}

static struct ib_cache_entry *get(struct ib_cache *cache, const char *value)
{
    _cleanup_(ib_key_freep) struct ib_key *key = make_key(value);
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    struct ib_cache_entry *entry = ib_cache_entry_get(cache, key, NULL, &err);

    cr_assert_not_null(entry, "%s", err ? ib_error_line(err, 0) : "");
    return entry;
}

static bool exists(struct ib_cache *cache, const char *value)
{
    _cleanup_(ib_key_freep) struct ib_key *key = make_key(value);

    return ib_cache_entry_exists(cache, key);
}

static void fill(struct ib_cache_entry *entry, const char *content)
{
    _cleanup_(ib_freep) char *path = ib_cache_entry_path(entry, "tree.tar");

    cr_assert_eq(ib_atomic_write(path, 0644, content, strlen(content), NULL), 0);
}

/* The number of entries of a directory of the cache; 0 where it does not exist. */
static int count_entries(const char *sub)
{
    _cleanup_(ib_freep) char *command = ib_asprintf("ls -A '%s/%s' 2>/dev/null | wc -l", dir, sub);
    int n = -1;
    FILE *p = popen(command, "r");

    cr_assert(p && fscanf(p, "%d", &n) == 1);
    pclose(p);
    return n;
}

TestSuite(cache, .init = set_up, .fini = tear_down);

Test(cache, entry_is_made_once_then_found)
{
    struct ib_cache *cache = ib_cache_open(dir, NULL);
    struct ib_cache_entry *entry = get(cache, "odin");
    struct stat st;

    cr_assert_not(ib_cache_entry_hit(entry));
    fill(entry, "hello");
    cr_assert_not(exists(cache, "odin"));
    cr_assert_eq(ib_cache_entry_commit(entry, NULL), 0);
    char *path = ib_cache_entry_path(entry, "tree.tar");
    cr_assert(stat(path, &st) == 0 && st.st_size == 5 && (st.st_mode & 07777) == 0444);
    free(path);
    ib_cache_entry_free(entry);

    cr_assert(exists(cache, "odin"));
    cr_assert_not(exists(cache, "freyja"));
    entry = get(cache, "odin");
    cr_assert(ib_cache_entry_hit(entry));
    ib_cache_entry_free(entry);
    cr_assert(exists(cache, "odin"));
    cr_assert_eq(count_entries("tmp"), 0);
    cr_assert_eq(count_entries("stages/base"), 1, "the lock file is gone, the entry is there");
    ib_cache_free(cache);
}

Test(cache, freeing_without_commit_leaves_nothing)
{
    struct ib_cache *cache = ib_cache_open(dir, NULL);
    struct ib_cache_entry *entry = get(cache, "odin");

    fill(entry, "half");
    ib_cache_entry_free(entry);
    cr_assert_not(exists(cache, "odin"));
    cr_assert_eq(count_entries("tmp"), 0);
    cr_assert_eq(count_entries("stages/base"), 0);
    ib_cache_free(cache);
}

Test(cache, inputs_are_kept_beside_the_output)
{
    struct ib_cache *cache = ib_cache_open(dir, NULL);
    struct ib_cache_entry *entry = get(cache, "not \xff utf-8");
    json_error_t problem;

    cr_assert_eq(ib_cache_entry_commit(entry, NULL), 0);
    char *path = ib_cache_entry_path(entry, "inputs.json");
    json_t *root = json_load_file(path, 0, &problem);
    cr_assert_not_null(root, "%s", problem.text);
    json_t *inputs = json_object_get(root, "inputs");
    cr_assert_str_eq(json_string_value(json_object_get(root, "stage")), "base");
    cr_assert_eq(json_array_size(inputs), 4); /* with the format's version */
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(inputs, 1), "value")),
                     "not \\xff utf-8");
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(inputs, 3), "value")),
                     "\"openssh-server\" \"chrony\"");
    json_decref(root);
    free(path);
    ib_cache_entry_free(entry);
    ib_cache_free(cache);
}

Test(cache, keys_differ_where_inputs_differ)
{
    static const char *const one[] = {"a b"}, *const two[] = {"a", "b"}, *const odd[] = {"a\" \"b"};
    struct ib_sha256 hashes[6];
    size_t n = 0;

    for (int i = 0; i < 6; i++) {
        struct ib_key *key = ib_key_new("base");
        if (i == 0)
            ib_key_add_strv(key, "list", one, 1);
        if (i == 1)
            ib_key_add_strv(key, "list", two, 2);
        if (i == 2)
            ib_key_add_strv(key, "list", odd, 1);
        if (i == 3)
            ib_key_add(key, "list", NULL);
        if (i == 4)
            ib_key_add(key, "list", "");
        if (i == 5)
            ib_key_add(key, "lis", "t");
        ib_key_hash(key, &hashes[n++]);
        ib_key_free(key);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            cr_assert_not(ib_sha256_equal(&hashes[i], &hashes[j]), "%zu and %zu", i, j);
}

/* Makes the entry if it is not there: exit status 1 for the maker, 0 for who found it. */
static _Noreturn void racer(void)
{
    struct ib_cache *cache = ib_cache_open(dir, NULL);
    struct ib_cache_entry *entry = get(cache, "odin");

    if (ib_cache_entry_hit(entry))
        _exit(0);
    usleep(50 * 1000);
    fill(entry, "made once");
    _exit(ib_cache_entry_commit(entry, NULL) == 0 ? 1 : 2);
}

Test(cache, one_of_many_processes_makes_the_entry)
{
    enum { PROCESSES = 8 };
    int makers = 0;

    for (int i = 0; i < PROCESSES; i++)
        if (fork() == 0)
            racer();
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        cr_assert(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) < 2);
        makers += WEXITSTATUS(status);
    }
    cr_assert_eq(makers, 1);
    cr_assert_eq(count_entries("stages/base"), 1);
}

Test(cache, killed_maker_leaves_the_entry_to_the_next)
{
    int ready[2];
    char c;

    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct ib_cache *its = ib_cache_open(dir, NULL);
        struct ib_cache_entry *entry = get(its, "odin");
        fill(entry, "half");
        cr_assert_eq(write(ready[1], "x", 1), 1);
        pause();
        _exit(0);
    }
    cr_assert_eq(read(ready[0], &c, 1), 1);

    static volatile sig_atomic_t cancel = 1;
    struct ib_cache *cache = ib_cache_open(dir, NULL);
    struct ib_progress *progress = ib_progress_new(NULL, NULL, &cancel);
    struct ib_key *key = make_key("odin");
    struct ib_error *err = NULL;
    cr_assert_null(ib_cache_entry_get(cache, key, progress, &err), "it is being made: we wait");
    cr_assert_eq(ib_error_code(err), IB_E_INTERRUPTED);
    ib_error_clear(&err);
    ib_key_free(key);
    ib_progress_free(progress);

    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    struct ib_cache_entry *entry = get(cache, "odin");
    cr_assert_not(ib_cache_entry_hit(entry));
    fill(entry, "whole");
    cr_assert_eq(ib_cache_entry_commit(entry, NULL), 0);
    ib_cache_entry_free(entry);
    cr_assert_eq(count_entries("tmp"), 1, "the dead maker's rubbish");

    uint64_t freed = 0;
    cr_assert_eq(ib_cache_clean(cache, &(struct ib_cache_clean){0}, &freed, NULL), 0);
    cr_assert_gt(freed, 0);
    cr_assert_eq(count_entries("tmp"), 0);
    cr_assert(exists(cache, "odin"));
    ib_cache_free(cache);
}

Test(cache, full_disk_leaves_no_entry)
{
    struct ib_cache *cache = ib_cache_open(dir, NULL);
    struct ib_cache_entry *entry = get(cache, "odin");
    struct rlimit old, none = {0};
    struct ib_error *err = NULL;

    fill(entry, "whole");
    signal(SIGXFSZ, SIG_IGN); /* write then fails with EFBIG */
    getrlimit(RLIMIT_FSIZE, &old);
    none.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &none);
    cr_assert_eq(ib_cache_entry_commit(entry, &err), -1);
    setrlimit(RLIMIT_FSIZE, &old);
    cr_assert_eq(ib_error_errno(err), EFBIG);
    ib_error_clear(&err);
    ib_cache_entry_free(entry);
    cr_assert_not(exists(cache, "odin"));
    cr_assert_eq(count_entries("tmp"), 0);

    entry = get(cache, "odin");
    cr_assert_not(ib_cache_entry_hit(entry));
    cr_assert_eq(ib_cache_entry_commit(entry, NULL), 0);
    ib_cache_entry_free(entry);
    ib_cache_free(cache);
}

/* The rest of the test as nobody, in a child: root may write anywhere. */
Test(cache, read_only_cache_serves_but_does_not_take)
{
    struct ib_cache *cache = ib_cache_open(dir, NULL);
    struct ib_cache_entry *entry = get(cache, "odin");
    cr_assert_eq(ib_cache_entry_commit(entry, NULL), 0);
    ib_cache_entry_free(entry);
    ib_cache_free(cache);
    if (geteuid() == 0)
        cr_assert(chmod(dir, 0755) == 0 && setegid(65534) == 0 && seteuid(65534) == 0);
    else
        cr_assert_eq(chmod(dir, 0555), 0);

    struct ib_error *err = NULL;
    cache = ib_cache_open(dir, &err);
    cr_assert_not_null(cache);
    entry = get(cache, "odin");
    cr_assert(ib_cache_entry_hit(entry));
    ib_cache_entry_free(entry);
    struct ib_key *key = make_key("freyja");
    if (geteuid() == 65534) {
        cr_assert_null(ib_cache_entry_get(cache, key, NULL, &err));
        cr_assert_eq(ib_error_code(err), IB_E_PERMISSION);
        cr_assert(strstr(ib_error_hint(err), "IMGBUILD_CACHE"));
        ib_error_clear(&err);
    }
    ib_key_free(key);
    ib_cache_free(cache);
    if (getuid() == 0)
        cr_assert(seteuid(0) == 0 && setegid(0) == 0);
    cr_assert_eq(chmod(dir, 0755), 0);
}

Test(cache, place_comes_from_the_environment)
{
    struct ib_error *err = NULL;

    unsetenv("IMGBUILD_CACHE");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    cr_assert_null(ib_cache_open(NULL, &err));
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    cr_assert_str_eq(ib_error_hint(err), "name one with IMGBUILD_CACHE=DIR");
    ib_error_clear(&err);

    setenv("HOME", dir, 1);
    struct ib_cache *cache = ib_cache_open(NULL, NULL);
    char *expected = ib_path_join(dir, ".cache/imgbuild");
    cr_assert_str_eq(ib_cache_dir(cache), expected);
    free(expected);
    ib_cache_free(cache);

    setenv("XDG_CACHE_HOME", dir, 1);
    cache = ib_cache_open(NULL, NULL);
    cr_assert(ib_endswith(ib_cache_dir(cache), "/imgbuild"));
    cr_assert_not(ib_endswith(ib_cache_dir(cache), ".cache/imgbuild"));
    ib_cache_free(cache);

    setenv("IMGBUILD_CACHE", dir, 1);
    cache = ib_cache_open(NULL, NULL);
    cr_assert_str_eq(ib_cache_dir(cache), dir);
    ib_cache_free(cache);
}

Test(cache, unusable_place_is_an_error_with_a_cure)
{
    struct ib_error *err = NULL;
    char *file = ib_path_join(dir, "file"), *below = ib_path_join(file, "cache");

    cr_assert_eq(ib_atomic_write(file, 0644, "", 0, NULL), 0);
    cr_assert_null(ib_cache_open(below, &err));
    cr_assert_not_null(ib_error_hint(err));
    ib_error_clear(&err);
    free(file), free(below);
}

Test(cache, blobs_get_their_name_when_verified)
{
    struct ib_cache *cache = ib_cache_open(dir, NULL);
    struct ib_sha256 hash;
    struct stat st;

    ib_sha256("abc", 3, &hash);
    char *blob = ib_cache_blob_path(cache, &hash), *partial = ib_cache_partial_path(cache, &hash);
    char *parent = ib_path_dir(partial);
    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    cr_assert_eq(ib_atomic_write(partial, 0644, "abc", 3, NULL), 0);
    cr_assert_not(ib_cache_has_blob(cache, &hash));
    cr_assert_eq(ib_cache_adopt_blob(cache, partial, &hash, NULL), 0);
    cr_assert(ib_cache_has_blob(cache, &hash));
    cr_assert_not(ib_path_exists(partial));
    cr_assert(stat(blob, &st) == 0 && (st.st_mode & 07777) == 0444);
    free(blob), free(partial), free(parent);
    ib_cache_free(cache);
}

Test(cache, clean_waits_for_nobody_and_takes_nothing_in_use)
{
    const struct ib_cache_clean everything = {.all = true, .blobs = true, .min_age_s = 86400};
    struct ib_cache *ours = ib_cache_open(dir, NULL), *theirs = ib_cache_open(dir, NULL);
    struct ib_cache_entry *entry = get(ours, "odin");
    struct ib_error *err = NULL;
    uint64_t freed = 0;

    fill(entry, "some content");
    cr_assert_eq(ib_cache_entry_commit(entry, NULL), 0);
    ib_cache_entry_free(entry);
    cr_assert_eq(ib_cache_clean(ours, &everything, &freed, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_REFUSED);
    ib_error_clear(&err);
    cr_assert(exists(ours, "odin"));

    ib_cache_free(theirs);
    cr_assert_eq(ib_cache_clean(ours, &everything, &freed, &err), 0);
    cr_assert_gt(freed, 0);
    cr_assert_not(exists(ours, "odin"));
    cr_assert_eq(count_entries("tmp"), 0);
    ib_cache_free(ours);
}

/* What lies in tmp/ is somebody's work while another process has the cache open, if it is young. */
Test(cache, clean_spares_young_work_of_others)
{
    const struct ib_cache_clean rubbish = {.min_age_s = 86400};
    struct ib_cache *ours = ib_cache_open(dir, NULL), *theirs = ib_cache_open(dir, NULL);
    _cleanup_(ib_freep) char *work = ib_cache_temp_dir(theirs, "work", NULL);
    _cleanup_(ib_freep) char *old = ib_cache_temp_dir(theirs, "old", NULL);
    const struct timespec epoch[2] = {{0, 0}, {0, 0}};
    uint64_t freed = 0;

    cr_assert_eq(utimensat(AT_FDCWD, old, epoch, 0), 0);
    cr_assert_eq(ib_cache_clean(ours, &rubbish, &freed, NULL), 0);
    cr_assert(ib_path_exists(work));
    cr_assert_not(ib_path_exists(old));

    ib_cache_free(theirs);
    cr_assert_eq(ib_cache_clean(ours, &rubbish, &freed, NULL), 0);
    cr_assert_eq(count_entries("tmp"), 0);
    ib_cache_free(ours);
}

Test(cache, a_hit_costs_less_than_a_millisecond)
{
    enum { ROUNDS = 1000 };
    struct ib_cache *cache = ib_cache_open(dir, NULL);
    struct ib_cache_entry *entry = get(cache, "odin");
    struct timespec begin, end;

    cr_assert_eq(ib_cache_entry_commit(entry, NULL), 0);
    ib_cache_entry_free(entry);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
    for (int i = 0; i < ROUNDS; i++)
        ib_cache_entry_free(get(cache, "odin"));
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    double ms =
        (double)(end.tv_sec - begin.tv_sec) * 1e3 + (double)(end.tv_nsec - begin.tv_nsec) / 1e6;
    cr_assert_lt(ms / ROUNDS, 1.0, "%.3f ms", ms / ROUNDS);
    ib_cache_free(cache);
}
