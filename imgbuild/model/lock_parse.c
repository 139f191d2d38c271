/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a lock, trusting nothing in it: it comes from git, and merges go wrong. */
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "json_place.h"
#include "lock_private.h"
#include "model/schema.h"

#define MAX_MISTAKES 100 /* finding places is slow, and nobody reads more */
#define MAX_STEPS 6
#define MAX_ENTRIES 1000 /* of each list but that of packages */

struct reader {
    const char *file;
    const char *text;
    size_t size;
    struct ib_diags *diags;
    struct ib_decoder *decoder;
    struct json_step path[MAX_STEPS]; /* to what is being read */
    size_t depth;
    size_t mistakes;
};

/* Reports at `key` of the object at the path (NULL: at the object). False: too many already. */
static bool mistake(struct reader *r, const char *key, const char *message)
{
    if (r->mistakes++ >= MAX_MISTAKES)
        return false;
    size_t depth = r->depth;
    if (key)
        r->path[depth++] = (struct json_step){.key = key};
    ib_diag(r->diags, ib_json_place(r->file, r->text, r->size, r->path, depth), "%s", message);
    return true;
}

static void enter_key(struct reader *r, const char *key)
{
    r->path[r->depth++] = (struct json_step){.key = key};
}

static void enter_index(struct reader *r, size_t index)
{
    r->path[r->depth++] = (struct json_step){.index = index};
}

static void leave(struct reader *r)
{
    r->depth--;
}

/* Complains about keys that are not among `keys` (count of them), and about missing ones. */
static bool check_keys(struct reader *r, json_t *object, const char *const *keys, size_t count)
{
    if (!json_is_object(object)) {
        if (mistake(r, NULL, "this is no object"))
            ib_diag_expect(r->diags, "expected {…} with the key '%s'", keys[0]);
        return false;
    }
    for (void *i = json_object_iter(object); i; i = json_object_iter_next(object, i)) {
        const char *key = json_object_iter_key(i);
        size_t k = 0;
        while (k < count && !ib_streq(keys[k], key))
            k++;
        _cleanup_(ib_freep) char *text = ib_asprintf("unknown key '%.60s'", key);
        if (k == count && mistake(r, key, text))
            ib_diag_nearest(r->diags, key, keys, count);
    }
    for (size_t k = 0; k < count; k++) {
        if (json_object_get(object, keys[k]))
            continue;
        _cleanup_(ib_freep) char *text = ib_asprintf("key '%s' is missing", keys[k]);
        mistake(r, NULL, text);
    }
    return true;
}

/* A string of the given type; NULL when it was reported or is missing. */
static char *read_text(struct reader *r, json_t *object, const char *key, enum ib_type type)
{
    json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);
    const char *expectation =
        text ? ib_decoder_check_text(r->decoder, type, text) : ib_type_expectation(type);

    if (!value)
        return NULL;
    if (!expectation && strlen(text) == json_string_length(value))
        return ib_strdup(text);
    _cleanup_(ib_freep) char *message = ib_asprintf("'%s' is not %s", key, ib_type_name(type));
    if (mistake(r, key, message))
        ib_diag_expect(r->diags, "%s", expectation ? expectation : "expected text without NUL");
    return NULL;
}

static void read_size(struct reader *r, json_t *object, uint64_t *ret)
{
    json_t *value = json_object_get(object, "size");

    if (!value)
        return;
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *ret = (uint64_t)json_integer_value(value);
        return;
    }
    if (mistake(r, "size", "'size' is no number of bytes"))
        ib_diag_expect(r->diags, "expected a whole number from 0");
}

static void read_hash(struct reader *r, json_t *object, const char *key, struct ib_sha256 *ret)
{
    json_t *value = json_object_get(object, key);
    const char *text = json_string_value(value);

    if (!value)
        return;
    if (text && strspn(text, "0123456789abcdef") == strlen(text) && ib_sha256_parse(text, ret))
        return;
    _cleanup_(ib_freep) char *message = ib_asprintf("'%s' is no SHA-256", key);
    if (mistake(r, key, message))
        ib_diag_expect(r->diags, "expected 64 hexadecimal digits in lower case");
}

static void read_urls(struct reader *r, json_t *object, struct ib_strv *ret)
{
    json_t *value = json_object_get(object, "urls"), *item;
    size_t index;

    if (!value)
        return;
    if (json_array_size(value) == 0) {
        if (mistake(r, "urls", "'urls' is no list of URLs"))
            ib_diag_expect(r->diags, "expected at least one");
        return;
    }
    enter_key(r, "urls");
    json_array_foreach (value, index, item) {
        const char *text = json_string_value(item);
        const char *expectation =
            text ? ib_decoder_check_text(r->decoder, IB_TYPE_URL, text) : "expected a string";
        enter_index(r, index);
        if (!expectation)
            ib_strv_add(ret, text);
        else if (mistake(r, NULL, "this is no URL"))
            ib_diag_expect(r->diags, "%s", expectation);
        leave(r);
    }
    leave(r);
}

