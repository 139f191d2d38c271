/* SPDX-License-Identifier: Apache-2.0 */
/* Locking single files: images and payloads, by their list of checksums or by a pin. */
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "lock_internal.h"
#include "os/signature.h"

enum { MAX_SUMS = 16 << 20 };

/* What a recipe says of one file. */
struct wanted {
    enum ib_lock_kind kind;
    const char *name, *version;
    const struct ib_strv *urls;
    const char *checksums;   /* URL, or NULL */
    const char *key;         /* path below the project, or NULL: the list is not signed */
    const char *fingerprint; /* or NULL */
};

/* Lists of checksums. */

/* Where the list may lie: at its own URL, and beside each copy of the file. */
static void list_places(const struct wanted *w, struct ib_strv *ret)
{
    ib_strv_add(ret, w->checksums);
    for (size_t i = 0; i < w->urls->count; i++) {
        _cleanup_(ib_freep) char *dir = ib_path_dir(w->urls->items[i]);
        _cleanup_(ib_freep) char *beside = ib_path_join(dir, ib_path_base(w->checksums));
        if (!ib_strv_contains(ret, beside))
            ib_strv_add(ret, beside);
    }
}

/* One error for all places: each with its reason, the first outermost. */
static void join_failures(struct ib_error **err, const struct ib_strv *places,
                          const struct ib_strv *reasons, enum ib_error_code code)
{
    for (size_t i = reasons->count; i-- > 0;) {
        if (i + 1 == reasons->count)
            ib_failf(err, code, "%s: %s", places->items[i], reasons->items[i]);
        else
            ib_wrapf(err, "%s: %s", places->items[i], reasons->items[i]);
    }
    ib_hint(err, "check the addresses and the network");
    ib_wrap(err, ib_path_base(places->items[0]), "fetch the list of checksums");
}

static int fetch_list(struct ib_locker *l, const struct wanted *w, struct ib_buf *ret,
                      char **ret_url, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv places = {0}, reasons = {0};
    enum ib_error_code code = IB_E_NETWORK;

    list_places(w, &places);
    for (size_t i = 0; i < places.count; i++) {
        struct ib_error *why = NULL;
        if (ib_fetch_small(places.items[i], MAX_SUMS, !w->key, &l->fetch, ret, &why) == 0) {
            *ret_url = ib_strdup(places.items[i]);
            return 0;
        }
        code = ib_error_code(why);
        ib_strv_add(&reasons, ib_error_line(why, ib_error_depth(why) - 1));
        ib_error_free(why);
        if (code == IB_E_INTERRUPTED || l->fetch.offline)
            break;
    }
    if (code == IB_E_INTERRUPTED)
        return ib_progress_check(l->fetch.progress, err);
    if (l->fetch.offline) {
        ib_failf(err, code, "%s", reasons.items[0]);
        return ib_hint(err, "run 'imgbuild lock %s' where the network can be reached", w->name);
    }
    join_failures(err, &places, &reasons, code);
    return -1;
}

/* Replaces the document by the text that the key signed. */
static int open_signature(struct ib_locker *l, const struct wanted *w, const char *url,
                          struct ib_buf *document, char **ret_signer, struct ib_error **err)
{
    _cleanup_(ib_freep) char *key = ib_path_join(l->project->dir, w->key);
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    struct ib_signature signature;

    if (ib_signature_open_clear(url, document->data, document->size, key, w->fingerprint,
                                l->fetch.progress, &text, &signature, err) < 0)
        return -1;
    ib_buf_clear(document);
    *document = text;
    text = (struct ib_buf){0};
    *ret_signer = ib_strdup(signature.fingerprint);
    l->date_s = IB_MAX(l->date_s, signature.made_s);
    return 0;
}

static void warn_of_plain_http(struct ib_locker *l, const char *url)
{
    if (ib_startswith(url, "http://"))
        ib_progress_note(l->fetch.progress,
                         "'%s' came without signature and without TLS: anybody on the way could "
                         "have changed it",
                         url);
}

static const struct ib_lock_sums *read_list(struct ib_locker *l, const struct wanted *w,
                                            struct ib_error **err)
{
    _cleanup_(ib_buf_clear) struct ib_buf document = {0};
    _cleanup_(ib_freep) char *url = NULL, *signer = NULL;
    struct ib_checksums list = {0};

