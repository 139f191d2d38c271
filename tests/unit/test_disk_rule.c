/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that name a disk: how they are written, what they match, and that they never guess. */
#include <criterion/criterion.h>
#include <string.h>

#include "model/disk_rule.h"

#define TEXT(literal) ((char[]){literal}) /* the struct owns its strings, so they are not const */
#define GB UINT64_C(1000000000)

static char *nvme_ids[] = {TEXT("nvme-Samsung_SSD_980_PRO_1TB_S5GX"), TEXT("nvme-eui.002538b711")};
static char *sata_ids[] = {TEXT("ata-WDC_WD40EFRX-68N32N0_WD-WCC7K0")};
static char *usb_ids[] = {TEXT("usb-SanDisk_Ultra_Fit_4C53-0:0")};
static struct ib_disk items[] = {
    {.path = TEXT("/dev/nvme0n1"),
     .model = TEXT("Samsung SSD 980 PRO 1TB"),
     .serial = TEXT("S5GX"),
     .transport = TEXT("nvme"),
     .by_id = {nvme_ids, 2, 2},
     .size_bytes = 1000 * GB},
    {.path = TEXT("/dev/sda"),
     .model = TEXT("WDC WD40EFRX-68N32N0"),
     .serial = TEXT("WD-WCC7K0"),
     .transport = TEXT("sata"),
     .rotational = true,
     .by_id = {sata_ids, 1, 1},
     .size_bytes = 4000 * GB},
    {.path = TEXT("/dev/sdb"),
     .model = TEXT("Ultra Fit"),
     .serial = TEXT("4C53"),
     .transport = TEXT("usb"),
     .rotational = true,
     .removable = true,
     .by_id = {usb_ids, 1, 1},
     .size_bytes = 32 * GB},
    {.path = TEXT("/dev/vda"),
     .transport = TEXT("virtio"),
     .rotational = true,
     .size_bytes = 32 * GB},
};
static const struct ib_disks disks = {items, IB_ARRAY_SIZE(items)};

static void expect_pick(const char *text, const char *path)
{
    _cleanup_(ib_disk_rule_clear) struct ib_disk_rule rule = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    const struct ib_disk *picked = NULL;
    int result = ib_disk_rule_parse(text, &rule, &err);

    cr_assert_eq(result, 0, "%s: %s", text, err ? ib_error_line(err, 0) : "");
    result = ib_disk_rule_pick(&rule, &disks, &picked, &err);
    cr_assert_eq(result, 0, "%s: %s", text, err ? ib_error_line(err, 0) : "");
    cr_expect_str_eq(picked->path, path, "%s", text);
    /* and what is printed is the same rule again */
    _cleanup_(ib_freep) char *printed = ib_disk_rule_text(&rule);
    _cleanup_(ib_disk_rule_clear) struct ib_disk_rule again = {0};
    cr_assert_eq(ib_disk_rule_parse(printed, &again, NULL), 0, "%s", printed);
    _cleanup_(ib_freep) char *printed_again = ib_disk_rule_text(&again);
    cr_expect_str_eq(printed, printed_again);
}

Test(disk_rule, picks_the_one)
{
    expect_pick("type=nvme", "/dev/nvme0n1");
    expect_pick("type=ssd", "/dev/nvme0n1");
    expect_pick("model=Samsung*", "/dev/nvme0n1");
    expect_pick("model=WDC WD40EFRX-68N32N?", "/dev/sda");
    expect_pick("serial=4C53", "/dev/sdb");
    expect_pick("transport=virtio", "/dev/vda");
    expect_pick("by-id=nvme-eui.*", "/dev/nvme0n1");
    expect_pick("by-id=ata-WDC_WD40EFRX-68N32N0_WD-WCC7K0", "/dev/sda");
    expect_pick("size>=2T", "/dev/sda");
    expect_pick("size>=100G,size<=1T", "/dev/nvme0n1");
    expect_pick("type=hdd,transport=sata,model=WDC*,serial=WD-WCC7K0,size>=1G", "/dev/sda");
}

static void expect_outcome(const char *text, enum ib_error_code code, const char *words)
{
    _cleanup_(ib_disk_rule_clear) struct ib_disk_rule rule = {0};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;
    const struct ib_disk *picked = NULL;

    if (ib_disk_rule_parse(text, &rule, &err) == 0)
        cr_assert_lt(ib_disk_rule_pick(&rule, &disks, &picked, &err), 0, "%s", text);
    cr_assert_null(picked);
    _cleanup_(ib_freep) char *all = ib_error_text(err);
    cr_expect_eq(ib_error_code(err), code, "%s: %s", text, all);
    bool said = strstr(all, words) || (ib_error_hint(err) && strstr(ib_error_hint(err), words));
    cr_expect(said, "%s: '%s' is not in: %s; %s", text, words, all, ib_error_hint(err));
}

