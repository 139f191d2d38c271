/* SPDX-License-Identifier: Apache-2.0 */
/* inspect and diff on whole, small images: GPT, ESP with a UKI and an identity, squashfs root. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "image/bytes.h"
#include "image/cpio.h"
#include "image/esp.h"
#include "image/rootfs.h"
#include "image/uki.h"
#include "ops/diff.h"

static char *dir;

static void make_dir(void)
{
    char *mkfs = ib_find_program("mkfs.fat"), *mcopy = ib_find_program("mcopy");
    bool have = mkfs && mcopy;

    free(mkfs), free(mcopy);
    if (!have)
        cr_skip_test("mkfs.fat or mtools is not installed");
    dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    cr_assert_not_null(dir);
}

static void remove_dir(void)
{
    ib_temp_dirp(&dir);
}

TestSuite(inspect, .init = make_dir, .fini = remove_dir, .timeout = 100);
TestSuite(diff, .init = make_dir, .fini = remove_dir, .timeout = 100);

/* What two images may differ in. */
struct made {
    const char *node;    /* goes into identity, UKI name and manifest */
    const char *motd;    /* /etc/motd of the root; "": absent */
    const char *version; /* of the package bash */
    uint32_t shell_mode;
    bool wrong_table; /* the manifest names another UUID than the table */
};

enum { PE_AT = 0x80, COFF_AT = PE_AT + 4, OPT_AT = COFF_AT + 20, TABLE_AT = OPT_AT + 240 };

static void make_stub(uint8_t image[static 2048])
{
    memset(image, 0, 2048);
    memcpy(image, "MZ", 2);
    ib_put_le32(image + 0x3c, PE_AT);
    memcpy(image + PE_AT, "PE\0\0", 4);
    ib_put_le16(image + COFF_AT, IB_PE_X86_64);
    ib_put_le16(image + COFF_AT + 2, 1);
    ib_put_le16(image + COFF_AT + 16, 240);
    ib_put_le16(image + OPT_AT, 0x20b);
    ib_put_le32(image + OPT_AT + 32, 4096);
    ib_put_le32(image + OPT_AT + 36, 512);
    ib_put_le32(image + OPT_AT + 60, 1024);
    ib_put_le32(image + OPT_AT + 108, 16);
    memcpy(image + TABLE_AT, ".text", 5);
    ib_put_le32(image + TABLE_AT + 8, 1000);
    ib_put_le32(image + TABLE_AT + 12, 0x1000);
    ib_put_le32(image + TABLE_AT + 16, 1024);
    ib_put_le32(image + TABLE_AT + 20, 1024);
}

static char *make_uki(const struct made *made)
{
    struct ib_tree *identity = ib_tree_new();
    struct ib_buf cpio = {0};
    uint8_t stub[2048];
    char *path = ib_path_join(dir, "uki"), *cmdline = ib_asprintf("imgbuild.node=%s", made->node);

    make_stub(stub);
    cr_assert_not_null(ib_tree_add_file(identity, "etc/hostname", 0644, made->node,
                                        strlen(made->node), IB_LAYER_OVERLAYS, NULL));
    cr_assert_eq(ib_cpio_write(identity, 0, &cpio, NULL), 0);
    const struct ib_part initrds[] = {{.data = "main initrd.", .size = 12},
                                      {.data = cpio.data, .size = cpio.size}};
    const struct ib_uki uki = {.stub = {.data = stub, .size = sizeof(stub)},
                               .kernel = {.data = stub, .size = sizeof(stub)},
                               .initrds = initrds,
                               .initrd_count = 2,
                               .os_release = "ID=test\n",
                               .cmdline = cmdline,
                               .uname = "6.12.0"};
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_eq(ib_uki_write(&uki, fd, NULL, NULL), 0);
    close(fd), free(cmdline), ib_tree_free(identity), ib_buf_clear(&cpio);
    return path;
}

static int make_esp(const struct made *made)
{
    char *uki = make_uki(made), *path = ib_path_join(dir, "esp"),
         *name = ib_asprintf("EFI/Linux/%s_1.efi", made->node);
    struct ib_error *err = NULL;
    const struct ib_esp_file files[] = {{"EFI/BOOT/BOOTX64.EFI", {.data = "boot", .size = 4}},
                                        {name, {.path = uki}}};
    const struct ib_esp esp = {.size_bytes = 16 * IB_MIB, .files = files, .file_count = 2};

    cr_assert_eq(ib_esp_make(&esp, path, NULL, &err), 0, "%s", ib_error_text(err));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    free(uki), free(path), free(name);
    return fd;
}

