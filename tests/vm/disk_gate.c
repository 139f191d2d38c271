/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate to disks by hand, for tests/vm/disks.sh:
 *   disk_gate look DEVICE         what it is, what is on it, what forbids writing
 *   disk_gate open DEVICE         look and open
 *   disk_gate later DEVICE FILE   look, say so, and open when FILE is there
 *   disk_gate fill DEVICE         writes, clears and reads back
 * Refusals and errors go to stdout, one line; the exit status is the error's.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "io/target.h"

static int say(const struct ib_error *err)
{
    _cleanup_(ib_freep) char *text = ib_error_text(err);

    printf("error: %s\n", text);
    return ib_error_exit_status(ib_error_code(err));
}

static void show(const struct ib_disk *disk)
{
    _cleanup_(ib_freep) char *loss = ib_disk_loss(disk);

    printf("disk: %s model=%s serial=%s transport=%s block=%u removable=%d system=%d\n", disk->path,
           disk->model ? disk->model : "-", disk->serial ? disk->serial : "-",
           disk->transport ? disk->transport : "-", disk->logical_block, disk->removable,
           disk->runs_system);
    printf("contents: %s\n", loss);
    for (size_t i = 0; i < disk->refusals.count; i++)
        printf("refused: %s\n", disk->refusals.items[i]);
    if (disk->cure)
        printf("try: %s\n", disk->cure);
}

/* Data, a cleared range inside it, and the same read from the medium. */
static int fill(struct ib_target *target, struct ib_error **err)
{
    enum { CHUNK = 1 << 20, CHUNKS = 8 };
    unsigned char *data = aligned_alloc(4096, CHUNK), *back = aligned_alloc(4096, CHUNK);
    uint64_t written = 0;

    memset(data, 0x5a, CHUNK);
    for (uint64_t i = 0; i < CHUNKS; i++)
        if (ib_target_write(target, data, CHUNK, i * CHUNK) < 0)
            return ib_fail(err, IB_E_IO, errno, ib_target_name(target), "write to");
    if (ib_target_zero(target, 2 * CHUNK, 3 * CHUNK, NULL, &written, err) < 0 ||
        ib_target_sync(target, err) < 0)
        return -1;
    for (uint64_t i = 0; i < CHUNKS; i++) {
        memset(data, i >= 2 && i < 5 ? 0 : 0x5a, CHUNK);
        if (ib_target_read(target, back, CHUNK, i * CHUNK) < 0)
            return ib_fail(err, IB_E_IO, errno, ib_target_name(target), "read");
        if (memcmp(data, back, CHUNK) != 0)
            return ib_failf(err, IB_E_VERIFY, "what is read differs from what was written");
    }
    free(data);
    free(back);
    printf("filled: direct=%d cheap=%d written=%llu\n", ib_target_is_direct(target),
           ib_target_zeroes_cheaply(target), (unsigned long long)written);
    return ib_target_reread_table(target, err);
}

int main(int argc, char **argv)
{
    _cleanup_(ib_disk_clear) struct ib_disk disk = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    _cleanup_(ib_target_freep) struct ib_target *target = NULL;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc < 3)
        return 2;
    if (ib_disk_look(argv[2], false, &disk, &err) < 0)
        return say(err);
    show(&disk);
    if (strcmp(argv[1], "look") == 0)
        return 0;
    if (strcmp(argv[1], "later") == 0 && argc == 4) {
        puts("looked");
        while (!ib_path_exists(argv[3]))
            usleep(50000);
    }
    target = ib_target_open_disk(&disk, &err);
    if (!target)
        return say(err);
    puts("opened");
    if (strcmp(argv[1], "fill") == 0 && fill(target, &err) < 0)
        return say(err);
    return 0;
}
