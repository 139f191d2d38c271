/* SPDX-License-Identifier: Apache-2.0 */
/* The same work in both sandboxes gives the same bytes (label vm: launches an appliance). */
#include <pthread.h>

#include "os/host.h"
#include "os/sandbox.h"
#include "sandbox_tree.h"

/* What is done in each engine, with everything that it says. */
struct transcript {
    struct ib_buf text;
    char *archive; /* the saved tree, with the times of changed files set to one */
};

static void say(struct transcript *t, const char *what, int r, struct ib_error **err)
{
    _cleanup_(ib_freep) char *text = r < 0 ? ib_error_text(*err) : ib_strdup("done");

    ib_buf_printf(&t->text, "%s: %s\n", what, text);
    ib_error_clear(err);
}

static void run(struct transcript *t, struct ib_sandbox *sandbox, const char *command)
{
    struct ib_error *err = NULL;
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    const char *const env[] = {"QUOTED=a 'b' \"c\" $d", NULL};
    int r = ib_sandbox_run(sandbox, argv, env, &out, &err);

    ib_buf_printf(&t->text, "%s", out.size ? (const char *)out.data : "");
    say(t, command, r, &err);
}

static int same_time(struct ib_node *node, const char *path, void *userdata)
{
    (void)path, (void)userdata;
    if (node->inode->mtime_s > 1700000000)
        node->inode->mtime_s = 1800000000;
    return 0;
}

