/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "model/manifest.h"

static struct ib_manifest *make_manifest(void)
{
    struct ib_manifest *m = ib_manifest_new();
    struct ib_manifest_frame *frames = ib_calloc(4, sizeof(*frames));
    struct ib_sha256 hash;

    m->tool = ib_strdup("imgbuild 0.1.0");
    m->node = ib_strdup("odin");
    m->role = ib_strdup("control");
    m->version = ib_strdup("2026.11.22");
    m->base = ib_strdup("debian-13");
    m->architecture = ib_strdup("x86-64");
    m->kernel = ib_strdup("6.12.0");
    m->cmdline = ib_strdup("roothash=\"é\\\" quiet");
    ib_uuid_derive("test", "disk", &m->disk);
    m->disk_size_bytes = 4 * IB_MIB;
    for (int i = 0; i < 4; i++) {
        frames[i].raw_size = IB_MIB;
        frames[i].size = 100;
        frames[i].zero = i == 3;
        ib_sha256(&i, sizeof(i), &frames[i].sha256);
    }
    ib_manifest_set_frames(m, frames, 4);
    struct ib_manifest_partition *p = ib_manifest_add_partition(m);
    p->label = ib_strdup("control_2026.11.22");
    p->type_name = ib_strdup("root-x86-64");
    p->attributes = UINT64_C(1) << 60;
    p->offset_bytes = IB_MIB;
    p->size_bytes = 2 * IB_MIB;
    p->has_root_hash = true;
    ib_sha256("abc", 3, &hash);
    p->root_hash = hash;
    ib_manifest_add_source(m, "k3s", "https://example.org/k3s", &hash);
    ib_manifest_add_source(m, "airgap", "https://example.org/a", &hash);
    ib_manifest_add_package(m, "zlib", "1", "amd64");
    ib_manifest_add_package(m, "bash", "5.2-1", "amd64");
    ib_manifest_add_package(m, "bad\xff", "1", "all");
    ib_strv_add(&m->without, "argocd");
    cr_assert_eq(ib_manifest_finish(m, NULL), 0);
    return m;
}

Test(manifest, prints_and_parses_to_the_same_bytes)
{
    struct ib_error *err = NULL;
    struct ib_manifest *m = make_manifest();
    struct ib_buf a = {0}, b = {0};

    ib_manifest_print(m, &a);
    struct ib_manifest *again = ib_manifest_parse(a.data, a.size, "x", &err);
    cr_assert_not_null(again, "%s", ib_error_text(err));
    ib_manifest_print(again, &b);
    cr_assert_str_eq((char *)a.data, (char *)b.data);
    cr_assert_str_eq(again->cmdline, m->cmdline);
    cr_assert_str_eq(again->packages[0].name, "bad?");
    cr_assert_str_eq(again->sources[0].name, "airgap");
    cr_assert_eq(again->partitions[0].attributes, UINT64_C(1) << 60);
    cr_assert(again->frames[3].zero && !again->frames[2].zero);
    ib_manifest_free(m), ib_manifest_free(again), ib_buf_clear(&a), ib_buf_clear(&b);
}

Test(manifest, frames_have_places)
{
    struct ib_manifest *m = make_manifest();

    cr_assert_eq(ib_manifest_place_frames(m, 5000), 5300);
    cr_assert(m->frames[0].offset == 0 && m->frames[1].offset == 5000);
    cr_assert_eq(m->frames[3].offset, 5200);
    cr_assert_eq(ib_manifest_frame_at(m, 0), &m->frames[0]);
    cr_assert_eq(ib_manifest_frame_at(m, 3 * IB_MIB - 1), &m->frames[2]);
    cr_assert_null(ib_manifest_frame_at(m, 4 * IB_MIB));
    ib_manifest_free(m);
}

Test(manifest, a_partition_of_broken_frames_is_our_mistake)
{
    struct ib_manifest *m = make_manifest();
    struct ib_error *err = NULL;

    m->partitions[0].offset_bytes += 512;
    cr_assert_eq(ib_manifest_finish(m, &err), -1);
    cr_assert_eq(ib_error_code(err), IB_E_INTERNAL);
    ib_error_clear(&err);
    ib_manifest_free(m);
}

