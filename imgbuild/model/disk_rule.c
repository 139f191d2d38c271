/* SPDX-License-Identifier: Apache-2.0 */
#include "model/disk_rule.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>

#include "schema_private.h"

enum { MAX_RULE_SIZE = 4096 };

static const char *const keys[] = {"type", "model", "serial", "transport", "by-id", "size"};
#define KEYS "type, model, serial, transport, by-id and size"

bool ib_disk_is_rule(const char *text)
{
    return text[0] != '/' && text[0] != '.' && strpbrk(text, "=<>") != NULL;
}

void ib_disk_rule_clear(struct ib_disk_rule *rule)
{
    free(rule->by_id);
    free(rule->model);
    free(rule->serial);
    free(rule->transport);
    *rule = (struct ib_disk_rule){0};
}

/* Cuts the next condition off *text: up to a comma that is not behind a backslash. In place. */
static char *next_condition(char **text)
{
    char *start = *text, *to = start, *from = start;

    if (!start)
        return NULL;
    while (*from && *from != ',') {
        if (from[0] == '\\' && from[1] == ',')
            from++;
        *to++ = *from++;
    }
    *text = *from ? from + 1 : NULL;
    *to = 0;
    return start;
}

static int set_text(char **field, const char *key, const char *value, struct ib_error **err)
{
    if (*field)
        return ib_failf(err, IB_E_USAGE, "'%s' is given twice", key);
    *field = ib_strdup(value);
    return 0;
}

static int set_type(struct ib_disk_rule *rule, const char *value, struct ib_error **err)
{
    static const enum ib_disk_type types[] = {IB_DISK_NVME, IB_DISK_SSD, IB_DISK_HDD};
    const char *names[IB_ARRAY_SIZE(types)];

    if (rule->type != IB_DISK_ANY)
        return ib_failf(err, IB_E_USAGE, "'type' is given twice");
    for (size_t i = 0; i < IB_ARRAY_SIZE(types); i++) {
        names[i] = ib_disk_type_name(types[i]);
        if (ib_streq(names[i], value))
            rule->type = types[i];
    }
    if (rule->type != IB_DISK_ANY)
        return 0;
    const char *nearest = ib_nearest(value, names, IB_ARRAY_SIZE(names));
    ib_failf(err, IB_E_USAGE, "there is no disk type '%s'", value);
    return nearest ? ib_hint(err, "did you mean '%s'?", nearest)
                   : ib_hint(err, "the types are nvme, ssd and hdd");
}

static int set_size(struct ib_disk_rule *rule, const char *sign, const char *value,
                    struct ib_error **err)
{
    bool at_least = ib_streq(sign, ">="), at_most = ib_streq(sign, "<=");
    uint64_t *field = at_least ? &rule->min_size : &rule->max_size;

    if (!at_least && !at_most) {
        ib_failf(err, IB_E_USAGE, "'size%s%s' is no condition on the size", sign, value);
        return ib_hint(err, "write size>=%s or size<=%s: a disk never has a round size", value,
                       value);
    }
    if (*field)
        return ib_failf(err, IB_E_USAGE, "'size%s' is given twice", sign);
    if (!ib_size_parse(value, field)) {
        ib_failf(err, IB_E_USAGE, "'%s' is no size", value);
        return ib_hint(err, "write a number and K, M, G or T (1024 each), such as 400G");
    }
    return 0;
}

static int unknown_key(const char *key, struct ib_error **err)
{
    const char *nearest = ib_nearest(key, keys, IB_ARRAY_SIZE(keys));

    ib_failf(err, IB_E_USAGE, "there is no condition '%s'", key);
    return nearest ? ib_hint(err, "did you mean '%s'?", nearest)
                   : ib_hint(err, "the conditions are " KEYS);
}

/* "model=Samsung*", "size>=400G"; cut in place. */
static int parse_condition(char *text, struct ib_disk_rule *rule, struct ib_error **err)
{
    size_t key_size = strcspn(text, "=<>");
    size_t sign_size = strspn(text + key_size, "=<>");
    _cleanup_(ib_freep) char *key = ib_strndup(text, key_size);
    _cleanup_(ib_freep) char *sign = ib_strndup(text + key_size, sign_size);
    const char *value = text + key_size + sign_size;

    if (!sign_size) {
        ib_failf(err, IB_E_USAGE, "'%s' is no condition", text);
        return ib_hint(err, "conditions look like model=Samsung* and are joined by commas; a comma "
                            "inside a value is written '\\,'");
    }
    if (!*value)
        return ib_failf(err, IB_E_USAGE, "'%s' has no value", text);
    if (ib_streq(key, "size"))
        return set_size(rule, sign, value, err);
    char **field = ib_streq(key, "model")       ? &rule->model
                   : ib_streq(key, "serial")    ? &rule->serial
                   : ib_streq(key, "transport") ? &rule->transport
                   : ib_streq(key, "by-id")     ? &rule->by_id
                                                : NULL;
    bool is_type = ib_streq(key, "type");
    if (!field && !is_type)
        return unknown_key(key, err);
    if (!ib_streq(sign, "="))
        return ib_failf(err, IB_E_USAGE, "'%s' is compared with '=', not with '%s'", key, sign);
    return is_type ? set_type(rule, value, err) : set_text(field, key, value, err);
}

