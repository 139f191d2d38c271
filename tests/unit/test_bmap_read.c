/* SPDX-License-Identifier: Apache-2.0 */
/* Block maps: by bmaptool, by us, of the old version, and wrong in every line. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/subprocess.h"
#include "image/bmap.h"
#include "image/bmap_read.h"

static char *dir, *image_path, *map_path;
static struct ib_buf map;
static uint8_t block[4096];

static void run(const char *const *argv)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    const int r = ib_run(&(struct ib_run){.argv = argv}, &err);
    _cleanup_(ib_freep) char *text = err ? ib_error_text(err) : NULL;

    cr_assert_eq(r, 0, "%s", text);
}

/* A sparse image of 1 MiB and 100 bytes, with data in three places, and bmaptool's map of it. */
static void set_up(void)
{
    _cleanup_(ib_freep) char *program = ib_find_program("bmaptool");

    dir = ib_make_temp_dir("/var/tmp", "ib-bmap", NULL); /* a file system that tells of holes */
    image_path = ib_path_join(dir, "disk.img");
    map_path = ib_path_join(dir, "disk.bmap");
    _cleanup_(ib_closep) int fd = open(image_path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    memset(block, 'x', sizeof(block));
    cr_assert_eq(ftruncate(fd, (1 << 20) + 100), 0);
    cr_assert_eq(ib_pwrite_full(fd, block, sizeof(block), 0), 0);
    cr_assert_eq(ib_pwrite_full(fd, block, sizeof(block), 1 << 19), 0);
    cr_assert_eq(ib_pwrite_full(fd, block, sizeof(block), (1 << 19) + sizeof(block)), 0);
    cr_assert_eq(ib_pwrite_full(fd, "end", 3, (1 << 20) + 97), 0);
    cr_assert_eq(fsync(fd), 0);
    if (!program)
        cr_skip_test("bmaptool is not installed");
    run((const char *const[]){"bmaptool", "create", "-o", map_path, image_path, NULL});
    cr_assert_eq(ib_read_file(map_path, IB_MIB, &map, NULL), 0);
}

static void tear_down(void)
{
    ib_buf_clear(&map);
    ib_temp_dirp(&dir);
    free(image_path), free(map_path);
}

TestSuite(bmap_read, .init = set_up, .fini = tear_down, .timeout = 60);

/* Every range's checksum is that of the image. */
static void check_against_image(const struct ib_bmap *bmap)
{
    _cleanup_(ib_bmap_hasher_freep) struct ib_bmap_hasher *hasher = ib_bmap_hasher_new(bmap->hash);
    struct ib_buf image = {0};

    cr_assert_eq(ib_read_file(image_path, 2 * IB_MIB, &image, NULL), 0);
    for (size_t i = 0; i < bmap->range_count; i++) {
        const struct ib_bmap_range *range = &bmap->ranges[i];
        ib_bmap_hasher_update(hasher, image.data + range->offset, range->size);
        cr_assert(ib_bmap_hasher_matches(hasher, range), "%zu", i);
        ib_bmap_hasher_update(hasher, image.data + range->offset, range->size - 1);
        cr_assert_not(ib_bmap_hasher_matches(hasher, range));
    }
    ib_buf_clear(&image);
}

static void check_bmap(const struct ib_bmap *bmap)
{
    cr_assert_eq(bmap->image_size_bytes, (1 << 20) + 100);
    cr_assert_eq(bmap->block_size_bytes, 4096);
    cr_assert_eq(bmap->range_count, 3);
    cr_assert(bmap->ranges[0].offset == 0 && bmap->ranges[0].size == 4096);
    cr_assert(bmap->ranges[1].offset == 1 << 19 && bmap->ranges[1].size == 8192);
    cr_assert(bmap->ranges[2].offset == 1 << 20 && bmap->ranges[2].size == 100);
    cr_assert_eq(bmap->mapped_size_bytes, 4096 + 8192 + 100);
    cr_assert(bmap->has_hashes);
    check_against_image(bmap);
}

Test(bmap_read, by_bmaptool)
{
    _cleanup_(ib_bmap_clear) struct ib_bmap bmap = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    const int r = ib_bmap_parse(map.data, map.size, "disk.bmap", &bmap, &err);
    _cleanup_(ib_freep) char *text = err ? ib_error_text(err) : NULL;
    cr_assert_eq(r, 0, "%s", text);
    cr_assert_eq(bmap.hash, IB_BMAP_SHA256);
    check_bmap(&bmap);
}

/* The old version, as bmaptool accepts it. */
Test(bmap_read, version_1_3)
{
    static const char script[] =
        "import hashlib, re, sys\n"
        "image = open(sys.argv[1], 'rb').read()\n"
        "text = open(sys.argv[2]).read()\n"
        "def sha1(m):\n"
        "    a, _, b = m.group(1).partition('-')\n"
        "    data = image[int(a) * 4096:(int(b or a) + 1) * 4096]\n"
        "    return '<Range sha1=\"%s\">%s<' % (hashlib.sha1(data).hexdigest(), "
        "m.group(1).strip())\n"
        "text = re.sub('<Range chksum=\"[0-9a-f]*\">([^<]*)<', sha1, text)\n"
        "text = re.sub('<ChecksumType>.*</ChecksumType>', '', text)\n"
        "text = re.sub('<BmapFileChecksum>[^<]*<', '<BmapFileChecksum> ' + '0' * 40 + ' <', text)\n"
        "text = text.replace('BmapFileChecksum', 'BmapFileSHA1')\n"
        "text = text.replace('bmap version=\"2.0\"', 'bmap version=\"1.3\"')\n"
        "own = hashlib.sha1(text.encode()).hexdigest()\n"
        "open(sys.argv[3], 'w').write(text.replace('0' * 40, own, 1))\n";
    _cleanup_(ib_freep) char *old_path = ib_path_join(dir, "old.bmap");
    _cleanup_(ib_freep) char *copy_path = ib_path_join(dir, "copy.img");
    _cleanup_(ib_bmap_clear) struct ib_bmap bmap = {0};
    _cleanup_(ib_buf_clear) struct ib_buf old = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    run((const char *const[]){"python3", "-c", script, image_path, map_path, old_path, NULL});
    run((const char *const[]){"bmaptool", "copy", "--bmap", old_path, image_path, copy_path, NULL});
    cr_assert_eq(ib_read_file(old_path, IB_MIB, &old, NULL), 0);
    const int r = ib_bmap_parse(old.data, old.size, "old.bmap", &bmap, &err);
    _cleanup_(ib_freep) char *text = err ? ib_error_text(err) : NULL;
    cr_assert_eq(r, 0, "%s", text);
    cr_assert_eq(bmap.hash, IB_BMAP_SHA1);
    check_bmap(&bmap);
}

Test(bmap_read, without_checksums)
{
    _cleanup_(ib_bmap_clear) struct ib_bmap bmap = {0};

    run((const char *const[]){"bmaptool", "create", "--no-checksum", "-o", map_path, image_path,
                              NULL});
    ib_buf_clear(&map);
    cr_assert_eq(ib_read_file(map_path, IB_MIB, &map, NULL), 0);
    cr_assert_eq(ib_bmap_parse(map.data, map.size, "disk.bmap", &bmap, NULL), 0);
    cr_assert(bmap.range_count == 3 && !bmap.has_hashes);
}

/* What we print, we read. */
Test(bmap_read, by_us)
{
    struct ib_manifest_frame frames[3] = {
        {.raw_offset = 0, .raw_size = 1000},
        {.raw_offset = 1000, .raw_size = 500, .zero = true},
        {.raw_offset = 1500, .raw_size = 2000},
    };
    const struct ib_manifest manifest = {
        .disk_size_bytes = 3500, .frames = frames, .frame_count = 3};
    _cleanup_(ib_bmap_clear) struct ib_bmap bmap = {0};
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};

    ib_sha256("x", 1, &frames[2].sha256);
    ib_bmap_print(&manifest, &text);
    cr_assert_eq(ib_bmap_parse(text.data, text.size, "ours", &bmap, NULL), 0);
    cr_assert(bmap.block_size_bytes == 1 && bmap.range_count == 2);
    cr_assert(bmap.ranges[1].offset == 1500 && bmap.ranges[1].size == 2000);
    cr_assert_eq(memcmp(bmap.ranges[1].hash, frames[2].sha256.bytes, 32), 0);
}

