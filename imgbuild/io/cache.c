/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache's directory: where things lie, who may touch them when, and how they get their names.
 *
 * Locks, all by flock so that the kernel releases them with their holder:
 *
 *     lock                        shared while a process has the cache open; `clean` tries to get
 *                                 it alone: then nothing in tmp/ is anybody's work, and stages and
 *                                 blobs may go
 *     stages/NAME/KEY.lock        exclusive while an entry is being made; removed with the lock
 *                                 held, so whoever gets it checks that it still has its name
 *
 * A complete entry needs no lock: its directory appears by one rename of files that were synced.
 */
#include "io/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"

struct ib_cache {
    char *dir;
    int lock_fd; /* -1: a read-only cache that has no lock file */
};

struct ib_cache_entry {
    struct ib_cache *cache;
    char *final_dir;
    char *temp_dir; /* NULL: a hit, or committed */
    char *lock_path;
    char *inputs; /* inputs.json, to be written on commit */
    int lock_fd;  /* -1: a hit, or committed */
    bool hit;
};

static char *default_dir(struct ib_error **err)
{
    const char *own = getenv("IMGBUILD_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");

    if (own && *own)
        return ib_strdup(own);
    if (xdg && xdg[0] == '/') /* XDG base directory specification: relative ones are ignored */
        return ib_path_join(xdg, "imgbuild");
    if (home && home[0] == '/')
        return ib_path_join(home, ".cache/imgbuild");
    ib_failf(err, IB_E_NOT_FOUND, "there is no place for the cache: HOME is not set");
    ib_hint(err, "name one with IMGBUILD_CACHE=DIR");
    return NULL;
}

/* Waits, for as long as a `clean` renames things away. */
static int lock_shared(int fd)
{
    int r;

    while ((r = flock(fd, LOCK_SH)) < 0 && errno == EINTR)
        ;
    return r;
}

struct ib_cache *ib_cache_open(const char *dir, struct ib_error **err)
{
    _cleanup_(ib_cache_freep) struct ib_cache *cache = ib_calloc(1, sizeof(*cache));
    _cleanup_(ib_freep) char *wanted = dir ? ib_strdup(dir) : default_dir(err);

    cache->lock_fd = -1;
    if (!wanted)
        return NULL;
    if (ib_mkdir_p(wanted, err) < 0) {
        ib_hint(err, "choose another place with IMGBUILD_CACHE=DIR");
        ib_wrap(err, wanted, "open the cache");
        return NULL;
    }
    cache->dir = realpath(wanted, NULL);
    if (!cache->dir) {
        ib_fail(err, IB_E_IO, errno, wanted, "open the cache");
        return NULL;
    }
    _cleanup_(ib_freep) char *lock = ib_path_join(cache->dir, "lock");
    cache->lock_fd = open(lock, O_RDONLY | O_CREAT | O_CLOEXEC, 0666);
    if (cache->lock_fd < 0) /* a read-only cache still serves what it holds */
        cache->lock_fd = open(lock, O_RDONLY | O_CLOEXEC);
    if (cache->lock_fd >= 0 && lock_shared(cache->lock_fd) < 0) {
        ib_fail(err, IB_E_IO, errno, lock, "lock");
        ib_hint(err, "put the cache on a local file system with IMGBUILD_CACHE=DIR");
        return NULL;
    }
    return ib_steal(&cache);
}

struct ib_cache *ib_cache_free(struct ib_cache *cache)
{
    if (cache) {
        ib_closep(&cache->lock_fd);
        free(cache->dir);
        free(cache);
    }
    return NULL;
}

void ib_cache_freep(struct ib_cache **cache)
{
    *cache = ib_cache_free(*cache);
}

const char *ib_cache_dir(const struct ib_cache *cache)
{
    return cache->dir;
}

/* What a directory of the cache that cannot be written needs: said once for all callers. */
static int writable_hint(const struct ib_cache *cache, struct ib_error **err)
{
    if (err && *err && ib_error_code(*err) == IB_E_PERMISSION)
        ib_hint(err, "make '%s' writable, or choose another cache with IMGBUILD_CACHE=DIR",
                cache->dir);
    return -1;
}

