/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/artifacts.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/disk_list.h"
#include "io/trust.h"
#include "model/disk_rule.h"
#include "ops/flash.h"

struct options {
    bool list, all, dry_run, yes, to_file;
    const char *delta, *read_back, *ca_file, *output, *bmap;
    struct ib_strv keep, key;
    uint64_t threads;
};

/* What one run of the command works with. */
struct flash {
    struct ib_cli *cli;
    const struct options *options;
    struct ib_project project; /* opened for a node's name */
    char *spec;
    struct ib_source_options source;
    struct ib_flash_image *image;
    struct ib_disk disk; /* unused with --to-file */
    struct ib_strv keep;
    struct ib_flash_plan plan;
    struct ib_target *target;
    struct ib_flash_result result;
    const char *file; /* --to-file */
    bool made_file;
};

static void flash_clear(struct flash *f)
{
    ib_target_free(f->target);
    ib_flash_plan_clear(&f->plan);
    ib_strv_clear(&f->keep);
    ib_disk_clear(&f->disk);
    ib_flash_image_free(f->image);
    free(f->spec);
    ib_project_clear(&f->project);
}

static bool is_url(const char *s)
{
    return ib_startswith(s, "http://") || ib_startswith(s, "https://");
}

/* The map that was named, or the one beside a file that is no artifact. */
static int use_bmap(struct flash *f, struct ib_error **err)
{
    _cleanup_(ib_freep) char *found = NULL;

    if (f->options->bmap)
        return ib_flash_image_use_bmap(f->image, f->options->bmap, err);
    if (ib_flash_image_fd(f->image) < 0 || ib_flash_image_manifest(f->image))
        return 0;
    found = ib_flash_find_bmap(f->spec);
    return found ? ib_flash_image_use_bmap(f->image, found, err) : 0;
}

static int open_image(struct flash *f, const char *what, struct ib_error **err)
{
    const struct options *o = f->options;

    f->spec = ib_streq(what, "-") || is_url(what)
                  ? ib_strdup(what)
                  : ib_cli_find_artifact(f->cli, what, o->output, &f->project, NULL, err);
    if (!f->spec)
        return -1;
    f->source = (struct ib_source_options){.ca_file = o->ca_file, .progress = f->cli->progress};
    f->image = ib_flash_image_open(f->spec, &f->source, err);
    if (!f->image || use_bmap(f, err) < 0)
        return -1;
    const struct ib_trust_sources sources = {.files = &o->key, .project_dir = f->project.dir};
    _cleanup_(ib_trust_freep) struct ib_trust *trust = ib_trust_load(&sources, err);
    if (!trust)
        return -1;
    if (!ib_flash_image_manifest(f->image)) {
        if (o->key.count == 0)
            return 0;
        ib_failf(err, IB_E_VERIFY, "'%s' is no artifact of imgbuild and has no signature", f->spec);
        return ib_hint(err, "leave --key out to write it all the same");
    }
    const struct ib_buf *json = ib_flash_image_json(f->image);
    const struct ib_buf *signature = ib_flash_image_signature(f->image);
    return ib_trust_verify_manifest(trust, json->data, json->size, signature->data, signature->size,
                                    f->spec, err);
}

static void split_keep(const struct ib_strv *lists, struct ib_strv *ret)
{
    for (size_t i = 0; i < lists->count; i++) {
        _cleanup_(ib_freep) char *list = ib_strdup(lists->items[i]);
        char *save = NULL;
        for (char *label = strtok_r(list, ",", &save); label; label = strtok_r(NULL, ",", &save))
            ib_strv_add(ret, label);
    }
}

static int plan(struct flash *f, struct ib_error **err)
{
    struct ib_disk *disk = f->file ? NULL : &f->disk;
    int fd = ib_flash_image_fd(f->image);

    if (disk && fd >= 0 && ib_disk_refuse_if_holds(disk, fd, f->spec, err) < 0)
        return -1;
    if (disk && ib_disk_check(disk, err) < 0)
        return ib_wrap(err, disk->path, "write to");
    split_keep(&f->options->keep, &f->keep);
    struct stat st;
    uint64_t file_size = f->file && stat(f->file, &st) == 0 ? (uint64_t)st.st_size : 0;
    return ib_flash_plan_make(f->image, disk, file_size, &f->keep, &f->plan, err);
}

/* --- what the user sees before being asked --------------------------------------------------- */

