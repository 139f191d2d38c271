/* SPDX-License-Identifier: Apache-2.0 */
/* An artifact of two partitions for tests, and the raw disk that it must hold, which is made
 * without any of the code under test. */
#pragma once

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "image/artifact.h"
#include "image/gpt.h"

static char *dir;

static inline void fixture_make_dir(void)
{
    dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    cr_assert_not_null(dir);
}

static inline void fixture_remove_dir(void)
{
    ib_temp_dirp(&dir);
}

static inline char *in_dir(const char *name)
{
    return ib_path_join(dir, name);
}

static inline void hash_file(const char *path, struct ib_sha256 *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert(fd >= 0, "%s", path);
    cr_assert_eq(ib_sha256_fd(fd, ret, NULL), 0);
    close(fd);
}

enum { ESP_SIZE = 40 << 20, ROOT_SIZE = (5 << 20) + 512, DISK_SIZE = 47 << 20 };

static inline void fill(uint8_t *data, size_t size, uint32_t seed)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
}

struct fixture {
    struct ib_gpt_partition partitions[2];
    struct ib_gpt gpt;
    struct ib_buf head, tail;
    int esp_fd, root_fd, esp_store, root_store;
    struct ib_frames esp, root;
    struct ib_manifest *manifest;
    struct ib_artifact_result result;
    char *path, *raw;
};

static inline int make_file(const char *name, uint64_t size)
{
    _cleanup_(ib_freep) char *path = in_dir(name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
    return fd;
}

static inline void make_partition(struct ib_gpt_partition *p, enum ib_gpt_type type,
                                  const char *label, uint64_t size)
{
    *p = (struct ib_gpt_partition){.size_bytes = size};
    cr_assert(ib_gpt_type_uuid(type, "x86-64", &p->type));
    ib_uuid_derive("test", label, &p->uuid);
    strcpy(p->label, label);
}

static inline void make_frames(int fd, uint64_t size, int store, struct ib_frames *ret)
{
    const struct ib_frames_job job = {.fd = fd, .size = size, .name = "input"};
    struct ib_error *err = NULL;

    cr_assert_eq(ib_frames_make(&job, store, ret, &err), 0, "%s", ib_error_text(err));
}

static inline void make_parts(struct fixture *f)
{
    uint8_t *data = ib_malloc(6 << 20);

    make_partition(&f->partitions[0], IB_GPT_ESP, "esp", ESP_SIZE);
    make_partition(&f->partitions[1], IB_GPT_ROOT, "control", ROOT_SIZE);
    f->gpt = (struct ib_gpt){.partitions = f->partitions, .partition_count = 2};
    cr_assert_eq(ib_gpt_make(&f->gpt, dir, &f->head, &f->tail, NULL), 0);
    cr_assert_eq(f->gpt.disk_size_bytes, DISK_SIZE);
    f->esp_fd = make_file("esp", ESP_SIZE);
    f->root_fd = make_file("root", ROOT_SIZE);
    fill(data, 6 << 20, 1);
    cr_assert_eq(ib_pwrite_full(f->esp_fd, data, 3 << 20, 100 << 10), 0);
    fill(data, 6 << 20, 2);
    cr_assert_eq(ib_pwrite_full(f->root_fd, data, ROOT_SIZE, 0), 0);
    f->esp_store = make_file("esp.frames", 0);
    f->root_store = make_file("root.frames", 0);
    make_frames(f->esp_fd, ESP_SIZE, f->esp_store, &f->esp);
    make_frames(f->root_fd, ROOT_SIZE, f->root_store, &f->root);
    free(data);
}

/* The disk as dd would make it. */
static inline void make_raw(struct fixture *f)
{
    uint8_t *data = ib_malloc(ESP_SIZE);
    int fd = make_file("raw", DISK_SIZE);

    cr_assert_eq(ib_pwrite_full(fd, f->head.data, f->head.size, 0), 0);
    cr_assert_eq(ib_pread_full(f->esp_fd, data, ESP_SIZE, 0), 0);
    cr_assert_eq(ib_pwrite_full(fd, data, ESP_SIZE, f->partitions[0].offset_bytes), 0);
    cr_assert_eq(ib_pread_full(f->root_fd, data, ROOT_SIZE, 0), 0);
    cr_assert_eq(ib_pwrite_full(fd, data, ROOT_SIZE, f->partitions[1].offset_bytes), 0);
    cr_assert_eq(ib_pwrite_full(fd, f->tail.data, f->tail.size, DISK_SIZE - f->tail.size), 0);
    free(data), close(fd);
}

static inline struct ib_manifest *make_manifest(const struct fixture *f)
{
    struct ib_manifest *m = ib_manifest_new();

    m->node = ib_strdup("odin");
    m->disk = f->gpt.disk;
    m->disk_size_bytes = DISK_SIZE;
    for (size_t i = 0; i < 2; i++) {
        const struct ib_gpt_partition *from = &f->partitions[i];
        struct ib_manifest_partition *p = ib_manifest_add_partition(m);
        p->label = ib_strdup(from->label);
        p->type = from->type;
        p->uuid = from->uuid;
        p->offset_bytes = from->offset_bytes;
        p->size_bytes = from->size_bytes;
    }
    return m;
}

static inline void write_artifact(struct fixture *f)
{
    struct ib_error *err = NULL;
    const struct ib_artifact_extent extents[] = {
        {.offset_bytes = 0, .data = f->head.data, .size = f->head.size},
        {.offset_bytes = f->partitions[0].offset_bytes, .frames = &f->esp, .fd = f->esp_store},
        {.offset_bytes = f->partitions[1].offset_bytes, .frames = &f->root, .fd = f->root_store},
        {.offset_bytes = DISK_SIZE - f->tail.size, .data = f->tail.data, .size = f->tail.size},
    };

    ib_manifest_free(f->manifest);
    free(f->path), free(f->raw);
    f->manifest = make_manifest(f);
    f->path = in_dir("odin.img.zst");
    f->raw = in_dir("raw");
    cr_assert_eq(ib_artifact_write(f->manifest, extents, 4, f->path, NULL, &f->result, &err), 0,
                 "%s", ib_error_text(err));
}

static inline void setup(struct fixture *f)
{
    *f = (struct fixture){0};
    make_parts(f);
    make_raw(f);
    write_artifact(f);
}

static inline void teardown(struct fixture *f)
{
    close(f->esp_fd), close(f->root_fd), close(f->esp_store), close(f->root_store);
    ib_buf_clear(&f->head), ib_buf_clear(&f->tail);
    ib_frames_clear(&f->esp), ib_frames_clear(&f->root);
    ib_manifest_free(f->manifest);
    free(f->path), free(f->raw);
}
