/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the text types of recipes look like. Each pattern is a POSIX extended regular expression
 * that means the same in ECMA 262, because it also goes into the JSON Schema: no character classes
 * by name, no backslash inside brackets.
 */
#include <assert.h>
#include <regex.h>
#include <string.h>

#include "schema_private.h"

struct type_rules {
    const char *name;    /* "a URL" */
    const char *pattern; /* NULL: any */
    size_t max_length;   /* 0: any */
    bool (*check)(const char *text);
    const char *expectation; /* "expected …" */
};

#define LABEL_PATTERN "([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?"
#define DOMAIN_PART "[a-z0-9]([a-z0-9-]*[a-z0-9])?"

static bool is_line(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    return true;
}

/* No "." or ".." among the parts: what is written is what is meant. */
static bool is_plain_path(const char *text)
{
    if (!is_line(text))
        return false;
    while (*text) {
        text += *text == '/';
        size_t n = strcspn(text, "/");
        if ((n == 1 && text[0] == '.') || (n == 2 && text[0] == '.' && text[1] == '.'))
            return false;
        text += n;
    }
    return true;
}

static const struct type_rules rules[] = {
    [IB_TYPE_TEXT] = {"a text", NULL, 0, NULL, "expected a string"},
    [IB_TYPE_LINE] = {"a line of text", NULL, 1000, is_line, "expected one line of text"},
    [IB_TYPE_NAME] = {"a name", "^" DOMAIN_PART "$", 63, NULL,
                      "expected at most 63 of a-z, 0-9 and '-', such as 'odin'"},
    [IB_TYPE_DOMAIN] = {"a domain name", "^" DOMAIN_PART "([.]" DOMAIN_PART ")*$", 190, NULL,
                        "expected labels of a-z, 0-9 and '-', such as 'lab.example.org'"},
    [IB_TYPE_VERSION] = {"a version", "^[A-Za-z0-9][A-Za-z0-9.+~_-]*$", 64, NULL,
                         "expected letters, digits and '.+~_-', such as 'v1.36.4+k3s1'"},
    [IB_TYPE_URL] = {"a URL", "^(https?://[A-Za-z0-9.-]+(:[0-9]+)?(/[!-~]*)?|file:///[!-~]*)$",
                     2000, NULL, "expected https://, http:// or file:/// and the rest"},
    [IB_TYPE_PATH] = {"a path", "^(/[^/]+)+$", 1000, is_plain_path,
                      "expected an absolute path without '.', '..' or a slash at its end"},
    [IB_TYPE_GLOB] = {"a path pattern", "^(/[^/]+)+$", 1000, is_plain_path,
                      "expected an absolute path, in which '*', '?' and '[…]' match"},
    [IB_TYPE_PERSIST] = {"a path", "^(/[^/]+)+/?$", 1000, is_plain_path,
                         "expected an absolute path, with a '/' at its end if it is a directory"},
    [IB_TYPE_PROJECT_PATH] = {"a path in the project", "^[^/]+(/[^/]+)*$", 1000, is_plain_path,
                              "expected a path below the project directory, without '..' and "
                              "without a slash at its ends"},
    [IB_TYPE_SYSCTL] = {"a sysctl", "^[a-z0-9_]+([./][A-Za-z0-9_*-]+)+$", 200, NULL,
                        "expected a name such as 'net.ipv4.ip_forward'"},
    [IB_TYPE_KERNEL_ARGUMENT] = {"a kernel argument", "^[A-Za-z0-9_.-]+(=[!#-~]*)?$", 400, NULL,
                                 "expected NAME or NAME=VALUE without blanks or quotes"},
    [IB_TYPE_MODULE] = {"a kernel module", "^[A-Za-z0-9_-]+$", 64, NULL,
                        "expected a name such as 'br_netfilter'"},
    [IB_TYPE_UNIT] = {"a systemd unit",
                      "^[A-Za-z0-9:_.@-]+[.](service|socket|timer|target|path|mount|automount|swap|"
                      "slice)$",
                      255, NULL, "expected a name with its suffix, such as 'sshd.service'"},
    [IB_TYPE_PACKAGE] = {"a package name", "^[A-Za-z0-9][A-Za-z0-9+._-]*$", 128, NULL,
                         "expected letters, digits and '+._-'"},
    [IB_TYPE_PACKAGE_VERSION] = {"a package version", "^[A-Za-z0-9][A-Za-z0-9.+~:^_-]*$", 128, NULL,
                                 "expected letters, digits and '.+~:^_-'"},
    [IB_TYPE_ACCOUNT] = {"an account name", "^[a-z_][a-z0-9_-]*$", 31, NULL,
                         "expected at most 31 of a-z, 0-9, '_' and '-'"},
    [IB_TYPE_OWNER] = {"an owner", "^([a-z_][a-z0-9_-]*|[0-9]+)$", 31, NULL,
                       "expected a user or group name, or its number in quotes"},
    [IB_TYPE_SSH_KEY] = {"an SSH public key",
                         "^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@"
                         "openssh[.]com|sk-ecdsa-sha2-nistp256@openssh[.]com) [A-Za-z0-9+/]+=*( "
                         "[ -~]*)?$",
                         4000, NULL, "expected a line of a .pub file: 'ssh-ed25519 AAAA… name'"},
    [IB_TYPE_FINGERPRINT] = {"a key fingerprint", "^[0-9A-F]{40}$", 40, NULL,
                             "expected 40 upper-case hexadecimal digits"},
    [IB_TYPE_SNAPSHOT] = {"a snapshot", "^[0-9]{8}T[0-9]{6}Z$", 16, NULL,
                          "expected a time such as '20261101T000000Z'"},
    [IB_TYPE_TIMEZONE] = {"a time zone", "^[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", 64, NULL,
                          "expected a name such as 'Europe/Oslo'"},
    [IB_TYPE_WORD] = {"a word", "^[A-Za-z0-9][A-Za-z0-9._@-]*$", 100, NULL,
                      "expected letters, digits and '._@-'"},
    [IB_TYPE_PATTERN] = {"a pattern", "^[!-~]([ -~]*[!-~])?$", 200, NULL,
                         "expected text, in which '*', '?' and '[…]' match"},
    [IB_TYPE_LABEL] = {"a label", "^" LABEL_PATTERN "$", 317, NULL,
                       "expected a Kubernetes label such as 'example.org/disk'"},
    [IB_TYPE_TAINT] = {"a taint",
                       "^" LABEL_PATTERN
                       "(=[A-Za-z0-9_.-]*)?:(NoSchedule|PreferNoSchedule|NoExecute)$",
                       400, NULL, "expected KEY=VALUE:EFFECT, such as 'storage=only:NoSchedule'"},
    [IB_TYPE_BOOL] = {"a switch", NULL, 0, NULL, "expected true or false"},
    [IB_TYPE_INT] = {"a whole number", NULL, 0, NULL, "expected a whole number"},
    [IB_TYPE_SIZE] = {"a size", "^[1-9][0-9]*[KMGT]$", 20, NULL,
                      "expected a number and K, M, G or T (1024 each), such as '512M'"},
    [IB_TYPE_BOOL_OR_SIZE] = {"a switch or a size", "^[1-9][0-9]*[KMGT]$", 20, NULL,
                              "expected true, false, or a size such as '200G'"},
    [IB_TYPE_IPV4] = {"an IPv4 address", "^[0-9]{1,3}([.][0-9]{1,3}){3}$", 15, NULL,
                      "expected four numbers from 0 to 255, such as '10.10.10.1'"},
    [IB_TYPE_NETWORK] = {"an IPv4 network", "^[0-9]{1,3}([.][0-9]{1,3}){3}/[0-9]{1,2}$", 18, NULL,
                         "expected an address with host bits 0 and a length, such as "
                         "'10.10.10.0/24'"},
    [IB_TYPE_RANGE] = {"an address range",
                       "^[0-9]{1,3}([.][0-9]{1,3}){3}-[0-9]{1,3}([.][0-9]{1,3}){3}$", 31, NULL,
                       "expected FIRST-LAST, such as '10.10.10.40-10.10.10.69'"},
    [IB_TYPE_MAC] = {"a MAC address", "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$", 17, NULL,
                     "expected six hexadecimal pairs of one machine, such as '02:00:00:00:00:10'"},
    [IB_TYPE_MODE] = {"a mode", "^[0-7]{3,4}$", 4, NULL,
                      "expected three or four octal digits, such as '0644'"},
    [IB_TYPE_ENUM] = {"a word", NULL, 0, NULL, "expected a word"},
    [IB_TYPE_STRUCT] = {"a mapping", NULL, 0, NULL, "expected a mapping"},
    [IB_TYPE_PAIRS] = {"a mapping", NULL, 0, NULL, "expected a mapping to strings"},
    [IB_TYPE_ANY] = {"a mapping", NULL, 0, NULL, "expected a mapping"},
    [IB_TYPE_BY_FAMILY] = {"a list", NULL, 0, NULL,
                           "expected a list, or a mapping with lists 'all', 'debian', 'fedora'"},
};
#define TYPE_COUNT IB_ARRAY_SIZE(rules)

