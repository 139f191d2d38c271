/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a disk that boots a kernel and an initrd: UKI with an identity, ESP, GPT, artifact. The
 * image layer alone, so that a boot that fails here has nothing to do with roots or packages.
 *
 *     make_image DIR STUB SYSTEMD_BOOT KERNEL INITRD    writes DIR/test.efi and DIR/test.img.zst
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "image/artifact.h"
#include "image/cpio.h"
#include "image/esp.h"
#include "image/gpt.h"

static const char os_release[] = "ID=imgbuild-test\nVERSION_ID=1\nPRETTY_NAME=\"imgbuild test\"\n";
static const char loader_conf[] = "timeout 0\nconsole-mode keep\n";

static int make_uki(char **argv, const char *path, struct ib_error **err)
{
    _cleanup_(ib_tree_freep) struct ib_tree *identity = ib_tree_new();
    _cleanup_(ib_buf_clear) struct ib_buf cpio = {0};

    if (!ib_tree_add_file(identity, "etc/hostname", 0644, "odin\n", 5, IB_LAYER_OVERLAYS, err) ||
        ib_cpio_write(identity, 1700000000, &cpio, err) < 0)
        return -1;
    const struct ib_part initrds[] = {{.path = argv[5]}, {.data = cpio.data, .size = cpio.size}};
    const struct ib_uki uki = {
        .stub = {.path = argv[2]},
        .kernel = {.path = argv[4]},
        .initrds = initrds,
        .initrd_count = 2,
        .os_release = os_release,
        .cmdline = "console=ttyS0 quiet panic=-1 imgbuild.test=yes",
        .uname = "test",
    };
    _cleanup_(ib_closep) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return ib_fail(err, IB_E_IO, errno, path, "create");
    return ib_uki_write(&uki, fd, NULL, err);
}

static int make_esp(char **argv, const char *uki, const char *path, struct ib_error **err)
{
    const struct ib_esp_file files[] = {
        {"EFI/BOOT/BOOTX64.EFI", {.path = argv[3]}},
        {"EFI/Linux/test_1.efi", {.path = uki}},
        {"loader/loader.conf", {.data = loader_conf, .size = sizeof(loader_conf) - 1}},
    };
    const struct ib_esp esp = {.size_bytes = 512 * IB_MIB,
                               .volume_id = 0x12345678,
                               .mtime_s = 1700000000,
                               .files = files,
                               .file_count = IB_ARRAY_SIZE(files)};

    return ib_esp_make(&esp, path, NULL, err);
}

static int make_artifact(const char *dir, const char *esp, const char *path, struct ib_error **err)
{
    _cleanup_(ib_closep) int esp_fd = ib_open_read(esp, err), store = ib_temp_file(dir, err);
    _cleanup_(ib_frames_clear) struct ib_frames frames = {0};
    _cleanup_(ib_buf_clear) struct ib_buf head = {0}, tail = {0};
    _cleanup_(ib_manifest_freep) struct ib_manifest *m = ib_manifest_new();
    struct ib_gpt_partition partition = {.label = "esp", .size_bytes = 512 * IB_MIB};
    struct ib_gpt gpt = {.partitions = &partition, .partition_count = 1};
    const struct ib_frames_job job = {.fd = esp_fd, .size = partition.size_bytes, .name = esp};
    struct ib_artifact_result result;

    if (esp_fd < 0 || store < 0 || !ib_gpt_type_uuid(IB_GPT_ESP, "x86-64", &partition.type))
        return -1;
    ib_uuid_derive("test", "esp", &partition.uuid);
    ib_uuid_derive("test", "disk", &gpt.disk);
    if (ib_gpt_make(&gpt, dir, &head, &tail, err) < 0 ||
        ib_frames_make(&job, store, &frames, err) < 0)
        return -1;
    m->node = ib_strdup("odin");
    m->disk = gpt.disk;
    m->disk_size_bytes = gpt.disk_size_bytes;
    struct ib_manifest_partition *p = ib_manifest_add_partition(m);
    p->label = ib_strdup(partition.label);
    p->type = partition.type;
    p->uuid = partition.uuid;
    p->offset_bytes = partition.offset_bytes;
    p->size_bytes = partition.size_bytes;
    const struct ib_artifact_extent extents[] = {
        {.data = head.data, .size = head.size},
        {.offset_bytes = partition.offset_bytes, .frames = &frames, .fd = store},
        {.offset_bytes = gpt.disk_size_bytes - tail.size, .data = tail.data, .size = tail.size},
    };
    return ib_artifact_write(m, extents, 3, path, NULL, &result, err);
}

int main(int argc, char **argv)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    if (argc != 6) {
        fprintf(stderr, "usage: make_image DIR STUB SYSTEMD_BOOT KERNEL INITRD\n");
        return 2;
    }
    _cleanup_(ib_freep) char *uki = ib_path_join(argv[1], "test.efi");
    _cleanup_(ib_freep) char *esp = ib_path_join(argv[1], "esp.img");
    _cleanup_(ib_freep) char *artifact = ib_path_join(argv[1], "test.img.zst");
    if (make_uki(argv, uki, &err) < 0 || make_esp(argv, uki, esp, &err) < 0 ||
        make_artifact(argv[1], esp, artifact, &err) < 0) {
        ib_error_print(err, "make_image", stderr);
        return 1;
    }
    return 0;
}
