/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line: one table of commands, each with a table of options. From these tables come
 * parsing, `--help`, the shell completions and the man pages, so they cannot disagree.
 *
 * A command checks its arguments' number and its options before it runs; `run` then does the work
 * by calling one verb of ops/ and prints the result: data on stdout, talk on stderr.
 */
#pragma once

#include <stdio.h>

#include "base/error.h"
#include "base/progress.h"

enum ib_option_kind {
    IB_OPT_FLAG,   /* bool */
    IB_OPT_STRING, /* const char *; borrowed from argv */
    IB_OPT_LIST,   /* struct ib_strv; may be repeated */
    IB_OPT_UINT,   /* uint64_t */
};

struct ib_option {
    const char *name; /* long name without dashes; NULL closes a table */
    char letter;      /* 0: none */
    enum ib_option_kind kind;
    const char *argument; /* "DIR"; NULL for a flag */
    const char *help;     /* one line */
    size_t offset;        /* of the value in the command's options struct */
    const char *choices;  /* "auto|always|never": the only values taken; NULL: any */
};

/* What every command has at hand. */
struct ib_cli {
    const char *directory; /* -C: the project; NULL: found from here upwards */
    const char *cache;     /* --cache */
    const char *color;     /* --color=auto|always|never */
    bool json, quiet, verbose, help, version;
    struct ib_progress *progress;
    FILE *out; /* stdout */
};

/* What a positional argument names: tells the completions what to offer. */
enum ib_argument_kind {
    IB_ARG_NONE,
    IB_ARG_NODE,
    IB_ARG_FILE,
    IB_ARG_LOCK_ENTRY,
    IB_ARG_COMMAND,
    IB_ARG_SHELL
};

struct ib_command {
    const char *name;
    const char *arguments;   /* "NAME… | --all" */
    const char *summary;     /* one line, imperative */
    const char *description; /* paragraphs for help and man page, separated by "\n\n" */
    const char *example;     /* one command line; NULL: none */
    int min_args, max_args;  /* max_args -1: any number */
    enum ib_argument_kind argument_kind;
    const struct ib_option *options; /* NULL: none of its own */
    size_t options_size;             /* of the struct that run gets */
    int (*run)(struct ib_cli *cli, void *options, int argc, char **argv, struct ib_error **err);
};

extern const struct ib_option ib_global_options[];
extern const struct ib_command *const ib_commands[]; /* in the order of `--help`; NULL at the end */

const struct ib_command *ib_command_find(const char *name);

/*
 * Fills `options` (of command->options_size, zeroed) and cli's global ones from argv[1…], and
 * leaves the positional arguments in *ret_argc, *ret_argv (pointing into argv, which is permuted).
 */
int ib_options_parse(const struct ib_command *command, struct ib_cli *cli, void *options, int argc,
                     char **argv, int *ret_argc, char ***ret_argv,
                     struct ib_error **err) _must_check_;
/* Frees the lists in `options`. */
void ib_options_clear(const struct ib_command *command, void *options);

void ib_help_program(FILE *out);
void ib_help_command(const struct ib_command *command, FILE *out);