const char *ib_type_name(enum ib_type type)
{
    return rules[type].name;
}

const char *ib_type_pattern(enum ib_type type)
{
    return rules[type].pattern;
}

const char *ib_type_expectation(enum ib_type type)
{
    return rules[type].expectation;
}

/* Compiled when first needed: a run needs about half of them. */
struct pattern {
    regex_t regex;
    bool is_compiled;
};

struct ib_decoder *ib_decoder_new(struct ib_origins *origins, struct ib_diags *diags)
{
    struct ib_decoder *decoder = ib_calloc(1, sizeof(*decoder));

    *decoder = (struct ib_decoder){
        .origins = origins,
        .diags = diags,
        .patterns = ib_calloc(TYPE_COUNT, sizeof(struct pattern)),
    };
    return decoder;
}

struct ib_decoder *ib_decoder_free(struct ib_decoder *decoder)
{
    if (!decoder)
        return NULL;
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (decoder->patterns[i].is_compiled)
            regfree(&decoder->patterns[i].regex);
    free(decoder->patterns);
    free(decoder);
    return NULL;
}

void ib_decoder_freep(struct ib_decoder **decoder)
{
    ib_decoder_free(*decoder);
}

static bool matches(struct ib_decoder *decoder, enum ib_type type, const char *text)
{
    struct pattern *pattern = &decoder->patterns[type];

    if (!rules[type].pattern)
        return true;
    if (!pattern->is_compiled) {
        int r = regcomp(&pattern->regex, rules[type].pattern, REG_EXTENDED | REG_NOSUB);
        assert(r == 0); /* the patterns are ours */
        (void)r;
        pattern->is_compiled = true;
    }
    return regexec(&pattern->regex, text, 0, NULL, 0) == 0;
}

const char *ib_decoder_check_text(struct ib_decoder *decoder, enum ib_type type, const char *text)
{
    if (rules[type].max_length && strlen(text) > rules[type].max_length)
        return rules[type].expectation;
    if (rules[type].check && !rules[type].check(text))
        return rules[type].expectation;
    return matches(decoder, type, text) ? NULL : rules[type].expectation;
}