static void read_kind(struct reader *r, json_t *object, enum ib_lock_kind *ret)
{
    json_t *value = json_object_get(object, "kind");
    const char *names[] = {ib_lock_kind_name(IB_LOCK_BASE), ib_lock_kind_name(IB_LOCK_PAYLOAD)};
    const char *text = json_string_value(value);

    for (unsigned i = 0; i < IB_ARRAY_SIZE(names); i++) {
        if (ib_streq(text, names[i])) {
            *ret = (enum ib_lock_kind)i;
            return;
        }
    }
    if (value && mistake(r, "kind", "'kind' is unknown")) {
        ib_diag_expect(r->diags, "expected one of '%s', '%s'", names[0], names[1]);
        if (text)
            ib_diag_nearest(r->diags, text, names, IB_ARRAY_SIZE(names));
    }
}

static void read_verified(struct reader *r, json_t *object, struct ib_lock_entry *ret)
{
    static const struct {
        const char *prefix;
        enum ib_lock_verified verified;
        enum ib_type type;
    } forms[] = {{"gpg:", IB_VERIFIED_GPG, IB_TYPE_FINGERPRINT},
                 {"sha256sum-file:", IB_VERIFIED_SHA256SUM, IB_TYPE_URL}};
    json_t *value = json_object_get(object, "verified");
    const char *text = json_string_value(value);

    if (!value || ib_streq(text, "pinned"))
        return;
    for (size_t i = 0; text && i < IB_ARRAY_SIZE(forms); i++) {
        const char *rest = text + strlen(forms[i].prefix);
        if (!ib_startswith(text, forms[i].prefix) ||
            ib_decoder_check_text(r->decoder, forms[i].type, rest))
            continue;
        ret->verified = forms[i].verified;
        ret->verified_by = ib_strdup(rest);
        return;
    }
    if (mistake(r, "verified", "'verified' does not say how the hash was come by"))
        ib_diag_expect(r->diags, "expected 'gpg:FINGERPRINT', 'sha256sum-file:URL' or 'pinned'");
}

static void read_entry(struct reader *r, json_t *object, struct ib_lock *lock)
{
    static const char *const keys[] = {"name", "kind",   "version", "urls",
                                       "size", "sha256", "verified"};
    struct ib_lock_entry entry = {0};

    if (!check_keys(r, object, keys, IB_ARRAY_SIZE(keys)))
        return;
    entry.name = read_text(r, object, "name", IB_TYPE_NAME);
    read_kind(r, object, &entry.kind);
    entry.version = read_text(r, object, "version", IB_TYPE_VERSION);
    read_urls(r, object, &entry.urls);
    read_size(r, object, &entry.size_bytes);
    read_hash(r, object, "sha256", &entry.sha256);
    read_verified(r, object, &entry);
    if (entry.name && ib_lock_entry(lock, entry.kind, entry.name)) {
        _cleanup_(ib_freep) char *text =
            ib_asprintf("%s '%s' stands here twice", ib_lock_kind_name(entry.kind), entry.name);
        mistake(r, "name", text);
    }
    if (entry.name)
        ib_lock_put_entry(lock, &entry);
    ib_lock_entry_clear(&entry);
}

static void read_package(struct reader *r, json_t *object, struct ib_lock_package *ret)
{
    static const char *const keys[] = {"name", "version", "architecture", "url", "size", "sha256"};

    if (!check_keys(r, object, keys, IB_ARRAY_SIZE(keys)))
        return;
    ret->name = read_text(r, object, "name", IB_TYPE_PACKAGE);
    ret->version = read_text(r, object, "version", IB_TYPE_PACKAGE_VERSION);
    ret->architecture = read_text(r, object, "architecture", IB_TYPE_WORD);
    ret->url = read_text(r, object, "url", IB_TYPE_URL);
    read_size(r, object, &ret->size_bytes);
    read_hash(r, object, "sha256", &ret->sha256);
}

static int compare_names(const void *a, const void *b)
{
    const struct ib_lock_package *x = *(struct ib_lock_package *const *)a,
                                 *y = *(struct ib_lock_package *const *)b;
    int r = strcmp(x->name, y->name);

    if (r == 0)
        r = strcmp(x->architecture, y->architecture);
    return r ? r : strcmp(x->version, y->version);
}

/* The same package twice in a set; every one has its texts. */
static void check_repeats(struct reader *r, struct ib_lock_package_set *set)
{
    struct ib_lock_package **sorted = ib_calloc(set->package_count, sizeof(*sorted));

    for (size_t i = 0; i < set->package_count; i++)
        sorted[i] = &set->packages[i];
    qsort(sorted, set->package_count, sizeof(*sorted), compare_names);
    for (size_t i = 1; i < set->package_count; i++) {
        if (compare_names(&sorted[i - 1], &sorted[i]) != 0)
            continue;
        enter_index(r, (size_t)(IB_MAX(sorted[i - 1], sorted[i]) - set->packages));
        _cleanup_(ib_freep) char *text =
            ib_asprintf("package '%s' stands here twice", sorted[i]->name);
        mistake(r, "name", text);
        leave(r);
    }
    free(sorted);
}

