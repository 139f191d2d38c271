/* SPDX-License-Identifier: Apache-2.0 */
/* Man pages in roff (man(7) macros), made from the command tables; used when imgbuild is installed.
 */
#include <ctype.h>
#include <string.h>

#include "base/buffer.h"
#include "cli/cli.h"
#include "cli/commands.h"

/* Text with roff's own characters escaped; blank lines become paragraphs. */
static void print_text(FILE *out, const char *text)
{
    bool line_start = true;

    for (; *text; text++) {
        if (text[0] == '\n' && text[1] == '\n') {
            fputs("\n.PP\n", out);
            text++;
            line_start = true;
            continue;
        }
        if (line_start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
        line_start = *text == '\n';
    }
}

static void print_heading(FILE *out, const char *name, const char *summary)
{
    _cleanup_(ib_freep) char *upper = ib_strdup(name);

    for (char *p = upper; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    fprintf(out, ".TH %s 1 \"\" \"imgbuild %s\" \"imgbuild\"\n.SH NAME\n", upper, IB_VERSION);
    print_text(out, name);
    fputs(" \\- ", out);
    print_text(out, summary);
    fputc('\n', out);
}

static void print_options(FILE *out, const struct ib_option *o)
{
    for (; o && o->name; o++) {
        fputs(".TP\n", out);
        if (o->letter)
            fprintf(out, ".BR \\-%c \", \" ", o->letter);
        else
            fputs(".BR ", out);
        fputs("\"\\-\\-", out);
        print_text(out, o->name);
        if (o->argument)
            fprintf(out, "=%s", o->argument);
        fputs("\"\n", out);
        print_text(out, o->help);
        fputc('\n', out);
    }
}

static void print_command(FILE *out, const struct ib_command *c)
{
    _cleanup_(ib_freep) char *name = ib_asprintf("imgbuild-%s", c->name);

    print_heading(out, name, c->summary);
    fprintf(out, ".SH SYNOPSIS\n.B imgbuild %s\n[OPTION…] ", c->name);
    print_text(out, c->arguments);
    fputs("\n.SH DESCRIPTION\n", out);
    print_text(out, c->description);
    if (c->options) {
        fputs("\n.SH OPTIONS\n", out);
        print_options(out, c->options);
    }
    if (c->example) {
        fputs("\n.SH EXAMPLE\n.EX\n", out);
        print_text(out, c->example);
        fputs("\n.EE\n", out);
    }
    fputs("\n.SH SEE ALSO\n.BR imgbuild (1)\n", out);
}

static void print_exit_statuses(FILE *out)
{
    fputs(".SH EXIT STATUS\n.TP\n.B 0\nsuccess\n", out);
    for (int code = IB_E_INTERNAL; code <= IB_E_INTERRUPTED; code++)
        fprintf(out, ".TP\n.B %d\n%s\n", ib_error_exit_status((enum ib_error_code)code),
                ib_error_code_name((enum ib_error_code)code));
}

static void print_program(FILE *out)
{
    print_heading(out, "imgbuild", "immutable disk images for the machines of a cluster");
    fputs(".SH SYNOPSIS\n.B imgbuild\n[OPTION…] COMMAND [ARGUMENT…]\n.SH COMMANDS\n", out);
    for (size_t i = 0; ib_commands[i]; i++) {
        fprintf(out, ".TP\n.BR imgbuild\\-%s (1)\n", ib_commands[i]->name);
        print_text(out, ib_commands[i]->summary);
        fputc('\n', out);
    }
    fputs(".SH OPTIONS\n", out);
    print_options(out, ib_global_options);
    print_exit_statuses(out);
}

static int run(struct ib_cli *cli, void *options _unused_, int argc, char **argv,
               struct ib_error **err)
{
    if (argc == 0) {
        print_program(cli->out);
        return 0;
    }
    const struct ib_command *c = ib_command_find(argv[0]);
    if (!c)
        return ib_failf(err, IB_E_USAGE, "there is no command '%s'", argv[0]);
    print_command(cli->out, c);
    return 0;
}

const struct ib_command ib_command_man = {
    .name = "man",
    .arguments = "[COMMAND]",
    .summary = "print a man page",
    .description = "Prints the man page of imgbuild, or of one of its commands, in roff.",
    .example = "imgbuild man node | man -l -",
    .max_args = 1,
    .argument_kind = IB_ARG_COMMAND,
    .run = run,
};
