/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The namespace sandbox, as whoever runs this: root, root without CAP_SYS_ADMIN or a plain user
 * (tests/vm/sandbox-users runs it as all three).
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#include "os/sandbox.h"
#include "sandbox_tree.h"

struct fixture {
    struct ib_tree *tree;
    char *dir; /* scratch and everything else */
    struct ib_sandbox *sandbox;
    struct ib_error *err;
};

/* Good until the next call. */
static const char *text_of(const struct ib_error *err)
{
    static char text[4096];
    _cleanup_(ib_freep) char *all = err ? ib_error_text(err) : ib_strdup("");

    snprintf(text, sizeof(text), "%s", all);
    return text;
}

static void set_up_with(struct fixture *f, struct ib_sandbox_options options)
{
    _cleanup_(ib_error_freep) struct ib_error *why = NULL;

    memset(f, 0, sizeof(*f));
    if (ib_sandbox_probe(IB_SANDBOX_NAMESPACE, &why) < 0)
        cr_skip_test("no namespaces: %s", ib_error_line(why, 0));
    f->tree = make_tree();
    if (!f->tree)
        cr_skip_test("no static busybox (install busybox-static)");
    f->dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    options.engine = IB_SANDBOX_NAMESPACE;
    options.scratch_dir = f->dir;
    f->sandbox = ib_sandbox_open(f->tree, &options, &f->err);
    cr_assert(f->sandbox, "%s", text_of(f->err));
}

static void set_up(struct fixture *f)
{
    set_up_with(f, (struct ib_sandbox_options){.memory = true});
}

static bool is_empty(const char *path)
{
    DIR *dir = opendir(path);
    bool empty = true;

    for (const struct dirent *e; (e = readdir(dir));)
        empty &= e->d_name[0] == '.';
    closedir(dir);
    return empty;
}

static void tear_down(struct fixture *f)
{
    f->sandbox = ib_sandbox_free(f->sandbox);
    f->tree = ib_tree_free(f->tree);
    ib_error_clear(&f->err);
    ib_temp_dirp(&f->dir);
}

/* Runs a shell command inside; its output, or NULL and f->err. */
static char *sh(struct fixture *f, const char *command)
{
    struct ib_buf out = {0};
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};

    ib_error_clear(&f->err);
    if (ib_sandbox_run(f->sandbox, argv, NULL, &out, &f->err) < 0) {
        ib_buf_clear(&out);
        return NULL;
    }
    return ib_buf_steal_string(&out);
}

#define assert_says(f, command, expected)                                  \
    do {                                                                   \
        _cleanup_(ib_freep) char *said_ = sh(f, command);                  \
        cr_assert(said_, "%s: %s", command, text_of((f)->err));            \
        cr_assert_str_eq(said_, expected, "%s said '%s'", command, said_); \
    } while (0)

static struct ib_tree *export(struct fixture *f)
{
    _cleanup_(ib_freep) char *path = ib_path_join(f->dir, "export.tar");
    _cleanup_(ib_closep) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert_eq(ib_sandbox_export(f->sandbox, fd, &f->err), 0, "%s", text_of(f->err));
    struct ib_tree *tree = ib_tree_load(path, &f->err);
    cr_assert(tree, "%s", text_of(f->err));
    return tree;
}

/* ---- The tree ------------------------------------------------------------------------------- */

static int compare_node(struct ib_node *node, const char *path, void *userdata)
{
    const struct ib_node *other = ib_tree_find(userdata, path);
    const struct ib_inode *a = node->inode;

    cr_assert(other, "'%s' is missing", path);
    const struct ib_inode *b = other->inode;
    cr_assert_eq(a->mode, b->mode, "%s: mode %o, was %o", path, b->mode, a->mode);
    cr_assert(a->uid == b->uid && a->gid == b->gid, "%s: owner %u:%u", path, b->uid, b->gid);
    cr_assert_eq(a->mtime_s, b->mtime_s, "%s: time %ld", path, (long)b->mtime_s);
    cr_assert_eq(a->nlink, b->nlink, "%s: links", path);
    cr_assert_eq(a->size, b->size, "%s: size", path);
    cr_assert(ib_streq(a->target, b->target), "%s: target", path);
    cr_assert(a->rdev_major == b->rdev_major && a->rdev_minor == b->rdev_minor, "%s: rdev", path);
    cr_assert_eq(a->xattr_count, b->xattr_count, "%s: %zu xattrs", path, b->xattr_count);
    for (size_t i = 0; i < a->xattr_count; i++) {
        cr_assert_str_eq(a->xattrs[i].name, b->xattrs[i].name);
        cr_assert_eq(a->xattrs[i].size, b->xattrs[i].size, "%s", path);
        cr_assert_eq(memcmp(a->xattrs[i].value, b->xattrs[i].value, a->xattrs[i].size), 0);
    }
    return 0;
}

