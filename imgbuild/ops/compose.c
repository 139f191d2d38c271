/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/compose.h"

#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "build_internal.h"
#include "ops/data.h"
#include "ops/template.h"
#include "os/cleanup.h"
#include "os/units.h"
#include "os/users.h"

#define AGENT "usr/lib/imgbuild/imgbuild-agent"

enum { MAX_FILE_SIZE = 64 << 20 };

int ib_compose_open(struct ib_compose *ret, const struct ib_compose_input *input,
                    struct ib_error **err)
{
    const struct ib_strv *names = &input->root->overlays;
    _cleanup_(ib_compose_clear) struct ib_compose c = {.input = *input};

    c.overlays = ib_calloc(names->count, sizeof(*c.overlays));
    for (size_t i = 0; i < names->count; i++) {
        c.overlays[i] = ib_overlay_read(input->project_dir, names->items[i], err);
        if (!c.overlays[i])
            return -1;
        c.overlay_count++;
    }
    *ret = c;
    c = (struct ib_compose){0};
    return 0;
}

void ib_compose_clear(struct ib_compose *compose)
{
    for (size_t i = 0; i < compose->overlay_count; i++)
        ib_overlay_free(compose->overlays[i]);
    free(compose->overlays);
    *compose = (struct ib_compose){0};
}

static bool is_left_out(const struct ib_compose *c, const char *payload)
{
    return c->input.without && ib_strv_contains(c->input.without, payload);
}

static const struct ib_lock_entry *need_entry(const struct ib_compose *c, const char *payload,
                                              struct ib_error **err)
{
    const struct ib_lock_entry *e = ib_lock_entry(c->input.lock, IB_LOCK_PAYLOAD, payload);

    if (!e) {
        ib_failf(err, IB_E_NOT_FOUND, "the payload '%s' is not in %s", payload, IB_LOCK_PATH);
        ib_hint(err, "imgbuild lock %s, or leave it out with --without %s", payload, payload);
    }
    return e;
}

static int add_agent_key(struct ib_key *key, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_data_path(IB_DATA_AGENT, err);

    return path ? ib_key_add_file(key, "agent", path, err) : -1;
}

int ib_compose_add_key(const struct ib_compose *c, struct ib_key *key, struct ib_error **err)
{
    const struct ib_root_spec *root = c->input.root;
    _cleanup_(ib_freep) char *canonical = ib_root_spec_canonical(root);
    struct ib_sha256 hash;

    ib_key_add(key, "recipe", canonical);
    ib_key_add_u64(key, "date", (uint64_t)c->input.lock->date_s);
    for (size_t i = 0; i < c->overlay_count; i++) {
        _cleanup_(ib_freep) char *name = ib_asprintf("overlay %s", root->overlays.items[i]);
        if (ib_overlay_hash(c->overlays[i], &hash, err) < 0)
            return -1;
        ib_key_add_hash(key, name, &hash);
    }
    for (size_t i = 0; i < root->payloads.count; i++) {
        const char *payload = root->payloads.items[i].name;
        _cleanup_(ib_freep) char *name = ib_asprintf("payload %s", payload);
        if (is_left_out(c, payload)) {
            ib_key_add(key, name, "left out");
            continue;
        }
        const struct ib_lock_entry *entry = need_entry(c, payload, err);
        if (!entry)
            return -1;
        ib_key_add_hash(key, name, &entry->sha256);
    }
    for (size_t i = 0; i < root->files.count; i++)
        if (root->files.items[i].source &&
            ib_key_add_source(key, c->input.project_dir, root->files.items[i].source, err) < 0)
            return -1;
    return add_agent_key(key, err);
}

static int add_payload(const struct ib_compose *c, struct ib_tree *tree,
                       const struct ib_payload *payload, struct ib_error **err)
{
    const struct ib_lock_entry *entry = need_entry(c, payload->name, err);

    if (!entry)
        return -1;
    _cleanup_(ib_freep) char *blob = ib_cache_blob_path(c->input.cache, &entry->sha256);
    _cleanup_(ib_closep) int fd = ib_open_read(blob, err);
    struct stat st;
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0 || (entry->size_bytes && (uint64_t)st.st_size != entry->size_bytes)) {
        ib_failf(err, IB_E_VERIFY, "'%s' is not as large as the lock says", blob);
        return ib_hint(err, "imgbuild clean --blobs, then try again");
    }
    _cleanup_(ib_freep) char *path = ib_path_normalize(payload->path);
    return ib_tree_add_file_range(tree, path, payload->mode, fd, 0, (uint64_t)st.st_size,
                                  IB_LAYER_PAYLOADS, err)
               ? 0
               : -1;
}