char *ib_cache_temp_dir(struct ib_cache *cache, const char *prefix, struct ib_error **err)
{
    _cleanup_(ib_freep) char *parent = ib_path_join(cache->dir, "tmp");

    if (ib_mkdir_p(parent, err) < 0) {
        writable_hint(cache, err);
        return NULL;
    }
    char *dir = ib_make_temp_dir(parent, prefix, err);
    if (!dir)
        writable_hint(cache, err);
    return dir;
}

/* Blobs. */

static char *blob_path(const struct ib_cache *cache, const char *kind, const struct ib_sha256 *hash)
{
    char hex[IB_SHA256_HEX_SIZE];

    return ib_asprintf("%s/blobs/%s/%s", cache->dir, kind, ib_sha256_hex(hash, hex));
}

char *ib_cache_blob_path(const struct ib_cache *cache, const struct ib_sha256 *hash)
{
    return blob_path(cache, "sha256", hash);
}

char *ib_cache_partial_path(const struct ib_cache *cache, const struct ib_sha256 *hash)
{
    return blob_path(cache, "partial", hash);
}

bool ib_cache_has_blob(const struct ib_cache *cache, const struct ib_sha256 *hash)
{
    _cleanup_(ib_freep) char *path = ib_cache_blob_path(cache, hash);

    return ib_path_exists(path);
}

static int sync_path(const char *path)
{
    _cleanup_(ib_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return -1;
    return fsync(fd) < 0 && errno != EINVAL ? -1 : 0;
}

int ib_cache_adopt_blob(struct ib_cache *cache, const char *path, const struct ib_sha256 *hash,
                        struct ib_error **err)
{
    _cleanup_(ib_freep) char *final = ib_cache_blob_path(cache, hash);
    _cleanup_(ib_freep) char *dir = ib_path_dir(final);

    if (ib_mkdir_p(dir, err) < 0)
        return writable_hint(cache, err);
    if (sync_path(path) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "finish");
    /* read-only only under its final name: a partial that we could not open again would be stuck */
    if (rename(path, final) < 0 || chmod(final, 0444) < 0 || sync_path(dir) < 0)
        return ib_fail(err, IB_E_IO, errno, final, "put in place");
    return 0;
}

/* Stage entries. */

static char *stage_path(const struct ib_cache *cache, const struct ib_key *key)
{
    struct ib_sha256 hash;
    char hex[IB_SHA256_HEX_SIZE];

    ib_key_hash(key, &hash);
    return ib_asprintf("%s/stages/%s/%s", cache->dir, ib_key_stage(key), ib_sha256_hex(&hash, hex));
}

static bool complete(const char *dir)
{
    _cleanup_(ib_freep) char *inputs = ib_path_join(dir, "inputs.json");

    return ib_path_exists(inputs);
}

bool ib_cache_entry_exists(const struct ib_cache *cache, const struct ib_key *key)
{
    _cleanup_(ib_freep) char *dir = stage_path(cache, key);

    return complete(dir);
}

/* Not every path is UTF-8: what JSON cannot hold is written as \xNN, for people's eyes. */
static json_t *json_text(const char *s)
{
    _cleanup_(ib_buf_clear) struct ib_buf plain = {0};
    json_t *text = s ? json_string(s) : json_null();

    if (text)
        return text;
    for (; *s; s++) {
        if ((unsigned char)*s < 0x80)
            ib_buf_append(&plain, s, 1);
        else
            ib_buf_printf(&plain, "\\x%02x", (unsigned char)*s);
    }
    return json_string((const char *)plain.data);
}

/* {"stage": NAME, "key": HEX, "inputs": [{"name": N, "value": V}, …]} */
static char *render_inputs(const struct ib_key *key)
{
    struct ib_sha256 hash;
    char hex[IB_SHA256_HEX_SIZE];
    json_t *inputs = json_array();

    ib_key_hash(key, &hash);
    for (size_t i = 0; i < ib_key_input_count(key); i++)
        json_array_append_new(inputs, json_pack("{s:s, s:o}", "name", ib_key_input_name(key, i),
                                                "value", json_text(ib_key_input_value(key, i))));
    json_t *root = json_pack("{s:s, s:s, s:o}", "stage", ib_key_stage(key), "key",
                             ib_sha256_hex(&hash, hex), "inputs", inputs);
    char *text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    if (!text)
        abort(); /* memory */
    return text;
}

/* The lock file may have been removed between our open and our lock: then it locks nobody out. */
static bool still_named(int fd, const char *path)
{
    struct stat ours, named;

    return fstat(fd, &ours) == 0 && stat(path, &named) == 0 && ours.st_dev == named.st_dev &&
           ours.st_ino == named.st_ino;
}

/* One try: 1 with the lock in *ret_fd, 0 when another process holds it, or -1. */
static int try_lock(const char *path, int *ret_fd, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, path, "create");
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK || errno == EINTR)
            return 0;
        ib_fail(err, IB_E_IO, errno, path, "lock");
        return ib_hint(err, "put the cache on a local file system with IMGBUILD_CACHE=DIR");
    }
    if (!still_named(fd, path))
        return 0;
    *ret_fd = ib_steal_fd(&fd);
    return 1;
}