static void check_round_trip(bool memory)
{
    struct fixture f;

    set_up_with(&f, (struct ib_sandbox_options){.memory = memory});
    _cleanup_(ib_tree_freep) struct ib_tree *back = export(&f);
    ib_tree_walk(f.tree, compare_node, back);
    cr_assert_eq(ib_tree_entry_count(back), ib_tree_entry_count(f.tree));
    cr_assert_eq(ib_tree_find(back, "odd/a")->inode, ib_tree_find(back, "odd/z/b")->inode);
    f.sandbox = ib_sandbox_free(f.sandbox);
    _cleanup_(ib_freep) char *saved = ib_path_join(f.dir, "export.tar");
    cr_assert_eq(unlink(saved), 0);
    cr_assert(is_empty(f.dir), "the scratch is left behind");
    tear_down(&f);
}

Test(sandbox, nothing_is_lost_in_memory)
{
    check_round_trip(true);
}

Test(sandbox, nothing_is_lost_on_disk)
{
    check_round_trip(false);
}

Test(sandbox, changes_arrive_and_held_things_follow_them)
{
    struct fixture f;
    _cleanup_(ib_buf_clear) struct ib_buf content = {0};

    set_up(&f);
    assert_says(&f,
                "set -e; cd /odd; echo new > capable; rm labelled; mkdir labelled; rm -r doomed;"
                "touch null; echo x > far; chown 12:34 acl; echo more >> a; mkdir /etc/new;"
                "ln -s /etc /etc/new/up; chmod 4711 /etc/new; mv sticky moved; touch /tmp/t /run/r",
                "");
    _cleanup_(ib_tree_freep) struct ib_tree *t = export(&f);
    cr_assert_eq(ib_tree_find(t, "odd/capable")->inode->xattr_count, 0);
    cr_assert(S_ISDIR(ib_tree_find(t, "odd/labelled")->inode->mode));
    cr_assert_eq(ib_tree_find(t, "odd/labelled")->inode->xattr_count, 0);
    cr_assert_null(ib_tree_find(t, "odd/doomed"));
    cr_assert(S_ISREG(ib_tree_find(t, "odd/null")->inode->mode));
    cr_assert(S_ISBLK(ib_tree_find(t, "odd/disk")->inode->mode));
    cr_assert_eq(ib_tree_find(t, "odd/acl")->inode->uid, 12);
    cr_assert_eq(ib_tree_find(t, "odd/acl")->inode->xattr_count, 1);
    cr_assert_eq(ib_tree_find(t, "etc/new")->inode->mode, S_IFDIR | 04711);
    cr_assert_str_eq(ib_tree_find(t, "etc/new/up")->inode->target, "/etc");
    cr_assert_eq(ib_tree_find(t, "odd/moved")->inode->xattr_count, 0);
    cr_assert_eq(ib_tree_read_file(t, "odd/z/b", 100, &content, NULL), 0);
    cr_assert_str_eq((const char *)content.data, "linkedmore\n");
    cr_assert_eq(ib_tree_find(t, "tmp")->child_count + ib_tree_find(t, "run")->child_count, 0);
    cr_assert(ib_tree_find(t, "dev/inside"), "what a mount covered was lost");
    tear_down(&f);
}