static void show_plan(const struct flash *f, FILE *out)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    ib_flash_plan_describe(f->image, &f->plan, f->file ? NULL : &f->disk, f->file, &text);
    fwrite(text.data, 1, text.size, out);
}

static int confirm(const struct flash *f, struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    ib_flash_plan_describe(f->image, &f->plan, &f->disk, NULL, &text);
    return ib_cli_confirm_disk(&f->disk, (const char *)text.data, err);
}

/* --- results --------------------------------------------------------------------------------- */

static json_t *optional(const char *s)
{
    return s ? json_string(s) : json_null();
}

static void print_json(const struct flash *f, uint64_t elapsed_ms)
{
    const struct ib_flash_result *r = &f->result;
    const struct ib_manifest *m = ib_flash_image_manifest(f->image);
    json_t *kept = json_array();

    for (size_t i = 0; i < f->plan.kept_count; i++)
        json_array_append_new(kept, json_string(f->plan.kept[i].label));
    json_t *root =
        json_pack("{s:s, s:s, s:o, s:o, s:s, s:b, s:o}", "source", f->spec, "format",
                  ib_flash_image_format(f->image), "node", optional(m ? m->node : NULL), "version",
                  optional(m ? m->version : NULL), "target", f->file ? f->file : f->disk.path,
                  "dry_run", f->options->dry_run, "kept", kept);
    if (!f->options->dry_run)
        json_object_set_new(root, "result",
                            json_pack("{s:I, s:I, s:I, s:I, s:b, s:I}", "written_bytes",
                                      (json_int_t)r->written_bytes, "zeroed_bytes",
                                      (json_int_t)r->zeroed_bytes, "unchanged_bytes",
                                      (json_int_t)r->unchanged_bytes, "read_back_bytes",
                                      (json_int_t)r->read_back_bytes, "delta", r->delta,
                                      "elapsed_ms", (json_int_t)elapsed_ms));
    json_dumpf(root, f->cli->out, JSON_INDENT(2));
    fputc('\n', f->cli->out);
    json_decref(root);
}

static void print_text(const struct flash *f, uint64_t elapsed_ms)
{
    const struct ib_flash_result *r = &f->result;
    char written[16], unchanged[16], back[16];

    fprintf(f->cli->out, "%s: wrote %s in %" PRIu64 ".%" PRIu64 " s",
            f->file ? f->file : f->disk.path, ib_format_size(r->written_bytes, written),
            elapsed_ms / 1000, elapsed_ms % 1000 / 100);
    if (r->delta)
        fprintf(f->cli->out, ", %s were there already",
                ib_format_size(r->unchanged_bytes, unchanged));
    if (r->read_back_bytes)
        fprintf(f->cli->out, ", %s read back and compared",
                ib_format_size(r->read_back_bytes, back));
    fputc('\n', f->cli->out);
}

static enum ib_flash_choice choice(const char *value)
{
    return ib_streq(value, "always")  ? IB_FLASH_ALWAYS
           : ib_streq(value, "never") ? IB_FLASH_NEVER
                                      : IB_FLASH_AUTO;
}

static int open_target(struct flash *f, struct ib_error **err)
{
    if (f->file) {
        f->made_file = !ib_path_exists(f->file);
        f->target = ib_target_open_file(f->file, f->plan.target_size, !f->made_file, err);
    } else {
        f->target = ib_target_open_disk(&f->disk, err);
    }
    return f->target ? 0 : -1;
}

static int write_image(struct flash *f, struct ib_error **err)
{
    const struct ib_flash_options options = {
        .delta = choice(f->options->delta),
        .read_back = choice(f->options->read_back),
        .threads = (unsigned)IB_MIN(f->options->threads, (uint64_t)64),
        .progress = f->cli->progress,
    };
    uint64_t begin = ib_now_ms();

    if (open_target(f, err) < 0)
        return -1;
    if (ib_flash_run(f->image, &f->plan, f->target, &options, &f->result, err) < 0) {
        if (f->made_file) /* nothing half-written under its name */
            unlink(f->file);
        return -1;
    }
    uint64_t elapsed = ib_now_ms() - begin;
    f->cli->json ? print_json(f, elapsed) : print_text(f, elapsed);
    return 0;
}

