/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/cmdline.h"

#include <stdio.h>
#include <string.h>

#include "base/buffer.h"

char *ib_cmdline_value(const char *cmdline, const char *key)
{
    _cleanup_(ib_strv_clear) struct ib_strv words = {0};
    size_t n = strlen(key);

    ib_strv_split(&words, cmdline, " \t\n");
    for (size_t i = words.count; i > 0; i--) {
        const char *word = words.items[i - 1];
        if (strncmp(word, key, n) == 0 && word[n] == '=')
            return ib_strdup(word + n + 1);
    }
    return NULL;
}

bool ib_cmdline_has(const char *cmdline, const char *word)
{
    _cleanup_(ib_strv_clear) struct ib_strv words = {0};

    ib_strv_split(&words, cmdline, " \t\n");
    return ib_strv_contains(&words, word);
}

static void format_uuid(const char *hex, char ret[static 37])
{
    snprintf(ret, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

bool ib_cmdline_root_uuids(const char *roothash, char data[static 37], char hash[static 37])
{
    if (strlen(roothash) != 64 || strspn(roothash, "0123456789abcdef") != 64)
        return false;
    format_uuid(roothash, data);
    format_uuid(roothash + 32, hash);
    return true;
}
