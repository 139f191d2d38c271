/* SPDX-License-Identifier: Apache-2.0 */
#include "os/rpmresolve.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "io/fetch.h"

/* Where Fedora's rpm keeps its database; ours does too, whatever the host's rpm would do. */
#define DATABASE "usr/lib/sysimage/rpm"

enum { MAX_DATABASE = 512 << 20, MAX_OS_RELEASE = 64 << 10, MAX_LIST = 64 << 20 };

struct ib_rpmresolve {
    char *dir;
    char *root;     /* below dir: what dnf takes for the system */
    char *keys;     /* below dir: a database of rpm that holds nothing but the keys */
    char *packages; /* below dir: every file that was downloaded */
    char *home;     /* HOME=…, where rpm finds its settings */
    char *dnf;
    bool is_dnf5;
    char *release; /* 44 */
    char *forcearch;
    struct ib_progress *progress;
    bool becomes_root; /* dnf installs for root only: of a user namespace, then */
    uid_t uid;
    gid_t gid;
};

/* Programs. */

static int write_proc(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int r = fd < 0 ? -1 : ib_write_full(fd, text, strlen(text));

    ib_closep(&fd);
    return r;
}

/* user_namespaces(7): the one user of the new namespace is root there. */
static int become_root(void *userdata)
{
    const struct ib_rpmresolve *r = userdata;
    char uid_map[64], gid_map[64];

    if (!r->becomes_root)
        return 0;
    snprintf(uid_map, sizeof(uid_map), "0 %u 1", (unsigned)r->uid);
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", (unsigned)r->gid);
    if (unshare(CLONE_NEWUSER) < 0 || write_proc("/proc/self/setgroups", "deny") < 0 ||
        write_proc("/proc/self/uid_map", uid_map) < 0)
        return -1;
    return write_proc("/proc/self/gid_map", gid_map);
}

static int run(const struct ib_rpmresolve *r, const struct ib_strv *argv, struct ib_buf *out,
               int *ret_status, struct ib_error **err)
{
    const char *const env[] = {r->home, NULL};

    return ib_run(
        &(struct ib_run){
            .argv = (const char *const *)argv->items,
            .env = env,
            .out = out,
            .max_out_bytes = MAX_LIST,
            .ret_status = ret_status,
            .progress = r->progress,
            .child_setup = become_root,
            .userdata = (void *)(uintptr_t)r,
        },
        err);
}

static void start_dnf(const struct ib_rpmresolve *r, struct ib_strv *argv)
{
    ib_strv_add(argv, r->dnf);
    ib_strv_add(argv, "--quiet");
    ib_strv_addf(argv, "--installroot=%s", r->root);
    ib_strv_addf(argv, "--releasever=%s", r->release);
    if (r->forcearch)
        ib_strv_addf(argv, "--forcearch=%s", r->forcearch);
}

static int find_dnf(struct ib_rpmresolve *r, struct ib_error **err)
{
    r->dnf = ib_find_program("dnf5");
    if (!r->dnf)
        r->dnf = ib_find_program("dnf");
    _cleanup_(ib_freep) char *rpmkeys = ib_find_program("rpmkeys");
    if (!r->dnf || !rpmkeys) {
        ib_failf(err, IB_E_UNSUPPORTED, "'%s' is not installed", r->dnf ? "rpmkeys" : "dnf");
        return ib_hint(err, "install dnf and rpm, or lock this base on a machine that has them");
    }
    _cleanup_(ib_freep) char *real = realpath(r->dnf, NULL); /* Fedora's dnf is a link to dnf5 */
    r->is_dnf5 = real && ib_streq(ib_path_base(real), "dnf5");
    return 0;
}

/* The system that dnf sees. */

static int write_text(const char *dir, const char *name, const char *text, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(dir, name);
    _cleanup_(ib_freep) char *parent = ib_path_dir(path);

    if (ib_mkdir_p(parent, err) < 0)
        return -1;
    return ib_write_file(path, 0644, text, strlen(text), err);
}

static int copy_database(const struct ib_rpmresolve *r, const struct ib_tree *tree,
                         struct ib_error **err)
{
    static const char *const places[] = {DATABASE, "var/lib/rpm"};
    static const char *const files[] = {"rpmdb.sqlite", "rpmdb.sqlite-wal"};
    _cleanup_(ib_freep) char *to = ib_path_join(r->root, DATABASE);