Test(sandbox, mount_points_that_the_tree_lacks_do_not_stay)
{
    struct fixture f = {0};
    struct ib_sandbox_options options = {.engine = IB_SANDBOX_NAMESPACE, .memory = true};
    _cleanup_(ib_closep) int busybox = open_busybox();

    if (busybox < 0 || ib_sandbox_probe(IB_SANDBOX_NAMESPACE, NULL) < 0)
        cr_skip_test("no namespaces or no static busybox");
    f.dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    options.scratch_dir = f.dir;
    f.tree = ib_tree_new();
    cr_assert(ib_tree_add_file_range(f.tree, "bin/sh", 0755, busybox, 0,
                                     (uint64_t)lseek(busybox, 0, SEEK_END), IB_LAYER_BASE, NULL));
    cr_assert(ib_tree_add_symlink(f.tree, "tmp", "var/tmp", IB_LAYER_BASE, NULL));
    cr_assert(ib_tree_add_directory(f.tree, "var/tmp", 0700, IB_LAYER_BASE, NULL));
    f.sandbox = ib_sandbox_open(f.tree, &options, &f.err);
    cr_assert(f.sandbox, "%s", text_of(f.err));
    assert_says(&f, "echo x > /var/tmp/x; echo y > /dev/shm/y; echo z > /new; echo done", "done\n");
    _cleanup_(ib_tree_freep) struct ib_tree *t = export(&f);
    cr_assert_null(ib_tree_find(t, "proc"));
    cr_assert_null(ib_tree_find(t, "dev"));
    cr_assert_eq(ib_tree_find(t, "var/tmp")->child_count, 0);
    cr_assert(ib_tree_find(t, "new"));
    tear_down(&f);
}

/* ---- Programs ------------------------------------------------------------------------------- */

Test(sandbox, programs_run_as_root_in_a_known_environment)
{
    struct fixture f;
    const char *const argv[] = {"/usr/bin/env", NULL};
    const char *const env[] = {"A=b", "HOME=/elsewhere", NULL};
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};

    setenv("LEAKED", "yes", 1);
    set_up(&f);
    assert_says(&f, "id -u; id -g; pwd; umask; hostname; cat /proc/sys/kernel/hostname",
                "0\n0\n/\n0022\nimgbuild\nimgbuild\n");
    assert_says(&f, "id", "uid=0 gid=0\n");
    cr_assert_eq(ib_sandbox_run(f.sandbox, argv, env, &out, &f.err), 0);
    cr_assert_str_eq((const char *)out.data,
                     "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                     "HOME=/elsewhere\nLC_ALL=C.UTF-8\nTZ=UTC0\nTERM=dumb\nA=b\n");
    assert_says(&f, "cat; echo end", "end\n"); /* no input */
    tear_down(&f);
}

Test(sandbox, failures_tell_the_last_lines)
{
    struct fixture f;
    const char *const none[] = {"/no/such", NULL}, *const quiet[] = {"/bin/sh", "-c",
                                                                     "echo on stdout; exit 9",
                                                                     NULL};

    set_up(&f);
    cr_assert_null(sh(&f, "echo because >&2; exit 7"));
    cr_assert_eq(ib_error_code(f.err), IB_E_CHILD);
    cr_assert_str_eq(text_of(f.err), "cannot run in the sandbox '/bin/sh': 'sh' ended with exit "
                                     "status 7: because");
    cr_assert_null(sh(&f, "kill -SEGV $$"));
    cr_assert(strstr(text_of(f.err), "signal 11"), "%s", text_of(f.err));
    ib_error_clear(&f.err);
    cr_assert_eq(ib_sandbox_run(f.sandbox, none, NULL, NULL, &f.err), -1);
    cr_assert(strstr(text_of(f.err), "cannot start '/no/such' in the sandbox: No such file"));
    ib_error_clear(&f.err);
    cr_assert_eq(ib_sandbox_run(f.sandbox, quiet, NULL, NULL, &f.err), -1);
    cr_assert(strstr(text_of(f.err), "status 9: on stdout"), "%s", text_of(f.err));
    assert_says(&f, "echo still works", "still works\n");
    tear_down(&f);
}