/* Every byte counts. */
Test(bmap_read, damaged)
{
    for (size_t i = 0; i < map.size; i++) {
        struct ib_bmap bmap = {0};
        map.data[i] ^= 1;
        cr_assert_eq(ib_bmap_parse(map.data, map.size, "x", &bmap, NULL), -1, "byte %zu", i);
        map.data[i] ^= 1;
        cr_assert_eq(ib_bmap_parse(map.data, i, "x", &bmap, NULL), -1, "cut at %zu", i);
    }
}

/* The map with one text replaced. */
static void fails(const char *was, const char *becomes, enum ib_error_code code, const char *words)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    const char *begin = (const char *)map.data, *at = strstr(begin, was);
    struct ib_bmap bmap = {0};

    cr_assert_not_null(at, "%s", was);
    ib_buf_append(&text, begin, (size_t)(at - begin));
    ib_buf_append_str(&text, becomes);
    ib_buf_append_str(&text, at + strlen(was));
    cr_assert_eq(ib_bmap_parse(text.data, text.size, "x.bmap", &bmap, &err), -1, "%s", becomes);
    _cleanup_(ib_freep) char *message = ib_error_text(err);
    cr_assert_eq(ib_error_code(err), code, "%s", message);
    cr_assert(strstr(message, words), "%s: %s", becomes, message);
    cr_assert_not_null(ib_error_hint(err), "%s", message);
}

