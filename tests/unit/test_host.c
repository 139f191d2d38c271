/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/file.h"
#include "os/host.h"

Test(host, subordinate_ids_by_name_or_number)
{
    _cleanup_(ib_temp_dirp) char *dir = ib_make_temp_dir("/tmp", "ib-test", NULL);
    _cleanup_(ib_freep) char *path = ib_path_join(dir, "subuid"), *none = ib_path_join(dir, "none");
    const struct passwd *me = getpwuid(geteuid());
    _cleanup_(ib_freep) char *text =
        ib_asprintf("nobody-else:1:2\n%s:100000:65536\nbroken\n%u:300000:10\n%s:x:1\n%s:1:0\n",
                    me->pw_name, geteuid(), me->pw_name, me->pw_name);
    _cleanup_(ib_strv_clear) struct ib_strv ranges = {0};

    cr_assert_eq(ib_atomic_write(path, 0644, text, strlen(text), NULL), 0);
    cr_assert_eq(ib_host_subordinate_ids(path, &ranges, NULL), 0);
    _cleanup_(ib_freep) char *joined = ib_strv_join(&ranges, " ");
    cr_assert_str_eq(joined, "100000:65536 300000:10");
    cr_assert_eq(ib_host_subordinate_ids(none, &ranges, NULL), 0);
    cr_assert_eq(ranges.count, 2);
}

Test(host, room_is_measured)
{
    uint64_t here = 0, below = 0;

    cr_assert_gt(ib_host_memory_available(), IB_MIB);
    cr_assert_eq(ib_host_disk_free("/tmp", &here, NULL), 0);
    cr_assert_eq(ib_host_disk_free("/tmp/not/yet/there", &below, NULL), 0);
    cr_assert(here > 0 && below > 0);
}

Test(host, packages_have_names)
{
    const char *package = ib_host_package_of("qemu-img");

    cr_assert(ib_streq(package, "qemu-utils") || ib_streq(package, "qemu-img"));
    cr_assert_not_null(ib_host_package_of("kernel"));
    cr_assert_null(ib_host_package_of("no-such-program"));
}

Test(host, report_says_everything_and_how_to_cure_it)
{
    static const char *const wanted[] = {
        "kvm",    "user-namespaces",   "subuid",          "subgid", "memory",
        "disk",   "namespace-sandbox", "guestfs-sandbox", "gpgv",   "mmdebstrap",
        "sbsign", "qemu-img"};
    struct ib_host_report report;
    bool missing = false;

    ib_host_inspect("/tmp", &report);
    for (size_t i = 0; i < IB_ARRAY_SIZE(wanted); i++) {
        bool found = false;
        for (size_t k = 0; k < report.count; k++)
            found |= ib_streq(report.checks[k].name, wanted[i]);
        cr_assert(found, "nothing is said of %s", wanted[i]);
    }
    for (size_t i = 0; i < report.count; i++) {
        const struct ib_host_check *c = &report.checks[i];
        cr_assert(c->name && c->used_for && c->detail && *c->detail);
        cr_assert(c->state != IB_HOST_MISSING || c->cure, "%s: %s", c->name, c->detail);
        missing |= c->cure && ib_startswith(c->cure, "install the package") && i > 7;
    }
    cr_assert_eq(missing, report.install != NULL);
    ib_host_report_clear(&report);
    cr_assert_eq(report.count, 0);
}

/* A machine that KVM makes runs code, or the probe says why not: both within a moment. */
Test(host, kvm_is_tried)
{
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    if (ib_host_probe_kvm(&err) < 0) {
        cr_assert_eq(ib_error_code(err), IB_E_UNSUPPORTED);
        cr_assert(strstr(ib_error_line(err, 0), "/dev/kvm"));
    }
}