static int add_payloads(const struct ib_compose *c, struct ib_tree *tree, struct ib_error **err)
{
    const struct ib_root_spec *root = c->input.root;
    _cleanup_(ib_buf_clear) struct ib_buf links = {0};

    for (size_t i = 0; i < root->payloads.count; i++) {
        const struct ib_payload *p = &root->payloads.items[i];
        if (is_left_out(c, p->name))
            continue;
        if (add_payload(c, tree, p, err) < 0)
            return ib_wrap(err, p->name, "add payload");
        if (p->link)
            ib_buf_printf(&links, "L+ %s - - - - %s\n", p->link, p->path);
    }
    if (!links.size)
        return 0;
    return ib_tree_add_file(tree, "usr/lib/tmpfiles.d/imgbuild-payloads.conf", 0644, links.data,
                            links.size, IB_LAYER_OVERLAYS, err)
               ? 0
               : -1;
}

static int add_overlays(const struct ib_compose *c, struct ib_tree *tree, struct ib_diags *diags,
                        struct ib_error **err)
{
    const struct ib_root_spec *root = c->input.root;
    const struct ib_values *values = ib_root_values(c->input.recipe, root);

    for (size_t i = 0; i < c->overlay_count; i++)
        if (ib_overlay_apply(c->overlays[i], tree, "", root->rules.items, root->rules.count, values,
                             diags, err) < 0)
            return -1;
    return 0;
}

static int read_source(const struct ib_compose *c, const struct ib_file *file, struct ib_buf *ret,
                       struct ib_diags *diags, struct ib_error **err)
{
    if (file->is_template)
        return ib_template_read(c->input.project_dir, file->source,
                                ib_root_values(c->input.recipe, c->input.root), ret, diags, err);
    _cleanup_(ib_freep) char *host = ib_path_join(c->input.project_dir, file->source);
    return ib_read_file(host, MAX_FILE_SIZE, ret, err);
}

static int add_file(const struct ib_compose *c, struct ib_tree *tree, const struct ib_file *file,
                    struct ib_diags *diags, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_path_normalize(file->path);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    uint32_t uid, gid;

    if (file->content)
        ib_buf_append_str(&text, file->content);
    else if (read_source(c, file, &text, diags, err) < 0)
        return -1;
    if (ib_tree_lookup_id(tree, "etc/passwd", file->owner, &uid, err) < 0 ||
        ib_tree_lookup_id(tree, "etc/group", file->group, &gid, err) < 0)
        return -1;
    struct ib_node *node =
        ib_tree_add_file(tree, path, file->mode, text.data, text.size, IB_LAYER_OVERLAYS, err);
    if (!node)
        return -1;
    node->inode->uid = uid;
    node->inode->gid = gid;
    return 0;
}

static int add_users(struct ib_tree *tree, const struct ib_root_spec *root, struct ib_error **err)
{
    for (size_t i = 0; i < root->groups.count; i++)
        if (ib_users_add_group(tree, root->groups.items[i].name,
                               (uint32_t)root->groups.items[i].gid, err) < 0)
            return ib_wrap(err, root->groups.items[i].name, "add group");
    for (size_t i = 0; i < root->users.count; i++)
        if (ib_users_add(tree, &root->users.items[i], err) < 0)
            return -1;
    return 0;
}

static int add_units(struct ib_tree *tree, const struct ib_root_spec *root, struct ib_error **err)
{
    for (size_t i = 0; i < root->disable.count; i++)
        if (ib_unit_disable(tree, root->disable.items[i], err) < 0)
            return -1;
    for (size_t i = 0; i < root->mask.count; i++)
        if (ib_unit_mask(tree, root->mask.items[i], err) < 0)
            return -1;
    for (size_t i = 0; i < root->enable.count; i++)
        if (ib_unit_enable(tree, root->enable.items[i], err) < 0)
            return -1;
    return ib_tree_add_symlink(tree, "etc/systemd/system/default.target",
                               "/usr/lib/systemd/system/multi-user.target", IB_LAYER_OVERLAYS, err)
               ? 0
               : -1;
}

