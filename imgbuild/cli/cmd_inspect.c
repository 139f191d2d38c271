/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild inspect: what an image holds. */
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/text.h"
#include "ops/inspect.h"

static void print_field(FILE *out, const char *name, const char *value)
{
    if (!value || !*value)
        return;
    fprintf(out, "  %-14s ", name);
    ib_text_print(out, value);
    fputc('\n', out);
}

static void print_summary(const struct ib_image *image, FILE *out)
{
    const struct ib_manifest *m = ib_image_manifest(image);
    struct ib_image_sizes sizes;
    char a[16], b[16], c[16];

    ib_image_get_sizes(image, &sizes);
    ib_format_size(sizes.packed, a);
    ib_format_size(sizes.disk, b);
    ib_format_size(sizes.content, c);
    ib_text_print(out, image->path);
    fputc('\n', out);
    if (!m) {
        fprintf(out, "  a raw disk of %s, without a manifest\n", b);
        return;
    }
    print_field(out, "node", m->node);
    print_field(out, "role", m->role);
    print_field(out, "version", m->version);
    print_field(out, "base", m->base);
    print_field(out, "architecture", m->architecture);
    print_field(out, "kernel", m->kernel);
    print_field(out, "command line", m->cmdline);
    print_field(out, "made by", m->tool);
    fprintf(out, "  %-14s %s in %zu frames\n", "packed", a, sizes.frames);
    fprintf(out, "  %-14s %s, of which %s are not zeros\n", "unpacked", b, c);
}

static void print_partitions(const struct ib_image *image, FILE *out)
{
    char offset[16], size[16], packed[16], uuid[IB_UUID_TEXT_SIZE];

    fprintf(out, "\npartitions (disk %s)\n", ib_uuid_format(&image->gpt.disk, uuid));
    for (size_t i = 0; i < image->gpt.partition_count; i++) {
        const struct ib_gpt_partition *p = &image->gpt.partitions[i];
        const char *type = ib_gpt_type_name(&p->type);
        ib_format_size(ib_image_packed_size(image, p->offset_bytes, p->size_bytes), packed);
        fprintf(out, "  %zu  %-20s %s at %s", i + 1, type ? type : ib_uuid_format(&p->type, uuid),
                ib_format_size(p->size_bytes, size), ib_format_size(p->offset_bytes, offset));
        if (image->artifact)
            fprintf(out, ", packed %s", packed);
        fputs(p->attributes & IB_GPT_READ_ONLY ? ", read-only\n" : "\n", out);
        fprintf(out, "     %s  ", ib_uuid_format(&p->uuid, uuid));
        ib_text_print(out, p->label);
        fputc('\n', out);
    }
}

/* ib_tree_fn */
static int print_identity_file(struct ib_node *node, const char *path, void *userdata)
{
    const struct ib_inode *inode = node->inode;
    FILE *out = userdata;

    if (!*path || S_ISDIR(inode->mode))
        return 0;
    fprintf(out, "     %04o %8llu  ", inode->mode & 07777, (unsigned long long)inode->size);
    ib_text_print(out, path);
    if (inode->target) {
        fputs(" -> ", out);
        ib_text_print(out, inode->target);
    }
    fputc('\n', out);
    return 0;
}

static int print_ukis(const struct ib_image *image, FILE *out)
{
    char size[16];

    for (size_t i = 0; i < image->uki_count; i++) {
        const struct ib_image_uki *u = &image->ukis[i];
        const char *machine = ib_pe_machine_name(u->pe.machine);
        fputs("\nboot image ", out);
        ib_text_print(out, u->name);
        fprintf(out, " (%s, %s, %s)\n", ib_format_size(u->size_bytes, size),
                machine ? machine : "unknown machine", u->is_signed ? "signed" : "not signed");
        for (size_t j = 0; j < u->pe.section_count; j++) {
            const struct ib_pe_section *s = &u->pe.sections[j];
            fprintf(out, "  %-10.8s %s\n", s->name, ib_format_size(s->virtual_size, size));
        }
        if (!u->identity)
            continue;
        fputs("  identity\n", out);
        if (ib_tree_walk(u->identity, print_identity_file, out) < 0)
            return -1;
    }
    return 0;
}

static void print_lists(const struct ib_manifest *m, FILE *out)
{
    char hex[IB_SHA256_HEX_SIZE];

    if (m->source_count)
        fprintf(out, "\nsources (%zu)\n", m->source_count);
    for (size_t i = 0; i < m->source_count; i++) {
        fputs("  ", out);
        ib_text_print(out, m->sources[i].name);
        fputs("  ", out);
        ib_text_print(out, m->sources[i].url);
        fprintf(out, "\n    sha256 %s\n", ib_sha256_hex(&m->sources[i].sha256, hex));
    }
    if (m->without.count)
        fputs("\nleft out\n", out);
    for (size_t i = 0; i < m->without.count; i++) {
        fputs("  ", out);
        ib_text_print(out, m->without.items[i]);
        fputc('\n', out);
    }
    if (m->package_count)
        fprintf(out, "\npackages (%zu)\n", m->package_count);
    for (size_t i = 0; i < m->package_count; i++) {
        fputs("  ", out);
        ib_text_print(out, m->packages[i].name);
        fputc(' ', out);
        ib_text_print(out, m->packages[i].version);
        fputc(' ', out);
        ib_text_print(out, m->packages[i].arch);
        fputc('\n', out);
    }
}

