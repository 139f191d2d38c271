/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/recovery.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "image/gpt.h"
#include "ops/fetch.h"
#include "recovery_internal.h"

enum { ESP, DATA, PARTITIONS };

static void recovery_clear(struct ib_recovery *r)
{
    ib_cache_entry_free(r->initrd);
    ib_temp_dirp(&r->dir);
    free(r->esp);
}

/* Without these a stick is not found. Profiles name them too; where not, and the kernel has them
 * built in or not at all, it is for the profile to say. */
static void collect_drivers(const struct ib_recovery *r, struct ib_strv *ret)
{
    for (size_t i = 0; i < r->options->node_count; i++)
        ib_strv_append(ret, &r->options->nodes[i].spec->drivers);
    ib_strv_add_all(ret, (const char *const[]){"sd_mod", "uas", "usb_storage", "xhci_pci", NULL});
    ib_strv_sort_unique(ret);
}

/* What the base is made of, where it has to be made. Its payloads are not needed. */
static int fetch_base(const struct ib_recovery *r, struct ib_error **err)
{
    struct ib_project *project = r->build->project;
    const struct ib_root_spec *root = r->options->nodes[0].spec->root;
    _cleanup_(ib_needs_clear) struct ib_needs needs = {0};
    _cleanup_(ib_strv_clear) struct ib_strv without = {0};
    _cleanup_(ib_key_freep) struct ib_key *key = ib_stage_base_key(r->build, root->base, err);

    if (!key)
        return -1;
    if (ib_cache_entry_exists(project->cache, key))
        return 0;
    for (size_t i = 0; i < root->payloads.count; i++)
        ib_strv_add(&without, root->payloads.items[i].name);
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(project->progress, NULL, "fetch", NULL, 0, IB_UNIT_NONE);
    const struct ib_needs_options options = {
        .offline = r->options->offline,
        .mirrors = r->options->mirrors,
        .step = step,
    };
    if (ib_needs_of_root(project, root, &without, &needs, err) < 0 ||
        ib_needs_fetch(&needs, project, &options, err) < 0)
        return -1;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

static int check_nodes(const struct ib_recovery *r, struct ib_error **err)
{
    const struct ib_node_spec *first = r->options->nodes[0].spec;

    for (size_t i = 1; i < r->options->node_count; i++) {
        const struct ib_node_spec *node = r->options->nodes[i].spec;
        if (node->root->base->architecture == first->root->base->architecture)
            continue;
        ib_failf(err, IB_E_INVALID, "'%s' and '%s' are machines of two architectures", first->name,
                 node->name);
        return ib_hint(err, "make a stick for each architecture");
    }
    return 0;
}

static int get_initrd(struct ib_recovery *r, struct ib_step *step, struct ib_error **err)
{
    const struct ib_base *base = r->options->nodes[0].spec->root->base;
    _cleanup_(ib_strv_clear) struct ib_strv drivers = {0};

    if (fetch_base(r, err) < 0)
        return -1;
    collect_drivers(r, &drivers);
    r->initrd = ib_stage_rescue_initrd(r->build, base, &drivers, step, err);
    return r->initrd ? 0 : -1;
}

static int copy_disk_rule(const struct ib_disk_rule *from, struct ib_disk_rule *ret,
                          struct ib_error **err)
{
    _cleanup_(ib_freep) char *text = ib_disk_rule_text(from);

    return ib_disk_rule_parse(text, ret, err);
}

static int add_node(const struct ib_recovery *r, const struct ib_recovery_node *from,
                    struct ib_medium_writer *writer, struct ib_step *parent, struct ib_error **err)
{
    struct ib_progress *progress = r->build->project->progress;
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(progress, parent, "check", from->artifact, 0, IB_UNIT_NONE);
    _cleanup_(ib_medium_node_clear) struct ib_medium_node node = {
        .name = ib_strdup(from->spec->name), .mac = from->spec->mac};

    if (copy_disk_rule(&from->spec->install_disk, &node.install_disk, err) < 0 ||
        ib_medium_writer_add(writer, &node, from->artifact, progress, err) < 0)
        return ib_wrap(err, from->artifact, "put on the stick");
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

/* Where everything lies. Its UUIDs follow from the medium's identity, the data's are its head. */
static int make_gpt(const struct ib_recovery *r, const struct ib_sha256 *id, uint64_t data_size,
                    struct ib_gpt *gpt, struct ib_buf *head, struct ib_buf *tail,
                    struct ib_error **err)
{
    const struct ib_base *base = r->options->nodes[0].spec->root->base;
    const char *arch = base->architecture == IB_ARCH_AARCH64 ? "arm64" : "x86-64";
    struct ib_gpt_partition *esp = &gpt->partitions[ESP], *data = &gpt->partitions[DATA];
    char hex[IB_SHA256_HEX_SIZE];

    ib_sha256_hex(id, hex);
    strcpy(esp->label, "esp");
    strcpy(data->label, "imgbuild-recovery");
    esp->size_bytes = r->esp_size;
    data->size_bytes = data_size;
    data->attributes = IB_GPT_READ_ONLY | IB_GPT_NO_AUTO;
    memcpy(data->uuid.bytes, id->bytes, sizeof(data->uuid.bytes));
    ib_uuid_derive("imgbuild recovery esp", hex, &esp->uuid);
    ib_uuid_derive("imgbuild recovery disk", hex, &gpt->disk);
    if (!ib_gpt_type_uuid(IB_GPT_ESP, arch, &esp->type) ||
        !ib_gpt_type_uuid(IB_GPT_LINUX, arch, &data->type))
        return ib_failf(err, IB_E_INTERNAL, "no partition types for %s", arch);
    return ib_gpt_make(gpt, r->dir, head, tail, err);
}

static int write_at(int fd, const struct ib_buf *data, uint64_t offset, const char *path,
                    struct ib_error **err)
{
    if (ib_pwrite_full(fd, data->data, data->size, offset) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "write");
    return 0;
}

static int copy_esp(const struct ib_recovery *r, int fd, uint64_t offset, const char *path,
                    struct ib_error **err)
{
    _cleanup_(ib_closep) int esp = ib_open_read(r->esp, err);

    if (esp < 0)
        return -1;
    if (lseek(fd, (off_t)offset, SEEK_SET) < 0 || ib_copy_range(esp, 0, fd, r->esp_size) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "write");
    return 0;
}

static int write_image(const struct ib_recovery *r, struct ib_medium_writer *writer,
                       const struct ib_sha256 *id, uint64_t data_size, const char *path,
                       struct ib_step *parent, uint64_t *ret_size, struct ib_error **err)
{
    struct ib_gpt_partition partitions[PARTITIONS] = {0};
    struct ib_gpt gpt = {.partitions = partitions, .partition_count = PARTITIONS};
    _cleanup_(ib_buf_clear) struct ib_buf head = {0}, tail = {0};
    struct ib_progress *progress = r->build->project->progress;

    if (make_gpt(r, id, data_size, &gpt, &head, &tail, err) < 0)
        return -1;
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(progress, parent, "write", path, data_size, IB_UNIT_BYTES);
    _cleanup_(ib_atomic_freep) struct ib_atomic *file = ib_atomic_open(path, 0644, err);
    if (!file)
        return -1;
    int fd = ib_atomic_fd(file);
    uint64_t size = gpt.disk_size_bytes;
    if (ftruncate(fd, (off_t)size) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "set the size of");
    if (write_at(fd, &head, 0, path, err) < 0 ||
        write_at(fd, &tail, size - tail.size, path, err) < 0 ||
        copy_esp(r, fd, partitions[ESP].offset_bytes, path, err) < 0)
        return -1;
    if (lseek(fd, (off_t)partitions[DATA].offset_bytes, SEEK_SET) < 0)
        return ib_fail(err, IB_E_IO, errno, path, "write");
    if (ib_medium_writer_write(writer, fd, progress, step, err) < 0 ||
        ib_atomic_commit_new(file, err) < 0)
        return -1;
    *ret_size = size;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

int ib_recovery_make(struct ib_project *project, const struct ib_recovery_options *options,
                     const char *path, struct ib_recovery_result *ret, struct ib_error **err)
{
    const struct ib_build_options build_options = {
        .sandbox = options->sandbox,
        .offline = options->offline,
        .mirrors = options->mirrors,
        .key = options->key,
        .certificate = options->certificate,
    };
    struct ib_build build = {.project = project, .options = &build_options};
    _cleanup_(recovery_clear) struct ib_recovery r = {.build = &build, .options = options};
    _cleanup_(ib_medium_writer_freep) struct ib_medium_writer *writer = ib_medium_writer_new();
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(project->progress, NULL, "recovery", NULL, 0, IB_UNIT_NONE);
    struct ib_recovery_result result = {0};

    if (check_nodes(&r, err) < 0)
        return -1;
    for (size_t i = 0; i < options->node_count; i++)
        if (add_node(&r, &options->nodes[i], writer, step, err) < 0)
            return -1;
    if (ib_medium_writer_finish(writer, &result.id, &result.data_bytes, err) < 0)
        return -1;
    result.artifact_bytes = ib_medium_writer_artifact_bytes(writer);
    r.dir = ib_cache_temp_dir(project->cache, "recovery", err);
    if (!r.dir || get_initrd(&r, step, err) < 0 || ib_recovery_make_esp(&r, &result.id, err) < 0 ||
        write_image(&r, writer, &result.id, result.data_bytes, path, step, &result.size_bytes,
                    err) < 0)
        return ib_wrapf(err, "cannot make the recovery stick");
    *ret = result;
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}
