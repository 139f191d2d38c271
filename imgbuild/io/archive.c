/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads archives from outside through libarchive. What a tar says is not believed: io/archive.h
 * lists what is refused.
 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive_internal.h"
#include "base/file.h"
#include "io/archive.h"

enum { CHUNK = 1 << 17 };
#define MAX_ENTRIES UINT64_C(2000000)
#define MAX_CONTENT (64 * IB_GIB)
#define MAX_METADATA (256 * IB_MIB) /* names and xattrs live in memory: a root has some 10 MiB */

struct reader {
    struct ib_tree *tree;
    struct archive *archive;
    ib_read_fn read;
    void *userdata;
    struct ib_error *read_error; /* of read, while libarchive passes only its own errors on */
    bool at_end;                 /* of the input */
    unsigned char *chunk;
    int spool_fd;
    uint64_t spool_end;
    enum ib_layer layer;
    unsigned flags;
    struct ib_archive_limits limits;
    uint64_t entries, content, metadata;
    struct ib_progress *progress;
    struct ib_step *step;
    struct ib_error **err;
};

static int distrust(struct reader *r)
{
    return ib_hint(r->err, "do not use this archive, or make it again with a tool you trust");
}

/* Input --------------------------------------------------------------------------------------- */

static ssize_t read_chunk(struct reader *r)
{
    if (ib_progress_check(r->progress, &r->read_error) < 0)
        return -1;
    ssize_t n = r->read(r->userdata, r->chunk, CHUNK, &r->read_error);
    if (n > 0)
        ib_step_advance(r->step, (uint64_t)n);
    r->at_end = n == 0;
    return n;
}

static la_ssize_t on_read(struct archive *archive, void *userdata, const void **ret)
{
    struct reader *r = userdata;
    ssize_t n = read_chunk(r);

    *ret = r->chunk;
    if (n < 0)
        archive_set_error(archive, EIO, "reading failed");
    return n;
}

/* An error of libarchive's, or of our own reading below it. */
static int fail_archive(struct reader *r)
{
    const char *text = archive_error_string(r->archive);

    if (r->read_error) {
        if (r->err)
            *r->err = ib_steal(&r->read_error);
        return -1;
    }
    ib_failf(r->err, IB_E_INVALID, "%s", text ? text : "it is not a tar archive");
    return ib_hint(r->err, "get it again: it is cut off, damaged or not a tar archive");
}

/*
 * A result of libarchive's. With the "C" locale (below) it hands names through as bytes and warns
 * that they cannot be converted, which is what we want; every other warning is damage.
 */
static int check(struct reader *r, int result)
{
    const char *text = archive_error_string(r->archive);

    if (result == ARCHIVE_OK)
        return 0;
    if (result == ARCHIVE_WARN && text && strstr(text, "can't be converted"))
        return 0;
    return fail_archive(r);
}

static struct archive *archive_open(struct reader *r)
{
    struct archive *a = archive_read_new();

    if (!a)
        abort();
    /* Not _filter_all: that would also run programs of the host for rare forms. */
    archive_read_support_filter_bzip2(a);
    archive_read_support_filter_compress(a);
    archive_read_support_filter_gzip(a);
    archive_read_support_filter_lz4(a);
    archive_read_support_filter_lzma(a);
    archive_read_support_filter_xz(a);
    archive_read_support_filter_zstd(a);
    archive_read_support_format_tar(a);
    r->archive = a;
    return a;
}

/* Names --------------------------------------------------------------------------------------- */

/* The name inside the tree, or NULL and an error. `what`: "entry" or "hard link". */
static char *check_name(struct reader *r, const char *name, const char *what)
{
    bool layer = r->flags & IB_ARCHIVE_WHITEOUTS;
    char *path;

    if (!name) {
        ib_failf(r->err, IB_E_INVALID, "an entry has no name");
        return NULL;
    }
    if (name[0] == '/' && !layer) {
        ib_failf(r->err, IB_E_INVALID, "the %s '%.200s' has an absolute name", what, name);
        ib_hint(r->err, "make the archive with names relative to its root (tar without -P)");
        return NULL;
    }
    path = ib_path_normalize(name);
    if (path)
        return path;
    if (strlen(name) > IB_TREE_MAX_PATH)
        ib_failf(r->err, IB_E_INVALID, "the %s '%.40s…' has a name of more than %d bytes", what,
                 name, IB_TREE_MAX_PATH);
    else
        ib_failf(r->err, IB_E_INVALID, "the %s '%s' leads out of the tree", what, name);
    distrust(r);
    return NULL;
}