static int make_root(const struct made *made, uint64_t *ret_size)
{
    struct ib_tree *tree = ib_tree_new();
    struct ib_rootfs_info info;
    struct ib_error *err = NULL;
    const struct ib_rootfs_options options = {.epoch_s = 1};
    uint8_t program[100000];

    for (size_t i = 0; i < sizeof(program); i++)
        program[i] = (uint8_t)(i * i >> 5);
    cr_assert_not_null(ib_tree_add_file(tree, "usr/bin/sh", made->shell_mode, program,
                                        sizeof(program), IB_LAYER_BASE, NULL));
    cr_assert_not_null(ib_tree_add_symlink(tree, "bin", "usr/bin", IB_LAYER_BASE, NULL));
    if (*made->motd)
        cr_assert_not_null(ib_tree_add_file(tree, "etc/motd", 0644, made->motd, strlen(made->motd),
                                            IB_LAYER_OVERLAYS, NULL));
    int fd = ib_temp_file(dir, NULL);
    cr_assert_eq(ib_rootfs_write(tree, fd, &options, &info, &err), 0, "%s", ib_error_text(err));
    *ret_size = info.size;
    ib_tree_free(tree);
    return fd;
}

static void make_partition(struct ib_gpt_partition *p, enum ib_gpt_type type, const char *label,
                           uint64_t size, const char *uuid_of)
{
    *p = (struct ib_gpt_partition){.size_bytes = size};
    cr_assert(ib_gpt_type_uuid(type, "x86-64", &p->type));
    ib_uuid_derive("test", uuid_of, &p->uuid);
    strcpy(p->label, label);
}

static struct ib_manifest *make_manifest(const struct made *made, const struct ib_gpt *gpt)
{
    struct ib_manifest *m = ib_manifest_new();
    struct ib_sha256 hash = {{1}};

    m->tool = ib_strdup("imgbuild 0.1.0");
    m->node = ib_strdup(made->node);
    m->role = ib_strdup("control");
    m->disk = gpt->disk;
    m->disk_size_bytes = gpt->disk_size_bytes;
    ib_manifest_add_package(m, "bash", made->version, "amd64");
    ib_manifest_add_package(m, "zlib", "1", "amd64");
    ib_manifest_add_source(m, "k3s", "https://example.org/k3s", &hash);
    for (size_t i = 0; i < gpt->partition_count; i++) {
        const struct ib_gpt_partition *from = &gpt->partitions[i];
        struct ib_manifest_partition *p = ib_manifest_add_partition(m);
        p->label = ib_strdup(from->label);
        p->type = from->type;
        p->uuid = from->uuid;
        p->attributes = from->attributes;
        p->offset_bytes = from->offset_bytes;
        p->size_bytes = from->size_bytes;
        if (made->wrong_table)
            p->uuid.bytes[0] ^= 1;
    }
    return m;
}

static int cut(int fd, uint64_t size, struct ib_frames *ret)
{
    const struct ib_frames_job job = {.fd = fd, .size = size, .name = "input"};
    int store = ib_temp_file(dir, NULL);

    cr_assert_eq(ib_frames_make(&job, store, ret, NULL), 0);
    return store;
}

