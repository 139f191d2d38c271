/* SPDX-License-Identifier: Apache-2.0 */
/* Option tables to values: getopt_long does the parsing, the tables say what is allowed. */
#include <getopt.h>
#include <string.h>

#include "base/buffer.h"
#include "cli/cli.h"

enum { MAX_OPTIONS = 48, FIRST_LONG_ONLY = 256 };

/* A command's own options and the global ones, in one list with getopt's two forms of it. */
struct parser {
    const struct ib_option *options[MAX_OPTIONS];
    bool global[MAX_OPTIONS];
    size_t count;
    struct option long_options[MAX_OPTIONS + 1];
    char letters[2 + 2 * MAX_OPTIONS + 1];
};

static void add_table(struct parser *p, const struct ib_option *table, bool global)
{
    for (; table && table->name; table++) {
        if (p->count == MAX_OPTIONS)
            abort();
        p->options[p->count] = table;
        p->global[p->count] = global;
        p->long_options[p->count] = (struct option){
            table->name,
            table->argument ? required_argument : no_argument,
            NULL,
            FIRST_LONG_ONLY + (int)p->count,
        };
        if (table->letter) {
            size_t n = strlen(p->letters);
            p->letters[n] = table->letter;
            if (table->argument)
                p->letters[n + 1] = ':';
        }
        p->count++;
    }
}

static int find_option(const struct parser *p, int found)
{
    if (found >= FIRST_LONG_ONLY)
        return found - FIRST_LONG_ONLY;
    for (size_t i = 0; i < p->count; i++)
        if (p->options[i]->letter == found)
            return (int)i;
    return -1;
}

static bool is_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);

    for (const char *c = choices; *c;) {
        size_t len = strcspn(c, "|");
        if (len == n && strncmp(c, value, n) == 0)
            return true;
        c += len + (c[len] == '|');
    }
    return false;
}

static int store(const struct ib_option *o, void *base, const char *value, struct ib_error **err)
{
    void *field = (char *)base + o->offset;

    if (o->choices && !is_choice(o->choices, value)) {
        ib_failf(err, IB_E_USAGE, "'%s' is no value for --%s", value, o->name);
        return ib_hint(err, "one of %s", o->choices);
    }
    switch (o->kind) {
    case IB_OPT_FLAG:
        *(bool *)field = true;
        break;
    case IB_OPT_STRING:
        *(const char **)field = value;
        break;
    case IB_OPT_LIST:
        ib_strv_split(field, value, ",");
        break;
    case IB_OPT_UINT:
        if (!ib_parse_u64(value, UINT64_MAX, field)) {
            ib_failf(err, IB_E_USAGE, "--%s takes a whole number, not '%s'", o->name, value);
            return -1;
        }
        break;
    }
    return 0;
}

static int unknown_option(const struct parser *p, const char *word, struct ib_error **err)
{
    const char *names[MAX_OPTIONS];
    _cleanup_(ib_freep) char *name = ib_strndup(word, strcspn(word, "="));

    for (size_t i = 0; i < p->count; i++)
        names[i] = p->options[i]->name;
    ib_failf(err, IB_E_USAGE, "unknown option '%s'", name);
    const char *nearest = ib_nearest(name + strspn(name, "-"), names, p->count);
    if (nearest)
        return ib_hint(err, "did you mean '--%s'? (--help lists all)", nearest);
    return ib_hint(err, "--help lists the options");
}

int ib_options_parse(const struct ib_command *command, struct ib_cli *cli, void *options, int argc,
                     char **argv, int *ret_argc, char ***ret_argv, struct ib_error **err)
{
    struct parser p = {.letters = ":"};

    if (command)
        add_table(&p, command->options, false);
    else
        strcpy(p.letters, "+:"); /* stop at the command's name */
    add_table(&p, ib_global_options, true);

    optind = 0; /* GNU: start afresh */
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, p.letters, p.long_options, NULL)) != -1;) {
        if (c == '?') {
            const char letter[] = {'-', (char)optopt, 0};
            bool is_letter = optopt > 0 && optopt < FIRST_LONG_ONLY;
            return unknown_option(&p, is_letter ? letter : argv[optind - 1], err);
        }
        if (c == ':') {
            ib_failf(err, IB_E_USAGE, "option '%s' needs a value", argv[optind - 1]);
            return -1;
        }
        int i = find_option(&p, c);
        if (store(p.options[i], p.global[i] ? (void *)cli : options, optarg, err) < 0)
            return -1;
    }
    *ret_argc = argc - optind;
    *ret_argv = argv + optind;
    return 0;
}

void ib_options_clear(const struct ib_command *command, void *options)
{
    for (const struct ib_option *o = command->options; o && o->name; o++)
        if (o->kind == IB_OPT_LIST)
            ib_strv_clear((struct ib_strv *)((char *)options + o->offset));
}