/* Removes what lower layers brought; true when nothing is left and the node itself can go. */
static bool prune(struct ib_tree *tree, struct ib_node *node)
{
    for (size_t i = node->child_count; i > 0; i--)
        if (prune(tree, node->children[i - 1]))
            ib_tree_detach(tree, node->children[i - 1]);
    return node->child_count == 0 && ib_entry_of(node)->generation != tree->generation;
}

/*
 * OCI image specification, layer.md, "Whiteouts": .wh.NAME removes NAME and .wh..wh..opq all
 * siblings of lower layers; what this layer brings stays, in whichever order it comes. Other names
 * with .wh..wh. are aufs' own and mean nothing. Returns true where the entry was one.
 */
static bool apply_whiteout(struct reader *r, const char *path)
{
    const char *name = ib_path_base(path);

    if (!(r->flags & IB_ARCHIVE_WHITEOUTS) || !ib_startswith(name, ".wh."))
        return false;
    _cleanup_(ib_freep) char *parent =
        name == path ? ib_strdup("") : ib_strndup(path, (size_t)(name - path - 1));
    struct ib_node *directory = ib_tree_resolve(r->tree, parent);
    if (!directory)
        return true;
    if (ib_streq(name, ".wh..wh..opq")) {
        for (size_t i = directory->child_count; i > 0; i--)
            if (prune(r->tree, directory->children[i - 1]))
                ib_tree_detach(r->tree, directory->children[i - 1]);
    } else if (!ib_startswith(name, ".wh..wh.")) {
        struct ib_node *node = ib_node_child(directory, name + strlen(".wh."));
        if (node && prune(r->tree, node))
            ib_tree_detach(r->tree, node);
    }
    return true;
}

/* Content ------------------------------------------------------------------------------------- */

static int check_limits(struct reader *r, const char *path, uint64_t size)
{
    char limit[16], amount[16];

    if (r->entries > r->limits.max_entries) {
        ib_failf(r->err, IB_E_INVALID, "it has more than %llu entries",
                 (unsigned long long)r->limits.max_entries);
        return distrust(r);
    }
    if (r->metadata > MAX_METADATA) {
        ib_failf(r->err, IB_E_INVALID, "its names and extended attributes take more than %s",
                 ib_format_size(MAX_METADATA, limit));
        return distrust(r);
    }
    if (size > r->limits.max_content_size - r->content) {
        ib_failf(r->err, IB_E_INVALID,
                 "'%s' has %s, with which its files hold more than the %s "
                 "allowed",
                 path, ib_format_size(size, amount),
                 ib_format_size(r->limits.max_content_size, limit));
        return ib_hint(r->err, "leave this file out of the archive (a sparse file counts in full)");
    }
    return 0;
}

/* Copies the entry's data behind the spool's end; holes stay holes. */
static int spool(struct reader *r, uint64_t size)
{
    const void *data;
    size_t n;
    la_int64_t offset;
    uint64_t end = 0;
    int result;

    while ((result = archive_read_data_block(r->archive, &data, &n, &offset)) != ARCHIVE_EOF) {
        if (check(r, result) < 0 || ib_progress_check(r->progress, r->err) < 0)
            return -1;
        if (offset < 0 || (uint64_t)offset < end || (uint64_t)offset > size ||
            n > size - (uint64_t)offset)
            return ib_failf(r->err, IB_E_INVALID, "its data does not fit its size");
        if (ib_pwrite_full(r->spool_fd, data, n, r->spool_end + (uint64_t)offset) < 0)
            return ib_fail(r->err, IB_E_IO, errno, NULL, "write unpacked files");
        end = (uint64_t)offset + n;
    }
    if (end < size && ftruncate(r->spool_fd, (off_t)(r->spool_end + size)) < 0)
        return ib_fail(r->err, IB_E_IO, errno, NULL, "write unpacked files");
    return 0;
}