/* Makes an artifact; the caller frees its path. */
static char *make_image(const struct made *made, const char *name)
{
    struct ib_gpt_partition partitions[2];
    struct ib_gpt gpt = {.partitions = partitions, .partition_count = 2};
    struct ib_buf head = {0}, tail = {0};
    struct ib_frames esp_frames = {0}, root_frames = {0};
    struct ib_artifact_result result;
    struct ib_error *err = NULL;
    uint64_t root_size;
    int esp = make_esp(made), root = make_root(made, &root_size);
    char *path = ib_path_join(dir, name);

    make_partition(&partitions[0], IB_GPT_ESP, "esp", 16 * IB_MIB, made->node);
    make_partition(&partitions[1], IB_GPT_ROOT, "control_1", root_size, "root");
    partitions[1].attributes = IB_GPT_READ_ONLY;
    ib_uuid_derive("disk", made->node, &gpt.disk);
    cr_assert_eq(ib_gpt_make(&gpt, dir, &head, &tail, NULL), 0);
    int esp_store = cut(esp, 16 * IB_MIB, &esp_frames),
        root_store = cut(root, root_size, &root_frames);
    const struct ib_artifact_extent extents[] = {
        {.data = head.data, .size = head.size},
        {.offset_bytes = partitions[0].offset_bytes, .frames = &esp_frames, .fd = esp_store},
        {.offset_bytes = partitions[1].offset_bytes, .frames = &root_frames, .fd = root_store},
        {.offset_bytes = gpt.disk_size_bytes - tail.size, .data = tail.data, .size = tail.size},
    };
    struct ib_manifest *m = make_manifest(made, &gpt);
    cr_assert_eq(ib_artifact_write(m, extents, 4, path, NULL, &result, &err), 0, "%s",
                 ib_error_text(err));
    close(esp), close(root), close(esp_store), close(root_store);
    ib_manifest_free(m), ib_buf_clear(&head), ib_buf_clear(&tail);
    ib_frames_clear(&esp_frames), ib_frames_clear(&root_frames);
    return path;
}

static const struct made odin = {"odin", "welcome\n", "5.2-1", 0755, false};

static void check_image(const struct ib_image *image)
{
    struct ib_buf text = {0};

    cr_assert_eq(image->gpt.partition_count, 2);
    cr_assert_eq(ib_image_partition(image, "root-x86-64"), &image->gpt.partitions[1]);
    cr_assert_eq(image->uki_count, 1);
    const struct ib_image_uki *u = &image->ukis[0];
    cr_assert_str_eq(u->name, "EFI/Linux/odin_1.efi");
    cr_assert_str_eq(u->cmdline, "imgbuild.node=odin");
    cr_assert_str_eq(u->os_release, "ID=test\n");
    cr_assert_str_eq(u->uname, "6.12.0");
    cr_assert_not(u->is_signed);
    cr_assert_not_null(u->identity);
    cr_assert_eq(ib_tree_read_file(u->identity, "etc/hostname", 100, &text, NULL), 0);
    cr_assert_str_eq((char *)text.data, "odin");
    ib_buf_clear(&text);
}

