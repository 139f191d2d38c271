/* SPDX-License-Identifier: Apache-2.0 */
#include <jansson.h>

#include "base/buffer.h"
#include "cli/commands.h"
#include "cli/project.h"
#include "ops/fetch.h"

struct options {
    bool offline;
    const char *base;
    uint64_t parallel;
    struct ib_strv mirror, without;
};

static const char *status_name(enum ib_fetch_status status)
{
    static const char *const names[] = {"missing", "fetched", "cached"};

    return names[status];
}

static void print_json(const struct ib_cli *cli, const struct ib_project *project,
                       const struct ib_needs *needs)
{
    json_t *files = json_array();

    for (size_t i = 0; i < needs->count; i++) {
        const struct ib_need *n = &needs->items[i];
        char hex[IB_SHA256_HEX_SIZE];
        const bool here = n->status != IB_FETCH_FAILED;
        _cleanup_(ib_freep) char *path =
            here ? ib_cache_blob_path(project->cache, &n->sha256) : NULL;
        _cleanup_(ib_freep) char *why = n->error ? ib_error_text(n->error) : NULL;
        json_array_append_new(
            files, json_pack("{s:s, s:s, s:s?, s:s, s:I, s:s, s:s?, s:s?}", "kind",
                             ib_need_kind_name(n->kind), "name", n->name, "base", n->base, "status",
                             status_name(n->status), "size", (json_int_t)n->size_bytes, "sha256",
                             ib_sha256_hex(&n->sha256, hex), "path", path, "error", why));
    }
    json_dumpf(files, cli->out, JSON_INDENT(2));
    fputc('\n', cli->out);
    json_decref(files);
}

/* Packages are many: those of one base and status are one line. Needs are sorted by kind and base.
 */
static void print_packages(FILE *out, const struct ib_needs *needs, const char *base,
                           enum ib_fetch_status status)
{
    uint64_t total = 0;
    size_t count = 0;
    char size[16];

    for (size_t i = 0; i < needs->count; i++) {
        const struct ib_need *n = &needs->items[i];
        if (n->kind != IB_NEED_PACKAGE || n->status != status || !ib_streq(n->base, base))
            continue;
        total += n->size_bytes;
        count++;
    }
    if (count)
        fprintf(out, "%-8s %zu packages of %s  %s\n", status_name(status), count, base,
                ib_format_size(total, size));
}

/* Why each place did not do; the error's first line only repeats the name. */
static void print_reasons(FILE *out, const struct ib_need *need)
{
    for (size_t i = 1; need->error && i < ib_error_depth(need->error); i++)
        fprintf(out, "         %s\n", ib_error_line(need->error, i));
}

static void print_missing_packages(FILE *out, const struct ib_needs *needs, const char *base)
{
    enum { SHOWN = 5 };
    size_t count = 0;

    print_packages(out, needs, base, IB_FETCH_FAILED);
    for (size_t i = 0; i < needs->count; i++) {
        const struct ib_need *n = &needs->items[i];
        if (n->kind != IB_NEED_PACKAGE || n->status != IB_FETCH_FAILED ||
            !ib_streq(n->base, base) || ++count > SHOWN)
            continue;
        fprintf(out, "missing  package %s\n", n->name);
        print_reasons(out, n);
    }
    if (count > SHOWN)
        fprintf(out, "         and %zu more\n", count - SHOWN);
}

static void print_text(FILE *out, const struct ib_needs *needs)
{
    const char *base = NULL;

    for (size_t i = 0; i < needs->count; i++) {
        const struct ib_need *n = &needs->items[i];
        char size[16];
        if (n->kind != IB_NEED_PACKAGE) {
            fprintf(out, "%-8s %s %s  %s\n", status_name(n->status), ib_need_kind_name(n->kind),
                    n->name, ib_format_size(n->size_bytes, size));
            print_reasons(out, n);
        } else if (!ib_streq(base, n->base)) {
            base = n->base;
            print_packages(out, needs, base, IB_FETCH_CACHED);
            print_packages(out, needs, base, IB_FETCH_FETCHED);
            print_missing_packages(out, needs, base);
        }
    }
}

