/* SPDX-License-Identifier: Apache-2.0 */
/* Block maps: expat finds the elements, the states below know which may stand where. */
#include "image/bmap_read.h"

#include <expat.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/buffer.h"
#include "base/hash.h"

enum {
    TEXT_MAX = 256, /* of one element; the longest is a checksum between blanks */
    DEPTH_RANGE = 2,
};
static const uint64_t BLOCK_SIZE_MAX = IB_GIB, IMAGE_SIZE_MAX = UINT64_C(1) << 60;

enum field {
    FIELD_IMAGE_SIZE,
    FIELD_BLOCK_SIZE,
    FIELD_BLOCKS,
    FIELD_MAPPED_BLOCKS,
    FIELD_HASH,
    FIELD_CHECKSUM,
    FIELD_MAP,
    FIELD_COUNT,
};

struct parser {
    XML_Parser xml;
    const char *data;
    size_t size;
    struct ib_bmap bmap;
    bool old; /* version 1.3 */
    int depth;
    enum field field;
    bool seen[FIELD_COUNT];
    char text[TEXT_MAX];
    size_t text_size;
    uint64_t numbers[FIELD_COUNT];
    uint64_t mapped_blocks, next_block;
    size_t hashed_ranges, ranges_capacity;
    size_t checksum_at, checksum_size; /* where its hexadecimal digits are in the data */
    struct ib_error *error;
};

static const char *field_name(const struct parser *p, enum field field)
{
    static const char *const names[FIELD_COUNT] = {
        "ImageSize",    "BlockSize",        "BlocksCount", "MappedBlocksCount",
        "ChecksumType", "BmapFileChecksum", "BlockMap"};

    return field == FIELD_CHECKSUM && p->old ? "BmapFileSHA1" : names[field];
}

static size_t hash_size(const struct parser *p)
{
    return p->bmap.hash == IB_BMAP_SHA1 ? 20 : 32;
}

static int fail(struct parser *p, enum ib_error_code code, const char *fmt, ...) _printf_(3, 4);

static int fail(struct parser *p, enum ib_error_code code, const char *fmt, ...)
{
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    va_list ap;

    if (p->error)
        return -1;
    va_start(ap, fmt);
    ib_buf_vprintf(&text, fmt, ap);
    va_end(ap);
    ib_failf(&p->error, code, "line %lu: %s", (unsigned long)XML_GetCurrentLineNumber(p->xml),
             (const char *)text.data);
    ib_hint(&p->error, "make the map again: bmaptool create IMAGE");
    XML_StopParser(p->xml, XML_FALSE);
    return -1;
}

/* Elements that begin. */

/* The only attribute `name`; NULL where there is none. Others fail. */
static const char *only_attribute(struct parser *p, const char **attributes, const char *name)
{
    const char *value = NULL;

    for (; *attributes; attributes += 2) {
        if (!name || strcmp(attributes[0], name) != 0)
            fail(p, IB_E_INVALID, "there is no attribute '%.40s' here", attributes[0]);
        value = attributes[1];
    }
    return value;
}

static void begin_root(struct parser *p, const char *element, const char **attributes)
{
    if (strcmp(element, "bmap") != 0) {
        fail(p, IB_E_INVALID, "it is no block map, but has '%.40s' as its root", element);
        return;
    }
    const char *version = only_attribute(p, attributes, "version");
    if (!version)
        fail(p, IB_E_INVALID, "the version is missing");
    else if (ib_streq(version, "1.3"))
        p->old = true;
    else if (!ib_streq(version, "1.4") && !ib_streq(version, "2.0"))
        fail(p, IB_E_UNSUPPORTED, "version %.20s of block maps is not known", version);
    if (p->old) {
        p->bmap.hash = IB_BMAP_SHA1;
        p->seen[FIELD_HASH] = true; /* it has no such element */
    }
}