    if (ib_mkdir_p(to, err) < 0)
        return -1;
    for (size_t i = 0; i < IB_ARRAY_SIZE(places); i++) {
        size_t found = 0;
        for (size_t k = 0; k < IB_ARRAY_SIZE(files); k++) {
            _cleanup_(ib_freep) char *from = ib_path_join(places[i], files[k]);
            _cleanup_(ib_freep) char *path = ib_path_join(to, files[k]);
            _cleanup_(ib_buf_clear) struct ib_buf data = {0};
            if (!ib_tree_resolve(tree, from))
                continue;
            if (ib_tree_read_file(tree, from, MAX_DATABASE, &data, err) < 0 ||
                ib_write_file(path, 0644, data.data, data.size, err) < 0)
                return -1;
            found++;
        }
        if (found)
            return 0;
    }
    ib_failf(err, IB_E_UNSUPPORTED, "the base has no package database (%s/%s)", DATABASE, files[0]);
    return ib_hint(err, "rpm keeps one in SQLite since Fedora 33");
}

/* VERSION_ID of os-release(5): what $releasever in a repository's address stands for. */
static int read_release(struct ib_rpmresolve *r, const struct ib_tree *tree, struct ib_error **err)
{
    static const char key[] = "VERSION_ID=";
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};

    if (ib_tree_read_file(tree, "etc/os-release", MAX_OS_RELEASE, &text, err) < 0)
        return -1;
    ib_strv_split(&lines, text.size ? (const char *)text.data : "", "\n");
    for (size_t i = 0; i < lines.count && !r->release; i++) {
        if (!ib_startswith(lines.items[i], key))
            continue;
        const char *value = lines.items[i] + strlen(key);
        value += strspn(value, "\"'");
        r->release = ib_strndup(value, strcspn(value, "\"'"));
    }
    if (!r->release || !*r->release)
        return ib_failf(err, IB_E_INVALID, "the base's etc/os-release has no VERSION_ID");
    return write_text(r->root, "etc/os-release", (const char *)text.data, err);
}

/* dnf.conf(5). Kernels are replaced like any other package: an image boots only one. */
static int write_settings(const struct ib_rpmresolve *r, struct ib_error **err)
{
    static const char settings[] = "[main]\n"
                                   "assumeyes=1\n"
                                   "best=1\n"
                                   "gpgcheck=0\n" /* dnf would not check without installing */
                                   "install_weak_deps=0\n"
                                   "installonlypkgs=\n"
                                   "plugins=0\n"
                                   "skip_if_unavailable=0\n";
    static const char macros[] = "%_dbpath /" DATABASE "\n";
    _cleanup_(ib_freep) char *vars = ib_path_join(r->root, "etc/dnf/vars");

    if (ib_mkdir_p(vars, err) < 0 || ib_mkdir_p(r->packages, err) < 0 ||
        write_text(r->root, "etc/dnf/dnf.conf", settings, err) < 0 ||
        write_text(r->dir, "home/.rpmmacros", macros, err) < 0)
        return -1;
    return write_text(r->dir, "home/.config/rpm/macros", macros, err);
}

static int add_repository(const struct ib_rpmresolve *r, const struct ib_repository *repository,
                          const char *project_dir, struct ib_error **err)
{
    _cleanup_(ib_freep) char *name = ib_asprintf("etc/yum.repos.d/%s.repo", repository->name);
    _cleanup_(ib_freep) char *text =
        ib_asprintf("[%s]\nname=%s\n%s=%s\nenabled=1\n", repository->name, repository->name,
                    repository->url ? "baseurl" : "metalink",
                    repository->url ? repository->url : repository->metalink);

    if (!repository->key) {
        ib_failf(err, IB_E_INVALID, "the repository '%s' has no key", repository->name);
        return ib_hint(err, "keep the key that signs its packages below recipes/keys and name it "
                            "as the repository's 'key'");
    }
    _cleanup_(ib_freep) char *key = ib_path_join(project_dir, repository->key);
    _cleanup_(ib_strv_clear) struct ib_strv argv = {0};
    const char *const words[] = {"rpmkeys", "--dbpath", r->keys, "--import", key, NULL};
    ib_strv_add_all(&argv, words);
    if (run(r, &argv, NULL, NULL, err) < 0)
        return ib_wrap(err, key, "read the key");
    return write_text(r->root, name, text, err);
}

static void choose_architecture(struct ib_rpmresolve *r, enum ib_architecture architecture)
{
    struct utsname host;

    if (uname(&host) < 0 || !ib_streq(host.machine, ib_architecture_name(architecture)))
        r->forcearch = ib_strdup(ib_architecture_name(architecture));
}

static int fill(struct ib_rpmresolve *r, const struct ib_rpmresolve_options *o,
                struct ib_error **err)
{
    _cleanup_(ib_freep) char *home = ib_path_join(r->dir, "home");

