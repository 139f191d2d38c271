/* SPDX-License-Identifier: Apache-2.0 */
/* The lock of the repository itself: it fits the recipes, and the real upstream files fit it. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/file.h"
#include "ops/fetch.h"
#include "ops/lock.h"
#include "os/checksums.h"

#define UPSTREAM IB_SHARED_DIR "/upstream/"

static struct ib_project open_project(const char *base)
{
    _cleanup_(ib_diags_freep) struct ib_diags *diags = ib_diags_new();
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_project project = {.dir = ib_strdup(IB_SOURCE_DIR)};

    project.recipe = ib_recipe_load(IB_SOURCE_DIR, base, diags, NULL);
    cr_assert_eq(ib_read_file(IB_SOURCE_DIR "/" IB_LOCK_PATH, IB_LOCK_MAX_SIZE, &text, NULL), 0);
    project.lock = ib_lock_parse(IB_LOCK_PATH, text.data, text.size, diags);
    _cleanup_(ib_freep) char *mistakes = ib_diags_text(diags);
    cr_assert(project.recipe && project.lock, "%s", mistakes);
    return project;
}

static void check_entry(const struct ib_project *project, enum ib_lock_kind kind, const char *name,
                        const char *version, const struct ib_strv *urls)
{
    const struct ib_lock_entry *e = ib_lock_entry(project->lock, kind, name);

    cr_assert_not_null(e, "'%s' is not locked", name);
    _cleanup_(ib_freep) char *is = ib_strv_join(&e->urls, "\n");
    _cleanup_(ib_freep) char *wanted = ib_strv_join(urls, "\n");
    cr_assert_str_eq(e->version, version);
    cr_assert_str_eq(is, wanted);
    cr_assert_gt(e->size_bytes, 0);
}

Test(pins, lock_fits_the_recipes)
{
    _cleanup_(ib_project_clear) struct ib_project project = open_project(NULL);
    const struct ib_recipe *recipe = project.recipe;

    for (size_t i = 0; i < recipe->bases.count; i++) {
        const struct ib_base *base = &recipe->bases.items[i];
        if (base->kind != IB_BASE_DEBIAN_SUITE)
            check_entry(&project, IB_LOCK_BASE, base->name, base->version, &base->urls);
    }
    for (size_t i = 0; i < recipe->cluster.payloads.count; i++) {
        const struct ib_payload *p = &recipe->cluster.payloads.items[i];
        check_entry(&project, IB_LOCK_PAYLOAD, p->name, p->version, &p->urls);
    }
}

/*
 * Fails where a recipe's packages changed and nobody ran `imgbuild lock BASE`. A Fedora base is
 * only locked where Fedora's repositories can be reached (./quickstart does it): one that is not
 * yet is passed over.
 */
Test(pins, every_node_of_every_base_can_be_built)
{
    static const char *const bases[] = {"fedora-44", "fedora-43", "debian-13"};

    for (size_t b = 0; b < IB_ARRAY_SIZE(bases); b++) {
        _cleanup_(ib_project_clear) struct ib_project project = open_project(bases[b]);
        _cleanup_(ib_needs_clear) struct ib_needs needs = {0};
        if (ib_startswith(bases[b], "fedora") &&
            !ib_lock_package_set(project.lock, bases[b], "control"))
            continue;
        for (size_t i = 0; i < project.recipe->node_specs.count; i++) {
            const struct ib_node_spec *node = &project.recipe->node_specs.items[i];
            struct ib_error *err = NULL;
            int r = ib_needs_of_nodes(&project, &node, 1, NULL, &needs, &err);
            cr_assert_eq(r, 0, "%s on %s: %s", node->name, bases[b], err ? ib_error_text(err) : "");
        }
        cr_assert_geq(needs.count, 4);
    }
}

static void load(const char *path, struct ib_buf *ret)
{
    if (!ib_path_exists(path))
        cr_skip_test("'%s' is not here", path);
    cr_assert_eq(ib_read_file(path, 4 * IB_MIB, ret, NULL), 0);
}

Test(pins, k3s_list_has_the_pinned_sums)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_checksums list = {0};

    load(UPSTREAM "k3s-v1.36.4+k3s1-sha256sum-amd64.txt", &text);
    _cleanup_(ib_project_clear) struct ib_project project = open_project(NULL);
    cr_assert_eq(ib_checksums_parse("sums", text.data, text.size, &list, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        const char *name = i ? "k3s-airgap-images" : "k3s";
        const struct ib_lock_entry *e = ib_lock_entry(project.lock, IB_LOCK_PAYLOAD, name);
        _cleanup_(ib_freep) char *file = ib_url_basename(e->urls.items[0]);
        const struct ib_checksum *sum = ib_checksums_find(&list, file);
        cr_assert(sum && ib_sha256_equal(&sum->sha256, &e->sha256), "%s", name);
        cr_assert_eq(e->verified, IB_VERIFIED_SHA256SUM);
    }
    ib_checksums_clear(&list);
}

Test(pins, argocd_manifest_is_the_pinned_file_and_a_changed_byte_is_not)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_sha256 hash;

    load(UPSTREAM "argocd-v3.5.1-install.yaml", &text);
    _cleanup_(ib_project_clear) struct ib_project project = open_project(NULL);
    const struct ib_lock_entry *e = ib_lock_entry(project.lock, IB_LOCK_PAYLOAD, "argocd");
    ib_sha256(text.data, text.size, &hash);
    cr_assert(ib_sha256_equal(&hash, &e->sha256));
    cr_assert_eq(e->size_bytes, text.size);

    /* from a mirror, through the fetcher: the real one is taken, the spoilt one never */
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-pins", NULL);
    _cleanup_(ib_freep) char *mirror = ib_path_join(dir, "mirror");
    _cleanup_(ib_freep) char *file = ib_path_join(mirror, "install.yaml");
    _cleanup_(ib_freep) char *cache_dir = ib_path_join(dir, "cache");
    const char *mirrors[] = {mirror};
    cr_assert_eq(ib_mkdir_p(mirror, NULL), 0);
    project.cache = ib_cache_open(cache_dir, NULL);
    for (int spoilt = 1; spoilt >= 0; spoilt--) {
        struct ib_fetch_request request = {.name = "argocd", .has_sha256 = true};
        struct ib_fetch_options options = {.cache = project.cache, .offline = true};
        request.urls = (const char *const *)e->urls.items;
        request.url_count = e->urls.count;
        request.sha256 = e->sha256;
        request.size_bytes = e->size_bytes;
        options.mirrors = mirrors;
        options.mirror_count = 1;
        text.data[1000] ^= (unsigned char)spoilt;
        FILE *f = fopen(file, "w");
        cr_assert(f && fwrite(text.data, 1, text.size, f) == text.size && fclose(f) == 0);
        text.data[1000] ^= (unsigned char)spoilt;
        struct ib_error *err = NULL;
        cr_assert_eq(ib_fetch(&request, 1, &options, &err), spoilt ? -1 : 0);
        if (spoilt)
            cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
        cr_assert_eq(ib_cache_has_blob(project.cache, &e->sha256), !spoilt);
        ib_error_free(err);
        ib_fetch_request_clear(&request);
    }
}