static int add_text(struct ib_tree *tree, const char *path, const struct ib_buf *text,
                    struct ib_error **err)
{
    if (!text->size)
        return 0;
    return ib_tree_add_file(tree, path, 0644, text->data, text->size, IB_LAYER_OVERLAYS, err) ? 0
                                                                                              : -1;
}

static int add_localtime(struct ib_tree *tree, const char *timezone, struct ib_error **err)
{
    _cleanup_(ib_freep) char *zone = ib_asprintf("usr/share/zoneinfo/%s", timezone);
    _cleanup_(ib_freep) char *target = ib_asprintf("../%s", zone);

    if (!ib_tree_resolve(tree, zone)) {
        ib_failf(err, IB_E_NOT_FOUND, "the tree has no time zone '%s'", timezone);
        return ib_hint(err, "correct timezone: in recipes/cluster.yaml, or add the package tzdata");
    }
    return ib_tree_add_symlink(tree, "etc/localtime", target, IB_LAYER_OVERLAYS, err) ? 0 : -1;
}

static int add_settings(struct ib_tree *tree, const struct ib_root_spec *root,
                        struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf sysctls = {0}, modules = {0}, locale = {0}, keymap = {0};

    for (size_t i = 0; i < root->sysctls.count; i++)
        ib_buf_printf(&sysctls, "%s = %s\n", root->sysctls.items[i].key,
                      root->sysctls.items[i].value);
    for (size_t i = 0; i < root->modules.count; i++)
        ib_buf_printf(&modules, "%s\n", root->modules.items[i]);
    ib_buf_printf(&locale, "LANG=%s\n", root->locale);
    if (root->keymap)
        ib_buf_printf(&keymap, "KEYMAP=%s\n", root->keymap);
    if (add_text(tree, "usr/lib/sysctl.d/80-imgbuild.conf", &sysctls, err) < 0 ||
        add_text(tree, "usr/lib/modules-load.d/imgbuild.conf", &modules, err) < 0 ||
        add_text(tree, "etc/locale.conf", &locale, err) < 0 ||
        add_text(tree, "etc/vconsole.conf", &keymap, err) < 0)
        return -1;
    return add_localtime(tree, root->timezone, err);
}

/* The program that keeps changed files of /etc on the running machine (agent/persist.h). */
static int add_agent(struct ib_tree *tree, struct ib_error **err)
{
    _cleanup_(ib_freep) char *path = ib_data_path(IB_DATA_AGENT, err);
    _cleanup_(ib_buf_clear) struct ib_buf program = {0};

    if (!path || ib_read_file(path, MAX_FILE_SIZE, &program, err) < 0)
        return -1;
    return ib_tree_add_file(tree, AGENT, 0755, program.data, program.size, IB_LAYER_PAYLOADS, err)
               ? 0
               : -1;
}

/* What persists is mounted or linked over these on the node; a read-only root needs them there. */
static int add_persist_points(struct ib_tree *tree, const struct ib_root_spec *root,
                              struct ib_error **err)
{
    for (size_t i = 0; i < root->persist.count; i++) {
        const char *entry = root->persist.items[i];
        _cleanup_(ib_freep) char *path = ib_path_normalize(entry);
        bool is_directory = ib_endswith(entry, "/");
        if (!is_directory || ib_tree_resolve(tree, path))
            continue;
        if (!ib_tree_add_directory(tree, path, 0755, IB_LAYER_OVERLAYS, err))
            return ib_wrap(err, entry, "make mount point");
    }
    return 0;
}

int ib_compose_apply(const struct ib_compose *c, struct ib_tree *tree, struct ib_diags *diags,
                     struct ib_error **err)
{
    const struct ib_root_spec *root = c->input.root;

    if (add_agent(tree, err) < 0 || add_payloads(c, tree, err) < 0 ||
        add_users(tree, root, err) < 0 || add_overlays(c, tree, diags, err) < 0)
        return ib_wrap(err, root->name, "compose root");
    for (size_t i = 0; i < root->files.count; i++)
        if (add_file(c, tree, &root->files.items[i], diags, err) < 0) {
            ib_wrap(err, root->files.items[i].path, "add file");
            return ib_wrap(err, root->name, "compose root");
        }
    if (add_settings(tree, root, err) < 0 || add_persist_points(tree, root, err) < 0 ||
        add_units(tree, root, err) < 0 || ib_cleanup_tree(tree, c->input.lock->date_s, err) < 0)
        return ib_wrap(err, root->name, "compose root");
    return 0;
}