/* Waits for the lock or for the entry, whichever comes first: 1 locked, 0 complete, or -1. */
static int lock_or_find(struct ib_cache_entry *entry, const char *stage,
                        struct ib_progress *progress, struct ib_error **err)
{
    enum { POLL_NS = 20 * 1000 * 1000, NOTE_AFTER = 50 };
    const struct timespec pause = {0, POLL_NS};

    for (unsigned tries = 0;; tries++) {
        int locked = try_lock(entry->lock_path, &entry->lock_fd, err);
        if (locked < 0)
            return -1;
        if (complete(entry->final_dir))
            return 0;
        if (locked)
            return 1;
        if (tries == NOTE_AFTER)
            ib_progress_note(progress, "waiting for another imgbuild that makes this %s", stage);
        if (ib_progress_check(progress, err) < 0)
            return -1;
        nanosleep(&pause, NULL);
    }
}

static void unlock(struct ib_cache_entry *entry)
{
    if (entry->lock_fd < 0)
        return;
    unlink(entry->lock_path);
    close(ib_steal_fd(&entry->lock_fd));
}

static int begin(struct ib_cache_entry *entry, const struct ib_key *key,
                 struct ib_progress *progress, struct ib_error **err)
{
    _cleanup_(ib_freep) char *parent = ib_path_dir(entry->final_dir);

    if (ib_mkdir_p(parent, err) < 0)
        return writable_hint(entry->cache, err);
    int r = lock_or_find(entry, ib_key_stage(key), progress, err);
    if (r < 0)
        return writable_hint(entry->cache, err);
    if (r == 0) {
        unlock(entry);
        entry->hit = true;
        return 0;
    }
    entry->temp_dir = ib_cache_temp_dir(entry->cache, ib_key_stage(key), err);
    if (!entry->temp_dir)
        return -1;
    entry->inputs = render_inputs(key);
    return 0;
}

struct ib_cache_entry *ib_cache_entry_get(struct ib_cache *cache, const struct ib_key *key,
                                          struct ib_progress *progress, struct ib_error **err)
{
    _cleanup_(ib_cache_entry_freep) struct ib_cache_entry *entry = ib_calloc(1, sizeof(*entry));

    entry->cache = cache;
    entry->lock_fd = -1;
    entry->final_dir = stage_path(cache, key);
    entry->lock_path = ib_asprintf("%s.lock", entry->final_dir);
    entry->hit = complete(entry->final_dir);
    if (!entry->hit && begin(entry, key, progress, err) < 0) {
        ib_wrap(err, ib_key_stage(key), "begin the cache entry of stage");
        return NULL;
    }
    return ib_steal(&entry);
}

bool ib_cache_entry_hit(const struct ib_cache_entry *entry)
{
    return entry->hit;
}

const char *ib_cache_entry_dir(const struct ib_cache_entry *entry)
{
    return entry->temp_dir ? entry->temp_dir : entry->final_dir;
}

