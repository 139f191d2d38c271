/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/copy.h"
#include "agent/persist.h"
#include "base/atomic.h"
#include "base/file.h"
#include "base/subprocess.h"

#define KEYGEN "/usr/bin/ssh-keygen"
#define KEY "ssh_host_ed25519_key"

enum { ID_LENGTH = 32 };

bool ib_machine_id_valid(const char *text)
{
    size_t n = strspn(text, "0123456789abcdef");

    return n == ID_LENGTH && (text[n] == 0 || ib_streq(text + n, "\n")) &&
           strspn(text, "0") != ID_LENGTH;
}

/* The machine id in a file, or false. */
static bool read_id(const char *path, char ret[static ID_LENGTH + 2])
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    if (ib_read_file(path, 4096, &text, NULL) < 0 || !text.size ||
        !ib_machine_id_valid((const char *)text.data))
        return false;
    snprintf(ret, ID_LENGTH + 2, "%.32s\n", (const char *)text.data);
    return true;
}

static int random_id(char ret[static ID_LENGTH + 2], struct ib_error **err)
{
    static const char path[] = "/proc/sys/kernel/random/uuid";
    _cleanup_(ib_buf_clear) struct ib_buf uuid = {0};
    size_t n = 0;

    if (ib_read_file(path, 4096, &uuid, err) < 0)
        return -1;
    for (size_t i = 0; i < uuid.size && n < ID_LENGTH; i++)
        if (uuid.data[i] != '-')
            ret[n++] = (char)uuid.data[i];
    ret[n++] = '\n';
    ret[n] = 0;
    return ib_machine_id_valid(ret) ? 0 : ib_fail(err, IB_E_IO, 0, path, "read a UUID from");
}

int ib_machine_id_restore(const char *root, const char *initrd_file, struct ib_error **err)
{
    _cleanup_(ib_freep) char *kept = ib_asprintf("%s" IB_PERSIST_DIR "/etc/machine-id", root);
    _cleanup_(ib_freep) char *dir = ib_path_dir(kept);
    _cleanup_(ib_freep) char *target = ib_asprintf("%s/etc/machine-id", root);
    char id[ID_LENGTH + 2];

    if (!read_id(kept, id)) {
        if (!read_id(initrd_file, id) && random_id(id, err) < 0)
            return ib_wrap(err, NULL, "make a machine id");
        if (ib_mkdir_p(dir, err) < 0 || ib_atomic_write(kept, 0444, id, strlen(id), err) < 0)
            return ib_wrap(err, NULL, "keep the machine id");
    }
    if (ib_atomic_write(target, 0444, id, strlen(id), err) < 0)
        return ib_wrap(err, NULL, "set the machine id");
    return 0;
}

struct keygen {
    const char *root, *file;
};

/*
 * In the child: the root's own ssh-keygen, with /dev for its /dev/null. The mount is in a namespace
 * of the child's and goes with it, however it ends.
 */
static int run_keygen(void *userdata)
{
    const struct keygen *k = userdata;
    _cleanup_(ib_freep) char *dev = ib_path_join(k->root, "dev");

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("/dev", dev, NULL, MS_BIND, NULL) < 0 || chroot(k->root) < 0 || chdir("/") < 0) {
        fprintf(stderr, "preparing to run it in the root: %s\n", strerror(errno));
        return 126;
    }
    execl(KEYGEN, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", k->file, NULL);
    fprintf(stderr, "%s\n", strerror(errno));
    return 127;
}

static int sync_file(const char *path, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = ib_open_read(path, err);

    if (fd < 0)
        return -1;
    return fsync(fd) < 0 ? ib_fail(err, IB_E_IO, errno, path, "write") : 0;
}

static int put_in_place(const char *dir, const char *new_dir, const char *name,
                        struct ib_error **err)
{
    _cleanup_(ib_freep) char *from = ib_path_join(new_dir, name);
    _cleanup_(ib_freep) char *to = ib_path_join(dir, name);

    if (sync_file(from, err) < 0)
        return -1;
    if (rename(from, to) < 0)
        return ib_fail(err, IB_E_IO, errno, to, "put in place");
    return sync_file(dir, err);
}

/* The private key comes last: where it stands, its public half stands too. */
static int make_key(const char *root, const char *dir, struct ib_error **err)
{
    static const char *const argv[] = {"ssh-keygen", NULL};
    _cleanup_(ib_freep) char *new_dir = ib_path_join(dir, ".new");
    struct keygen k = {.root = root, .file = IB_PERSIST_DIR "/etc/ssh/.new/" KEY};

    if (ib_remove_tree(new_dir, err) < 0 || ib_mkdir_p(new_dir, err) < 0 ||
        ib_run(&(struct ib_run){.argv = argv, .child_main = run_keygen, .userdata = &k}, err) < 0 ||
        put_in_place(dir, new_dir, KEY ".pub", err) < 0 || put_in_place(dir, new_dir, KEY, err) < 0)
        return ib_wrap(err, NULL, "make the SSH host key");
    return ib_remove_tree(new_dir, err);
}

int ib_host_key_restore(const char *root, bool *ret_made, struct ib_error **err)
{
    static const char *const names[] = {KEY, KEY ".pub"};
    _cleanup_(ib_freep) char *dir = ib_asprintf("%s" IB_PERSIST_DIR "/etc/ssh", root);
    _cleanup_(ib_freep) char *key = ib_path_join(dir, KEY);
    _cleanup_(ib_freep) char *keygen = ib_asprintf("%s" KEYGEN, root);
    _cleanup_(ib_freep) char *etc = ib_asprintf("%s/etc/ssh", root);

    if (!ib_path_exists(key)) {
        if (!ib_path_exists(keygen))
            return 0;
        if (ib_mkdir_p(dir, err) < 0 || make_key(root, dir, err) < 0)
            return -1;
        *ret_made = true;
    }
    if (ib_mkdir_p(etc, err) < 0)
        return -1;
    for (size_t i = 0; i < IB_ARRAY_SIZE(names); i++) {
        _cleanup_(ib_freep) char *from = ib_path_join(dir, names[i]);
        _cleanup_(ib_freep) char *to = ib_path_join(etc, names[i]);
        if (ib_copy_file(from, to, err) < 0)
            return ib_wrap(err, NULL, "bring back the SSH host key");
    }
    return 0;
}