Test(sandbox, what_programs_see_is_little)
{
    struct fixture f;

    set_up(&f);
    assert_says(&f, "ls /dev",
                "fd\nfull\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\n"
                "urandom\nzero\n");
    assert_says(&f, "ls /", "bin\ndev\netc\nodd\nproc\nroot\nrun\nsys\ntmp\nusr\n");
    assert_says(&f, "ip -o link | wc -l", "1\n");
    assert_says(&f, "ping -c 1 -W 1 127.0.0.1 >/dev/null 2>&1; nc 192.0.2.1 80 2>&1 || true",
                "nc: can't connect to remote host (192.0.2.1): Network is unreachable\n");
    assert_says(&f, "ps | grep -c -v -E 'PID|ps|grep'", "1\n"); /* init */
    tear_down(&f);
}

Test(sandbox, programs_cannot_reach_out)
{
    struct fixture f;
    struct {
        const char *command;
    } attempts[] = {
        {"mount -t tmpfs none /tmp"},
        {"mknod /tmp/mem c 1 1"},
        {"echo '|/bin/sh' > /proc/sys/kernel/core_pattern"},
        {"echo b > /proc/sysrq-trigger"},
        {"hostname other"},
        {"touch /sys/x"},
        {"ls /proc/1/root/ && ls /proc/1/fd/ && cat /proc/1/environ && false"},
    };

    set_up(&f);
    for (size_t i = 0; i < IB_ARRAY_SIZE(attempts); i++)
        cr_assert_null(sh(&f, attempts[i].command), "%s worked", attempts[i].command);
    _cleanup_(ib_freep) char *kill = ib_asprintf("kill -0 %d", getpid());
    cr_assert_null(sh(&f, kill));
    assert_says(&f, "cd /; for i in 1 2 3 4 5 6 7 8 9; do cd ..; done; ls -d odd; ls /../../odd/a",
                "odd\n/../../odd/a\n");
    assert_says(&f, "dd if=/odd/null of=/tmp/x count=1 2>/dev/null || echo no device",
                "no device\n");
    tear_down(&f);
}

Test(sandbox, nothing_is_left_running)
{
    struct fixture f;

    set_up(&f);
    assert_says(&f,
                "setsid sh -c 'while :; do echo x >> /tmp/alive; sleep 0.01; done' & sleep 0.1; "
                "echo started",
                "started\n");
    assert_says(&f,
                "wc -c < /tmp/alive > /tmp/1; sleep 0.2; wc -c < /tmp/alive > /tmp/2;"
                "test \"$(cat /tmp/1)\" = \"$(cat /tmp/2)\" && echo dead",
                "dead\n");
    tear_down(&f);
}

/* ---- Files in and out ----------------------------------------------------------------------- */

Test(sandbox, files_go_in_and_out)
{
    struct fixture f;
    char link_target[] = "one";

    set_up(&f);
    _cleanup_(ib_freep) char *host = ib_path_join(f.dir, "host"), *one = ib_path_join(host, "one"),
                             *deep = ib_path_join(host, "bin/deep"),
                             *sub = ib_path_join(host, "bin"), *link = ib_path_join(host, "link"),
                             *out = ib_path_join(f.dir, "out");
    cr_assert_eq(ib_mkdir_p(sub, NULL), 0);
    int fd = open(one, O_CREAT | O_WRONLY | O_CLOEXEC, 0640);
    cr_assert(fd >= 0 && write(fd, "content\n", 8) == 8 && close(fd) == 0);
    fd = open(deep, O_CREAT | O_WRONLY | O_CLOEXEC, 0755);
    cr_assert(fd >= 0 && close(fd) == 0);
    cr_assert_eq(symlink(link_target, link), 0);

    cr_assert_eq(ib_sandbox_copy_in(f.sandbox, host, "/tmp/repo", &f.err), 0, "%s", text_of(f.err));
    assert_says(&f, "cd /tmp/repo; stat -c '%n %a %u:%g' * bin/*; readlink link; cat one",
                "bin 755 0:0\nlink 777 0:0\none 640 0:0\nbin/deep 755 0:0\none\ncontent\n");
    /* over what is there: /bin is a link to usr/bin */
    cr_assert_eq(ib_sandbox_copy_in(f.sandbox, host, "/", &f.err), -1);
    ib_error_clear(&f.err);
    assert_says(
        &f, "mkdir /over; ln -s ../usr/bin /over/bin; chmod 700 /over; echo old > /over/one", "");
    cr_assert_eq(ib_sandbox_copy_in(f.sandbox, host, "over", &f.err), 0, "%s", text_of(f.err));
    assert_says(&f, "stat -c %a /over; ls /usr/bin/deep; readlink /over/bin; cat /over/one",
                "700\n/usr/bin/deep\n../usr/bin\ncontent\n");
    cr_assert_eq(ib_sandbox_copy_in(f.sandbox, one, "/new/dir/file", &f.err), 0);
    cr_assert_eq(ib_sandbox_copy_out(f.sandbox, "/new/dir/file", out, &f.err), 0);
    _cleanup_(ib_buf_clear) struct ib_buf content = {0};
    cr_assert_eq(ib_read_file(out, 100, &content, NULL), 0);
    cr_assert_str_eq((const char *)content.data, "content\n");
    cr_assert_eq(ib_sandbox_remove(f.sandbox, "/new", &f.err), 0);
    cr_assert_eq(ib_sandbox_remove(f.sandbox, "/new", &f.err), 0);
    assert_says(&f, "ls -d /new 2>/dev/null || echo gone", "gone\n");
    tear_down(&f);
}