/* The nodes of these names, or all. */
static int collect(const struct ib_project *project, const struct options *o, int argc, char **argv,
                   struct ib_needs *ret, struct ib_error **err)
{
    const struct ib_recipe *recipe = project->recipe;
    const size_t count = argc ? (size_t)argc : recipe->node_specs.count;
    _cleanup_(ib_freep) const struct ib_node_spec **nodes = ib_calloc(count, sizeof(*nodes));

    for (size_t i = 0; i < count; i++) {
        nodes[i] = argc ? ib_recipe_need_node(recipe, argv[i], err) : &recipe->node_specs.items[i];
        if (!nodes[i])
            return -1;
    }
    return ib_needs_of_nodes(project, nodes, count, &o->without, ret, err);
}

static int check_without(const struct ib_recipe *recipe, const struct ib_strv *without,
                         struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv known = {0};

    for (size_t i = 0; i < recipe->cluster.payloads.count; i++)
        ib_strv_add(&known, recipe->cluster.payloads.items[i].name);
    for (size_t i = 0; i < without->count; i++) {
        const char *name = without->items[i];
        if (ib_strv_contains(&known, name))
            continue;
        ib_failf(err, IB_E_USAGE, "--without: no payload is called '%s'", name);
        const char *nearest = ib_nearest(name, (const char *const *)known.items, known.count);
        return nearest ? ib_hint(err, "did you mean '%s'?", nearest) : -1;
    }
    return 0;
}

static int run(struct ib_cli *cli, void *options, int argc, char **argv, struct ib_error **err)
{
    const struct options *o = options;
    _cleanup_(ib_project_clear) struct ib_project project = {0};
    _cleanup_(ib_needs_clear) struct ib_needs needs = {0};

    if (ib_cli_open_project(cli, o->base, &project, err) < 0 ||
        check_without(project.recipe, &o->without, err) < 0 ||
        collect(&project, o, argc, argv, &needs, err) < 0)
        return -1;
    const struct ib_needs_options fetch = {
        .offline = o->offline,
        .mirrors = &o->mirror,
        .parallel = (unsigned)IB_MIN(o->parallel, UINT64_C(64)),
    };
    int r = ib_needs_fetch(&needs, &project, &fetch, err);
    if (r < 0 && ib_progress_cancelled(cli->progress))
        return -1;
    cli->json ? print_json(cli, &project, &needs) : print_text(cli->out, &needs);
    return r;
}

static const struct ib_option option_table[] = {
    {"base", 0, IB_OPT_STRING, "BASE", "for nodes built on this base, whatever the recipes name",
     offsetof(struct options, base), NULL},
    {"without", 0, IB_OPT_LIST, "PAYLOAD", "leave a payload out", offsetof(struct options, without),
     NULL},
    {"mirror", 0, IB_OPT_LIST, "DIR-or-URL", "look here first", offsetof(struct options, mirror),
     NULL},
    {"offline", 0, IB_OPT_FLAG, NULL, "only from mirror directories; tells what is missing",
     offsetof(struct options, offline), NULL},
    {"parallel", 0, IB_OPT_UINT, "N", "transfers at a time (default: 6)",
     offsetof(struct options, parallel), NULL},
    {0},
};

const struct ib_command ib_command_fetch = {
    .name = "fetch",
    .arguments = "[NODE…]",
    .summary = "bring everything that builds need into the cache",
    .description =
        "Downloads what the named nodes, or all, are built from, as the lock pins it: after that "
        "they can be built with --offline. Interrupted downloads go on where they stopped; each "
        "file is taken from the first place that has the right bytes.\n\n"
        "A mirror is a directory or a web address. It is asked for the file by the last part of "
        "its URL, a directory also as sha256/HEX: a copy of the cache's blobs/ directory carries "
        "everything to a machine without a network.",
    .example = "imgbuild fetch odin --mirror /run/media/usb",
    .max_args = -1,
    .argument_kind = IB_ARG_NODE,
    .options = option_table,
    .options_size = sizeof(struct options),
    .run = run,
};
