/* SPDX-License-Identifier: Apache-2.0 */
#include "os/debian.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "io/archive.h"
#include "os/debrepo.h"
#include "os/exclude.h"
#include "os/sandbox.h"

/* What the bootstrap may need on a scratch disk: unpacked files, archives, and room to spare. */
#define SCRATCH_SIZE (UINT64_C(1536) * IB_MIB)

int ib_debian_bootstrap_list(const struct ib_debset *set, struct ib_deb_list *ret,
                             struct ib_error **err)
{
    static const char *const names[] = {"apt", "dpkg", "debconf", NULL};

    if (!ib_debset_find(set, "apt"))
        return ib_failf(err, IB_E_INVALID, "the list of packages lacks 'apt'");
    return ib_debset_closure(set, names, ret, err);
}

/* Where mmdebstrap works: everything that its programs must be able to reach lies below it. */
struct work {
    char *dir;
    char *repo;
    char *tmp;
    bool root;
    bool own_tmpfs; /* tmp is mounted over by the child, where only it sees it */
};

static void work_clear(struct work *work)
{
    free(work->repo);
    free(work->tmp);
    ib_temp_dirp(&work->dir);
}

/* A memory file system that everybody may run programs on; NULL when there is none. */
static const char *shared_memory_dir(void)
{
    struct statvfs fs;

    if (statvfs("/dev/shm", &fs) < 0 || (fs.f_flag & (ST_NOEXEC | ST_RDONLY)))
        return NULL;
    return (uint64_t)fs.f_bavail * fs.f_frsize >= SCRATCH_SIZE ? "/dev/shm" : NULL;
}

/*
 * In unshare mode mmdebstrap is another user, who cannot look into a home directory: then the place
 * is one that everybody can reach.
 */
static int make_work(const struct ib_debian_options *options, struct work *work,
                     struct ib_error **err)
{
    const char *shared = options->memory ? shared_memory_dir() : NULL;

    work->root = geteuid() == 0;
    /* mmdebstrap's unshare mode needs what our own namespaces need; their message has the cure */
    if (!work->root && ib_sandbox_probe(IB_SANDBOX_NAMESPACE, err) < 0)
        return -1;
    work->own_tmpfs = work->root && options->memory;
    work->dir = ib_make_temp_dir(work->root ? options->scratch_dir
                                 : shared   ? shared
                                            : "/var/tmp",
                                 "imgbuild-debian", err);
    if (!work->dir)
        return -1;
    work->repo = ib_path_join(work->dir, "repo");
    work->tmp = ib_path_join(work->dir, "tmp");
    if (chmod(work->dir, 0755) < 0)
        return ib_fail(err, IB_E_IO, errno, work->dir, "make accessible");
    if (mkdir(work->tmp, 0777) < 0 || chmod(work->tmp, 01777) < 0)
        return ib_fail(err, IB_E_IO, errno, work->tmp, "make directory");
    return 0;
}

/* In the child: mounts that end with it, and a scratch disk in memory. */
static int enter_namespace(void *userdata)
{
    const struct work *work = userdata;

    umask(0022);
    if (!work->root)
        return 0;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    if (!work->own_tmpfs)
        return 0;
    return mount("imgbuild", work->tmp, "tmpfs", 0, "mode=1777,size=8g,nr_inodes=0");
}

static void make_argv(const struct ib_debian_options *options, const struct work *work,
                      struct ib_strv *argv)
{
    static const char *const fixed[] = {
        "mmdebstrap",
        "--variant=apt", /* Essential packages, apt, and what they need */
        "--format=tar",
        /* nothing that asks the host: no emulation, no keys (the lock's hashes were checked) */
        "--skip=check/qemu,check/signed-by,check/empty",
        "--aptopt=APT::Install-Recommends \"0\"",
        "--aptopt=Acquire::Languages \"none\"",
        /* as _apt it could not read the repository inside the cache */
        "--aptopt=APT::Sandbox::User \"root\"",
        "--dpkgopt=force-unsafe-io", /* fsync would guard a directory that is thrown away */
        NULL,
    };

    ib_strv_add_all(argv, fixed);
    ib_strv_add(argv, work->root ? "--mode=root" : "--mode=unshare");
    ib_strv_addf(argv, "--architectures=%s", options->architecture);
    ib_strv_add(argv, ""); /* no suite: take whatever the repository has */
    ib_strv_add(argv, "-");
    ib_strv_addf(argv, "deb [trusted=yes] copy:%s ./", work->repo);
}

