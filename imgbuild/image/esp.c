/* SPDX-License-Identifier: Apache-2.0 */
#include "image/esp.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"

#define FAT32_FROM (260 * IB_MIB)
#define FAT_EPOCH UINT64_C(315532800) /* 1980-01-01 */
#define FAT_END UINT64_C(4354819199)  /* 2107-12-31 */

/* The environment of every tool: one time, and nobody's configuration. */
struct tools {
    struct ib_strv env;
    struct ib_progress *progress;
};

static void tools_clear(struct tools *t)
{
    ib_strv_clear(&t->env);
}

static void tools_init(struct tools *t, uint64_t mtime_s, struct ib_progress *progress)
{
    static const char *const fixed[] = {
        "MTOOLSRC=/dev/null",         "MTOOLS_SKIP_CHECK=1",
        "MTOOLS_FAT_COMPATIBILITY=0", "MTOOLS_LOWER_CASE=0",
        "MTOOLS_NO_VFAT=0",           "MTOOLS_NAME_NUMERIC_TAIL=1",
        "MTOOLS_DOTTED_DIR=0",        "MTOOLS_TWENTY_FOUR_HOUR_CLOCK=1",
        "MTOOLS_LOCK_TIMEOUT=300",    NULL,
    };

    t->progress = progress;
    ib_strv_add_all(&t->env, fixed);
    ib_strv_add(&t->env, "TZ=UTC0"); /* FAT holds local time */
    ib_strv_addf(&t->env, "SOURCE_DATE_EPOCH=%" PRIu64,
                 IB_MIN(IB_MAX(mtime_s, FAT_EPOCH), FAT_END));
}

static int run_tool(const struct tools *t, const char *const *argv, int stdin_fd,
                    struct ib_error **err)
{
    return ib_run(&(struct ib_run){.argv = argv,
                                   .env = (const char *const *)t->env.items,
                                   .stdin_fd = stdin_fd,
                                   .progress = t->progress},
                  err);
}

static int check_request(const struct ib_esp *esp, struct ib_error **err)
{
    if (esp->size_bytes < 16 * IB_MIB || esp->size_bytes > 32 * IB_GIB || esp->size_bytes % IB_MIB)
        return ib_failf(err, IB_E_INVALID,
                        "an EFI system partition of %" PRIu64
                        " bytes is not possible: from 16 MiB to 32 GiB in whole MiB",
                        esp->size_bytes);
    for (size_t i = 0; i < esp->file_count; i++) {
        const char *name = esp->files[i].name;
        _cleanup_(ib_freep) char *normal = ib_path_normalize(name);
        bool plain = ib_streq(normal, name) && *name;
        for (const char *c = name; plain && *c; c++)
            plain = *c > 0x20 && *c < 0x7f && !strchr("\"*:<>?\\|", *c);
        if (!plain)
            return ib_failf(err, IB_E_INVALID, "'%s' is not a usable name on a FAT file system",
                            name);
    }
    return 0;
}

static int part_size(const struct ib_part *part, uint64_t *ret, struct ib_error **err)
{
    struct stat st;

    if (part->path && stat(part->path, &st) < 0)
        return ib_fail(err, IB_E_IO, errno, part->path, "read");
    *ret = part->path ? (uint64_t)st.st_size : part->size;
    return 0;
}

/* Before anything is written: mcopy's own message for a full disk is of no help. */
static int check_space(const struct ib_esp *esp, struct ib_error **err)
{
    uint64_t need = esp->size_bytes / 256 + IB_MIB; /* two FATs, directories */
    char need_text[16], have_text[16];

    for (size_t i = 0; i < esp->file_count; i++) {
        uint64_t size = 0;
        if (part_size(&esp->files[i].content, &size, err) < 0)
            return -1;
        if (size > UINT32_MAX)
            return ib_failf(err, IB_E_INVALID, "'%s' is larger than FAT's 4 GiB",
                            esp->files[i].name);
        need += ib_round_up(size, 4 * IB_KIB);
    }
    if (need <= esp->size_bytes)
        return 0;
    ib_failf(err, IB_E_NO_SPACE, "the EFI system partition has %s, but its files need %s",
             ib_format_size(esp->size_bytes, have_text), ib_format_size(need, need_text));
    return ib_hint(err, "make the partition larger, or the kernel and initrd smaller");
}

static int format(const struct ib_esp *esp, const struct tools *t, const char *path,
                  struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    _cleanup_(ib_freep) char *id = ib_asprintf("%08" PRIx32, esp->volume_id);
    const char *const argv[] = {"mkfs.fat", "--invariant",
                                "-F",       esp->size_bytes >= FAT32_FROM ? "32" : "16",
                                "-S",       "512",
                                "-s",       "8",
                                "-i",       id,
                                "-n",       esp->label ? esp->label : "ESP",
                                path,       NULL};

    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, path, "create");
    if (ftruncate(fd, (off_t)esp->size_bytes) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "give its size to");
    return run_tool(t, argv, -1, err);
}