Test(sandbox, paths_stay_inside)
{
    struct fixture f;

    set_up(&f);
    _cleanup_(ib_freep) char *secret = ib_path_join(f.dir, "secret"),
                             *out = ib_path_join(f.dir, "out");
    int fd = open(secret, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
    cr_assert(fd >= 0 && write(fd, "host", 4) == 4 && close(fd) == 0);
    _cleanup_(ib_freep) char *trap = ib_asprintf(
        "ln -s %s /abs; ln -s ../../../../../../..%s /rel; ln -s /proc/1/root/tmp /magic; "
        "mkfifo /pipe",
        f.dir, f.dir);
    assert_says(&f, trap, "");
    static const char *const ways[] = {"/abs/secret", "/rel/secret", "/etc/../abs/secret",
                                       "/pipe",       "/dev/null",   "/proc/self/exe",
                                       "/etc"};
    for (size_t i = 0; i < IB_ARRAY_SIZE(ways); i++) {
        cr_assert_eq(ib_sandbox_copy_out(f.sandbox, ways[i], out, &f.err), -1, "%s", ways[i]);
        ib_error_clear(&f.err);
        cr_assert_not(ib_path_exists(out));
    }
    cr_assert_eq(ib_sandbox_remove(f.sandbox, "/abs/secret", &f.err), 0);
    cr_assert_eq(ib_sandbox_remove(f.sandbox, "/rel/secret", &f.err), 0);
    cr_assert(ib_path_exists(secret));
    /* what would land on the host lands inside, below the same name */
    assert_says(&f, "mkdir -p \"$(readlink /abs)\"", "");
    cr_assert_eq(ib_sandbox_copy_in(f.sandbox, secret, "/abs/planted", &f.err), 0);
    cr_assert_eq(ib_sandbox_copy_in(f.sandbox, secret, "/rel/planted2", &f.err), 0, "%s",
                 text_of(f.err));
    _cleanup_(ib_freep) char *planted = ib_path_join(f.dir, "planted");
    cr_assert_not(ib_path_exists(planted));
    assert_says(&f, "cat /abs/planted /rel/planted2", "hosthost");
    cr_assert_eq(ib_sandbox_remove(f.sandbox, "/abs", &f.err), 0);
    cr_assert(ib_path_exists(secret));
    cr_assert_eq(ib_sandbox_remove(f.sandbox, "/../..", &f.err), -1);
    tear_down(&f);
}

/* ---- Ends ----------------------------------------------------------------------------------- */

static volatile sig_atomic_t cancel;

static void *cancel_soon(void *unused)
{
    nanosleep(&(struct timespec){0, 300000000}, NULL);
    cancel = 1;
    return unused;
}

Test(sandbox, cancel_ends_a_program_and_the_sandbox_can_be_freed)
{
    struct fixture f;
    pthread_t thread;
    struct ib_progress *progress = ib_progress_new(NULL, NULL, &cancel);

    set_up_with(&f, (struct ib_sandbox_options){.progress = progress});
    cr_assert_eq(pthread_create(&thread, NULL, cancel_soon, NULL), 0);
    cr_assert_null(sh(&f, "setsid sleep 1000 & sleep 1000"));
    cr_assert_eq(ib_error_code(f.err), IB_E_INTERRUPTED);
    pthread_join(thread, NULL);
    cancel = 0;
    assert_says(&f, "ps | grep -c '[s]leep 1000' || true", "0\n");
    tear_down(&f);
    ib_progress_free(progress);
}

Test(sandbox, a_full_scratch_is_told_as_such)
{
    struct fixture f;

    set_up_with(&f, (struct ib_sandbox_options){.memory = true, .memory_limit_bytes = 8 * IB_MIB});
    cr_assert_null(sh(&f, "dd if=/dev/zero of=/big bs=64k"));
    cr_assert_eq(ib_error_code(f.err), IB_E_NO_SPACE, "%s", text_of(f.err));
    cr_assert(strstr(text_of(f.err), "No space left on device"), "%s", text_of(f.err));
    cr_assert_not_null(ib_error_hint(f.err));
    assert_says(&f, "rm /big; echo fine", "fine\n");
    tear_down(&f);
}

Test(sandbox, a_tree_that_does_not_fit_is_an_error)
{
    _cleanup_(ib_tree_freep) struct ib_tree *tree = make_tree();
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    if (!tree || ib_sandbox_probe(IB_SANDBOX_NAMESPACE, NULL) < 0)
        cr_skip_test("no namespaces or no static busybox");
    cr_assert_null(ib_sandbox_open(tree,
                                   &(struct ib_sandbox_options){.engine = IB_SANDBOX_NAMESPACE,
                                                                .scratch_dir = dir,
                                                                .memory = true,
                                                                .memory_limit_bytes = IB_MIB},
                                   &err));
    cr_assert_eq(ib_error_code(err), IB_E_NO_SPACE, "%s", text_of(err));
}

/* Is this process there, and not just not yet reaped by whoever inherited it? */
static bool is_alive(int pid)
{
    char path[32], state = 0;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    int n = fscanf(file, "%*d (%*[^)]) %c", &state);
    fclose(file);
    return n == 1 && state != 'Z' && state != 'X';
}

Test(sandbox, killed_without_a_word_we_leave_no_process)
{
    struct fixture f;
    int *pids = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);

    set_up(&f); /* skips where nothing works */
    tear_down(&f);
    pid_t victim = fork();
    if (victim == 0) {
        f.tree = make_tree();
        f.sandbox = ib_sandbox_open(
            f.tree,
            &(struct ib_sandbox_options){.engine = IB_SANDBOX_NAMESPACE, .scratch_dir = dir}, NULL);
        f.err = NULL;
        pids[0] = f.sandbox != NULL;
        free(sh(&f, "setsid sleep 54321 & sleep 54321"));
        _exit(0);
    }
    for (int i = 0; i < 500 && !pids[0]; i++)
        usleep(10000);
    usleep(300000);
    cr_assert_eq(pids[0], 1);
    cr_assert_eq(kill(victim, SIGKILL), 0);
    waitpid(victim, NULL, 0);
    int alive = 1;
    for (int i = 0; i < 300 && alive; i++) {
        DIR *proc = opendir("/proc");
        alive = 0;
        for (const struct dirent *e; (e = readdir(proc));) {
            _cleanup_(ib_freep) char *path = ib_asprintf("/proc/%s/cmdline", e->d_name);
            _cleanup_(ib_buf_clear) struct ib_buf line = {0};
            if (e->d_name[0] >= '1' && e->d_name[0] <= '9' &&
                ib_read_file(path, 4096, &line, NULL) == 0 && line.size > 11 &&
                memmem(line.data, line.size, "sleep\00054321", 11))
                alive += is_alive(atoi(e->d_name));
        }
        closedir(proc);
        usleep(10000);
    }
    cr_assert_eq(alive, 0);

    /* and only a directory, which can be removed although others own its files */
    DIR *left = opendir(dir);
    for (const struct dirent *e; (e = readdir(left));) {
        if (e->d_name[0] == '.')
            continue;
        cr_assert(ib_startswith(e->d_name, "sandbox."));
        _cleanup_(ib_freep) char *path = ib_path_join(dir, e->d_name);
        _cleanup_(ib_error_freep) struct ib_error *err = NULL;
        cr_assert_eq(ib_sandbox_remove_leftover(path, &err), 0, "%s", text_of(err));
    }
    closedir(left);
    cr_assert(is_empty(dir));
}