static struct ib_node *add_file(struct reader *r, const char *path, uint32_t mode, uint64_t size)
{
    struct ib_node *node;

    if (spool(r, size) < 0) {
        ib_wrap(r->err, path, "unpack");
        return NULL;
    }
    node = ib_tree_add_file_range(r->tree, path, mode, r->spool_fd, r->spool_end, size, r->layer,
                                  r->err);
    r->spool_end += size;
    r->content += size;
    return node;
}

/* Entries ------------------------------------------------------------------------------------- */

static int add_hardlink(struct reader *r, const char *path, const char *link)
{
    _cleanup_(ib_freep) char *target = check_name(r, link, "hard link");
    struct ib_node *node;

    if (!target)
        return -1;
    node = ib_tree_find(r->tree, target);
    if (!node) { /* perhaps below a symbolic link among the parents: resolve these */
        _cleanup_(ib_freep) char *parent = ib_path_dir(target);
        struct ib_node *directory = ib_tree_resolve(r->tree, parent);
        node = directory ? ib_node_child(directory, ib_path_base(target)) : NULL;
    }
    if (!node) {
        ib_failf(r->err, IB_E_INVALID, "'%s' is a hard link to '%s', which is not in the tree",
                 path, target);
        return distrust(r);
    }
    return ib_tree_add_hardlink(r->tree, path, node, r->layer, r->err) ? 0 : -1;
}

static struct ib_node *add_by_type(struct reader *r, struct archive_entry *entry, const char *path,
                                   uint64_t size)
{
    uint32_t mode = archive_entry_mode(entry);
    const char *target;

    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        return add_file(r, path, mode, size);
    case AE_IFDIR:
        return ib_tree_add_directory(r->tree, path, mode, r->layer, r->err);
    case AE_IFLNK:
        target = archive_entry_symlink(entry);
        r->metadata += target ? strlen(target) : 0;
        return ib_tree_add_symlink(r->tree, path, target ? target : "", r->layer, r->err);
    case AE_IFCHR:
    case AE_IFBLK:
    case AE_IFIFO:
        return ib_tree_add_special(r->tree, path, mode, (uint32_t)archive_entry_rdevmajor(entry),
                                   (uint32_t)archive_entry_rdevminor(entry), r->layer, r->err);
    default:
        ib_failf(r->err, IB_E_INVALID, "'%s' is of an unknown type", path);
        return NULL;
    }
}

static int take_attributes(struct reader *r, struct archive_entry *entry, const char *path,
                           struct ib_inode *inode)
{
    la_int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);

    if (uid < 0 || uid >= UINT32_MAX || gid < 0 || gid >= UINT32_MAX)
        return ib_failf(r->err, IB_E_INVALID,
                        "'%s' belongs to an impossible user or group %lld:%lld", path,
                        (long long)uid, (long long)gid);
    inode->uid = (uint32_t)uid;
    inode->gid = (uint32_t)gid;
    inode->mtime_s = archive_entry_mtime(entry);
    if (ib_archive_take_xattrs(entry, r->tree, inode, &r->metadata, r->err) < 0)
        return ib_wrap(r->err, path, "take the attributes of");
    return 0;
}

static int read_entry(struct reader *r, struct archive_entry *entry)
{
    const char *link = archive_entry_hardlink(entry);
    _cleanup_(ib_freep) char *path = check_name(r, archive_entry_pathname(entry), "entry");
    la_int64_t size = archive_entry_size(entry);

    if (!path)
        return -1;
    if (size < 0)
        return ib_failf(r->err, IB_E_INVALID, "'%s' has an impossible size", path);
    r->entries++;
    r->metadata += strlen(path);
    /* whatever the type: data that is passed over costs time all the same */
    if (check_limits(r, path, (uint64_t)size) < 0)
        return -1;
    if (apply_whiteout(r, path))
        return 0;
    if (link)
        return add_hardlink(r, path, link);
    if (!*path && archive_entry_filetype(entry) != AE_IFDIR)
        return ib_failf(r->err, IB_E_INVALID, "its root is not a directory");
    struct ib_node *node = add_by_type(r, entry, path, (uint64_t)size);
    return node ? take_attributes(r, entry, path, node->inode) : -1;
}

