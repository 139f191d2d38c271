/* SPDX-License-Identifier: Apache-2.0 */
/* The whole program in one table: a command's name leads to its description, options and function.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/render.h"

const struct ib_command *const ib_commands[] = {
    &ib_command_node,
    &ib_command_check,
    &ib_command_list,
    &ib_command_show,
    &ib_command_lock,
    &ib_command_fetch,
    &ib_command_explain,
    &ib_command_inspect,
    &ib_command_diff,
    &ib_command_boot,
    &ib_command_flash,
    &ib_command_unpack,
    &ib_command_recovery,
    &ib_command_keygen,
    &ib_command_sign,
    &ib_command_verify,
    &ib_command_clean,
    &ib_command_doctor,
    &ib_command_schema,
    &ib_command_completion,
    &ib_command_man,
    NULL,
};

const struct ib_option ib_global_options[] = {
    {"directory", 'C', IB_OPT_STRING, "DIR", "the project (default: found from here upwards)",
     offsetof(struct ib_cli, directory), NULL},
    {"cache", 0, IB_OPT_STRING, "DIR", "the cache (default: ~/.cache/imgbuild)",
     offsetof(struct ib_cli, cache), NULL},
    {"json", 0, IB_OPT_FLAG, NULL, "results on stdout and events on stderr as JSON",
     offsetof(struct ib_cli, json), NULL},
    {"quiet", 'q', IB_OPT_FLAG, NULL, "no progress", offsetof(struct ib_cli, quiet), NULL},
    {"verbose", 'v', IB_OPT_FLAG, NULL, "say what is being done, for debugging",
     offsetof(struct ib_cli, verbose), NULL},
    {"color", 0, IB_OPT_STRING, "WHEN", "auto, always or never (NO_COLOR is respected)",
     offsetof(struct ib_cli, color), "auto|always|never"},
    {"help", 'h', IB_OPT_FLAG, NULL, "show help", offsetof(struct ib_cli, help), NULL},
    {"version", 'V', IB_OPT_FLAG, NULL, "show the version", offsetof(struct ib_cli, version), NULL},
    {0},
};

/* Set by the signal handler, read through struct ib_progress: a handler has no other way. */
static volatile sig_atomic_t cancel_requested;

static void on_signal(int signal_number)
{
    if (cancel_requested)
        _exit(128 + signal_number); /* asked twice: atomic files make this safe */
    cancel_requested = 1;
}

static void install_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error of write(), not a death */
}

const struct ib_command *ib_command_find(const char *name)
{
    for (size_t i = 0; ib_commands[i]; i++)
        if (strcmp(ib_commands[i]->name, name) == 0)
            return ib_commands[i];
    return NULL;
}

static int unknown_command(const char *name, struct ib_error **err)
{
    const char *names[64];
    size_t count = 0;

    for (; ib_commands[count]; count++)
        names[count] = ib_commands[count]->name;
    ib_failf(err, IB_E_USAGE, "unknown command '%s'", name);
    const char *nearest = ib_nearest(name, names, count);
    if (nearest)
        return ib_hint(err, "did you mean 'imgbuild %s'?", nearest);
    return ib_hint(err, "'imgbuild --help' lists the commands");
}

static int check_arguments(const struct ib_command *c, int argc, struct ib_error **err)
{
    if (argc >= c->min_args && (c->max_args < 0 || argc <= c->max_args))
        return 0;
    ib_failf(err, IB_E_USAGE,
             argc < c->min_args ? "'%s' needs an argument" : "too many arguments for '%s'",
             c->name);
    return ib_hint(err, "imgbuild %s %s", c->name, c->arguments);
}

static bool use_color(const struct ib_cli *cli)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    if (cli->color && strcmp(cli->color, "auto") != 0)
        return strcmp(cli->color, "always") == 0;
    return isatty(STDERR_FILENO) && !(no_color && *no_color) && !ib_streq(term, "dumb");
}