int ib_disk_rule_parse(const char *text, struct ib_disk_rule *ret, struct ib_error **err)
{
    _cleanup_(ib_freep) char *copy = ib_strdup(text);
    _cleanup_(ib_disk_rule_clear) struct ib_disk_rule rule = {0};
    char *rest = copy;

    if (strlen(text) > MAX_RULE_SIZE)
        return ib_failf(err, IB_E_USAGE, "the disk rule is longer than %d bytes", MAX_RULE_SIZE);
    for (char *condition; (condition = next_condition(&rest));)
        if (parse_condition(condition, &rule, err) < 0)
            return ib_wrapf(err, "'%s' is no disk rule", text);
    if (rule.max_size && rule.min_size > rule.max_size) {
        ib_failf(err, IB_E_USAGE, "no size is at least the one and at most the other");
        return ib_wrapf(err, "'%s' is no disk rule", text);
    }
    *ret = rule;
    rule = (struct ib_disk_rule){0};
    return 0;
}

static void add_text(struct ib_buf *text, const char *key, const char *value)
{
    if (!value)
        return;
    ib_buf_printf(text, "%s%s=", text->size ? "," : "", key);
    for (; *value; value++)
        ib_buf_printf(text, "%s%c", *value == ',' ? "\\" : "", *value);
}

static void add_size(struct ib_buf *text, const char *sign, uint64_t size)
{
    static const char units[] = "KMGT";
    uint64_t number = size / IB_KIB;
    size_t unit = 0;

    if (!size)
        return;
    for (; number % 1024 == 0 && unit + 2 < sizeof(units); unit++)
        number /= 1024;
    ib_buf_printf(text, "%ssize%s%" PRIu64 "%c", text->size ? "," : "", sign, number, units[unit]);
}

char *ib_disk_rule_text(const struct ib_disk_rule *rule)
{
    struct ib_buf text = {0};

    add_text(&text, "type", rule->type == IB_DISK_ANY ? NULL : ib_disk_type_name(rule->type));
    add_text(&text, "model", rule->model);
    add_text(&text, "serial", rule->serial);
    add_text(&text, "transport", rule->transport);
    add_text(&text, "by-id", rule->by_id);
    add_size(&text, ">=", rule->min_size);
    add_size(&text, "<=", rule->max_size);
    return ib_buf_steal_string(&text);
}

static char *text_mismatch(const char *what, const char *wanted, const char *is)
{
    return is ? ib_asprintf("its %s is '%s', not '%s'", what, is, wanted)
              : ib_asprintf("it tells no %s ('%s' is wanted)", what, wanted);
}

static char *type_mismatch(enum ib_disk_type type, const struct ib_disk *disk)
{
    bool is_nvme = ib_streq(disk->transport, "nvme");

    if (type != IB_DISK_ANY && disk->removable)
        return ib_asprintf("it is removable, so its type is not '%s'", ib_disk_type_name(type));
    if (type == IB_DISK_NVME && !is_nvme)
        return ib_strdup("it is no NVMe disk");
    if (type == IB_DISK_SSD && disk->rotational)
        return ib_strdup("it rotates, or does not tell that it does not");
    if (type == IB_DISK_HDD && !disk->rotational)
        return ib_strdup("it does not rotate");
    return NULL;
}

static char *size_mismatch(const struct ib_disk_rule *rule, const struct ib_disk *disk)
{
    char is[16], bound[16];

    ib_format_size(disk->size_bytes, is);
    if (rule->min_size && disk->size_bytes < rule->min_size)
        return ib_asprintf("its size is %s, less than %s", is,
                           ib_format_size(rule->min_size, bound));
    if (rule->max_size && disk->size_bytes > rule->max_size)
        return ib_asprintf("its size is %s, more than %s", is,
                           ib_format_size(rule->max_size, bound));
    return NULL;
}

