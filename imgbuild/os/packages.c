/* SPDX-License-Identifier: Apache-2.0 */
#include "os/packages.h"

#include <string.h>

#include "packages_internal.h"

static const struct ib_package_manager *manager_of(enum ib_family family, struct ib_error **err)
{
    switch (family) {
    case IB_FAMILY_DEBIAN:
        return &ib_apt;
    case IB_FAMILY_FEDORA:
        return &ib_rpm;
    }
    ib_failf(err, IB_E_UNSUPPORTED, "no package manager is known for the family '%s'",
             ib_family_name(family));
    return NULL;
}

static bool is_installed(const struct ib_package_list *installed, const struct ib_lock_package *p)
{
    const struct ib_package *found = ib_package_list_find(installed, p->name, p->architecture);

    return found && ib_streq(found->version, p->version);
}

/* Every package of the job that is not installed in its version is appended to *ret. */
static void leave_out_installed(const struct ib_package_list *installed,
                                const struct ib_package_job *job, struct ib_package_file *ret,
                                size_t *ret_count)
{
    for (size_t i = 0; i < job->install_count; i++)
        if (!is_installed(installed, job->install[i].package))
            ret[(*ret_count)++] = job->install[i];
}

static void leave_out_missing(const struct ib_package_list *installed, const struct ib_strv *names,
                              struct ib_strv *ret)
{
    for (size_t i = 0; names && i < names->count; i++)
        if (ib_package_list_find(installed, names->items[i], NULL))
            ib_strv_add(ret, names->items[i]);
}

/* The job has come out as it was meant to: what a package manager says of itself is not enough. */
static int check_outcome(struct ib_sandbox *sandbox, enum ib_family family,
                         const struct ib_package_job *job, struct ib_error **err)
{
    _cleanup_(ib_package_list_clear) struct ib_package_list installed = {0};

    if (ib_packages_query(sandbox, family, &installed, err) < 0)
        return -1;
    for (size_t i = 0; i < job->install_count; i++) {
        const struct ib_lock_package *p = job->install[i].package;
        if ((!job->remove || !ib_strv_contains(job->remove, p->name)) &&
            !is_installed(&installed, p)) {
            ib_failf(err, IB_E_CHILD, "'%s' %s was not installed", p->name, p->version);
            return ib_hint(err, "lock the packages again (imgbuild lock)");
        }
    }
    for (size_t i = 0; job->remove && i < job->remove->count; i++)
        if (ib_package_list_find(&installed, job->remove->items[i], NULL))
            return ib_failf(err, IB_E_CHILD, "'%s' was not removed", job->remove->items[i]);
    return 0;
}

static int apply(struct ib_sandbox *sandbox, enum ib_family family,
                 const struct ib_package_manager *manager, const struct ib_package_job *job,
                 struct ib_error **err)
{
    _cleanup_(ib_package_list_clear) struct ib_package_list installed = {0};
    _cleanup_(ib_strv_clear) struct ib_strv remove = {0};
    _cleanup_(ib_freep) struct ib_package_file *install =
        ib_calloc(job->install_count, sizeof(*install));
    struct ib_package_job rest = *job;

    if (ib_packages_query(sandbox, family, &installed, err) < 0)
        return -1;
    rest.install = install;
    rest.install_count = 0;
    leave_out_installed(&installed, job, install, &rest.install_count);
    leave_out_missing(&installed, job->remove, &remove);
    for (size_t i = 0; job->remove && i < rest.install_count; i++) /* what a job brings itself */
        if (ib_strv_contains(job->remove, install[i].package->name))
            ib_strv_add(&remove, install[i].package->name);
    rest.remove = &remove;
    if (rest.install_count == 0 && remove.count == 0)
        return 0;
    if (manager->apply(sandbox, &rest, err) < 0)
        return -1;
    return check_outcome(sandbox, family, job, err);
}

int ib_packages_apply(struct ib_sandbox *sandbox, enum ib_family family,
                      const struct ib_package_job *job, struct ib_error **err)
{
    const struct ib_package_manager *manager = manager_of(family, err);

    if (!manager)
        return -1;
    _cleanup_(ib_step_failp) struct ib_step *step =
        ib_step_begin(job->progress, job->step, "packages", manager->name, 0, IB_UNIT_NONE);
    if (apply(sandbox, family, manager, job, err) < 0)
        return ib_wrap(err, NULL, "install the packages");
    ib_step_end(ib_steal(&step), IB_STEP_DONE);
    return 0;
}

static int compare(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "");
}

static int compare_packages(const void *a, const void *b)
{
    const struct ib_package *x = a, *y = b;
    int r = compare(x->name, y->name);

    if (r == 0)
        r = compare(x->architecture, y->architecture);
    return r ? r : compare(x->version, y->version);
}

static int add_line(const char *line, struct ib_package_list *list, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv words = {0};

    ib_strv_split(&words, line, "\t");
    if (words.count != 3)
        return ib_failf(err, IB_E_CHILD, "the package manager lists a package as '%s'", line);
    list->items = ib_reallocarray(list->items, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = (struct ib_package){.name = ib_steal(&words.items[0]),
                                                     .version = ib_steal(&words.items[1]),
                                                     .architecture = ib_steal(&words.items[2])};
    return 0;
}

int ib_packages_query(struct ib_sandbox *sandbox, enum ib_family family,
                      struct ib_package_list *ret, struct ib_error **err)
{
    const struct ib_package_manager *manager = manager_of(family, err);
    _cleanup_(ib_package_list_clear) struct ib_package_list list = {0};
    _cleanup_(ib_buf_clear) struct ib_buf text = {0};
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};

    if (!manager || manager->query(sandbox, &text, err) < 0)
        return ib_wrap(err, NULL, "list the installed packages");
    ib_strv_split(&lines, text.size ? (const char *)text.data : "", "\n");
    for (size_t i = 0; i < lines.count; i++)
        if (add_line(lines.items[i], &list, err) < 0)
            return ib_wrap(err, NULL, "list the installed packages");
    if (list.count)
        qsort(list.items, list.count, sizeof(*list.items), compare_packages);
    *ret = list;
    list = (struct ib_package_list){0};
    return 0;
}

void ib_package_list_clear(struct ib_package_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].name);
        free(list->items[i].version);
        free(list->items[i].architecture);
    }
    free(list->items);
    *list = (struct ib_package_list){0};
}

const struct ib_package *ib_package_list_find(const struct ib_package_list *list, const char *name,
                                              const char *architecture)
{
    for (size_t i = 0; i < list->count; i++)
        if (ib_streq(list->items[i].name, name) &&
            (!architecture || ib_streq(list->items[i].architecture, architecture)))
            return &list->items[i];
    return NULL;
}