static void read_packages(struct reader *r, json_t *object, struct ib_lock_package_set *ret)
{
    json_t *value = json_object_get(object, "packages"), *item;
    size_t index, before = r->mistakes;

    if (!value)
        return;
    if (!json_is_array(value)) {
        mistake(r, "packages", "'packages' is no list");
        return;
    }
    enter_key(r, "packages");
    ret->packages = ib_calloc(json_array_size(value), sizeof(*ret->packages));
    ret->package_count = json_array_size(value);
    json_array_foreach (value, index, item) {
        enter_index(r, index);
        read_package(r, item, &ret->packages[index]);
        leave(r);
    }
    if (r->mistakes == before && ret->package_count)
        check_repeats(r, ret);
    leave(r);
}

static void read_set(struct reader *r, json_t *object, struct ib_lock *lock)
{
    static const char *const keys[] = {"base", "role", "input", "packages"};
    struct ib_lock_package_set set = {0};

    if (!check_keys(r, object, keys, IB_ARRAY_SIZE(keys)))
        return;
    set.base = read_text(r, object, "base", IB_TYPE_NAME);
    set.role = read_text(r, object, "role", IB_TYPE_NAME);
    read_hash(r, object, "input", &set.input);
    read_packages(r, object, &set);
    if (set.base && set.role) {
        if (ib_lock_package_set(lock, set.base, set.role))
            mistake(r, "role", "this package set stands here twice");
        ib_lock_put_package_set(lock, &set);
    }
    ib_lock_package_set_clear(&set);
}

static void read_list(struct reader *r, json_t *root, const char *key, struct ib_lock *lock,
                      void (*read)(struct reader *r, json_t *object, struct ib_lock *lock))
{
    json_t *list = json_object_get(root, key), *item;
    size_t index;

    if (!list)
        return;
    if (!json_is_array(list)) {
        _cleanup_(ib_freep) char *text = ib_asprintf("'%s' is no list", key);
        mistake(r, key, text);
        return;
    }
    enter_key(r, key);
    json_array_foreach (list, index, item) {
        enter_index(r, index);
        read(r, item, lock);
        leave(r);
    }
    leave(r);
}

/* Only the one form that ib_lock_format writes. */
static void read_date(struct reader *r, json_t *root, int64_t *ret)
{
    json_t *value = json_object_get(root, "date");
    const char *text = json_string_value(value), *end;
    struct tm tm = {0};

    if (!value)
        return;
    if (text && (end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm)) && !*end) {
        int64_t date = timegm(&tm);
        _cleanup_(ib_freep) char *again = ib_lock_date_format(date);
        if (date >= 0 && ib_streq(again, text)) {
            *ret = date;
            return;
        }
    }
    if (mistake(r, "date", "'date' is no time"))
        ib_diag_expect(r->diags, "expected a time in UTC such as '2026-11-20T00:00:00Z'");
}

static void read_root(struct reader *r, json_t *root, struct ib_lock *lock)
{
    static const char *const keys[] = {"format", "date", "entries", "package_sets"};
    json_t *format = json_object_get(root, "format");

    if (format && (!json_is_integer(format) || json_integer_value(format) != 1)) {
        if (mistake(r, "format", "this lock has a format that is not known"))
            ib_diag_expect(r->diags, "expected 1: a newer imgbuild may know it");
        return;
    }
    if (!check_keys(r, root, keys, IB_ARRAY_SIZE(keys)))
        return;
    read_date(r, root, &lock->date_s);
    read_list(r, root, "entries", lock, read_entry);
    read_list(r, root, "package_sets", lock, read_set);
}

static json_t *load_json(const char *file, const void *data, size_t size, struct ib_diags *diags)
{
    json_error_t error;
    struct ib_origin at = {.file = file};

    if (size > IB_LOCK_MAX_SIZE) {
        ib_diag(diags, at, "file of %zu bytes is too large for a lock", size);
        return NULL;
    }
    json_t *root = json_loadb(data ? data : "", size, JSON_REJECT_DUPLICATES, &error);
    if (root)
        return root;
    at.line = error.line > 0 ? (uint32_t)error.line : 1;
    at.column = error.column > 0 ? (uint32_t)error.column : 1;
    ib_diag(diags, at, "not JSON: %s", error.text);
    ib_diag_expect(diags, "write it with 'imgbuild lock'");
    return NULL;
}

struct ib_lock *ib_lock_parse(const char *file, const void *data, size_t size,
                              struct ib_diags *diags)
{
    _cleanup_(ib_lock_freep) struct ib_lock *lock = ib_lock_new();
    _cleanup_(ib_decoder_freep) struct ib_decoder *decoder = ib_decoder_new(NULL, diags);
    struct reader r = {
        .file = file, .text = data, .size = size, .diags = diags, .decoder = decoder};
    json_t *root = load_json(file, data, size, diags);

    if (!root)
        return NULL;
    read_root(&r, root, lock);
    json_decref(root);
    if (r.mistakes) {
        ib_diags_sort(diags);
        return NULL;
    }
    ib_lock_sort(lock);
    return ib_steal(&lock);
}