static void *one_of_many(void *userdata)
{
    struct fixture f = {.tree = userdata, .dir = ib_make_temp_dir("/tmp", "ib-test", NULL)};
    struct ib_sandbox_options options = {
        .engine = IB_SANDBOX_NAMESPACE, .memory = true, .scratch_dir = f.dir};

    f.sandbox = ib_sandbox_open(f.tree, &options, &f.err);
    _cleanup_(ib_freep) char *said = f.sandbox ? sh(&f, "sleep 0.1; ps | grep -c sh") : NULL;
    bool good = said && atoi(said) >= 1;
    if (good) {
        _cleanup_(ib_tree_freep) struct ib_tree *back = export(&f);
        good = ib_tree_entry_count(back) == ib_tree_entry_count(f.tree);
    }
    ib_sandbox_free(f.sandbox);
    ib_error_clear(&f.err);
    ib_temp_dirp(&f.dir);
    return good ? userdata : NULL;
}

Test(sandbox, several_at_once_from_several_threads)
{
    struct fixture f;
    pthread_t threads[6];

    set_up(&f);
    for (size_t i = 0; i < IB_ARRAY_SIZE(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, one_of_many, f.tree), 0);
    for (size_t i = 0; i < IB_ARRAY_SIZE(threads); i++) {
        void *good = NULL;
        pthread_join(threads[i], &good);
        cr_assert_not_null(good);
    }
    assert_says(&f, "echo I am still here", "I am still here\n");
    tear_down(&f);
}

