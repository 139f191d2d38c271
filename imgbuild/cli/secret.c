/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/file.h"
#include "ops/project.h"

enum { PASSPHRASE_MAX = 1024 };

/* Reads a line; the echo is off. False at the end of input, on an interrupt or a signal. */
static bool read_line(int fd, char line[static PASSPHRASE_MAX])
{
    size_t n = 0;

    for (;;) {
        char c;
        ssize_t r = read(fd, &c, 1);
        if (r <= 0)
            return false;
        if (c == '\n')
            break;
        if (n + 1 < PASSPHRASE_MAX)
            line[n++] = c;
    }
    line[n] = 0;
    return true;
}

static char *no_terminal(struct ib_error **err)
{
    ib_failf(err, IB_E_USAGE, "a passphrase is needed, and there is no terminal to ask for it");
    ib_hint(err,
            "run this in a terminal, or use a key made with 'imgbuild keygen --no-passphrase'");
    return NULL;
}

char *ib_cli_ask_secret(const char *prompt, struct ib_error **err)
{
    _cleanup_(ib_closep) int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    char line[PASSPHRASE_MAX] = {0};
    struct termios saved, quiet;

    if (fd < 0 || tcgetattr(fd, &saved) < 0)
        return no_terminal(err);
    quiet = saved;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    if (tcsetattr(fd, TCSAFLUSH, &quiet) < 0)
        return no_terminal(err);
    dprintf(fd, "%s: ", prompt);
    bool ok = read_line(fd, line);
    dprintf(fd, "\n");
    tcsetattr(fd, TCSAFLUSH, &saved);
    char *secret = NULL;
    if (!ok)
        ib_failf(err, IB_E_INTERRUPTED, "no passphrase was given");
    else if (!*line)
        ib_failf(err, IB_E_USAGE, "the passphrase is empty");
    else
        secret = ib_strdup(line);
    explicit_bzero(line, sizeof(line));
    return secret;
}

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

char *ib_cli_ask_new_secret(const char *prompt, struct ib_error **err)
{
    char *first = ib_cli_ask_secret(prompt, err), *second = NULL;
    bool same = false;

    if (first) {
        second = ib_cli_ask_secret("the same again", err);
        same = ib_streq(first, second);
        if (second && !same)
            ib_failf(err, IB_E_USAGE, "the two passphrases differ");
    }
    wipe(second);
    if (same)
        return first;
    wipe(first);
    return NULL;
}

/* ib_passphrase_fn */
static char *ask_for_key(const char *name, void *userdata _unused_, struct ib_error **err)
{
    _cleanup_(ib_freep) char *prompt = ib_asprintf("passphrase of %s", name);

    return ib_cli_ask_secret(prompt, err);
}

int ib_cli_load_sign_key(const char *path, struct ib_minisign_secret *ret, bool *ret_found,
                         struct ib_error **err)
{
    const char *env = getenv("IMGBUILD_SIGN_KEY");

    if (!path && env && *env)
        path = env;
    *ret_found = path != NULL;
    return path ? ib_minisign_secret_load(path, ask_for_key, NULL, ret, err) : 0;
}

struct ib_trust *ib_cli_load_trust(const struct ib_cli *cli, const struct ib_strv *keys,
                                   struct ib_error **err)
{
    /* a project is needed only where it was named */
    _cleanup_(ib_freep) char *dir = ib_project_find(cli->directory, cli->directory ? err : NULL);
    const struct ib_trust_sources sources = {.files = keys, .project_dir = dir};

    if (!dir && cli->directory)
        return NULL;
    return ib_trust_load(&sources, err);
}