char *ib_cache_entry_path(const struct ib_cache_entry *entry, const char *name)
{
    return ib_path_join(ib_cache_entry_dir(entry), name);
}

static void fts_closep(FTS **fts)
{
    if (*fts)
        fts_close(*fts);
}

/* Everything below dir reaches the disk; files become read-only. -1 with errno. */
static int seal_tree(char *dir)
{
    char *const roots[] = {dir, NULL};
    _cleanup_(fts_closep) FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);

    if (!fts)
        return -1;
    for (FTSENT *e; (errno = 0, e = fts_read(fts));) {
        if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS) {
            errno = e->fts_errno;
            return -1;
        }
        if (e->fts_info == FTS_F && (sync_path(e->fts_accpath) < 0 ||
                                     chmod(e->fts_accpath, e->fts_statp->st_mode & 0555) < 0))
            return -1;
        if (e->fts_info == FTS_DP && sync_path(e->fts_accpath) < 0)
            return -1;
    }
    return errno ? -1 : 0;
}

int ib_cache_entry_commit(struct ib_cache_entry *entry, struct ib_error **err)
{
    _cleanup_(ib_freep) char *inputs = ib_path_join(entry->temp_dir, "inputs.json");
    _cleanup_(ib_freep) char *parent = ib_path_dir(entry->final_dir);

    if (ib_atomic_write(inputs, 0444, entry->inputs, strlen(entry->inputs), err) < 0)
        return ib_wrap(err, entry->final_dir, "finish the cache entry");
    if (chmod(entry->temp_dir, 0755) < 0 || seal_tree(entry->temp_dir) < 0)
        return ib_fail(err, IB_E_IO, errno, entry->temp_dir, "finish the cache entry");
    /* We never leave anything there that is not complete; whoever did, it is in the way. */
    if (ib_remove_tree(entry->final_dir, err) < 0)
        return -1;
    if (rename(entry->temp_dir, entry->final_dir) < 0)
        return ib_fail(err, IB_E_IO, errno, entry->final_dir, "put in place");
    free(ib_steal(&entry->temp_dir));
    if (sync_path(parent) < 0)
        return ib_fail(err, IB_E_IO, errno, parent, "sync the directory");
    unlock(entry);
    return 0;
}

struct ib_cache_entry *ib_cache_entry_free(struct ib_cache_entry *entry)
{
    if (entry) {
        ib_temp_dirp(&entry->temp_dir);
        unlock(entry);
        free(entry->final_dir);
        free(entry->lock_path);
        free(entry->inputs);
        free(entry);
    }
    return NULL;
}

void ib_cache_entry_freep(struct ib_cache_entry **entry)
{
    *entry = ib_cache_entry_free(*entry);
}

/* Cleaning. */

/* Bytes on disk of a file or tree; shared (hard-linked) files free nothing. */
static uint64_t disk_usage(char *path)
{
    char *const roots[] = {path, NULL};
    _cleanup_(fts_closep) FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    uint64_t total = 0;

    for (FTSENT *e; fts && (e = fts_read(fts));)
        if (e->fts_info == FTS_F && e->fts_statp->st_nlink == 1)
            total += (uint64_t)e->fts_statp->st_blocks * 512;
    return total;
}

static int drop(char *path, const struct ib_cache_clean *options, uint64_t *freed,
                struct ib_error **err)
{
    uint64_t size = disk_usage(path);

    if ((options->remove ? options->remove : ib_remove_tree)(path, err) < 0)
        return ib_wrap(err, path, "clean");
    *freed += size;
    return 0;
}

/* Renames a part of the cache into `dir`: no moment at which an entry stands under its name with
 * half of its files. */
static int set_aside(const char *path, const char *dir, struct ib_error **err)
{
    _cleanup_(ib_freep) char *target = ib_path_join(dir, ib_path_base(path));

    if (rename(path, target) < 0 && errno != ENOENT)
        return ib_fail(err, IB_E_IO, errno, path, "clean");
    return 0;
}