/*
 * The input ends behind the last entry without the blocks of zeros that close a tar: libarchive
 * takes that as an end, but so looks a download that stopped there. A layer's digest tells better.
 */
static int check_end(struct reader *r, la_int64_t last_entry_end)
{
    if ((r->flags & IB_ARCHIVE_WHITEOUTS) || archive_filter_bytes(r->archive, 0) > last_entry_end)
        return 0;
    ib_failf(r->err, IB_E_INVALID, "it ends without the mark that ends an archive");
    return ib_hint(r->err, "get it again: it is cut off");
}

static int read_entries(struct reader *r)
{
    struct archive *a = archive_open(r);
    struct archive_entry *entry;

    if (check(r, archive_read_open(a, r, NULL, on_read, NULL)) < 0)
        return -1;
    for (la_int64_t end = 0;;) {
        int result = archive_read_next_header(a, &entry);
        if (result == ARCHIVE_EOF) {
            if (check_end(r, end) < 0)
                return -1;
            break;
        }
        if (check(r, result) < 0 || read_entry(r, entry) < 0)
            return -1;
        result = archive_read_data_skip(a);
        if (result != ARCHIVE_EOF && check(r, result) < 0)
            return -1;
        end = archive_filter_bytes(a, 0);
    }
    while (!r->at_end) /* a writer at the other end of a pipe wants to be heard out */
        if (read_chunk(r) < 0)
            return fail_archive(r);
    return 0;
}

int ib_archive_read_stream(struct ib_tree *tree, ib_read_fn read, void *userdata, const char *name,
                           int spool_fd, enum ib_layer layer, unsigned flags,
                           const struct ib_archive_limits *limits, struct ib_progress *progress,
                           struct ib_step *step, struct ib_error **err)
{
    _cleanup_(ib_freep) unsigned char *chunk = ib_malloc(CHUNK);
    _cleanup_(ib_error_freep) struct ib_error *own_error = NULL;
    struct reader r = {.tree = tree,
                       .read = read,
                       .userdata = userdata,
                       .chunk = chunk,
                       .spool_fd = spool_fd,
                       .layer = layer,
                       .flags = flags,
                       .progress = progress,
                       .step = step,
                       .err = err};
    struct stat st;

    r.limits.max_entries = limits && limits->max_entries ? limits->max_entries : MAX_ENTRIES;
    r.limits.max_content_size =
        limits && limits->max_content_size ? limits->max_content_size : MAX_CONTENT;
    if (fstat(spool_fd, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, name, "unpack");
    r.spool_end = (uint64_t)st.st_size;

    /* libarchive converts names to the locale's character set and normalises them (NFD to NFC)
     * where that is UTF-8. In the "C" locale it cannot, and leaves us the bytes. */
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0), saved = uselocale(c_locale);
    tree->generation++;
    tree->guarded = true;
    int result = read_entries(&r);
    tree->guarded = false;
    archive_read_free(r.archive);
    uselocale(saved);
    freelocale(c_locale);
    own_error = r.read_error;
    return result < 0 ? ib_wrap(err, name, "read the archive") : 0;
}

static ssize_t read_fd(void *userdata, void *data, size_t size, struct ib_error **err)
{
    const int *fd = userdata;
    ssize_t n;

    do
        n = read(*fd, data, size);
    while (n < 0 && errno == EINTR);
    return n < 0 ? ib_failf(err, IB_E_IO, "reading failed: %s", strerror(errno)) : n;
}

int ib_archive_read(struct ib_tree *tree, int fd, const char *name, int spool_fd,
                    enum ib_layer layer, unsigned flags, const struct ib_archive_limits *limits,
                    struct ib_progress *progress, struct ib_step *step, struct ib_error **err)
{
    return ib_archive_read_stream(tree, read_fd, &fd, name, spool_fd, layer, flags, limits,
                                  progress, step, err);
}