/* The numbers in front of the map must agree, so that none in it can lead outside the image. */
static int check_sizes(struct parser *p)
{
    const uint64_t size = p->numbers[FIELD_IMAGE_SIZE], block_size = p->numbers[FIELD_BLOCK_SIZE];
    const uint64_t blocks = size / block_size + (size % block_size != 0);

    if (p->numbers[FIELD_BLOCKS] != blocks)
        return fail(p, IB_E_INVALID,
                    "%" PRIu64 " blocks of %" PRIu64 " bytes are not an image of %" PRIu64 " bytes",
                    p->numbers[FIELD_BLOCKS], block_size, size);
    return 0;
}

static void begin_field(struct parser *p, const char *element, const char **attributes)
{
    for (int f = 0; f < FIELD_COUNT; f++) {
        if (strcmp(element, field_name(p, (enum field)f)) != 0)
            continue;
        if (p->seen[f])
            fail(p, IB_E_INVALID, "there is a second %s", element);
        for (int before = 0; f == FIELD_MAP && before < f; before++)
            if (!p->seen[before])
                fail(p, IB_E_INVALID, "there is no %s in front of the map",
                     field_name(p, (enum field)before));
        only_attribute(p, attributes, NULL);
        p->seen[f] = true;
        p->field = (enum field)f;
        if (f == FIELD_MAP && !p->error)
            (void)check_sizes(p);
        return;
    }
    fail(p, IB_E_INVALID, "'%.40s' has no place here", element);
}

static struct ib_bmap_range *add_range(struct parser *p)
{
    struct ib_bmap *bmap = &p->bmap;

    if (bmap->range_count == p->ranges_capacity) {
        p->ranges_capacity = IB_MAX(p->ranges_capacity * 2, (size_t)64);
        bmap->ranges = ib_reallocarray(bmap->ranges, p->ranges_capacity, sizeof(bmap->ranges[0]));
    }
    struct ib_bmap_range *range = &bmap->ranges[bmap->range_count++];
    memset(range, 0, sizeof(*range));
    return range;
}

static void begin_range(struct parser *p, const char *element, const char **attributes)
{
    if (p->field != FIELD_MAP || strcmp(element, "Range") != 0) {
        fail(p, IB_E_INVALID, "'%.40s' has no place here", element);
        return;
    }
    const char *hash = only_attribute(p, attributes, p->old ? "sha1" : "chksum");
    struct ib_bmap_range *range = add_range(p);
    if (!hash)
        return;
    p->hashed_ranges++;
    if (!ib_unhex(hash, range->hash, hash_size(p)))
        fail(p, IB_E_INVALID, "'%.70s' is no checksum of %zu bytes", hash, hash_size(p));
}

static void XMLCALL on_begin(void *userdata, const char *element, const char **attributes)
{
    struct parser *p = userdata;

    if (p->depth == 0)
        begin_root(p, element, attributes);
    else if (p->depth == 1)
        begin_field(p, element, attributes);
    else if (p->depth == DEPTH_RANGE)
        begin_range(p, element, attributes);
    else
        fail(p, IB_E_INVALID, "'%.40s' has no place here", element);
    p->depth++;
    p->text_size = 0;
}

/* Text. */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void XMLCALL on_text(void *userdata, const char *text, int size)
{
    struct parser *p = userdata;
    const bool inside = p->depth == DEPTH_RANGE + 1 || (p->depth == 2 && p->field != FIELD_MAP);

    for (int i = 0; i < size; i++) {
        if (is_blank(text[i]) && (!inside || p->text_size == 0))
            continue;
        if (!inside) {
            fail(p, IB_E_INVALID, "there is text between the elements");
            return;
        }
        if (p->text_size + 1 >= sizeof(p->text)) {
            fail(p, IB_E_INVALID, "there is too much text");
            return;
        }
        if (p->text_size == 0 && p->depth == 2 && p->field == FIELD_CHECKSUM)
            p->checksum_at = (size_t)XML_GetCurrentByteIndex(p->xml) + (size_t)i;
        p->text[p->text_size++] = text[i];
    }
}