/* Every directory once, parents first, in the order in which the files name them. */
static int make_directories(const struct ib_esp *esp, const struct tools *t, const char *path,
                            struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv dirs = {0}, argv = {0};

    for (size_t i = 0; i < esp->file_count; i++) {
        const char *name = esp->files[i].name;
        for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
            _cleanup_(ib_freep) char *dir = ib_asprintf("::/%.*s", (int)(slash - name), name);
            if (!ib_strv_contains(&dirs, dir))
                ib_strv_take(&dirs, ib_steal(&dir));
        }
    }
    if (dirs.count == 0)
        return 0;
    ib_strv_add_all(&argv, (const char *const[]){"mmd", "-i", path, NULL});
    ib_strv_append(&argv, &dirs);
    return run_tool(t, (const char *const *)argv.items, -1, err);
}

/* Bytes in memory as a file that mcopy can read from its standard input. */
static int memory_file(const struct ib_part *part, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = memfd_create("esp-file", MFD_CLOEXEC);

    if (fd < 0 || ib_write_full(fd, part->data, part->size) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return ib_fail(err, IB_E_IO, errno, NULL, "pass a file to mcopy");
    return ib_steal_fd(&fd);
}

/* One mcopy a file: with several, their order would be that of a directory on the host. */
static int copy_file(const struct ib_esp_file *file, const struct tools *t, const char *path,
                     struct ib_error **err)
{
    _cleanup_(ib_freep) char *target = ib_asprintf("::/%s", file->name);
    _cleanup_(ib_freep) char *source = NULL;
    _cleanup_(ib_closep) int fd = -1;

    if (file->content.path) /* mtools reads "c:x" as a drive */
        source = file->content.path[0] == '/' ? ib_strdup(file->content.path)
                                              : ib_asprintf("./%s", file->content.path);
    else
        fd = memory_file(&file->content, err);
    if (!source && fd < 0)
        return -1;
    const char *const argv[] = {"mcopy", "-i", path, source ? source : "-", target, NULL};
    if (run_tool(t, argv, fd, err) < 0)
        return ib_wrap(err, file->name, "copy into the EFI system partition");
    return 0;
}

int ib_esp_make(const struct ib_esp *esp, const char *path, struct ib_progress *progress,
                struct ib_error **err)
{
    _cleanup_(tools_clear) struct tools tools = {0};

    if (check_request(esp, err) < 0 || check_space(esp, err) < 0)
        return -1;
    tools_init(&tools, esp->mtime_s, progress);
    if (format(esp, &tools, path, err) < 0 || make_directories(esp, &tools, path, err) < 0)
        return ib_wrap(err, path, "make the EFI system partition");
    for (size_t i = 0; i < esp->file_count; i++)
        if (copy_file(&esp->files[i], &tools, path, err) < 0)
            return -1;
    return 0;
}

/* mtools' name for a file system inside a file. */
static char *drive(const char *path, uint64_t offset)
{
    return ib_asprintf("%s@@%" PRIu64, path, offset);
}

static bool is_plain_name(const char *name)
{
    return *name && name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                      "0123456789._+-")] == 0;
}

int ib_esp_list(const char *path, uint64_t offset, const char *directory, struct ib_strv *ret,
                struct ib_error **err)
{
    _cleanup_(tools_clear) struct tools tools = {0};
    _cleanup_(ib_freep) char *image = drive(path, offset);
    _cleanup_(ib_freep) char *target = ib_asprintf("::/%s", directory);
    _cleanup_(ib_buf_clear) struct ib_buf out = {0}, log = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};
    const char *const argv[] = {"mdir", "-b", "-i", image, target, NULL};
    int status = 0;

    tools_init(&tools, 0, NULL);
    if (ib_run(&(struct ib_run){.argv = argv,
                                .env = (const char *const *)tools.env.items,
                                .out = &out,
                                .log = &log,
                                .ret_status = &status},
               err) < 0)
        return ib_wrap(err, path, "read the EFI system partition of");
    ib_buf_append(&out, "", 0);
    ib_buf_append(&log, "", 0);
    if (status != 0 && !strstr((const char *)log.data, "not found"))
        return ib_failf(err, IB_E_INVALID, "there is no FAT file system in '%s': %.200s", path,
                        (const char *)log.data);
    ib_strv_split(&lines, status == 0 ? (const char *)out.data : "", "\n");
    for (size_t i = 0; i < lines.count; i++) /* directories end in a slash */
        if (is_plain_name(ib_path_base(lines.items[i])))
            ib_strv_add(ret, ib_path_base(lines.items[i]));
    ib_strv_sort(ret);
    return 0;
}

int ib_esp_extract(const char *path, uint64_t offset, const char *name, int out_fd,
                   struct ib_error **err)
{
    _cleanup_(tools_clear) struct tools tools = {0};
    _cleanup_(ib_freep) char *image = drive(path, offset);
    _cleanup_(ib_freep) char *source = ib_asprintf("::/%s", name);
    const char *const argv[] = {"mcopy", "-i", image, source, "-", NULL};

    tools_init(&tools, 0, NULL);
    if (ib_run(&(struct ib_run){.argv = argv,
                                .env = (const char *const *)tools.env.items,
                                .stdout_fd = out_fd},
               err) < 0)
        return ib_wrap(err, name, "read from the EFI system partition");
    return 0;
}
