/* SPDX-License-Identifier: Apache-2.0 */
/* imgbuild recovery: a stick that installs nodes without a network, and has a rescue shell. */
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "cli/artifacts.h"
#include "cli/commands.h"
#include "cli/confirm.h"
#include "cli/secret.h"
#include "image/artifact.h"
#include "model/disk_rule.h"
#include "ops/flash.h"
#include "ops/recovery.h"

struct options {
    bool all, any_device, yes, unattended, offline;
    const char *output, *base, *sandbox, *key, *certificate;
    struct ib_strv mirror;
};

/* What one run of the command works with. */
struct recovery {
    struct ib_cli *cli;
    const struct options *options;
    struct ib_project project;
    struct ib_recovery_node *nodes;
    size_t node_count;
    char *dir;           /* holds the image before it goes to a disk */
    struct ib_disk disk; /* unused for a file */
    struct ib_recovery_result made;
};

static void recovery_clear(struct recovery *r)
{
    for (size_t i = 0; i < r->node_count; i++)
        free(r->nodes[i].artifact);
    free(r->nodes);
    ib_temp_dirp(&r->dir);
    ib_disk_clear(&r->disk);
    ib_project_clear(&r->project);
}

/* --- which nodes -------------------------------------------------------------------------------
 */

static int check_signature(const struct ib_trust *trust, const char *path, struct ib_error **err)
{
    _cleanup_(ib_artifact_freep) struct ib_artifact *artifact = ib_artifact_open(path, err);
    size_t json_size, signature_size;

    if (!artifact)
        return -1;
    const char *json = ib_artifact_json(artifact, &json_size);
    const char *signature = ib_artifact_signature(artifact, &signature_size);
    return ib_trust_verify_manifest(trust, json, json_size, signature, signature_size, path, err);
}

static int add_node(struct recovery *r, const char *name, const struct ib_trust *trust,
                    struct ib_error **err)
{
    const struct ib_node_spec *spec = ib_recipe_need_node(r->project.recipe, name, err);
    _cleanup_(ib_freep) char *artifact = NULL;

    if (!spec)
        return -1;
    for (size_t i = 0; i < r->node_count; i++)
        if (r->nodes[i].spec == spec)
            return 0;
    artifact = ib_cli_newest_artifact(&r->project, spec->name, r->options->output, err);
    if (!artifact || check_signature(trust, artifact, err) < 0)
        return -1;
    r->nodes[r->node_count++] = (struct ib_recovery_node){spec, ib_steal(&artifact)};
    return 0;
}

static int add_nodes(struct recovery *r, int argc, char **argv, struct ib_error **err)
{
    static const struct ib_strv no_keys;
    const struct ib_recipe *recipe = r->project.recipe;
    _cleanup_(ib_trust_freep) struct ib_trust *trust = ib_cli_load_trust(r->cli, &no_keys, err);
    size_t count = r->options->all ? recipe->node_specs.count : (size_t)argc;

    if (!trust)
        return -1;
    r->nodes = ib_calloc(count, sizeof(*r->nodes));
    for (size_t i = 0; i < count; i++)
        if (add_node(r, r->options->all ? recipe->node_specs.items[i].name : argv[i], trust, err) <
            0)
            return -1;
    return 0;
}

/* --- where to ----------------------------------------------------------------------------------
 */

static bool is_device(const char *target)
{
    struct stat st;

    return ib_startswith(target, "/dev/") || ib_disk_is_rule(target) ||
           (stat(target, &st) == 0 && S_ISBLK(st.st_mode));
}

static int check_file(const char *path, struct ib_error **err)
{
    if (!ib_path_exists(path))
        return 0;
    ib_failf(err, IB_E_REFUSED, "'%s' is there already", path);
    return ib_hint(err, "remove it, or choose another name");
}

static int make(struct recovery *r, const char *path, struct ib_error **err)
{
    const struct options *o = r->options;
    const struct ib_recovery_options options = {
        .nodes = r->nodes,
        .node_count = r->node_count,
        .unattended = o->unattended,
        .sandbox = ib_cli_sandbox(o->sandbox),
        .offline = o->offline,
        .mirrors = &o->mirror,
        .key = o->key,
        .certificate = o->certificate,
    };

    return ib_recovery_make(&r->project, &options, path, &r->made, err);
}

static int flash(struct recovery *r, const char *path, struct ib_error **err)
{
    _cleanup_(ib_flash_image_freep) struct ib_flash_image *image =
        ib_flash_image_open(path, NULL, err);
    _cleanup_(ib_flash_plan_clear) struct ib_flash_plan plan = {0};
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_target_freep) struct ib_target *target = NULL;
    struct ib_flash_result result;

    if (!image || ib_flash_plan_make(image, &r->disk, 0, NULL, &plan, err) < 0)
        return -1;
    ib_flash_plan_describe(image, &plan, &r->disk, NULL, &text);
    if (!r->options->yes && ib_cli_confirm_disk(&r->disk, (const char *)text.data, err) < 0)
        return -1;
    const struct ib_flash_options options = {.progress = r->cli->progress};
    target = ib_target_open_disk(&r->disk, err);
    return target ? ib_flash_run(image, &plan, target, &options, &result, err) : -1;
}

/* What is refused is refused before the work. */
static int choose_disk(struct recovery *r, const char *what, struct ib_error **err)
{
    bool any = r->options->any_device;
    _cleanup_(ib_disk_clear) struct ib_disk again = {0};

    if (ib_disk_choose(what, any, &r->disk, err) < 0)
        return -1;
    if (ib_disk_check(&r->disk, err) == 0)
        return 0;
    ib_wrap(err, r->disk.path, "write to");
    /* flash's cure is its --all, which means nodes here */
    if (!any && ib_disk_look(r->disk.path, true, &again, NULL) == 0 &&
        ib_disk_check(&again, NULL) == 0)
        ib_hint(err, "say --any-device if this is what you mean");
    return -1;
}

