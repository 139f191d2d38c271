/* SPDX-License-Identifier: Apache-2.0 */
#include "os/debset.h"

#include <string.h>

#include "base/buffer.h"

static int compare_debs(const void *a, const void *b)
{
    const struct ib_deb *x = a, *y = b;
    int r = strcmp(x->control.package, y->control.package);

    return r ? r : strcmp(x->control.architecture, y->control.architecture);
}

static int check_repeats(const struct ib_debset *set, struct ib_error **err)
{
    for (size_t i = 1; i < set->count; i++) {
        const struct ib_deb_control *a = &set->items[i - 1].control, *b = &set->items[i].control;
        if (compare_debs(&set->items[i - 1], &set->items[i]) == 0) {
            ib_failf(err, IB_E_INVALID, "the package '%s' is listed twice (%s and %s)", a->package,
                     a->version, b->version);
            return ib_hint(err, "lock the packages again (imgbuild lock)");
        }
    }
    return 0;
}

int ib_debset_read(const struct ib_deb_file *files, size_t count, struct ib_progress *progress,
                   struct ib_debset *ret, struct ib_error **err)
{
    _cleanup_(ib_debset_clear) struct ib_debset set = {0};

    set.items = ib_calloc(count, sizeof(*set.items));
    for (; set.count < count; set.count++) {
        struct ib_deb *deb = &set.items[set.count];
        const struct ib_deb_file *file = &files[set.count];
        if (ib_progress_check(progress, err) < 0)
            return -1;
        if (ib_deb_control_read(file->path, &deb->control, err) < 0)
            return -1;
        deb->path = ib_strdup(file->path);
        deb->size_bytes = file->size_bytes;
        deb->sha256 = file->sha256;
    }
    qsort(set.items, set.count, sizeof(*set.items), compare_debs);
    if (check_repeats(&set, err) < 0)
        return -1;
    *ret = set;
    set = (struct ib_debset){0};
    return 0;
}

void ib_debset_clear(struct ib_debset *set)
{
    for (size_t i = 0; i < set->count; i++) {
        free(set->items[i].path);
        ib_deb_control_clear(&set->items[i].control);
    }
    free(set->items);
    *set = (struct ib_debset){0};
}

/* The first of that name, whatever its architecture. */
const struct ib_deb *ib_debset_find(const struct ib_debset *set, const char *package)
{
    size_t low = 0, high = set->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(set->items[middle].control.package, package) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < set->count && ib_streq(set->items[low].control.package, package))
        return &set->items[low];
    return NULL;
}

void ib_debset_all(const struct ib_debset *set, struct ib_deb_list *ret)
{
    ret->items = ib_calloc(set->count, sizeof(*ret->items));
    ret->count = set->count;
    for (size_t i = 0; i < set->count; i++)
        ret->items[i] = &set->items[i];
}

void ib_deb_list_clear(struct ib_deb_list *list)
{
    free(list->items);
    *list = (struct ib_deb_list){0};
}

/* "libc6:any (>= 2.38) [amd64]" is about the package "libc6". The caller frees. */
static char *relation_name(const char *relation)
{
    relation += strspn(relation, " \t\n");
    return ib_strndup(relation, strcspn(relation, " \t\n:(["));
}

static bool provides(const struct ib_deb *deb, const char *name)
{
    const char *field = ib_deb_control_get(&deb->control, "Provides");
    _cleanup_(ib_strv_clear) struct ib_strv relations = {0};

    if (!field || !strstr(field, name))
        return false;
    ib_strv_split(&relations, field, ",");
    for (size_t i = 0; i < relations.count; i++) {
        _cleanup_(ib_freep) char *provided = relation_name(relations.items[i]);
        if (ib_streq(provided, name))
            return true;
    }
    return false;
}

static bool is_essential(const struct ib_deb *deb)
{
    return ib_streq(ib_deb_control_get(&deb->control, "Essential"), "yes");
}

struct closure {
    const struct ib_debset *set;
    bool *wanted;  /* by index in the set */
    size_t *queue; /* wanted ones, the first `done` of which were looked through */
    size_t queued, done;
};

static void want(struct closure *closure, const struct ib_deb *deb)
{
    size_t index = (size_t)(deb - closure->set->items);

    if (closure->wanted[index])
        return;
    closure->wanted[index] = true;
    closure->queue[closure->queued++] = index;
}

/*
 * The package of the set that meets one of "a | b": the first name that is a package; else the
 * first that something provides, where one that is wanted already is best. NULL when none does.
 */
static const struct ib_deb *choose(const struct closure *closure, const char *group)
{
    _cleanup_(ib_strv_clear) struct ib_strv alternatives = {0};
    const struct ib_deb *provider = NULL;

    ib_strv_split(&alternatives, group, "|");
    for (size_t i = 0; i < alternatives.count; i++) {
        _cleanup_(ib_freep) char *name = relation_name(alternatives.items[i]);
        const struct ib_deb *deb = ib_debset_find(closure->set, name);
        if (deb)
            return deb;
        for (size_t k = 0; k < closure->set->count; k++) {
            const struct ib_deb *candidate = &closure->set->items[k];
            if ((provider && !closure->wanted[k]) || !provides(candidate, name))
                continue;
            provider = candidate;
            if (closure->wanted[k])
                break;
        }
    }
    return provider;
}

static int follow(struct closure *closure, const struct ib_deb *deb, const char *field,
                  struct ib_error **err)
{
    const char *value = ib_deb_control_get(&deb->control, field);
    _cleanup_(ib_strv_clear) struct ib_strv groups = {0};

    if (!value)
        return 0;
    ib_strv_split(&groups, value, ",");
    for (size_t i = 0; i < groups.count; i++) {
        const char *group = groups.items[i] + strspn(groups.items[i], " \t\n");
        if (!*group)
            continue;
        const struct ib_deb *needed = choose(closure, group);
        if (!needed) {
            ib_failf(err, IB_E_INVALID, "the package '%s' needs '%s', which the list lacks",
                     deb->control.package, group);
            return ib_hint(err, "lock the packages again (imgbuild lock)");
        }
        want(closure, needed);
    }
    return 0;
}

static int run_closure(struct closure *closure, const char *const *names, struct ib_error **err)
{
    for (size_t i = 0; i < closure->set->count; i++)
        if (is_essential(&closure->set->items[i]))
            want(closure, &closure->set->items[i]);
    for (; *names; names++) {
        const struct ib_deb *deb = ib_debset_find(closure->set, *names);
        if (deb)
            want(closure, deb);
    }
    for (; closure->done < closure->queued; closure->done++) {
        const struct ib_deb *deb = &closure->set->items[closure->queue[closure->done]];
        if (follow(closure, deb, "Pre-Depends", err) < 0 ||
            follow(closure, deb, "Depends", err) < 0)
            return -1;
    }
    return 0;
}

int ib_debset_closure(const struct ib_debset *set, const char *const *names,
                      struct ib_deb_list *ret, struct ib_error **err)
{
    _cleanup_(ib_freep) bool *wanted = ib_calloc(set->count, sizeof(*wanted));
    _cleanup_(ib_freep) size_t *queue = ib_calloc(set->count, sizeof(*queue));
    struct closure closure = {.set = set, .wanted = wanted, .queue = queue};

    if (run_closure(&closure, names, err) < 0)
        return -1;
    ret->items = ib_calloc(closure.queued, sizeof(*ret->items));
    ret->count = 0;
    for (size_t i = 0; i < set->count; i++)
        if (wanted[i])
            ret->items[ret->count++] = &set->items[i];
    return 0;
}