/* ---- For tests/vm/sandbox-users.sh ---------------------------------------------------------- */

/* Without what it needs, the engine says so and names the cure. */
Test(sandbox, what_is_missing_is_told)
{
    const char *cure = getenv("IB_TEST_EXPECT_CURE");
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    if (!cure)
        cr_skip_test("only where namespaces are known to fail (IB_TEST_EXPECT_CURE)");
    cr_assert_eq(ib_sandbox_probe(IB_SANDBOX_NAMESPACE, &err), -1);
    cr_assert_not_null(ib_error_hint(err), "%s", text_of(err));
    cr_assert(strstr(ib_error_hint(err), cure), "%s: %s", text_of(err), ib_error_hint(err));
}

/* The same work by whomever: its result, for comparison. */
Test(sandbox, result_is_the_same_for_every_user)
{
    const char *path = getenv("IB_TEST_RESULT");
    struct fixture f;
    struct ib_error *err = NULL;

    if (!path)
        cr_skip_test("only where the results of several users are compared (IB_TEST_RESULT)");
    set_up_with(&f, (struct ib_sandbox_options){.memory = false});
    assert_says(&f,
                "set -e; cd /odd; echo new > capable; rm -r doomed; chown 12:34 acl; touch n;"
                "mkdir /etc/new; chmod 4711 /etc/new; chown 65534:65535 /etc/new;"
                "mknod /odd/n2 c 1 3 2>/dev/null || echo refused",
                "refused\n");
    _cleanup_(ib_tree_freep) struct ib_tree *t = export(&f);
    static const char *const touched[] = {"odd", "odd/capable", "odd/n", "etc", "etc/new"};
    for (size_t i = 0; i < IB_ARRAY_SIZE(touched); i++)
        ib_tree_find(t, touched[i])->inode->mtime_s = 0;
    _cleanup_(ib_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    cr_assert_eq(ib_tree_save(t, fd, NULL, NULL, &err), 0, "%s", text_of(err));
    tear_down(&f);
}