/* The thread that reads mmdebstrap's tar into the tree, while ours watches the program. */
struct reader {
    struct ib_tree *tree;
    int fd, spool_fd;
    struct ib_progress *progress;
    struct ib_step *step;
    struct ib_error *err;
    int result;
};

static void *read_tar(void *userdata)
{
    struct reader *reader = userdata;

    reader->result =
        ib_archive_read(reader->tree, reader->fd, "mmdebstrap's output", reader->spool_fd,
                        IB_LAYER_BASE, 0, NULL, reader->progress, reader->step, &reader->err);
    close(ib_steal_fd(&reader->fd)); /* after a failure this ends mmdebstrap too */
    return NULL;
}

static struct ib_child *spawn_mmdebstrap(const struct ib_debian_options *options, struct work *work,
                                         int stdout_fd, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv argv = {0};
    _cleanup_(ib_freep) char *tmp = ib_asprintf("TMPDIR=%s", work->tmp);
    /* every time is set anew in the root; kernel hooks make no initrd */
    const char *const env[] = {tmp, "SOURCE_DATE_EPOCH=0", "INITRD=No", NULL};

    make_argv(options, work, &argv);
    return ib_spawn(&(struct ib_run){.argv = (const char *const *)argv.items,
                                     .env = env,
                                     .stdout_fd = stdout_fd,
                                     .progress = options->progress,
                                     .child_setup = enter_namespace,
                                     .userdata = work},
                    err);
}

/*
 * Of two failures the one that caused the other: a tar that ends early tells less than mmdebstrap's
 * own words, but a full disk on our side is why mmdebstrap could not go on writing.
 */
static void choose_error(struct ib_error **child_err, struct ib_error **read_err,
                         struct ib_error **err)
{
    bool ours = *read_err && (!*child_err || ib_error_code(*read_err) != IB_E_INVALID);
    struct ib_error *chosen = ours ? ib_steal(read_err) : ib_steal(child_err);

    ib_error_clear(child_err);
    ib_error_clear(read_err);
    if (err)
        *err = chosen;
    else
        ib_error_free(chosen);
}

/* Runs mmdebstrap with its tar in a pipe to the tree. */
static int run_mmdebstrap(const struct ib_debian_options *options, struct work *work,
                          struct reader *reader, struct ib_error **err)
{
    int ends[2];
    pthread_t thread;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "make a pipe");
    reader->fd = ends[0];
    struct ib_child *child = spawn_mmdebstrap(options, work, ends[1], err);
    close(ends[1]);
    if (!child) {
        close(reader->fd);
        return -1;
    }
    int failed = pthread_create(&thread, NULL, read_tar, reader);
    if (failed) {
        ib_child_kill(child);
        close(reader->fd);
        return ib_fail(err, IB_E_IO, failed, NULL, "start a thread");
    }
    struct ib_error *child_err = NULL;
    int r = ib_child_wait(child, &child_err);
    pthread_join(thread, NULL);
    choose_error(&child_err, &reader->err, err);
    return r < 0 ? r : reader->result;
}

/* What mmdebstrap puts into the tree for its own use, or copies from this machine. */
static void remove_traces(struct ib_tree *tree)
{
    static const char *const traces[] = {
        "etc/apt/apt.conf.d/99mmdebstrap",
        "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
        "etc/apt/sources.list",
        "etc/hostname",
        "etc/resolv.conf",
    };

    for (size_t i = 0; i < IB_ARRAY_SIZE(traces); i++)
        ib_tree_remove(tree, traces[i]);
}

static int bootstrap(const struct ib_deb_list *debs, const struct ib_debian_options *options,
                     struct ib_step *step, struct ib_tree *tree, int spool_fd,
                     struct ib_error **err)
{
    _cleanup_(work_clear) struct work work = {0};
    struct reader reader = {
        .tree = tree, .spool_fd = spool_fd, .progress = options->progress, .step = step};

    if (make_work(options, &work, err) < 0 ||
        ib_debrepo_make(work.repo, debs, options->progress, err) < 0 ||
        run_mmdebstrap(options, &work, &reader, err) < 0)
        return -1;
    remove_traces(tree);
    ib_exclude_apply(tree, ib_exclude_default());
    return 0;
}

int ib_debian_bootstrap(const struct ib_deb_list *debs, const struct ib_debian_options *options,
                        struct ib_tree *tree, int spool_fd, struct ib_error **err)
{
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(options->progress, options->step, "bootstrap", "Debian", 0, IB_UNIT_NONE);

    if (bootstrap(debs, options, step, tree, spool_fd, err) < 0)
        return ib_wrap(err, NULL, "make the Debian base");
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}