static void save(struct transcript *t, struct ib_sandbox *sandbox, const char *dir, int number)
{
    struct ib_error *err = NULL;
    char name[2][24];

    for (int i = 0; i < 2; i++)
        snprintf(name[i], sizeof(name[i]), "%d-%d.tar", number, i);
    _cleanup_(ib_freep) char *raw = ib_path_join(dir, name[0]);
    t->archive = ib_path_join(dir, name[1]);
    _cleanup_(ib_closep) int fd = open(raw, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    _cleanup_(ib_closep) int out = open(t->archive, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_eq(ib_sandbox_export(sandbox, fd, &err), 0, "%s", err ? ib_error_text(err) : "");
    _cleanup_(ib_tree_freep) struct ib_tree *tree = ib_tree_load(raw, &err);
    cr_assert(tree);
    ib_tree_walk(tree, same_time, NULL);
    cr_assert_eq(ib_tree_save(tree, out, NULL, NULL, &err), 0);
}

/* Programs, and files in and out, with all that can go wrong. */
static void work(struct transcript *t, struct ib_sandbox *sandbox, const char *dir)
{
    static const char *const commands[] = {
        "id -u; id -G; pwd; umask; hostname; env; ls /dev /; ulimit -n",
        "grep '^Cap' /proc/self/status; ip -o addr | wc -l; stat -c '%A %u %n' /tmp /run /dev/shm",
        "echo on stderr >&2; echo on stdout; exit 3",
        "kill -9 $$",
        "mknod /tmp/x c 1 3; mount -t tmpfs none /tmp; hostname x",
        "cd /odd; echo new > capable; rm labelled; mkdir labelled; rm -r doomed; touch null",
        "cd /odd; chown 12:34 acl; echo more >> a; mkdir /etc/new; chmod 4711 /etc/new",
        "cd /odd; mv sticky moved; touch /tmp/t /run/r; mkfifo /etc/pipe",
        "ln /odd/far /etc/far; ln -s nowhere '/etc/a b'; setsid sleep 1000 & echo started",
        "ps | grep -c '[s]leep 1000'",
        "cat /tmp/t /run/r",
    };
    struct ib_error *err = NULL;
    const char *const missing[] = {"/no/such", NULL};
    _cleanup_(ib_freep) char *host = ib_path_join(dir, "host"), *out = ib_path_join(dir, "out");

    for (size_t i = 0; i < IB_ARRAY_SIZE(commands); i++)
        run(t, sandbox, commands[i]);
    say(t, "missing", ib_sandbox_run(sandbox, missing, NULL, NULL, &err), &err);
    say(t, "in tmp", ib_sandbox_copy_in(sandbox, host, "/tmp/repo", &err), &err);
    run(t, sandbox, "cd /tmp/repo; stat -c '%n %a %u:%g %s' * sub/*; cat one sub/deep");
    run(t, sandbox, "mkdir /over; ln -s ../etc /over/sub; chmod 700 /over; echo old > /over/one");
    say(t, "over", ib_sandbox_copy_in(sandbox, host, "over", &err), &err);
    run(t, sandbox, "stat -c '%n %a' /over /over/*; cat /etc/deep /over/one; readlink /over/sub");
    _cleanup_(ib_freep) char *one = ib_path_join(host, "one");
    say(t, "file", ib_sandbox_copy_in(sandbox, one, "/new/dir/file", &err), &err);
    say(t, "out", ib_sandbox_copy_out(sandbox, "/new/dir/file", out, &err), &err);
    _cleanup_(ib_buf_clear) struct ib_buf content = {0};
    cr_assert_eq(ib_read_file(out, 100, &content, NULL), 0);
    ib_buf_append(&t->text, content.data, content.size);
    say(t, "remove", ib_sandbox_remove(sandbox, "/over/sub", &err), &err);
    say(t, "remove none", ib_sandbox_remove(sandbox, "/none/at/all", &err), &err);
    run(t, sandbox, "ln -s /etc /rel; ls /etc/deep");
    say(t, "remove through a link", ib_sandbox_remove(sandbox, "/rel/deep", &err), &err);
    run(t, sandbox, "ls /etc/deep");
    cr_assert_eq(ib_sandbox_copy_out(sandbox, "/etc/pipe", out, &err), -1);
    ib_error_clear(&err);
    cr_assert_eq(ib_sandbox_copy_out(sandbox, "/etc/passwd", out, &err), -1);
    ib_error_clear(&err);
}

static void make_host_files(const char *dir)
{
    _cleanup_(ib_freep) char *host = ib_path_join(dir, "host"), *sub = ib_path_join(host, "sub"),
                             *one = ib_path_join(host, "one"), *deep = ib_path_join(sub, "deep"),
                             *link = ib_path_join(host, "link");
    const char *const paths[] = {one, deep};

    cr_assert_eq(ib_mkdir_p(sub, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        int fd = open(paths[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
        cr_assert(fd >= 0 && write(fd, "content\n", 8) == 8 && close(fd) == 0);
    }
    cr_assert_eq(link[0], '/');
    cr_assert_eq(symlink("one", link), 0);
}

Test(sandbox_engines, give_the_same_bytes_and_the_same_words)
{
    static const enum ib_sandbox_engine engines[] = {IB_SANDBOX_NAMESPACE, IB_SANDBOX_GUESTFS};
    struct transcript t[2] = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    _cleanup_(ib_tree_freep) struct ib_tree *tree = make_tree();
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    struct ib_buf archives[2] = {0};

    if (!tree)
        cr_skip_test("no static busybox (install busybox-static)");
    for (size_t i = 0; i < 2; i++)
        if (ib_sandbox_probe(engines[i], &err) < 0)
            cr_skip_test("no sandbox: %s", ib_error_line(err, 0));
    make_host_files(dir);
    for (int i = 0; i < 2; i++) {
        struct ib_sandbox_options options = {.engine = engines[i], .scratch_dir = dir};
        struct ib_sandbox *sandbox = ib_sandbox_open(tree, &options, &err);
        cr_assert(sandbox, "%s", err ? ib_error_text(err) : "");
        cr_assert_eq(ib_sandbox_engine(sandbox), engines[i]);
        work(&t[i], sandbox, dir);
        save(&t[i], sandbox, dir, i);
        run(&t[i], sandbox, "ls -a /run /tmp; echo after saving");
        ib_sandbox_free(sandbox);
        cr_assert_eq(ib_read_file(t[i].archive, IB_GIB, &archives[i], &err), 0);
    }
    cr_expect_str_eq((const char *)t[0].text.data, (const char *)t[1].text.data);
    cr_expect(archives[0].size == archives[1].size &&
                  memcmp(archives[0].data, archives[1].data, archives[0].size) == 0,
              "the trees differ");
    if (getenv("IB_TEST_KEEP")) {
        _cleanup_(ib_freep) char *command =
            ib_asprintf("cp %s %s %s", t[0].archive, t[1].archive, getenv("IB_TEST_KEEP"));
        cr_expect_eq(system(command), 0);
    }
    for (int i = 0; i < 2; i++) {
        ib_buf_clear(&archives[i]);
        ib_buf_clear(&t[i].text);
        free(t[i].archive);
    }
}

static volatile sig_atomic_t cancel;

static void *cancel_soon(void *unused)
{
    sleep(2);
    cancel = 1;
    return unused;
}

Test(sandbox_engines, guestfs_ends_when_cancelled)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    _cleanup_(ib_tree_freep) struct ib_tree *tree = make_tree();
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    const char *const argv[] = {"/bin/sleep", "1000", NULL};
    struct ib_progress *progress = ib_progress_new(NULL, NULL, &cancel);
    pthread_t thread;

    if (!tree || ib_sandbox_probe(IB_SANDBOX_GUESTFS, NULL) < 0)
        cr_skip_test("no appliance or no static busybox");
    struct ib_sandbox *sandbox =
        ib_sandbox_open(tree,
                        &(struct ib_sandbox_options){
                            .engine = IB_SANDBOX_GUESTFS, .scratch_dir = dir, .progress = progress},
                        &err);
    cr_assert(sandbox, "%s", err ? ib_error_text(err) : "");
    cr_assert_eq(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
    cr_assert_eq(ib_sandbox_run(sandbox, argv, NULL, NULL, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERRUPTED);
    pthread_join(thread, NULL);
    ib_sandbox_free(sandbox);
    ib_progress_free(progress);
    cr_assert_eq(rmdir(dir), 0); /* nothing is left there */
    cr_assert_eq(ib_mkdir_p(dir, NULL), 0);
}
