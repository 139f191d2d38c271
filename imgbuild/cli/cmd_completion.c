/* SPDX-License-Identifier: Apache-2.0 */
/* Completion scripts for bash, zsh and fish, made from the command tables. */
#include <string.h>

#include "base/buffer.h"
#include "cli/cli.h"
#include "cli/commands.h"

static void add_words(struct ib_strv *words, const struct ib_option *table)
{
    for (; table && table->name; table++) {
        ib_strv_addf(words, "--%s%s", table->name, table->argument ? "=" : "");
        if (table->letter)
            ib_strv_addf(words, "-%c", table->letter);
    }
}

/* The shell command that prints what a positional argument may be; NULL: file names. */
static const char *argument_source(enum ib_argument_kind kind)
{
    switch (kind) {
    case IB_ARG_NODE:
        return "imgbuild list --names 2>/dev/null";
    case IB_ARG_LOCK_ENTRY:
        return "imgbuild lock --names 2>/dev/null";
    case IB_ARG_SHELL:
        return "echo bash zsh fish";
    case IB_ARG_COMMAND:
        return "imgbuild completion commands";
    case IB_ARG_NONE:
    case IB_ARG_FILE:
        break;
    }
    return NULL;
}

static void print_bash(FILE *out)
{
    _cleanup_(ib_strv_clear) struct ib_strv names = {0};

    for (size_t i = 0; ib_commands[i]; i++)
        ib_strv_add(&names, ib_commands[i]->name);
    _cleanup_(ib_freep) char *list = ib_strv_join(&names, " ");
    fprintf(out,
            "# bash completion for imgbuild, made by 'imgbuild completion bash'\n"
            "_imgbuild() {\n"
            "    local cur=${COMP_WORDS[COMP_CWORD]} cmd= words= i\n"
            "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
            "        case ${COMP_WORDS[i]} in -*|=) ;; *) cmd=${COMP_WORDS[i]}; break ;; esac\n"
            "    done\n"
            "    case $cmd in\n"
            "    '') words='%s help --version' ;;\n",
            list);
    for (size_t i = 0; ib_commands[i]; i++) {
        _cleanup_(ib_strv_clear) struct ib_strv words = {0};
        const char *source = argument_source(ib_commands[i]->argument_kind);

        add_words(&words, ib_commands[i]->options);
        add_words(&words, ib_global_options);
        _cleanup_(ib_freep) char *joined = ib_strv_join(&words, " ");
        fprintf(out, "    %s) words='%s'", ib_commands[i]->name, joined);
        if (source)
            fprintf(out, "; [[ $cur == -* ]] || words=$(%s)", source);
        fputs(" ;;\n", out);
    }
    fputs("    esac\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
          "    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace\n"
          "}\n"
          "complete -o default -F _imgbuild imgbuild\n",
          out);
}

/* zsh reads bash's completions through its own compatibility layer. */
static void print_zsh(FILE *out)
{
    fputs("#compdef imgbuild\n"
          "# zsh completion for imgbuild, made by 'imgbuild completion zsh'\n"
          "_imgbuild() {\n"
          "    local -a entries\n"
          "    if (( CURRENT == 2 )); then\n"
          "        entries=(\n",
          out);
    for (size_t i = 0; ib_commands[i]; i++)
        fprintf(out, "            '%s:%s'\n", ib_commands[i]->name, ib_commands[i]->summary);
    fputs("        )\n        _describe command entries\n        return\n    fi\n"
          "    case ${words[2]} in\n",
          out);
    for (size_t i = 0; ib_commands[i]; i++) {
        const char *source = argument_source(ib_commands[i]->argument_kind);
        fprintf(out, "    %s) _arguments", ib_commands[i]->name);
        for (const struct ib_option *o = ib_commands[i]->options; o && o->name; o++)
            fprintf(out, " '--%s%s[%s]%s%s%s'", o->name, o->argument ? "=" : "", o->help,
                    o->argument ? ":" : "", o->argument ? o->argument : "",
                    o->argument ? ":_files" : "");
        if (source)
            fprintf(out, " '*:argument:($(%s))' ;;\n", source);
        else
            fputs(" '*:file:_files' ;;\n", out);
    }
    fputs("    esac\n}\n_imgbuild \"$@\"\n", out);
}

static void print_fish_options(FILE *out, const struct ib_option *o, const char *condition)
{
    for (; o && o->name; o++) {
        fprintf(out, "complete -c imgbuild %s -l %s", condition, o->name);
        if (o->letter)
            fprintf(out, " -s %c", o->letter);
        fprintf(out, "%s -d '%s'\n", o->argument ? " -r" : "", o->help);
    }
}

static void print_fish(FILE *out)
{
    fputs("# fish completion for imgbuild, made by 'imgbuild completion fish'\n", out);
    for (size_t i = 0; ib_commands[i]; i++) {
        const struct ib_command *c = ib_commands[i];
        const char *source = argument_source(c->argument_kind);
        _cleanup_(ib_freep) char *condition =
            ib_asprintf("-n '__fish_seen_subcommand_from %s'", c->name);

        fprintf(out, "complete -c imgbuild -f -n __fish_use_subcommand -a %s -d '%s'\n", c->name,
                c->summary);
        print_fish_options(out, c->options, condition);
        if (source)
            fprintf(out, "complete -c imgbuild -f %s -a '(%s)'\n", condition, source);
    }
    print_fish_options(out, ib_global_options, "");
}

static int run(struct ib_cli *cli, void *options _unused_, int argc _unused_, char **argv,
               struct ib_error **err)
{
    if (strcmp(argv[0], "bash") == 0) {
        print_bash(cli->out);
    } else if (strcmp(argv[0], "zsh") == 0) {
        print_zsh(cli->out);
    } else if (strcmp(argv[0], "fish") == 0) {
        print_fish(cli->out);
    } else if (strcmp(argv[0], "commands") == 0) {
        for (size_t i = 0; ib_commands[i]; i++)
            fprintf(cli->out, "%s\n", ib_commands[i]->name);
    } else {
        ib_failf(err, IB_E_USAGE, "no completion for the shell '%s'", argv[0]);
        return ib_hint(err, "one of bash, zsh, fish");
    }
    return 0;
}

const struct ib_command ib_command_completion = {
    .name = "completion",
    .arguments = "bash|zsh|fish",
    .summary = "print a completion script for your shell",
    .description = "Prints a script that completes commands, options, node names and lock entries.",
    .example = "imgbuild completion bash > /usr/share/bash-completion/completions/imgbuild",
    .min_args = 1,
    .max_args = 1,
    .argument_kind = IB_ARG_SHELL,
    .run = run,
};