static enum ib_render_mode render_mode(const struct ib_cli *cli)
{
    if (cli->quiet)
        return IB_RENDER_QUIET;
    if (cli->json)
        return IB_RENDER_JSON;
    return isatty(STDERR_FILENO) && !ib_streq(getenv("TERM"), "dumb") ? IB_RENDER_TERMINAL
                                                                      : IB_RENDER_LINES;
}

static int flush_output(FILE *out, struct ib_error **err)
{
    if (fflush(out) == 0 && !ferror(out))
        return 0;
    return ib_fail(err, IB_E_IO, errno, "stdout", "write to");
}

static int run_command(const struct ib_command *command, struct ib_cli *cli, int argc, char **argv,
                       struct ib_error **err)
{
    _cleanup_(ib_freep) void *options = ib_calloc(1, IB_MAX(command->options_size, 1));
    int r = ib_options_parse(command, cli, options, argc, argv, &argc, &argv, err);

    if (r == 0 && cli->help) {
        ib_help_command(command, cli->out);
    } else if (r == 0 && (r = check_arguments(command, argc, err)) == 0) {
        if (cli->verbose)
            ib_log_set_level(IB_LOG_DEBUG);
        _cleanup_(ib_render_freep) struct ib_render *render =
            ib_render_new(render_mode(cli), use_color(cli));
        cli->progress = ib_progress_new(ib_render_event, render, &cancel_requested);
        r = command->run(cli, options, argc, argv, err);
        cli->progress = ib_progress_free(cli->progress);
    }
    ib_options_clear(command, options);
    return r < 0 ? r : flush_output(cli->out, err);
}

static int run(struct ib_cli *cli, int argc, char **argv, struct ib_error **err)
{
    if (ib_options_parse(NULL, cli, NULL, argc, argv, &argc, &argv, err) < 0)
        return -1;
    if (cli->version) {
        fprintf(cli->out, "imgbuild %s\n", IB_VERSION);
        return flush_output(cli->out, err);
    }
    if (argc == 0 && cli->help) {
        ib_help_program(cli->out);
        return flush_output(cli->out, err);
    }
    if (argc == 0) {
        ib_failf(err, IB_E_USAGE, "no command given");
        return ib_hint(err, "'imgbuild --help' lists the commands");
    }
    if (strcmp(argv[0], "help") == 0) {
        const struct ib_command *about = argc > 1 ? ib_command_find(argv[1]) : NULL;
        if (argc > 1 && !about)
            return unknown_command(argv[1], err);
        about ? ib_help_command(about, cli->out) : ib_help_program(cli->out);
        return flush_output(cli->out, err);
    }
    const struct ib_command *command = ib_command_find(argv[0]);
    if (!command)
        return unknown_command(argv[0], err);
    return run_command(command, cli, argc, argv, err);
}

static void print_json_error(const struct ib_error *err)
{
    json_t *lines = json_array();
    const char *hint = ib_error_hint(err);

    for (size_t i = 0; i < ib_error_depth(err); i++)
        json_array_append_new(lines, json_string(ib_error_line(err, i)));
    json_t *o = json_pack("{s:s, s:s, s:o, s:s*}", "event", "error", "code",
                          ib_error_code_name(ib_error_code(err)), "lines", lines, "hint", hint);
    char *text = json_dumps(o, JSON_COMPACT);
    fprintf(stderr, "%s\n", text ? text : "{\"event\":\"error\"}");
    free(text);
    json_decref(o);
}

int main(int argc, char **argv)
{
    struct ib_cli cli = {.out = stdout};
    _cleanup_(ib_error_freep) struct ib_error *err = NULL;

    install_signals();
    if (run(&cli, argc, argv, &err) == 0)
        return 0;
    if (cli.json)
        print_json_error(err);
    else
        ib_error_print(err, "imgbuild", stderr);
    return ib_error_exit_status(ib_error_code(err));
}