    for (const struct ib_lock_sums *s = l->sums; s; s = s->next)
        if (ib_streq(s->url, w->checksums) && !s->signer == !w->key)
            return s;
    if (fetch_list(l, w, &document, &url, err) < 0)
        return NULL;
    if (w->key && open_signature(l, w, url, &document, &signer, err) < 0)
        return NULL;
    if (!w->key)
        warn_of_plain_http(l, url);
    if (ib_checksums_parse(url, document.data, document.size, &list, err) < 0)
        return NULL;
    struct ib_lock_sums *sums = ib_calloc(1, sizeof(*sums));
    *sums = (struct ib_lock_sums){ib_strdup(w->checksums), list, ib_steal(&signer), l->sums};
    l->sums = sums;
    return sums;
}

static int take_from_list(struct ib_locker *l, const struct wanted *w, const char *file,
                          struct ib_lock_entry *entry, struct ib_error **err)
{
    const struct ib_lock_sums *sums = read_list(l, w, err);

    if (!sums)
        return -1;
    const struct ib_checksum *sum = ib_checksums_find(&sums->list, file);
    if (!sum) {
        ib_failf(err, IB_E_NOT_FOUND, "'%s' does not list the file '%s'", w->checksums, file);
        return ib_hint(err, "check the version and the URLs in the recipe");
    }
    entry->sha256 = sum->sha256;
    entry->size_bytes = sum->size_bytes;
    entry->verified = sums->signer ? IB_VERIFIED_GPG : IB_VERIFIED_SHA256SUM;
    entry->verified_by = ib_strdup(sums->signer ? sums->signer : w->checksums);
    return 0;
}

/* Pins. */

static bool is_same_file(const struct ib_lock_entry *old, const struct wanted *w, const char *file)
{
    _cleanup_(ib_freep) char *old_file =
        old && old->urls.count ? ib_url_basename(old->urls.items[0]) : NULL;

    return old && ib_streq(old->version, w->version) && ib_streq(old_file, file);
}

static int fetch_and_pin(struct ib_locker *l, const struct wanted *w, struct ib_lock_entry *entry,
                         struct ib_error **err)
{
    struct ib_fetch_request request = {
        .name = w->name,
        .urls = (const char *const *)w->urls->items,
        .url_count = w->urls->count,
    };

    int r = ib_fetch(&request, 1, &l->fetch, err);
    ib_fetch_request_clear(&request);
    if (r < 0)
        return -1;
    ib_progress_note(l->fetch.progress,
                     "no list of checksums is known for '%s': it is pinned as it came", w->name);
    entry->sha256 = request.ret_sha256;
    entry->size_bytes = request.ret_size_bytes;
    entry->verified = IB_VERIFIED_PINNED;
    return 0;
}

static int pin(struct ib_locker *l, const struct wanted *w, const struct ib_lock_entry *old,
               bool same, struct ib_lock_entry *entry, struct ib_error **err)
{
    if (!same || l->options->accept_changed)
        return fetch_and_pin(l, w, entry, err);
    entry->sha256 = old->sha256;
    entry->size_bytes = old->size_bytes;
    entry->verified = old->verified;
    entry->verified_by = ib_strdup(old->verified_by);
    return 0;
}

/* Entries. */

static int refuse_changed(const struct ib_locker *l, const struct wanted *w,
                          const struct ib_lock_entry *old, const struct ib_lock_entry *entry,
                          struct ib_error **err)
{
    char was[IB_SHA256_HEX_SIZE], is[IB_SHA256_HEX_SIZE];

    if (l->options->accept_changed || ib_sha256_equal(&old->sha256, &entry->sha256))
        return 0;
    ib_failf(err, IB_E_VERIFY,
             "its version is '%s' as before, but its SHA-256 was %s and is now %s", w->version,
             ib_sha256_hex(&old->sha256, was), ib_sha256_hex(&entry->sha256, is));
    return ib_hint(err,
                   "find out why it was published anew; to take it: imgbuild lock "
                   "--accept-changed %s",
                   w->name);
}

static char *verified_text(const struct ib_lock_entry *e)
{
    static const char *const names[] = {"pinned", "gpg", "sha256sum-file"};

    return e->verified_by ? ib_asprintf("%s:%s", names[e->verified], e->verified_by)
                          : ib_strdup(names[e->verified]);
}

static void note_field(struct ib_lock_result *result, const char *name, const char *field,
                       const char *was, const char *is)
{
    if (!ib_streq(was, is))
        ib_lock_note_change(result, IB_LOCK_UPDATED, name, field, was, is);
}