/* The element's text without blanks around it. */
static const char *trimmed(struct parser *p)
{
    while (p->text_size && is_blank(p->text[p->text_size - 1]))
        p->text_size--;
    p->text[p->text_size] = 0;
    return p->text;
}

/* Elements that end. */

static void end_hash(struct parser *p, const char *text)
{
    if (ib_streq(text, "sha1"))
        p->bmap.hash = IB_BMAP_SHA1;
    else if (!ib_streq(text, "sha256"))
        fail(p, IB_E_UNSUPPORTED, "the hash '%.40s' is not known (sha256, sha1)", text);
}

static void end_field(struct parser *p)
{
    const char *text = trimmed(p);

    switch (p->field) {
    case FIELD_HASH:
        end_hash(p, text);
        break;
    case FIELD_CHECKSUM:
        p->checksum_size = p->text_size;
        break;
    case FIELD_MAP:
    case FIELD_COUNT:
        break;
    default:
        if (!ib_parse_u64(text, IMAGE_SIZE_MAX, &p->numbers[p->field]))
            fail(p, IB_E_INVALID, "'%.40s' is no usable number", text);
    }
    const uint64_t block_size = p->numbers[FIELD_BLOCK_SIZE];
    if (p->field == FIELD_BLOCK_SIZE && (block_size == 0 || block_size > BLOCK_SIZE_MAX))
        fail(p, IB_E_INVALID, "a block cannot have %" PRIu64 " bytes", block_size);
}

/* "FIRST-LAST" or "BLOCK". */
static void end_range(struct parser *p)
{
    const uint64_t block_size = p->numbers[FIELD_BLOCK_SIZE], blocks = p->numbers[FIELD_BLOCKS];
    const uint64_t image_size = p->numbers[FIELD_IMAGE_SIZE];
    struct ib_bmap_range *range = &p->bmap.ranges[p->bmap.range_count - 1];
    char *text = (char *)(uintptr_t)trimmed(p), *dash = strchr(text, '-');
    uint64_t first, last;

    if (dash)
        *dash++ = 0;
    if (!ib_parse_u64(text, IMAGE_SIZE_MAX, &first) ||
        !ib_parse_u64(dash ? dash : text, IMAGE_SIZE_MAX, &last) || last < first) {
        fail(p, IB_E_INVALID, "'%.20s%s%.20s' is no range", text, dash ? "-" : "",
             dash ? dash : "");
        return;
    }
    if (first < p->next_block)
        fail(p, IB_E_INVALID, "block %" PRIu64 " does not follow the range before", first);
    if (last >= blocks) {
        fail(p, IB_E_INVALID, "block %" PRIu64 " is behind the image's %" PRIu64 " blocks", last,
             blocks);
        return;
    }
    p->next_block = last + 1;
    p->mapped_blocks += last - first + 1;
    range->offset = first * block_size; /* less than the image's size, which has a bound */
    range->size = IB_MIN((last - first + 1) * block_size, image_size - range->offset);
    p->bmap.mapped_size_bytes += range->size;
}

static void XMLCALL on_end(void *userdata, const char *element _unused_)
{
    struct parser *p = userdata;

    p->depth--;
    if (p->error)
        return;
    if (p->depth == DEPTH_RANGE)
        end_range(p);
    else if (p->depth == 1)
        end_field(p);
    p->text_size = 0;
}

static void XMLCALL on_doctype(void *userdata, const char *name _unused_,
                               const char *system_id _unused_, const char *public_id _unused_,
                               int has_internal_subset _unused_)
{
    fail(userdata, IB_E_INVALID, "a document type has no place in a block map");
}