/* All of tmp/ but `dir`, a directory in it. */
static int set_work_aside(const char *tmp, const char *dir, struct ib_error **err)
{
    _cleanup_(ib_closedirp) DIR *d = opendir(tmp);

    if (!d)
        return ib_fail(err, IB_E_IO, errno, tmp, "read");
    for (struct dirent *e; (e = readdir(d));) {
        if (ib_streq(e->d_name, ".") || ib_streq(e->d_name, "..") ||
            ib_streq(e->d_name, ib_path_base(dir)))
            continue;
        _cleanup_(ib_freep) char *path = ib_path_join(tmp, e->d_name);
        if (set_aside(path, dir, err) < 0)
            return -1;
    }
    return 0;
}

/* While nobody else uses the cache, all of it is quickly renamed, to be taken apart later. */
static int set_all_aside(struct ib_cache *cache, const struct ib_cache_clean *options,
                         struct ib_error **err)
{
    _cleanup_(ib_freep) char *tmp = ib_path_join(cache->dir, "tmp");
    _cleanup_(ib_freep) char *stages = ib_path_join(cache->dir, "stages");
    _cleanup_(ib_freep) char *blobs = ib_path_join(cache->dir, "blobs");
    _cleanup_(ib_freep) char *dir = ib_cache_temp_dir(cache, "clean", err);
    const struct timespec epoch[2] = {{0, 0}, {0, 0}};

    if (!dir || set_work_aside(tmp, dir, err) < 0 ||
        (options->all && set_aside(stages, dir, err) < 0) ||
        (options->blobs && set_aside(blobs, dir, err) < 0))
        return -1;
    /* old enough for drop_old, whatever age it asks for; at worst a later clean takes it */
    if (utimensat(AT_FDCWD, dir, epoch, 0) < 0)
        return ib_fail(err, IB_E_IO, errno, dir, "clean");
    return 0;
}

static int drop_old(char *dir, const struct ib_cache_clean *options, uint64_t *freed,
                    struct ib_error **err)
{
    char *const roots[] = {dir, NULL};
    _cleanup_(fts_closep) FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    const time_t now = time(NULL);

    if (!fts)
        return ib_fail(err, IB_E_IO, errno, dir, "read");
    for (FTSENT *e; (e = fts_read(fts));) {
        if (e->fts_level != 1 || e->fts_info == FTS_DP)
            continue;
        fts_set(fts, e, FTS_SKIP);
        if (e->fts_info == FTS_NS || now - e->fts_statp->st_mtime < (time_t)options->min_age_s)
            continue;
        if (drop(e->fts_path, options, freed, err) < 0)
            return -1;
    }
    return 0;
}

/* Is nobody else using the cache? Then it is ours alone until lock_shared: 1; else 0; or -1. */
static int lock_alone(const struct ib_cache *cache, struct ib_error **err)
{
    if (cache->lock_fd < 0)
        return ib_fail(err, IB_E_PERMISSION, EROFS, cache->dir, "clean");
    if (flock(cache->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 1;
    int saved = errno;
    if (lock_shared(cache->lock_fd) < 0 ||
        saved != EWOULDBLOCK) /* flock(2): the old lock is gone */
        return ib_fail(err, IB_E_IO, errno, cache->dir, "lock");
    return 0;
}

static int refuse(const struct ib_cache *cache, struct ib_error **err)
{
    ib_failf(err, IB_E_REFUSED, "another imgbuild is using the cache '%s'", cache->dir);
    return ib_hint(err, "wait until it has finished");
}

int ib_cache_clean(struct ib_cache *cache, const struct ib_cache_clean *options,
                   uint64_t *ret_freed_bytes, struct ib_error **err)
{
    _cleanup_(ib_freep) char *tmp = ib_path_join(cache->dir, "tmp");
    uint64_t freed = 0;
    int alone = lock_alone(cache, err);

    if (alone < 0)
        return writable_hint(cache, err);
    if (!alone && (options->all || options->blobs))
        return refuse(cache, err);
    int r = alone ? set_all_aside(cache, options, err) : 0;
    if (alone)
        (void)lock_shared(cache->lock_fd);
    if (r < 0 || (ib_path_exists(tmp) && drop_old(tmp, options, &freed, err) < 0))
        return writable_hint(cache, err);
    *ret_freed_bytes = freed;
    return 0;
}