static int run_flash(struct flash *f, char **argv, struct ib_error **err)
{
    const struct options *o = f->options;

    f->file = o->to_file ? argv[1] : NULL;
    if (!f->file && ib_disk_choose(argv[1], f->options->all, &f->disk, err) < 0)
        return -1;
    if (open_image(f, argv[0], err) < 0 || plan(f, err) < 0)
        return -1;
    if (o->dry_run) {
        f->cli->json ? print_json(f, 0) : show_plan(f, f->cli->out);
        return 0;
    }
    if (!o->to_file && !o->yes && confirm(f, err) < 0)
        return -1;
    return write_image(f, err);
}

static int run(struct ib_cli *cli, void *options, int argc, char **argv, struct ib_error **err)
{
    const struct options *o = options;
    _cleanup_(flash_clear) struct flash f = {.cli = cli, .options = o};

    if (o->list) {
        if (argc > 0)
            return ib_failf(err, IB_E_USAGE, "--list takes no arguments");
        return ib_cli_list_disks(cli, o->all, err);
    }
    if (argc != 2) {
        ib_failf(err, IB_E_USAGE, "an image and a device are needed");
        return ib_hint(err, "imgbuild flash odin /dev/sdX; imgbuild flash --list shows disks");
    }
    if (o->to_file && o->keep.count > 0)
        return ib_failf(err, IB_E_USAGE, "--keep is for disks, not for --to-file");
    return run_flash(&f, argv, err);
}

static const struct ib_option option_table[] = {
    {"list", 'l', IB_OPT_FLAG, NULL, "show the disks, what is on them, and what forbids writing",
     offsetof(struct options, list), NULL},
    {"dry-run", 'n', IB_OPT_FLAG, NULL, "show what would be done, and write nothing",
     offsetof(struct options, dry_run), NULL},
    {"yes", 'y', IB_OPT_FLAG, NULL, "do not ask (what is refused stays refused)",
     offsetof(struct options, yes), NULL},
    {"keep", 0, IB_OPT_LIST, "LABEL,…",
     "keep these partitions; \"all\": every one behind the image", offsetof(struct options, keep),
     NULL},
    {"delta", 0, IB_OPT_STRING, "WHEN", "write only what differs (auto: if much is there already)",
     offsetof(struct options, delta), "auto|always|never"},
    {"read-back", 0, IB_OPT_STRING, "WHEN", "read and compare afterwards (auto: removable media)",
     offsetof(struct options, read_back), "auto|always|never"},
    {"bmap", 0, IB_OPT_STRING, "FILE", "block map of another program's image (found beside a file)",
     offsetof(struct options, bmap), NULL},
    {"to-file", 0, IB_OPT_FLAG, NULL, "DEVICE is a regular file", offsetof(struct options, to_file),
     NULL},
    {"all", 'a', IB_OPT_FLAG, NULL, "loop, RAM, MD and device-mapper devices, too",
     offsetof(struct options, all), NULL},
    {"key", 0, IB_OPT_LIST, "FILE", "public key that must have signed the image",
     offsetof(struct options, key), NULL},
    {"ca-file", 0, IB_OPT_STRING, "FILE", "certificates to trust for https:// (PEM)",
     offsetof(struct options, ca_file), NULL},
    {"threads", 0, IB_OPT_UINT, "N", "threads that unpack (default: one a processor, at most 8)",
     offsetof(struct options, threads), NULL},
    {"output", 'o', IB_OPT_STRING, "DIR", "where artifacts are (default: out/ in the project)",
     offsetof(struct options, output), NULL},
    {0},
};

const struct ib_command ib_command_flash = {
    .name = "flash",
    .arguments = "SOURCE DEVICE | --list",
    .summary = "write an image to a disk, safely",
    .description =
        "SOURCE is a node's name (its newest artifact), a file, - (a pipe) or an http(s) URL: an "
        "artifact, or any disk image, plain or packed by zstd, xz, gzip, bzip2 or lz4. DEVICE is a "
        "disk's path, or a rule that one disk fits: model=…,serial=…,size>=….\n\n"
        "Disks that are in use, or that this system runs from, are refused. What would be lost is "
        "shown, and the disk must be named again. Frames are checked before they are written, and "
        "the partition table comes last: an interrupted disk does not boot, and the next run "
        "writes only what is missing.",
    .example = "imgbuild flash odin /dev/sdb",
    .min_args = 0,
    .max_args = 2,
    .argument_kind = IB_ARG_NODE,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
