/* SPDX-License-Identifier: Apache-2.0 */
#include "os/debfile.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"

/*
 * Bounds. The largest control archive in Debian 13 has 0.7 MiB (md5sums and triggers of a kernel
 * package), unpacked 3 MiB; the largest control paragraph some 20 KiB.
 */
enum {
    MAX_MEMBER_SIZE = 16 << 20,
    MAX_UNPACKED_SIZE = 64 << 20,
    MAX_CONTROL_SIZE = 1 << 20,
    MAX_ENTRIES = 4096,
    MAX_FIELDS = 256,
};

static void archive_freep(struct archive **archive)
{
    if (*archive)
        archive_read_free(*archive);
}

static int fail_archive(struct ib_error **err, const char *name, struct archive *archive)
{
    const char *why = archive_error_string(archive);

    return ib_failf(err, IB_E_INVALID, "'%s' is not a Debian package: %s", name,
                    why ? why : "it ends too early");
}

/* Reads the current entry, whose header says its size, to the end. */
static int read_entry(struct archive *archive, struct archive_entry *entry, const char *name,
                      uint64_t max_size, struct ib_buf *ret, struct ib_error **err)
{
    int64_t size = archive_entry_size(entry);

    if (size < 0 || (uint64_t)size > max_size)
        return ib_failf(err, IB_E_INVALID, "'%s' holds a '%s' that is larger than %llu bytes", name,
                        archive_entry_pathname(entry), (unsigned long long)max_size);
    void *data = ib_buf_reserve(ret, (size_t)size);
    la_ssize_t n = archive_read_data(archive, data, (size_t)size);
    if (n != size)
        return fail_archive(err, name, archive);
    ret->size += (size_t)size;
    ret->data[ret->size] = 0;
    return 0;
}

static bool is_control_file(const char *path)
{
    return ib_streq(path, "./control") || ib_streq(path, "control");
}

/* Finds the control file in the unpacked control.tar. */
static int read_control_tar(const char *name, const struct ib_buf *member, struct ib_buf *ret,
                            struct ib_error **err)
{
    _cleanup_(archive_freep) struct archive *tar = archive_read_new();
    struct archive_entry *entry;
    uint64_t unpacked = 0;

    /* only what deb(5) names, and never an outside program */
    archive_read_support_format_tar(tar);
    archive_read_support_filter_gzip(tar);
    archive_read_support_filter_xz(tar);
    archive_read_support_filter_zstd(tar);
    if (archive_read_open_memory(tar, member->data, member->size) != ARCHIVE_OK)
        return fail_archive(err, name, tar);
    for (size_t i = 0; i < MAX_ENTRIES; i++) {
        int r = archive_read_next_header(tar, &entry);
        if (r == ARCHIVE_EOF)
            return ib_failf(err, IB_E_INVALID, "'%s' has no control file in its control.tar", name);
        if (r != ARCHIVE_OK)
            return fail_archive(err, name, tar);
        const char *path = archive_entry_pathname(entry);
        if (path && is_control_file(path) && archive_entry_filetype(entry) == AE_IFREG)
            return read_entry(tar, entry, name, MAX_CONTROL_SIZE, ret, err);
        /* the next header is found by unpacking this entry: no size is taken on trust */
        int64_t size = archive_entry_size(entry);
        if (size < 0 || !ib_add_u64(unpacked, (uint64_t)size, &unpacked) ||
            unpacked > MAX_UNPACKED_SIZE)
            break;
    }
    return ib_failf(err, IB_E_INVALID, "the control.tar of '%s' is larger than any real one", name);
}

/* Walks the ar members: debian-binary, then (perhaps after "_…" ones) control.tar*. */
static int read_control_member(const char *name, struct archive *ar, struct ib_buf *ret,
                               struct ib_error **err)
{
    struct archive_entry *entry;

    for (size_t i = 0; i < 8; i++) {
        _cleanup_(ib_buf_clear) struct ib_buf member = {0};
        int r = archive_read_next_header(ar, &entry);
        const char *path = r == ARCHIVE_OK ? archive_entry_pathname(entry) : NULL;
        if (!path)
            return fail_archive(err, name, ar);
        if (i == 0) {
            if (!ib_streq(path, "debian-binary"))
                return ib_failf(err, IB_E_INVALID, "'%s' is not a Debian package", name);
            if (read_entry(ar, entry, name, 64, &member, err) < 0)
                return -1;
            if (!member.size || strncmp((char *)member.data, "2.", 2) != 0)
                return ib_failf(err, IB_E_INVALID, "'%s' is not of the Debian package format 2.x",
                                name);
            continue;
        }
        if (ib_streq(path, "control.tar") || ib_startswith(path, "control.tar.")) {
            if (read_entry(ar, entry, name, MAX_MEMBER_SIZE, &member, err) < 0)
                return -1;
            return read_control_tar(name, &member, ret, err);
        }
        if (path[0] != '_')
            break; /* deb(5): members in this place that start with "_" are to be ignored */
    }
    return ib_failf(err, IB_E_INVALID, "'%s' has no control.tar in its second place", name);
}

static void add_field(struct ib_deb_control *control, const char *line, size_t name_len)
{
    const char *value = line + name_len + 1;
    struct ib_deb_field *field;

    control->fields = ib_reallocarray(control->fields, control->field_count + 1, sizeof(*field));
    field = &control->fields[control->field_count++];
    field->name = ib_strndup(line, name_len);
    field->value = ib_strdup(value + strspn(value, " \t"));
}