static void note_entry(struct ib_lock_result *result, const struct ib_lock_entry *old,
                       const struct ib_lock_entry *entry)
{
    char was_hex[IB_SHA256_HEX_SIZE], is_hex[IB_SHA256_HEX_SIZE];
    _cleanup_(ib_freep) char *is_urls = ib_strv_join(&entry->urls, " ");
    _cleanup_(ib_freep) char *is_verified = verified_text(entry);
    _cleanup_(ib_freep) char *is_size = ib_asprintf("%" PRIu64, entry->size_bytes);

    ib_sha256_hex(&entry->sha256, is_hex);
    if (!old) {
        _cleanup_(ib_freep) char *text =
            ib_asprintf("%s sha256:%s (%s)", entry->version, is_hex, is_verified);
        ib_lock_note_change(result, IB_LOCK_ADDED, entry->name, NULL, NULL, text);
        return;
    }
    _cleanup_(ib_freep) char *was_urls = ib_strv_join(&old->urls, " ");
    _cleanup_(ib_freep) char *was_verified = verified_text(old);
    _cleanup_(ib_freep) char *was_size = ib_asprintf("%" PRIu64, old->size_bytes);
    note_field(result, entry->name, "version", old->version, entry->version);
    note_field(result, entry->name, "urls", was_urls, is_urls);
    note_field(result, entry->name, "size", was_size, is_size);
    note_field(result, entry->name, "sha256", ib_sha256_hex(&old->sha256, was_hex), is_hex);
    note_field(result, entry->name, "verified", was_verified, is_verified);
}

static int resolve(struct ib_locker *l, const struct wanted *w, const struct ib_lock_entry *old,
                   struct ib_lock_entry *entry, struct ib_error **err)
{
    _cleanup_(ib_freep) char *file = w->urls->count ? ib_url_basename(w->urls->items[0]) : NULL;

    if (!file)
        return ib_failf(err, IB_E_INVALID, "no URL in its recipe ends with a file name");
    const bool same = is_same_file(old, w, file);
    int r =
        w->checksums ? take_from_list(l, w, file, entry, err) : pin(l, w, old, same, entry, err);
    if (r < 0 || (same && refuse_changed(l, w, old, entry, err) < 0))
        return -1;
    if (!entry->size_bytes && old && ib_sha256_equal(&old->sha256, &entry->sha256))
        entry->size_bytes = old->size_bytes;
    for (size_t i = 0; !entry->size_bytes && i < w->urls->count; i++)
        entry->size_bytes = ib_fetch_remote_size(w->urls->items[i], &l->fetch);
    return 0;
}

static int lock_file(struct ib_locker *l, const struct wanted *w, struct ib_error **err)
{
    const struct ib_lock_entry *old = ib_lock_entry(l->lock, w->kind, w->name);
    _cleanup_(ib_lock_entry_clear) struct ib_lock_entry entry = {
        .name = ib_strdup(w->name),
        .kind = w->kind,
        .version = ib_strdup(w->version),
    };
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(l->fetch.progress, NULL, "lock", w->name, 0, IB_UNIT_NONE);

    ib_strv_append(&entry.urls, w->urls);
    if (resolve(l, w, old, &entry, err) < 0)
        return ib_wrap(err, w->name, "lock");
    note_entry(l->result, old, &entry);
    ib_lock_put_entry(l->lock, &entry);
    entry = (struct ib_lock_entry){0};
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

int ib_lock_file_base(struct ib_locker *locker, const struct ib_base *base, struct ib_error **err)
{
    return lock_file(locker,
                     &(struct wanted){
                         .kind = IB_LOCK_BASE,
                         .name = base->name,
                         .version = base->version ? base->version : "",
                         .urls = &base->urls,
                         .checksums = base->checksums,
                         .key = base->signing_key,
                         .fingerprint = base->signing_fingerprint,
                     },
                     err);
}

int ib_lock_payload(struct ib_locker *locker, const struct ib_payload *payload,
                    struct ib_error **err)
{
    return lock_file(locker,
                     &(struct wanted){
                         .kind = IB_LOCK_PAYLOAD,
                         .name = payload->name,
                         .version = payload->version ? payload->version : "",
                         .urls = &payload->urls,
                         .checksums = payload->checksums,
                     },
                     err);
}