/* Text that may not be UTF-8, and may not be there. */
static json_t *text_json(const char *text)
{
    json_t *value = text ? json_string(text) : json_null();

    return value ? value : json_null();
}

/* ib_tree_fn */
static int add_identity_file(struct ib_node *node, const char *path, void *userdata)
{
    json_t *o;

    if (!*path)
        return 0;
    o = json_pack("{s:o, s:I, s:I}", "path", text_json(path), "mode", (json_int_t)node->inode->mode,
                  "size", (json_int_t)node->inode->size);
    json_array_append_new(userdata, o);
    return 0;
}

static json_t *uki_json(const struct ib_image_uki *u)
{
    json_t *sections = json_array(), *identity = json_array();
    char hex[IB_SHA256_HEX_SIZE];

    for (size_t i = 0; i < u->pe.section_count; i++)
        json_array_append_new(sections,
                              json_pack("{s:o, s:I}", "name", text_json(u->pe.sections[i].name),
                                        "size", (json_int_t)u->pe.sections[i].virtual_size));
    if (u->identity && ib_tree_walk(u->identity, add_identity_file, identity) != 0)
        json_array_clear(identity);
    return json_pack("{s:o, s:I, s:s, s:b, s:o, s:o, s:o, s:o, s:o}", "name", text_json(u->name),
                     "size", (json_int_t)u->size_bytes, "sha256", ib_sha256_hex(&u->sha256, hex),
                     "signed", u->is_signed, "cmdline", text_json(u->cmdline), "os_release",
                     text_json(u->os_release), "kernel", text_json(u->uname), "sections", sections,
                     "identity", identity);
}

static json_t *partitions_json(const struct ib_image *image)
{
    json_t *list = json_array();
    char type[IB_UUID_TEXT_SIZE], uuid[IB_UUID_TEXT_SIZE];

    for (size_t i = 0; i < image->gpt.partition_count; i++) {
        const struct ib_gpt_partition *p = &image->gpt.partitions[i];
        json_array_append_new(
            list, json_pack("{s:I, s:o, s:s, s:s, s:o, s:I, s:I, s:b}", "number", (json_int_t)i + 1,
                            "type", text_json(ib_gpt_type_name(&p->type)), "type_uuid",
                            ib_uuid_format(&p->type, type), "uuid", ib_uuid_format(&p->uuid, uuid),
                            "label", text_json(p->label), "offset", (json_int_t)p->offset_bytes,
                            "size", (json_int_t)p->size_bytes, "read_only",
                            (p->attributes & IB_GPT_READ_ONLY) != 0));
    }
    return list;
}

static void print_json(const struct ib_image *image, FILE *out)
{
    json_t *o = json_object(), *ukis = json_array(), *manifest = json_null();
    struct ib_image_sizes sizes;
    char uuid[IB_UUID_TEXT_SIZE];

    if (image->artifact) {
        size_t size;
        const char *text = ib_artifact_json(image->artifact, &size);
        json_t *parsed = json_loadb(text, size, 0, NULL); /* it was parsed before */
        json_object_del(parsed, "frames");
        manifest = parsed ? parsed : manifest;
    }
    for (size_t i = 0; i < image->uki_count; i++)
        json_array_append_new(ukis, uki_json(&image->ukis[i]));
    ib_image_get_sizes(image, &sizes);
    json_object_set_new(o, "path", text_json(image->path));
    json_object_set_new(o, "packed_size", json_integer((json_int_t)sizes.packed));
    json_object_set_new(o, "disk_size", json_integer((json_int_t)sizes.disk));
    json_object_set_new(o, "content_size", json_integer((json_int_t)sizes.content));
    json_object_set_new(o, "frame_count", json_integer((json_int_t)sizes.frames));
    json_object_set_new(o, "disk_uuid", json_string(ib_uuid_format(&image->gpt.disk, uuid)));
    json_object_set_new(o, "partitions", partitions_json(image));
    json_object_set_new(o, "boot_images", ukis);
    json_object_set_new(o, "manifest", manifest);
    json_dumpf(o, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(o);
}

static int run(struct ib_cli *cli, void *options _unused_, int argc _unused_, char **argv,
               struct ib_error **err)
{
    const char *temp_dir = getenv("TMPDIR");
    _cleanup_(ib_image_freep) struct ib_image *image =
        ib_image_open(argv[0], temp_dir && *temp_dir ? temp_dir : "/var/tmp", cli->progress, err);

    if (!image)
        return -1;
    if (cli->json) {
        print_json(image, cli->out);
        return 0;
    }
    print_summary(image, cli->out);
    print_partitions(image, cli->out);
    if (print_ukis(image, cli->out) < 0)
        return -1;
    if (ib_image_manifest(image))
        print_lists(ib_image_manifest(image), cli->out);
    return 0;
}

const struct ib_command ib_command_inspect = {
    .name = "inspect",
    .arguments = "IMAGE",
    .summary = "show what an image holds",
    .description =
        "Shows an image's node, versions and sizes, its partitions, the boot images in its EFI "
        "system partition with the identity they carry, its sources and its packages. Every part "
        "of the file that is read is checked against the manifest's hashes first.\n\n"
        "IMAGE is an artifact (NODE_VERSION.img.zst) or a raw disk image. Nothing is mounted, and "
        "no privilege is needed.",
    .example = "imgbuild inspect out/odin_2026.11.22.img.zst",
    .min_args = 1,
    .max_args = 1,
    .argument_kind = IB_ARG_FILE,
    .run = run,
};