/* The text with its first `from` replaced; the caller frees. */
static char *replace(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);

    cr_assert_not_null(at, "no %s in %s", from, text);
    return ib_asprintf("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

Test(manifest, what_is_wrong_is_refused_and_named)
{
    static const struct {
        const char *from, *to, *why;
    } wrong[] = {
        {"{", "[", "is not JSON"},
        {"\"format\":1", "\"format\":2", "newer"},
        {"\"format\":1", "\"format\":0", "is not 1"},
        {"\"format\":1", "\"format\":1,\"format\":1", "duplicate"},
        {"\"node\":\"odin\"", "\"nod\":\"odin\"", "\"node\" is missing"},
        {"\"node\":\"odin\"", "\"node\":\"odin\",\"x\":1", "\"x\" is not a key"},
        {"\"node\":\"odin\"", "\"node\":7", "is not a text"},
        {"\"node\":\"odin\"", "\"node\":\"a\\u0000b\"", "NUL"},
        {"\"disk_size\":4194304", "\"disk_size\":4194305", "add up"},
        {"\"disk_size\":4194304", "\"disk_size\":-1", "in its range"},
        {"\"disk_size\":4194304", "\"disk_size\":1e3", "in its range"},
        {"\"sector_size\":512", "\"sector_size\":0", "neither"},
        {"\"offset\":1048576", "\"offset\":1048577", "aligned"},
        {"\"size\":2097152", "\"size\":0", "empty"},
        {"\"size\":2097152", "\"size\":4194304", "beyond"},
        {"\"attributes\":\"0x1", "\"attributes\":\"0x", "16 digits"},
        {"\"type_uuid\":\"0", "\"type_uuid\":\"", "is not a UUID"},
        {"\"amd64\"]", "\"amd64\",1]", "not all [name"},
        {"[\n\"argocd\"]", "[1]", "list of names"},
        {"[\n\"argocd\"]", "{}", "not a list"},
        {"[1048576,100", "[0,100", "sane"},
        {"[1048576,100", "[16777217,100", "sane"},
        {"[1048576,100", "[1048576,9000000", "sane"},
        {"[1048576,100", "[1048576,-1", "sane"},
        {",\"zero\"]", ",\"zeros\"]", "sane"},
        {",\"zero\"]", ",\"zero\",1]", "sane"},
    };
    struct ib_manifest *m = make_manifest();
    struct ib_buf text = {0};

    ib_manifest_print(m, &text);
    for (size_t i = 0; i < IB_ARRAY_SIZE(wrong); i++) {
        struct ib_error *err = NULL;
        char *changed = replace((const char *)text.data, wrong[i].from, wrong[i].to);
        cr_assert_null(ib_manifest_parse(changed, strlen(changed), "x", &err), "%s was accepted",
                       wrong[i].to);
        char *message = ib_error_text(err);
        cr_assert_not_null(strstr(message, wrong[i].why), "%s: %s", wrong[i].to, message);
        free(message), free(changed);
        ib_error_clear(&err);
    }
    ib_manifest_free(m), ib_buf_clear(&text);
}

/* A disk of `count` frames of 256 KiB. */
static struct ib_manifest *make_large(size_t count)
{
    struct ib_manifest *m = make_manifest();
    struct ib_manifest_frame *frames = ib_calloc(count, sizeof(*frames));

    for (size_t i = 0; i < count; i++) {
        frames[i].raw_size = frames[i].size = 262144;
        ib_sha256(&i, sizeof(i), &frames[i].sha256);
    }
    ib_manifest_set_frames(m, frames, count);
    m->disk_size_bytes = count * UINT64_C(262144);
    return m;
}

/* Whoever flashes holds the manifest in memory: its size, frames and what parsing takes are
 * bounded.
 */
Test(manifest, has_bounds_that_fit_the_flasher_s_memory)
{
    struct rusage usage;
    struct ib_error *err = NULL;
    struct ib_manifest *most = make_large(IB_MANIFEST_FRAMES_MAX);
    struct ib_manifest *more = make_large(IB_MANIFEST_FRAMES_MAX + 1);
    struct ib_buf text = {0}, large = {0};

    ib_manifest_print(most, &text);
    cr_assert_leq(text.size, IB_MANIFEST_MAX_SIZE);
    struct ib_manifest *m = ib_manifest_parse(text.data, text.size, "x", &err);
    cr_assert_not_null(m, "%s", ib_error_text(err));
    cr_assert_eq(m->frame_count, IB_MANIFEST_FRAMES_MAX);
    cr_assert_eq(getrusage(RUSAGE_SELF, &usage), 0);
    cr_log_info("peak with the largest manifest: %ld MiB", usage.ru_maxrss / 1024);
    ib_manifest_free(m);

    text.size = 0;
    ib_manifest_print(more, &text);
    cr_assert_null(ib_manifest_parse(text.data, text.size, "x", &err));
    cr_assert_not_null(strstr(ib_error_line(err, 0), "\"frames\""));
    ib_error_clear(&err);

    ib_buf_append_zeros(&large, IB_MANIFEST_MAX_SIZE + 1);
    cr_assert_null(ib_manifest_parse(large.data, large.size, "x", &err));
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    cr_assert_not_null(strstr(ib_error_line(err, 0), "16.0 MiB"), "%s", ib_error_line(err, 0));
    ib_error_clear(&err);
    ib_buf_clear(&text), ib_buf_clear(&large), ib_manifest_free(most), ib_manifest_free(more);
}
