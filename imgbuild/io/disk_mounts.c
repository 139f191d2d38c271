/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/self/mountinfo (proc_pid_mountinfo(5)) and /proc/swaps (proc_swaps(5)). What cannot be read
 * is an error: a mount that is overlooked is a disk destroyed. */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "base/file.h"
#include "disk_blocks.h"

enum { MAX_TABLE_SIZE = 64 << 20 };

/* The kernel writes blanks, line ends and backslashes as \ooo. In place. */
static void unescape(char *s)
{
    char *to = s;

    while (*s) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
            s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = 0;
}

static bool parse_devno(char *s, uint64_t *ret)
{
    char *colon = strchr(s, ':');
    uint64_t major_number, minor_number;

    if (!colon || !ib_parse_u64(colon + 1, UINT32_MAX, &minor_number))
        return false;
    *colon = 0;
    if (!ib_parse_u64(s, UINT32_MAX, &major_number))
        return false;
    *ret = makedev((unsigned)major_number, (unsigned)minor_number);
    return true;
}

/* "36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=continue" */
static bool parse_mount(char *line, struct ib_mount *ret)
{
    enum { ID, PARENT, DEVNO, ROOT, POINT, OPTIONS, FIXED };
    char *fixed[FIXED], *field;

    for (int i = 0; i < FIXED; i++)
        if (!(fixed[i] = strsep(&line, " ")))
            return false;
    while ((field = strsep(&line, " ")) && !ib_streq(field, "-"))
        ; /* optional fields */
    char *type = strsep(&line, " "), *source = strsep(&line, " ");
    if (!type || !source || !ib_parse_u64(fixed[ID], UINT32_MAX, &ret->id) ||
        !parse_devno(fixed[DEVNO], &ret->devno))
        return false;
    unescape(fixed[POINT]);
    unescape(source);
    if (line)
        unescape(line);
    ret->point = ib_strdup(fixed[POINT]);
    ret->type = ib_strdup(type);
    ret->source = ib_strdup(source);
    ret->options = ib_strdup(line ? line : "");
    return true;
}

int ib_mounts_read(const char *proc, struct ib_blocks *blocks, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(proc, "self/mountinfo");
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_read_file(path, MAX_TABLE_SIZE, &text, err) < 0)
        return ib_wrapf(err, "cannot tell what is mounted");
    char *rest = (char *)text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        struct ib_mount mount = {0};
        if (!*line)
            continue;
        if (!parse_mount(line, &mount))
            return ib_failf(err, IB_E_INVALID, "'%s' has a line that is no mount", path);
        blocks->mounts =
            ib_reallocarray(blocks->mounts, blocks->mount_count + 1, sizeof(*blocks->mounts));
        blocks->mounts[blocks->mount_count++] = mount;
    }
    return 0;
}

int ib_swaps_read(const char *proc, struct ib_blocks *blocks, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_join(proc, "swaps");
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (!ib_path_exists(path)) /* a kernel without swap */
        return 0;
    if (ib_read_file(path, MAX_TABLE_SIZE, &text, err) < 0)
        return ib_wrapf(err, "cannot tell what is used as swap space");
    char *rest = (char *)text.data;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (*line != '/') /* the heading */
            continue;
        line[strcspn(line, " \t")] = 0;
        unescape(line);
        blocks->swaps =
            ib_reallocarray(blocks->swaps, blocks->swap_count + 1, sizeof(*blocks->swaps));
        blocks->swaps[blocks->swap_count++] = (struct ib_swap){.path = ib_strdup(line)};
    }
    return 0;
}
