/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <sys/stat.h>

#include "artifact_fixture.h"
#include "image/medium.h"
#include "installer/install.h"
#include "ops/flash.h"

TestSuite(medium, .init = fixture_make_dir, .fini = fixture_remove_dir, .timeout = 100);

static void add(struct ib_medium_writer *w, const char *name, const char *mac, const char *path)
{
    struct ib_medium_node node = {.name = ib_strdup(name)};
    struct ib_error *err = NULL;

    cr_assert(ib_mac_parse(mac, &node.mac));
    cr_assert_eq(ib_disk_rule_parse("type=nvme,size>=100G", &node.install_disk, NULL), 0);
    cr_assert_eq(ib_medium_writer_add(w, &node, path, NULL, &err), 0, "%s", ib_error_text(err));
}

/* Two nodes that share all but the manifest; the medium, its identity and an open descriptor. */
static int make_medium(struct fixture *f, struct ib_sha256 *id, uint64_t *size)
{
    _cleanup_(ib_medium_writer_freep) struct ib_medium_writer *w = ib_medium_writer_new();
    const struct ib_artifact_extent extents[] = {
        {.offset_bytes = 0, .data = f->head.data, .size = f->head.size},
        {.offset_bytes = f->partitions[0].offset_bytes, .frames = &f->esp, .fd = f->esp_store},
        {.offset_bytes = f->partitions[1].offset_bytes, .frames = &f->root, .fd = f->root_store},
        {.offset_bytes = DISK_SIZE - f->tail.size, .data = f->tail.data, .size = f->tail.size},
    };
    _cleanup_(ib_freep) char *freyja = in_dir("freyja.img.zst");
    struct ib_manifest *m = make_manifest(f);
    struct ib_artifact_result result;
    struct ib_error *err = NULL;

    free(m->node);
    m->node = ib_strdup("freyja");
    cr_assert_eq(ib_artifact_write(m, extents, 4, freyja, NULL, &result, &err), 0);
    ib_manifest_free(m);
    add(w, "odin", "02:00:00:00:00:10", f->path);
    add(w, "freyja", "02:00:00:00:00:11", freyja);
    cr_assert_eq(ib_medium_writer_finish(w, id, size, &err), 0, "%s", ib_error_text(err));
    int fd = make_file("medium", 0);
    cr_assert_eq(ib_medium_writer_write(w, fd, NULL, NULL, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(ftruncate(fd, (off_t)*size), 0);
    struct stat st;
    cr_assert_eq(stat(f->path, &st), 0);
    cr_assert_lt(*size, (uint64_t)st.st_size * 3 / 2 + 4 * IB_MIB, "shared frames are there twice");
    return fd;
}

Test(medium, artifacts_come_out_as_they_went_in)
{
    struct fixture f;
    struct ib_sha256 id;
    uint64_t size;
    _cleanup_(ib_medium_clear) struct ib_medium medium = {0};
    struct ib_error *err = NULL;

    setup(&f);
    int fd = make_medium(&f, &id, &size);
    cr_assert_eq(ib_medium_read(fd, "medium", &id, &medium, &err), 0, "%s", ib_error_text(err));
    cr_assert_eq(medium.count, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct ib_medium_node *n = &medium.nodes[i];
        _cleanup_(ib_freep) char *name = ib_asprintf("%s.img.zst", n->name);
        _cleanup_(ib_freep) char *path = in_dir(name);
        _cleanup_(ib_buf_clear) struct ib_buf file = {0};
        _cleanup_(ib_source_freep) struct ib_source *source =
            ib_source_open_pieces(fd, name, n->pieces, n->piece_count, &err);
        cr_assert_not_null(source, "%s", ib_error_text(err));
        cr_assert_eq(ib_read_file(path, UINT64_C(1) << 30, &file, NULL), 0);
        cr_assert_eq(ib_source_size(source), file.size);
        _cleanup_(ib_freep) uint8_t *data = ib_malloc(file.size);
        cr_assert_eq(ib_source_read(source, data, file.size, 0, &err), 0);
        cr_assert_eq(memcmp(data, file.data, file.size), 0, "%s", name);
        /* at odd places, over the seams */
        for (size_t at = 1; at + 5000 < file.size; at += 4099) {
            cr_assert_eq(ib_source_read(source, data, 5000, at, &err), 0);
            cr_assert_eq(memcmp(data, file.data + at, 5000), 0, "%s at %zu", name, at);
        }
    }
    close(fd);
    teardown(&f);
}

Test(medium, what_was_changed_is_refused)
{
    struct fixture f;
    struct ib_sha256 id, other;
    uint64_t size;
    struct ib_medium medium = {0};
    struct ib_error *err = NULL;

    setup(&f);
    int fd = make_medium(&f, &id, &size);
    other = id;
    other.bytes[0] ^= 1;
    cr_assert_lt(ib_medium_read(fd, "medium", &other, &medium, &err), 0);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_free(err), err = NULL;
    cr_assert_eq(ib_pwrite_full(fd, " ", 1, IB_MEDIUM_INDEX_OFFSET + 40), 0);
    cr_assert_lt(ib_medium_read(fd, "medium", NULL, &medium, &err), 0);
    cr_assert_eq(ib_error_code(err), IB_E_VERIFY);
    ib_error_free(err), err = NULL;
    /* a size beyond the bound must not be allocated; a short file is no medium */
    static const uint8_t huge[8] = {0, 0, 0, 0, 0, 1};
    cr_assert_eq(ib_pwrite_full(fd, huge, 8, 8), 0);
    cr_assert_lt(ib_medium_read(fd, "medium", NULL, &medium, &err), 0);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_free(err), err = NULL;
    cr_assert_eq(ftruncate(fd, 20), 0);
    cr_assert_lt(ib_medium_read(fd, "medium", NULL, &medium, &err), 0);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_free(err);
    close(fd);
    teardown(&f);
}

Test(medium, an_index_that_is_wrong)
{
#define NODE(name, piece)                                                                    \
    "{\"name\":\"" name "\",\"role\":\"r\",\"version\":\"1\",\"mac\":\"02:00:00:00:00:01\"," \
    "\"install_disk\":\"type=nvme\",\"artifact\":\"a\",\"manifest\":"                        \
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"pieces\":[" piece "]}"
    static const char *const wrong[] = {
        "",
        "[]",
        "{\"format\":1}",
        "{\"format\":2,\"nodes\":[]}",
        "{\"format\":1,\"nodes\":[]}",
        "{\"format\":1,\"nodes\":[{}]}",
        "{\"format\":1,\"nodes\":[" NODE("", "[0,1]") "]}",
        "{\"format\":1,\"nodes\":[" NODE("a\\u001b", "[0,1]") "]}",
        "{\"format\":1,\"nodes\":[" NODE("a", "") "]}",
        "{\"format\":1,\"nodes\":[" NODE("a", "[0,0]") "]}",
        "{\"format\":1,\"nodes\":[" NODE("a", "[-1,1]") "]}",
        "{\"format\":1,\"nodes\":[" NODE("a", "[0,1,2]") "]}",
        "{\"format\":1,\"nodes\":[" NODE("a", "[0,1]") "," NODE("a", "[0,1]") "]}",
        "{\"format\":1,\"nodes\":[" NODE("a", "[0,1]") "],\"more\":1}",
    };
    static const char right[] = "{\"format\":1,\"nodes\":[" NODE("a", "[0,1]") "]}";
    struct ib_medium medium = {0};

    cr_assert_eq(ib_medium_parse(right, strlen(right), "m", &medium, NULL), 0);
    ib_medium_clear(&medium);
    for (size_t i = 0; i < IB_ARRAY_SIZE(wrong); i++) {
        struct ib_error *err = NULL;
        cr_assert_lt(ib_medium_parse(wrong[i], strlen(wrong[i]), "m", &medium, &err), 0, "%s",
                     wrong[i]);
        cr_assert_not_null(err);
        ib_error_free(err);
    }
}

Test(medium, pieces_lie_in_the_file)
{
    const struct ib_source_range beyond[] = {{0, 10}, {95, 10}}, wrap[] = {{UINT64_MAX, 10}};
    const struct ib_source_range good[] = {{90, 10}, {5, 0}, {0, 3}};
    _cleanup_(ib_source_freep) struct ib_source *source = NULL;
    uint8_t data[16];
    struct ib_error *err = NULL;
    int fd = make_file("pieces", 100);

    cr_assert_null(ib_source_open_pieces(fd, "p", beyond, 2, &err));
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_free(err), err = NULL;
    cr_assert_null(ib_source_open_pieces(fd, "p", wrap, 1, &err));
    ib_error_free(err), err = NULL;
    source = ib_source_open_pieces(fd, "p", good, 3, &err);
    cr_assert_not_null(source);
    cr_assert_eq(ib_source_size(source), 13);
    cr_assert_eq(ib_source_read(source, data, 13, 0, &err), 0);
    cr_assert_lt(ib_source_read(source, data, 14, 0, &err), 0);
    ib_error_free(err);
    close(fd);
}

/* --- the installer's view ----------------------------------------------------------------------
 */

static void write_text(const char *name, const char *text)
{
    _cleanup_(ib_freep) char *path = in_dir(name);
    _cleanup_(ib_freep) char *parent = ib_path_dir(path);

    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    cr_assert_eq(ib_write_file(path, 0644, text, strlen(text), NULL), 0);
}

Test(medium, the_stick_is_found_and_knows_the_machine)
{
    struct fixture f;
    struct ib_sha256 id;
    uint64_t size;
    char hex[IB_SHA256_HEX_SIZE];
    struct ib_stick stick;
    struct ib_error *err = NULL;

    setup(&f);
    int fd = make_medium(&f, &id, &size);
    close(fd);
    ib_sha256_hex(&id, hex);
    _cleanup_(ib_freep) char *cmdline =
        ib_asprintf("quiet imgbuild.medium=%s imgbuild.install", hex);
    _cleanup_(ib_freep) char *name = ib_asprintf("disk/by-partuuid/%.8s-%.4s-%.4s-%.4s-%.12s", hex,
                                                 hex + 8, hex + 12, hex + 16, hex + 20);
    _cleanup_(ib_freep) char *link = in_dir(name), *parent = ib_path_dir(link);
    _cleanup_(ib_freep) char *target = in_dir("medium");
    cr_assert_lt(ib_stick_open(cmdline, dir, 0, &stick, &err), 0);
    cr_assert_eq(ib_error_code(err), IB_E_NOT_FOUND);
    ib_error_free(err), err = NULL;
    cr_assert_lt(ib_stick_open("imgbuild.medium=12", dir, 0, &stick, &err), 0);
    cr_assert_eq(ib_error_code(err), IB_E_INVALID);
    ib_error_free(err), err = NULL;
    cr_assert_eq(ib_mkdir_p(parent, NULL), 0);
    cr_assert_eq(symlink(target, link), 0);
    cr_assert_eq(ib_stick_open(cmdline, dir, 0, &stick, &err), 0, "%s", ib_error_text(err));

    cr_assert_null(ib_stick_find_node(&stick, dir));
    write_text("class/net/lo/address", "00:00:00:00:00:00\n");
    write_text("class/net/sit0/address", "0.0.0.0\n");
    write_text("class/net/eth0/address", "02:00:00:00:00:99\n");
    cr_assert_null(ib_stick_find_node(&stick, dir));
    write_text("class/net/eth1/address", "02:00:00:00:00:11\n");
    cr_assert_str_eq(ib_stick_find_node(&stick, dir)->name, "freyja");
    write_text("class/net/eth2/address", "02:00:00:00:00:10\n");
    cr_assert_null(ib_stick_find_node(&stick, dir), "two nodes: nobody may guess");
    ib_stick_close(&stick);
    teardown(&f);
}