static int check_whole(struct parser *p)
{
    if (!p->seen[FIELD_MAP])
        return fail(p, IB_E_INVALID, "there is no BlockMap");
    if (p->mapped_blocks != p->numbers[FIELD_MAPPED_BLOCKS])
        return fail(p, IB_E_INVALID, "%" PRIu64 " blocks are mapped instead of %" PRIu64,
                    p->mapped_blocks, p->numbers[FIELD_MAPPED_BLOCKS]);
    if (p->hashed_ranges && p->hashed_ranges != p->bmap.range_count)
        return fail(p, IB_E_INVALID, "only some of the ranges have a checksum");
    p->bmap.has_hashes = p->hashed_ranges > 0 || p->bmap.range_count == 0;
    p->bmap.image_size_bytes = p->numbers[FIELD_IMAGE_SIZE];
    p->bmap.block_size_bytes = p->numbers[FIELD_BLOCK_SIZE];
    return 0;
}

/* The file's own hash, made while zeros stand in its place. */
static int check_checksum(struct parser *p)
{
    static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
    const size_t digits = 2 * hash_size(p), at = p->checksum_at;
    struct ib_bmap_range own = {0};
    char hex[2 * IB_BMAP_HASH_SIZE_MAX + 1] = "";

    if (p->checksum_size != digits || at > p->size || p->size - at < digits)
        return fail(p, IB_E_INVALID, "%s has not %zu digits", field_name(p, FIELD_CHECKSUM),
                    digits);
    memcpy(hex, p->data + at, digits);
    if (!ib_unhex(hex, own.hash, hash_size(p)))
        return fail(p, IB_E_INVALID, "%s is no checksum", field_name(p, FIELD_CHECKSUM));
    _cleanup_(ib_bmap_hasher_freep) struct ib_bmap_hasher *hasher =
        ib_bmap_hasher_new(p->bmap.hash);
    ib_bmap_hasher_update(hasher, p->data, at);
    ib_bmap_hasher_update(hasher, zeros, digits);
    ib_bmap_hasher_update(hasher, p->data + at + digits, p->size - at - digits);
    if (ib_bmap_hasher_matches(hasher, &own))
        return 0;
    ib_failf(&p->error, IB_E_VERIFY, "its checksum does not match: it was damaged or changed");
    return ib_hint(&p->error, "get it again, or make it again: bmaptool create IMAGE");
}

static void parser_clear(struct parser *p)
{
    XML_ParserFree(p->xml);
    ib_bmap_clear(&p->bmap);
    ib_error_free(p->error);
}

static int parse(struct parser *p)
{
    if (XML_Parse(p->xml, p->data, (int)p->size, XML_TRUE) != XML_STATUS_OK) {
        if (XML_GetErrorCode(p->xml) == XML_ERROR_NO_MEMORY)
            abort();
        return fail(p, IB_E_INVALID, "%s", XML_ErrorString(XML_GetErrorCode(p->xml)));
    }
    return check_whole(p) < 0 || check_checksum(p) < 0 ? -1 : 0;
}

int ib_bmap_parse(const void *data, size_t size, const char *name, struct ib_bmap *ret,
                  struct ib_error **err)
{
    _cleanup_(parser_clear) struct parser p = {.data = data, .size = size};

    if (size > IB_BMAP_MAX_SIZE) {
        ib_failf(err, IB_E_INVALID, "it has more than 16 MiB");
        return ib_wrap(err, name, "read the block map");
    }
    p.xml = XML_ParserCreate("UTF-8");
    if (!p.xml)
        abort(); /* memory */
    XML_SetUserData(p.xml, &p);
    XML_SetElementHandler(p.xml, on_begin, on_end);
    XML_SetCharacterDataHandler(p.xml, on_text);
    XML_SetStartDoctypeDeclHandler(p.xml, on_doctype);
    if (parse(&p) < 0) {
        if (err)
            *err = ib_steal(&p.error);
        return ib_wrap(err, name, "read the block map");
    }
    *ret = p.bmap;
    p.bmap = (struct ib_bmap){0};
    return 0;
}

void ib_bmap_clear(struct ib_bmap *bmap)
{
    free(bmap->ranges);
    *bmap = (struct ib_bmap){0};
}