Test(bmap_read, wrong)
{
    fails("<bmap version=\"2.0\"", "<map version=\"2.0\"", IB_E_INVALID, "no block map");
    fails(" version=\"2.0\"", " version=\"3.0\"", IB_E_UNSUPPORTED, "version 3.0");
    fails(" version=\"2.0\"", " version=\"1.2\"", IB_E_UNSUPPORTED, "version 1.2");
    fails(" version=\"2.0\"", "", IB_E_INVALID, "version is missing");
    fails(" version=\"2.0\"", " version=\"2.0\" x=\"y\"", IB_E_INVALID, "attribute 'x'");
    fails("<bmap", "<!DOCTYPE bmap [<!ENTITY a \"aaaa\">]><bmap", IB_E_INVALID, "document type");
    fails("<bmap", "<!DOCTYPE bmap SYSTEM \"file:///etc/passwd\"><bmap", IB_E_INVALID,
          "document type");
    fails("<BlockSize> 4096", "<BlockSize> 0", IB_E_INVALID, "line");
    fails("<BlockSize> 4096", "<BlockSize> 4097", IB_E_INVALID, "are not an image of");
    fails("<BlockSize> 4096", "<BlockSize> 0x1000", IB_E_INVALID, "no usable number");
    fails("<BlockSize> 4096", "<BlockSize> -1", IB_E_INVALID, "no usable number");
    fails("<BlockSize>", "<BlockSize> 4096 </BlockSize> <BlockSize>", IB_E_INVALID, "second");
    fails("<BlockSize> 4096 </BlockSize>", "", IB_E_INVALID, "no BlockSize in front");
    fails("<BlockSize>", "<Color> red </Color><BlockSize>", IB_E_INVALID, "'Color' has no place");
    fails("<BlockSize>", "text <BlockSize>", IB_E_INVALID, "text between");
    fails("<ImageSize> 1048676", "<ImageSize> 18446744073709551615", IB_E_INVALID,
          "no usable number");
    fails("<ImageSize> 1048676", "<ImageSize> 1048577", IB_E_VERIFY, "checksum");
    fails("<MappedBlocksCount> 4", "<MappedBlocksCount> 5", IB_E_INVALID, "instead of 5");
    fails("<ChecksumType> sha256", "<ChecksumType> md5", IB_E_UNSUPPORTED, "'md5'");
    fails("128-129", "128-999", IB_E_INVALID, "behind the image");
    fails("128-129", "0-129", IB_E_INVALID, "does not follow");
    fails("128-129", "129-128", IB_E_INVALID, "no range");
    fails("128-129", "128-18446744073709551616", IB_E_INVALID, "no range");
    fails("128-129", "128-129-130", IB_E_INVALID, "no range");
    fails("128-129", "", IB_E_INVALID, "no range");
    fails("128-129", "<b/>128-129", IB_E_INVALID, "'b' has no place");
    fails("<Range chksum=\"", "<Range chksum=\"x", IB_E_INVALID, "no checksum of 32");
    fails("<Range chksum=", "<Range sha1=", IB_E_INVALID, "attribute 'sha1'");
    fails("<BmapFileChecksum> ", "<BmapFileChecksum> 0", IB_E_INVALID, "has not 64 digits");
}

Test(bmap_read, partly_hashed)
{
    const char *first = strstr((const char *)map.data, " chksum=");
    _cleanup_(ib_freep) char *attribute = ib_strndup(first, strcspn(first, ">"));

    fails(attribute, "", IB_E_INVALID, "only some");
}