    r->root = ib_path_join(r->dir, "root");
    r->keys = ib_path_join(r->dir, "keys");
    r->packages = ib_path_join(r->dir, "packages");
    r->home = ib_asprintf("HOME=%s", home);
    choose_architecture(r, o->architecture);
    if (find_dnf(r, err) < 0 || copy_database(r, o->tree, err) < 0 ||
        read_release(r, o->tree, err) < 0 || write_settings(r, err) < 0)
        return -1;
    for (size_t i = 0; i < o->repository_count; i++)
        if (add_repository(r, &o->repositories[i], o->project_dir, err) < 0)
            return -1;
    return 0;
}

struct ib_rpmresolve *ib_rpmresolve_open(const struct ib_rpmresolve_options *options,
                                         struct ib_error **err)
{
    _cleanup_(ib_rpmresolve_freep) struct ib_rpmresolve *r = ib_calloc(1, sizeof(*r));

    r->progress = options->progress;
    r->uid = geteuid();
    r->gid = getegid();
    r->becomes_root = r->uid != 0;
    r->dir = ib_make_temp_dir(options->scratch_dir, "rpmresolve", err);
    if (!r->dir || fill(r, options, err) < 0) {
        ib_wrap(err, NULL, "prepare the choice of packages");
        return NULL;
    }
    return ib_steal(&r);
}

struct ib_rpmresolve *ib_rpmresolve_free(struct ib_rpmresolve *r)
{
    if (r) {
        ib_temp_dirp(&r->dir);
        free(r->root);
        free(r->keys);
        free(r->packages);
        free(r->home);
        free(r->dnf);
        free(r->release);
        free(r->forcearch);
        free(r);
    }
    return NULL;
}

void ib_rpmresolve_freep(struct ib_rpmresolve **resolve)
{
    *resolve = ib_rpmresolve_free(*resolve);
}

const char *ib_rpmresolve_dir(const struct ib_rpmresolve *resolve)
{
    return resolve->packages;
}

/* Choosing. */

static int download(const struct ib_rpmresolve *r, const char *const *names, size_t count,
                    const char *to, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv argv = {0};

    start_dnf(r, &argv);
    ib_strv_addf(&argv, "--setopt=destdir=%s", to);
    ib_strv_add(&argv, "install");
    ib_strv_add(&argv, "--downloadonly");
    for (size_t i = 0; i < count; i++)
        ib_strv_add(&argv, names[i]);
    return run(r, &argv, NULL, NULL, err);
}

static int list_files(const char *dir, struct ib_strv *ret, struct ib_error **err)
{
    DIR *d = opendir(dir);

    if (!d)
        return ib_fail(err, IB_E_IO, errno, dir, "read");
    for (const struct dirent *e; (e = readdir(d));)
        if (ib_endswith(e->d_name, ".rpm"))
            ib_strv_addf(ret, "%s/%s", dir, e->d_name);
    closedir(d);
    ib_strv_sort(ret);
    return 0;
}

/* rpmkeys(8) prints a line for each file; all must be signed by a key that was given. */
static int check_signatures(const struct ib_rpmresolve *r, const struct ib_strv *files,
                            struct ib_error **err)
{
    static const char *const words[] = {"--define", "_pkgverify_level all", "--checksig", NULL};
    _cleanup_(ib_strv_clear) struct ib_strv argv = {0}, lines = {0};
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};
    int status = -1;

    ib_strv_add(&argv, "rpmkeys");
    ib_strv_add(&argv, "--dbpath");
    ib_strv_add(&argv, r->keys);
    ib_strv_add_all(&argv, words);
    ib_strv_append(&argv, files);
    if (run(r, &argv, &out, &status, err) < 0)
        return -1;
    if (status == 0)
        return 0;
    ib_strv_split(&lines, out.size ? (const char *)out.data : "", "\n");
    for (size_t i = 0; i < lines.count; i++) {
        if (!strstr(lines.items[i], "NOT OK"))
            continue;
        ib_failf(err, IB_E_VERIFY, "no key of the repositories signed '%s'",
                 ib_path_base(lines.items[i]));
        return ib_hint(err, "check the 'key' of each repository of the base");
    }
    return ib_failf(err, IB_E_VERIFY, "the packages' signatures cannot be checked");
}