Test(disk_rule, never_guesses)
{
    expect_outcome("model=Seagate*", IB_E_NOT_FOUND, "no disk matches 'model=Seagate*'");
    expect_outcome("model=Seagate*", IB_E_NOT_FOUND,
                   "/dev/sda (WDC WD40EFRX-68N32N0, serial WD-WCC7K0, sata, 3.6 TiB): its model is "
                   "'WDC WD40EFRX-68N32N0', not 'Seagate*'");
    expect_outcome("model=Seagate*", IB_E_NOT_FOUND,
                   "/dev/vda (virtio, 29.8 GiB): it tells no model");
    expect_outcome("size<=100G", IB_E_REFUSED, "more than one disk matches");
    expect_outcome("size<=100G", IB_E_REFUSED,
                   "/dev/sdb (Ultra Fit, serial 4C53, usb, 29.8 GiB) matches");
    expect_outcome("size<=100G", IB_E_REFUSED,
                   "/dev/nvme0n1 (Samsung SSD 980 PRO 1TB, serial S5GX, "
                   "nvme, 931 GiB): its size is 931 GiB, more than");
    expect_outcome("size<=100G", IB_E_REFUSED, "say more of the one that you mean");
    expect_outcome("type=hdd", IB_E_REFUSED, "it is removable, so its type is not 'hdd'");
    expect_outcome("serial=S5G", IB_E_NOT_FOUND, "its serial number is 'S5GX', not 'S5G'");
    expect_outcome("serial=S5G*", IB_E_NOT_FOUND, "not 'S5G*'");
    expect_outcome("by-id=scsi-*", IB_E_NOT_FOUND, "none of its names below /dev/disk/by-id");
}

Test(disk_rule, says_what_is_wrong_with_it)
{
    expect_outcome("modle=X", IB_E_USAGE, "did you mean 'model'?");
    expect_outcome("wwn=X", IB_E_USAGE, "the conditions are type, model");
    expect_outcome("type=nvm", IB_E_USAGE, "did you mean 'nvme'?");
    expect_outcome("type=any", IB_E_USAGE, "there is no disk type 'any'");
    expect_outcome("model=", IB_E_USAGE, "'model=' has no value");
    expect_outcome("model=A,model=B", IB_E_USAGE, "'model' is given twice");
    expect_outcome("type=ssd,type=ssd", IB_E_USAGE, "'type' is given twice");
    expect_outcome("size>=1G,size>=2G", IB_E_USAGE, "'size>=' is given twice");
    expect_outcome("size=1T", IB_E_USAGE, "write size>=1T or size<=1T");
    expect_outcome("size>1T", IB_E_USAGE, "is no condition on the size");
    expect_outcome("size>=1TB", IB_E_USAGE, "'1TB' is no size");
    expect_outcome("size>=-1G", IB_E_USAGE, "'-1G' is no size");
    expect_outcome("size>=99999999999T", IB_E_USAGE, "is no size");
    expect_outcome("size>=2T,size<=1T", IB_E_USAGE, "no size is at least");
    expect_outcome("model>=X", IB_E_USAGE, "is compared with '='");
    expect_outcome("model=X,", IB_E_USAGE, "'' is no condition");
    expect_outcome("model=X,nvme", IB_E_USAGE, "'nvme' is no condition");
    expect_outcome("=X", IB_E_USAGE, "there is no condition ''");
}

Test(disk_rule, takes_commas_behind_a_backslash)
{
    _cleanup_(ib_disk_rule_clear) struct ib_disk_rule rule = {0};

    cr_assert_eq(ib_disk_rule_parse("model=ACME\\, Inc \\*,serial=a\\,b", &rule, NULL), 0);
    cr_expect_str_eq(rule.model, "ACME, Inc \\*");
    cr_expect_str_eq(rule.serial, "a,b");
    _cleanup_(ib_freep) char *text = ib_disk_rule_text(&rule);
    cr_expect_str_eq(text, "model=ACME\\, Inc \\*,serial=a\\,b");
}

Test(disk_rule, is_told_from_a_path)
{
    cr_expect(ib_disk_is_rule("model=X"));
    cr_expect(ib_disk_is_rule("size>=1G"));
    cr_expect_not(ib_disk_is_rule("/dev/disk/by-id/usb-a=b"));
    cr_expect_not(ib_disk_is_rule("./a=b"));
    cr_expect_not(ib_disk_is_rule("sdb"));
}