Test(inspect, artifact_and_raw_disk)
{
    struct ib_error *err = NULL;
    char *path = make_image(&odin, "odin.img.zst"), *raw = ib_path_join(dir, "raw");
    struct ib_image_sizes sizes;

    struct ib_image *image = ib_image_open(path, dir, NULL, &err);
    cr_assert_not_null(image, "%s", ib_error_text(err));
    check_image(image);
    cr_assert_str_eq(ib_image_manifest(image)->node, "odin");
    ib_image_get_sizes(image, &sizes);
    cr_assert(sizes.disk == image->gpt.disk_size_bytes && sizes.content < sizes.disk);
    cr_assert(sizes.packed > 0 && sizes.packed < sizes.content);

    int fd = open(raw, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(ib_artifact_unpack(image->artifact, 0, 0, fd, NULL, NULL, &err), 0);
    close(fd);
    struct ib_image *disk = ib_image_open(raw, dir, NULL, &err);
    cr_assert_not_null(disk, "%s", ib_error_text(err));
    check_image(disk);
    cr_assert_null(ib_image_manifest(disk));
    struct ib_diff diff = {0};
    cr_assert_eq(ib_diff_run(image, disk, dir, NULL, &diff, &err), 0);
    cr_assert_eq(diff.sections[IB_DIFF_ROOT].count, 0);
    cr_assert_gt(diff.sections[IB_DIFF_ROOT].same, 4);
    cr_assert_eq(diff.sections[IB_DIFF_PARTITIONS].count, 0);
    cr_assert(diff.sections[IB_DIFF_UKI].identical);
    ib_diff_clear(&diff);
    ib_image_free(image), ib_image_free(disk), free(path), free(raw);
}

Test(inspect, a_table_that_the_manifest_does_not_list_is_refused)
{
    const struct made wrong = {"odin", "", "1", 0755, true};
    struct ib_error *err = NULL;
    char *path = make_image(&wrong, "odin.img.zst");

    cr_assert_null(ib_image_open(path, dir, NULL, &err));
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_clear(&err);
    free(path);
}

static const struct ib_diff_item *find(const struct ib_diff *diff, int section, const char *name)
{
    const struct ib_diff_section *s = &diff->sections[section];

    for (size_t i = 0; i < s->count; i++)
        if (ib_streq(s->items[i].name, name))
            return &s->items[i];
    return NULL;
}

static void run_diff(const struct made *x, const struct made *y, struct ib_diff *ret)
{
    struct ib_error *err = NULL;
    char *p = make_image(x, "a.img.zst"), *q = make_image(y, "b.img.zst");
    struct ib_image *a = ib_image_open(p, dir, NULL, &err);
    struct ib_image *b = ib_image_open(q, dir, NULL, &err);

    cr_assert(a && b, "%s", ib_error_text(err));
    cr_assert_eq(ib_diff_run(a, b, dir, NULL, ret, &err), 0, "%s", ib_error_text(err));
    ib_image_free(a), ib_image_free(b), free(p), free(q);
}

/* Nodes of one role: identity, boot image and what follows from them, nothing else. */
Test(diff, two_nodes_of_a_role)
{
    struct made freyja = odin;
    struct ib_diff diff = {0};

    freyja.node = "freyja";
    run_diff(&odin, &freyja, &diff);
    cr_assert(diff.sections[IB_DIFF_ROOT].identical);
    cr_assert_eq(diff.sections[IB_DIFF_PACKAGES].count, 0);
    cr_assert_eq(diff.sections[IB_DIFF_PACKAGES].same, 2);
    cr_assert_eq(diff.sections[IB_DIFF_SOURCES].count, 0);
    cr_assert_eq(diff.sections[IB_DIFF_IDENTITY].count, 1);
    const struct ib_diff_item *hostname = find(&diff, IB_DIFF_IDENTITY, "etc/hostname");
    cr_assert_not_null(hostname);
    cr_assert_str_eq(hostname->what, "content");
    cr_assert_str_eq(find(&diff, IB_DIFF_IMAGE, "node")->to, "freyja");
    cr_assert_not_null(find(&diff, IB_DIFF_UKI, "command line"));
    cr_assert_null(find(&diff, IB_DIFF_UKI, ".linux"));
    cr_assert_eq(diff.sections[IB_DIFF_PARTITIONS].count, 1);
    cr_assert_str_eq(find(&diff, IB_DIFF_PARTITIONS, "1")->what, "entry, content");
    cr_assert(diff.have_frames && diff.new_raw_bytes > 0 && diff.new_size_bytes < 200000);
    ib_diff_clear(&diff);
}

Test(diff, the_same_image_twice)
{
    struct ib_diff diff = {0};

    run_diff(&odin, &odin, &diff);
    cr_assert(ib_diff_is_empty(&diff));
    cr_assert_eq(diff.new_raw_bytes, 0);
    ib_diff_clear(&diff);
}

Test(diff, files_of_the_root)
{
    struct made other = odin, without = odin;
    struct ib_diff diff = {0};

    other.motd = "WELCOME\n";
    other.shell_mode = 04755;
    other.version = "5.2-2";
    run_diff(&odin, &other, &diff);
    cr_assert_eq(diff.sections[IB_DIFF_ROOT].count, 2);
    cr_assert_str_eq(find(&diff, IB_DIFF_ROOT, "etc/motd")->what, "content");
    const struct ib_diff_item *sh = find(&diff, IB_DIFF_ROOT, "usr/bin/sh");
    cr_assert_str_eq(sh->what, "mode");
    cr_assert_str_eq(sh->from, "file 0755 0:0 97.7 KiB");
    cr_assert_str_eq(find(&diff, IB_DIFF_PACKAGES, "bash:amd64")->to, "5.2-2");
    cr_assert(diff.sections[IB_DIFF_UKI].identical);
    ib_diff_clear(&diff);

    without.motd = "";
    run_diff(&odin, &without, &diff);
    cr_assert_eq(find(&diff, IB_DIFF_ROOT, "etc/motd")->kind, IB_DIFF_REMOVED);
    cr_assert_eq(find(&diff, IB_DIFF_ROOT, "etc")->kind, IB_DIFF_REMOVED);
    cr_assert_eq(diff.sections[IB_DIFF_ROOT].count, 2);
    ib_diff_clear(&diff);
}