static bool has_id(const struct ib_disk *disk, const char *pattern)
{
    for (size_t i = 0; i < disk->by_id.count; i++)
        if (fnmatch(pattern, disk->by_id.items[i], 0) == 0)
            return true;
    return false;
}

char *ib_disk_rule_mismatch(const struct ib_disk_rule *rule, const struct ib_disk *disk)
{
    char *mismatch = type_mismatch(rule->type, disk);

    if (mismatch)
        return mismatch;
    if (rule->model && (!disk->model || fnmatch(rule->model, disk->model, 0) != 0))
        return text_mismatch("model", rule->model, disk->model);
    if (rule->serial && !ib_streq(rule->serial, disk->serial))
        return text_mismatch("serial number", rule->serial, disk->serial);
    if (rule->transport && !ib_streq(rule->transport, disk->transport))
        return text_mismatch("transport", rule->transport, disk->transport);
    if (rule->by_id && !has_id(disk, rule->by_id))
        return ib_asprintf("none of its names below /dev/disk/by-id is '%s'", rule->by_id);
    return size_mismatch(rule, disk);
}

/* "/dev/sda (WDC WD40EFRX, serial WD-1, sata, 3.6 TiB)" */
static char *describe(const struct ib_disk *disk)
{
    struct ib_buf text = {0};
    char size[16];

    ib_buf_printf(&text, "%s (", disk->path);
    if (disk->model)
        ib_buf_printf(&text, "%s, ", disk->model);
    if (disk->serial)
        ib_buf_printf(&text, "serial %s, ", disk->serial);
    if (disk->transport)
        ib_buf_printf(&text, "%s, ", disk->transport);
    ib_buf_printf(&text, "%s)", ib_format_size(disk->size_bytes, size));
    return ib_buf_steal_string(&text);
}

/* One line for each disk, in their order, below what is wrong. */
static int fail_pick(enum ib_error_code code, const struct ib_disk_rule *rule,
                     const struct ib_disks *disks, const char *outcome, struct ib_error **err)
{
    _cleanup_(ib_strv_clear) struct ib_strv lines = {0};
    _cleanup_(ib_freep) char *text = ib_disk_rule_text(rule);

    for (size_t i = 0; i < disks->count; i++) {
        _cleanup_(ib_freep) char *name = describe(&disks->items[i]);
        _cleanup_(ib_freep) char *mismatch = ib_disk_rule_mismatch(rule, &disks->items[i]);
        if (mismatch)
            ib_strv_addf(&lines, "%s: %s", name, mismatch);
        else
            ib_strv_addf(&lines, "%s matches", name);
    }
    if (!lines.count)
        ib_strv_add(&lines, "this machine has no disks, or they are not visible here");
    ib_failf(err, code, "%s", lines.items[lines.count - 1]);
    for (size_t i = lines.count - 1; i-- > 0;)
        ib_wrapf(err, "%s", lines.items[i]);
    return ib_wrapf(err, "%s '%s'", outcome, text);
}

int ib_disk_rule_pick(const struct ib_disk_rule *rule, const struct ib_disks *disks,
                      const struct ib_disk **ret, struct ib_error **err)
{
    const struct ib_disk *found = NULL;
    size_t count = 0;

    for (size_t i = 0; i < disks->count; i++) {
        _cleanup_(ib_freep) char *mismatch = ib_disk_rule_mismatch(rule, &disks->items[i]);
        if (mismatch)
            continue;
        found = &disks->items[i];
        count++;
    }
    if (count == 1) {
        *ret = found;
        return 0;
    }
    if (count == 0) {
        fail_pick(IB_E_NOT_FOUND, rule, disks, "no disk matches", err);
        return ib_hint(err, "imgbuild flash --list shows the disks of this machine");
    }
    fail_pick(IB_E_REFUSED, rule, disks, "more than one disk matches", err);
    return ib_hint(err, "say more of the one that you mean, such as serial=… or by-id=…");
}

int ib_disk_choose(const char *what, bool all, struct ib_disk *ret, struct ib_error **err)
{
    _cleanup_(ib_disk_rule_clear) struct ib_disk_rule rule = {0};
    _cleanup_(ib_disks_clear) struct ib_disks disks = {0};
    const struct ib_disk *picked = NULL;

    if (!ib_disk_is_rule(what))
        return ib_disk_look(what, all, ret, err);
    if (ib_disk_rule_parse(what, &rule, err) < 0 || ib_disks_list(all, &disks, err) < 0 ||
        ib_disk_rule_pick(&rule, &disks, &picked, err) < 0)
        return -1;
    struct ib_disk *chosen = &disks.items[picked - disks.items];
    *ret = *chosen;
    *chosen = (struct ib_disk){0};
    return 0;
}