/* What the files say of themselves, in their order. */
static int read_headers(const struct ib_rpmresolve *r, const struct ib_strv *files,
                        struct ib_lock_package *packages, struct ib_error **err)
{
    static const char *const words[] = {
        "rpm", "--nosignature", "--queryformat", "%{NAME}\\t%{EVR}\\t%{ARCH}\\n", "-qp", NULL,
    };
    _cleanup_(ib_strv_clear) struct ib_strv argv = {0}, fields = {0};
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};

    ib_strv_add_all(&argv, words);
    ib_strv_append(&argv, files);
    if (run(r, &argv, &out, NULL, err) < 0)
        return -1;
    ib_strv_split(&fields, out.size ? (const char *)out.data : "", "\t\n");
    if (fields.count != 3 * files->count)
        return ib_failf(err, IB_E_CHILD, "rpm tells of %zu fields for %zu packages", fields.count,
                        files->count);
    for (size_t i = 0; i < files->count; i++) {
        packages[i].name = ib_steal(&fields.items[3 * i]);
        packages[i].version = ib_steal(&fields.items[3 * i + 1]);
        packages[i].architecture = ib_steal(&fields.items[3 * i + 2]);
    }
    return 0;
}

/* The addresses that dnf would load these packages from, one a line. */
static int ask_urls(const struct ib_rpmresolve *r, const struct ib_lock_package *packages,
                    size_t count, struct ib_strv *ret, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv argv = {0};
    _cleanup_(ib_buf_clear) struct ib_buf out = {0};

    start_dnf(r, &argv);
    ib_strv_add(&argv, r->is_dnf5 ? "download" : "repoquery");
    ib_strv_add(&argv, r->is_dnf5 ? "--url" : "--location");
    for (size_t i = 0; i < count; i++)
        ib_strv_addf(&argv, "%s-%s.%s", packages[i].name, packages[i].version,
                     packages[i].architecture);
    if (run(r, &argv, &out, NULL, err) < 0)
        return -1;
    ib_strv_split(ret, out.size ? (const char *)out.data : "", "\n");
    return 0;
}

static int take_url(struct ib_lock_package *package, const char *file, const struct ib_strv *urls,
                    struct ib_error **err)
{
    for (size_t i = 0; i < urls->count && !package->url; i++) {
        _cleanup_(ib_freep) char *name = ib_url_basename(urls->items[i]);
        if (ib_streq(name, ib_path_base(file)))
            package->url = ib_strdup(urls->items[i]);
    }
    if (!package->url)
        return ib_failf(err, IB_E_CHILD, "dnf does not say where '%s' lies", ib_path_base(file));
    return 0;
}

/* Hashes the file and moves it to the others. */
static int take_file(const struct ib_rpmresolve *r, struct ib_lock_package *package,
                     const char *file, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = ib_open_read(file, err);
    _cleanup_(ib_freep) char *to = ib_path_join(r->packages, ib_path_base(file));

    if (fd < 0)
        return -1;
    if (ib_sha256_fd(fd, &package->sha256, &package->size_bytes) < 0)
        return ib_fail(err, IB_E_IO, errno, file, "read");
    if (rename(file, to) < 0)
        return ib_fail(err, IB_E_IO, errno, file, "move");
    return 0;
}

static int compare_packages(const void *a, const void *b)
{
    const struct ib_lock_package *x = a, *y = b;
    int r = strcmp(x->name, y->name);

    return r ? r : strcmp(x->architecture, y->architecture);
}

static int read_files(const struct ib_rpmresolve *r, const struct ib_strv *files,
                      struct ib_lock_package *packages, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv urls = {0};

    if (check_signatures(r, files, err) < 0 || read_headers(r, files, packages, err) < 0 ||
        ask_urls(r, packages, files->count, &urls, err) < 0)
        return -1;
    for (size_t i = 0; i < files->count; i++)
        if (take_url(&packages[i], files->items[i], &urls, err) < 0 ||
            take_file(r, &packages[i], files->items[i], err) < 0)
            return -1;
    qsort(packages, files->count, sizeof(*packages), compare_packages);
    return 0;
}

int ib_rpmresolve_packages(struct ib_rpmresolve *r, const char *const *names, size_t count,
                           struct ib_lock_package **ret, size_t *ret_count, struct ib_error **err)
{
    _cleanup_(ib_temp_dirp) char *to = ib_make_temp_dir(r->dir, "download", err);
    _cleanup_(ib_strv_clear) struct ib_strv files = {0};

    if (!to || (count && download(r, names, count, to, err) < 0) || list_files(to, &files, err) < 0)
        return ib_wrap(err, NULL, "choose the packages");
    struct ib_lock_package *packages =
        files.count ? ib_calloc(files.count, sizeof(*packages)) : NULL;
    if (files.count && read_files(r, &files, packages, err) < 0) {
        for (size_t i = 0; i < files.count; i++)
            ib_lock_package_clear(&packages[i]);
        free(packages);
        return ib_wrap(err, NULL, "choose the packages");
    }
    *ret = packages;
    *ret_count = files.count;
    return 0;
}