static int make_on_disk(struct recovery *r, const char *what, struct ib_error **err)
{
    if (choose_disk(r, what, err) < 0)
        return -1;
    r->dir = ib_cache_temp_dir(r->project.cache, "stick", err);
    if (!r->dir)
        return -1;
    _cleanup_(ib_freep) char *image = ib_path_join(r->dir, "recovery.img");
    return make(r, image, err) < 0 ? -1 : flash(r, image, err);
}

/* --- results -----------------------------------------------------------------------------------
 */

static void print_result(const struct recovery *r, const char *target)
{
    char size[16], artifacts[16], data[16], hex[IB_SHA256_HEX_SIZE];
    json_t *nodes = json_array();

    for (size_t i = 0; i < r->node_count; i++)
        json_array_append_new(nodes, json_string(r->nodes[i].spec->name));
    if (r->cli->json) {
        json_t *root =
            json_pack("{s:s, s:o, s:I, s:I, s:I, s:s}", "target", target, "nodes", nodes, "size",
                      (json_int_t)r->made.size_bytes, "artifact_bytes",
                      (json_int_t)r->made.artifact_bytes, "data_bytes",
                      (json_int_t)r->made.data_bytes, "medium", ib_sha256_hex(&r->made.id, hex));
        json_dumpf(root, r->cli->out, JSON_INDENT(2));
        fputc('\n', r->cli->out);
        json_decref(root);
        return;
    }
    json_decref(nodes);
    fprintf(r->cli->out, "%s  %s, %zu node%s: %s of artifacts in %s\n", target,
            ib_format_size(r->made.size_bytes, size), r->node_count, r->node_count == 1 ? "" : "s",
            ib_format_size(r->made.artifact_bytes, artifacts),
            ib_format_size(r->made.data_bytes, data));
}

static int run(struct ib_cli *cli, void *options, int argc, char **argv, struct ib_error **err)
{
    const struct options *o = options;
    _cleanup_(recovery_clear) struct recovery r = {.cli = cli, .options = o};
    const char *target = argv[0];

    if ((argc == 1) != o->all) {
        ib_failf(err, IB_E_USAGE,
                 o->all ? "--all and node names do not go together" : "no node was named");
        return ib_hint(err, "imgbuild recovery %s NODE…, or imgbuild recovery %s --all", target,
                       target);
    }
    if (!o->key != !o->certificate)
        return ib_failf(err, IB_E_USAGE, "--key and --certificate go together");
    if (ib_cli_open_project(cli, o->base, &r.project, err) < 0 ||
        add_nodes(&r, argc - 1, argv + 1, err) < 0)
        return -1;
    int done = is_device(target)             ? make_on_disk(&r, target, err)
               : check_file(target, err) < 0 ? -1
                                             : make(&r, target, err);
    if (done == 0)
        print_result(&r, target);
    return done;
}

static const struct ib_option option_table[] = {
    {"all", 'a', IB_OPT_FLAG, NULL, "all nodes", offsetof(struct options, all), NULL},
    {"unattended", 0, IB_OPT_FLAG, NULL, "the stick installs without asking, then switches off",
     offsetof(struct options, unattended), NULL},
    {"any-device", 0, IB_OPT_FLAG, NULL, "DEVICE may be a loop, RAM, MD or device-mapper device",
     offsetof(struct options, any_device), NULL},
    {"yes", 'y', IB_OPT_FLAG, NULL, "do not ask before DEVICE is overwritten",
     offsetof(struct options, yes), NULL},
    {"output", 'o', IB_OPT_STRING, "DIR", "where artifacts are (default: out/ in the project)",
     offsetof(struct options, output), NULL},
    {"base", 'b', IB_OPT_STRING, "NAME", "the base that the nodes were built on",
     offsetof(struct options, base), NULL},
    {"key", 0, IB_OPT_STRING, "FILE", "sign the boot image for Secure Boot with this key (PEM)",
     offsetof(struct options, key), NULL},
    {"certificate", 0, IB_OPT_STRING, "FILE", "the key's certificate (PEM)",
     offsetof(struct options, certificate), NULL},
    {"sandbox", 0, IB_OPT_STRING, "ENGINE", "where the initrd is made (default: auto)",
     offsetof(struct options, sandbox), IB_CLI_SANDBOX_CHOICES},
    {"offline", 0, IB_OPT_FLAG, NULL, "use the cache only", offsetof(struct options, offline),
     NULL},
    {"mirror", 'm', IB_OPT_LIST, "DIR|URL", "look here for files first (may be repeated)",
     offsetof(struct options, mirror), NULL},
    {0},
};

const struct ib_command ib_command_recovery = {
    .name = "recovery",
    .arguments = "DEVICE|FILE NODE… | DEVICE|FILE --all",
    .summary = "make a stick that installs nodes without a network",
    .description =
        "Puts the newest artifacts of the nodes on a USB stick, or into a file that is one's "
        "image; "
        "what nodes share is there once. Started on a machine, the stick finds its node by the MAC "
        "address (or asks), picks the disk by the node's rule, shows what it will do, has it "
        "confirmed and installs. Its second boot entry is a rescue shell.\n\n"
        "DEVICE is a disk's path, or a rule that one disk fits: transport=usb. It is refused, "
        "shown "
        "and confirmed as by imgbuild flash. With --unattended the stick asks nothing: it installs "
        "whatever machine it knows by its MAC address, and switches it off.",
    .example = "imgbuild recovery /dev/sdb odin freyja",
    .min_args = 1,
    .max_args = -1,
    .argument_kind = IB_ARG_FILE,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
