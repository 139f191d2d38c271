/* SPDX-License-Identifier: Apache-2.0 */
/* `--help`: one screen for the program, one for each command, both made from the tables. */
#include <string.h>

#include "base/buffer.h"
#include "cli/cli.h"

enum { COLUMN = 26, WIDTH = 79 };

static void print_wrapped(FILE *out, const char *text, int indent, int column)
{
    while (*text) {
        size_t n = strcspn(text, " \n");
        if (column > indent && column + 1 + (int)n > WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            fputc(' ', out);
            column++;
        }
        fwrite(text, 1, n, out);
        column += (int)n;
        text += n;
        if (text[0] == '\n' && text[1] == '\n') {
            fprintf(out, "\n\n%*s", indent, "");
            column = indent;
        }
        text += strspn(text, " \n");
    }
    fputc('\n', out);
}

static void print_row(FILE *out, const char *left, const char *right)
{
    int n = fprintf(out, "  %s", left);

    if (n >= COLUMN - 1) {
        fputc('\n', out);
        n = 0;
    }
    fprintf(out, "%*s", COLUMN - n, "");
    print_wrapped(out, right, COLUMN, COLUMN);
}

static void print_options(FILE *out, const struct ib_option *table)
{
    for (; table && table->name; table++) {
        _cleanup_(ib_freep) char *letter =
            table->letter ? ib_asprintf("-%c, ", table->letter) : ib_strdup("    ");
        _cleanup_(ib_freep) char *left = ib_asprintf(table->argument ? "%s--%s=%s" : "%s--%s",
                                                     letter, table->name, table->argument);
        print_row(out, left, table->help);
    }
}

void ib_help_program(FILE *out)
{
    fputs("Usage: imgbuild [OPTION…] COMMAND [ARGUMENT…]\n\n"
          "Builds immutable disk images for the machines of a cluster.\n\nCommands:\n",
          out);
    for (size_t i = 0; ib_commands[i]; i++)
        print_row(out, ib_commands[i]->name, ib_commands[i]->summary);
    fputs("\nOptions, for every command:\n", out);
    print_options(out, ib_global_options);
    fputs("\n'imgbuild COMMAND --help' says more about a command.\n", out);
}

void ib_help_command(const struct ib_command *command, FILE *out)
{
    fprintf(out, "Usage: imgbuild %s [OPTION…]%s%s\n\n", command->name,
            *command->arguments ? " " : "", command->arguments);
    print_wrapped(out, command->description, 0, 0);
    if (command->options) {
        fputs("\nOptions:\n", out);
        print_options(out, command->options);
    }
    fputs("\nOptions of every command: see 'imgbuild --help'.\n", out);
    if (command->example)
        fprintf(out, "\nExample: %s\n", command->example);
}