static void extend_field(struct ib_deb_field *field, const char *line)
{
    char *longer = ib_asprintf("%s\n%s", field->value, line);

    free(field->value);
    field->value = longer;
}

static bool is_field_name(const char *name, size_t len)
{
    if (len == 0 || name[0] == '-' || name[0] == '#')
        return false;
    for (size_t i = 0; i < len; i++)
        if (name[i] < '!' || name[i] > '~') /* Policy 5.1: printable, no blank (no colon: ended) */
            return false;
    return true;
}

static int parse_line(struct ib_deb_control *control, const char *name, const char *line,
                      struct ib_error **err)
{
    size_t len = strcspn(line, ":");

    for (const char *p = line; *p; p++)
        if ((unsigned char)*p < ' ' && *p != '\t')
            return ib_failf(err, IB_E_INVALID, "'%s' has a control character in its control file",
                            name);
    if (line[0] == ' ' || line[0] == '\t') {
        if (!control->field_count || !line[strspn(line, " \t")])
            return ib_failf(err, IB_E_INVALID, "'%s' has a stray line in its control file", name);
        extend_field(&control->fields[control->field_count - 1], line);
        return 0;
    }
    if (line[len] != ':' || !is_field_name(line, len))
        return ib_failf(err, IB_E_INVALID, "'%s' has a line without a field in its control file",
                        name);
    _cleanup_(ib_freep) char *field = ib_strndup(line, len);
    if (ib_deb_control_get(control, field))
        return ib_failf(err, IB_E_INVALID, "'%s' has the field '%s' twice", name, field);
    if (control->field_count == MAX_FIELDS)
        return ib_failf(err, IB_E_INVALID, "'%s' has more than %d control fields", name,
                        MAX_FIELDS);
    add_field(control, line, len);
    return 0;
}

/* deb-version(7), Policy 5.6.1 and 11.1: what may stand in a name, version or architecture. */
static int check_word(const struct ib_deb_control *control, const char *name, const char *field,
                      const char *more, const char **ret, struct ib_error **err)
{
    const char *value = ib_deb_control_get(control, field);

    if (!value || !*value)
        return ib_failf(err, IB_E_INVALID, "'%s' has no field '%s'", name, field);
    for (const char *p = value; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9');
        if (!plain && (p == value || !strchr(more, *p)))
            return ib_failf(err, IB_E_INVALID, "'%s' has an unusable %s", name, field);
    }
    if (strlen(value) > 200)
        return ib_failf(err, IB_E_INVALID, "'%s' has an overlong %s", name, field);
    *ret = value;
    return 0;
}

static int parse_control(const char *name, const struct ib_buf *text, struct ib_deb_control *ret,
                         struct ib_error **err)
{
    char *line = (char *)text->data, *end = line + text->size;

    if (memchr(line, 0, text->size))
        return ib_failf(err, IB_E_INVALID, "'%s' has a control character in its control file",
                        name);
    while (line < end && *line == '\n')
        line++;
    for (char *next; line < end && *line != '\n'; line = next) {
        size_t len = strcspn(line, "\n");
        next = line + len + (line[len] == '\n');
        line[len] = 0;
        if (parse_line(ret, name, line, err) < 0)
            return -1;
    }
    if (line < end && line[strspn(line, "\n")])
        return ib_failf(err, IB_E_INVALID, "'%s' has two paragraphs in its control file", name);
    static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ+-.~:";
    if (check_word(ret, name, "Package", "+-.", &ret->package, err) < 0 ||
        check_word(ret, name, "Version", upper, &ret->version, err) < 0 ||
        check_word(ret, name, "Architecture", "-", &ret->architecture, err) < 0)
        return -1;
    return 0;
}

static int read_control(const char *name, struct archive *ar, struct ib_deb_control *ret,
                        struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_deb_control_clear) struct ib_deb_control control = {0};

    if (read_control_member(name, ar, &text, err) < 0)
        return -1;
    if (!text.size)
        return ib_failf(err, IB_E_INVALID, "'%s' has an empty control file", name);
    if (parse_control(name, &text, &control, err) < 0)
        return -1;
    *ret = control;
    control = (struct ib_deb_control){0};
    return 0;
}

int ib_deb_control_read(const char *path, struct ib_deb_control *ret, struct ib_error **err)
{
    _cleanup_(archive_freep) struct archive *ar = archive_read_new();

    archive_read_support_format_ar(ar);
    if (archive_read_open_filename(ar, path, 1 << 16) != ARCHIVE_OK) {
        if (archive_errno(ar) > 0)
            return ib_fail(err, IB_E_IO, archive_errno(ar), path, "open");
        return fail_archive(err, path, ar);
    }
    return read_control(path, ar, ret, err);
}

int ib_deb_control_read_memory(const char *name, const void *data, size_t size,
                               struct ib_deb_control *ret, struct ib_error **err)
{
    _cleanup_(archive_freep) struct archive *ar = archive_read_new();

    archive_read_support_format_ar(ar);
    if (archive_read_open_memory(ar, data, size) != ARCHIVE_OK)
        return fail_archive(err, name, ar);
    return read_control(name, ar, ret, err);
}

void ib_deb_control_clear(struct ib_deb_control *control)
{
    for (size_t i = 0; i < control->field_count; i++) {
        free(control->fields[i].name);
        free(control->fields[i].value);
    }
    free(control->fields);
    *control = (struct ib_deb_control){0};
}

const char *ib_deb_control_get(const struct ib_deb_control *control, const char *field)
{
    for (size_t i = 0; i < control->field_count; i++)
        if (strcasecmp(control->fields[i].name, field) == 0)
            return control->fields[i].value;
    return NULL;
}
